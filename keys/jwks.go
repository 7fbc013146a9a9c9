package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"slices"
	"strings"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/jsonobj"
)

// JWKS returns a source with the keys of a JWK Set document (RFC 7517 section
// 5), such as an issuer publishes. A key that cannot be used is skipped and
// logged to [slog.Default], and the others serve: one that is unknown,
// malformed, weak, private, symmetric or not for verifying. A document without
// a single usable key is an error.
//
// A key without alg is used for RS256, for the algorithm of its curve, or for
// EdDSA. A key with an issuer member, as Entra ID has it, serves that issuer
// only; "{tenantid}" in it stands for one segment of a path.
func JWKS(document []byte) jwtgate.KeySource {
	s, skipped, err := parseJWKS(document, nil)
	if err != nil {
		return failed("keys.JWKS", err)
	}
	logSkipped(slog.Default(), "keys.JWKS", skipped)
	return &fixed{set: s}
}

// logSkipped tells of the keys of a set that are not used. A nil logger is
// slog.Default.
func logSkipped(logger *slog.Logger, source string, skipped []error) {
	for _, err := range skipped {
		orDefaultLogger(logger).Warn("jwtgate: key skipped", "source", source, "error", err)
	}
}

// orDefaultLogger looks slog.Default up anew each time: a program may set it
// after its sources are made.
func orDefaultLogger(logger *slog.Logger) *slog.Logger {
	if logger == nil {
		return slog.Default()
	}
	return logger
}

const (
	// mostKeys is how many keys a set may have.
	mostKeys = 100
	// mostKeyBytes is the longest JWK that is read, certificates included.
	mostKeyBytes = 64 << 10
)

// parseJWKS reads a JWK Set. skipped tells of the keys in it that are not used.
// algorithms are for keys without alg, each for those of its kind; nil stands
// for RS256, the algorithm of each curve, and EdDSA.
func parseJWKS(document []byte, algorithms []string) (s *set, skipped []error, err error) {
	jwks, err := readKeys(document)
	if len(document) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("it is not a JWK Set: %w", err)
	}
	if len(jwks) > mostKeys {
		return nil, nil, fmt.Errorf("it has more than the %d keys that are read", mostKeys)
	}
	var ks []*jwtgate.Key
	var issuers map[*jwtgate.Key]string
	for i, raw := range jwks {
		var made []*jwtgate.Key
		var issuer string
		err := fmt.Errorf("it has more than %d bytes", mostKeyBytes)
		if len(raw) <= mostKeyBytes {
			made, issuer, err = parseJWK(raw, algorithms)
		}
		if err != nil {
			skipped = append(skipped, fmt.Errorf("key %d: %w", i+1, err))
			continue
		}
		for _, k := range made {
			ks = append(ks, k)
			if issuer == "" {
				continue
			}
			if issuers == nil {
				issuers = map[*jwtgate.Key]string{}
			}
			issuers[k] = issuer
		}
	}
	if len(ks) == 0 {
		return nil, skipped, errors.Join(append([]error{errors.New("it has no usable key")}, skipped...)...)
	}
	return newSet(ks, issuers), skipped, nil
}

// readKeys returns the elements of a JWK Set's keys, and of very many no more
// than one beyond what is allowed. Its other members are not looked at (RFC 7517
// section 5), so that one the issuer invents does not stop its keys from
// serving. Reading token by token keeps the case of names, and takes no memory
// for what is not kept.
func readKeys(document []byte) (jwks []json.RawMessage, err error) {
	d := json.NewDecoder(bytes.NewReader(document))
	if err := expect(d, json.Delim('{')); err != nil {
		return nil, err
	}
	found, metadata := false, false
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		if name != "keys" {
			metadata = metadata || name == "jwks_uri"
			var other json.RawMessage
			if err := d.Decode(&other); err != nil {
				return nil, err
			}
			continue
		}
		if err := expect(d, json.Delim('[')); err != nil {
			return nil, fmt.Errorf("keys is not an array: %w", err)
		}
		jwks, found = nil, true
		for d.More() {
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				return nil, err
			}
			if jwks = append(jwks, raw); len(jwks) > mostKeys {
				return jwks, nil
			}
		}
		if _, err := d.Token(); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is data after it")
	}
	switch {
	case !found && metadata:
		return nil, errors.New("keys is not an array: it is missing; this is a discovery document, whose jwks_uri says where the set is")
	case !found:
		return nil, errors.New("keys is not an array: it is missing")
	}
	return jwks, nil
}

// expect reads one token, which must be that.
func expect(d *json.Decoder, want json.Delim) error {
	token, err := d.Token()
	if err == nil && token != want {
		err = fmt.Errorf("it does not start with %v", want)
	}
	return err
}

// jwk has the members of a JSON Web Key that matter here (RFC 7517 section 4,
// RFC 7518 section 6, RFC 8037 section 2).
type jwk struct {
	kty, kid, alg, crv, issuer string
	n, e, x, y                 []byte
}

// parseJWK returns the keys that a JWK stands for: one, or for a key without
// alg one for each of algorithms that is for its kind.
func parseJWK(raw []byte, algorithms []string) (ks []*jwtgate.Key, issuer string, err error) {
	j, err := readJWK(raw)
	if err != nil {
		return nil, "", err
	}
	var material any
	var names []string
	switch j.kty {
	case "RSA":
		material, err = j.rsa()
		names = rsaAlgorithms
	case "EC":
		material, names, err = j.ec()
	case "OKP":
		material, err = j.okp()
		names = []string{"EdDSA"}
	case "oct":
		err = errors.New("it is a symmetric key, which a set of public keys must not have")
	case "":
		err = errors.New("kty is missing")
	default:
		err = fmt.Errorf("kty %.40q is not supported", j.kty)
	}
	if err != nil {
		return nil, "", err
	}
	if j.alg != "" {
		names = []string{j.alg}
	} else if names = chosen(names, algorithms); len(names) == 0 {
		return nil, "", errors.New("it has no alg, and none of the algorithms that are set for such keys is for its kind")
	}
	for _, name := range names {
		k, err := jwtgate.NewKey(j.kid, name, material)
		if err != nil {
			return nil, "", err
		}
		ks = append(ks, k)
	}
	return ks, j.issuer, nil
}

// rsaAlgorithms are what an RSA key can verify (RFC 7518 section 3.1).
var rsaAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}

// chosen returns those of possible that are among algorithms. With nil it
// returns the first, which is the usual one.
func chosen(possible, algorithms []string) (names []string) {
	if algorithms == nil {
		return possible[:1]
	}
	for _, name := range possible {
		if slices.Contains(algorithms, name) || name == "EdDSA" && slices.Contains(algorithms, "Ed25519") {
			names = append(names, name)
		}
	}
	return names
}

func readJWK(raw []byte) (*jwk, error) {
	members, err := jsonobj.Parse(raw, nil)
	if err != nil {
		return nil, err
	}
	var j jwk
	for _, m := range members {
		name := string(m.Name)
		switch name {
		case "kty":
			j.kty, err = text(m)
		case "kid":
			j.kid, err = text(m)
		case "alg":
			if j.alg, err = text(m); err == nil && j.alg == "" {
				err = errors.New("alg is empty")
			}
		case "use":
			var use string
			if use, err = text(m); err == nil && use != "sig" {
				err = fmt.Errorf("it is for use %.40q, not for signatures", use)
			}
		case "crv":
			j.crv, err = text(m)
		case "issuer":
			if j.issuer, err = text(m); err == nil && j.issuer == "" {
				err = errors.New("issuer is empty")
			}
		case "n":
			j.n, err = octets(m)
		case "e":
			j.e, err = octets(m)
		case "x":
			j.x, err = octets(m)
		case "y":
			j.y, err = octets(m)
		case "key_ops":
			err = checkOperations(m.Value)
		case "d", "p", "q", "dp", "dq", "qi", "oth", "priv", "k":
			err = fmt.Errorf("it has the private member %q", name)
		}
		if err != nil {
			return nil, err
		}
	}
	return &j, nil
}

func text(m jsonobj.Member[[]byte]) (string, error) {
	s, ok := jsonobj.String(m.Value)
	if !ok {
		return "", fmt.Errorf("%s is not a string", m.Name)
	}
	return s, nil
}

func octets(m jsonobj.Member[[]byte]) ([]byte, error) {
	s, err := text(m)
	if err != nil {
		return nil, err
	}
	// Line breaks are skipped by package base64, but have no place here.
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, fmt.Errorf("%s is not base64url", m.Name)
	}
	return b, nil
}

func checkOperations(raw []byte) error {
	operations, ok := jsonobj.Elements(raw, nil)
	if !ok {
		return errors.New("key_ops is not an array")
	}
	for _, operation := range operations {
		if s, _ := jsonobj.String(operation); s == "verify" {
			return nil
		}
	}
	return errors.New("verify is not among its key_ops")
}

func (j *jwk) rsa() (*rsa.PublicKey, error) {
	if len(j.n) == 0 || len(j.e) == 0 {
		return nil, errors.New("n or e is missing")
	}
	e := new(big.Int).SetBytes(j.e)
	if e.BitLen() > 31 {
		return nil, errors.New("e is larger than 2^31-1")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(j.n), E: int(e.Int64())}, nil
}

func (j *jwk) ec() (*ecdsa.PublicKey, []string, error) {
	var curve elliptic.Curve
	switch j.crv {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return nil, nil, fmt.Errorf("crv %.40q is not supported", j.crv)
	}
	// Coordinates have their full length, leading zeros included (RFC 7518
	// section 6.2.1.2).
	size := (curve.Params().BitSize + 7) / 8
	if len(j.x) != size || len(j.y) != size {
		return nil, nil, fmt.Errorf("x and y do not have %d bytes each", size)
	}
	point := append(append([]byte{4}, j.x...), j.y...)
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, nil, fmt.Errorf("x and y are not a point on %s", j.crv)
	}
	return key, []string{curveAlgorithm(key.Curve)}, nil
}

func (j *jwk) okp() (ed25519.PublicKey, error) {
	if j.crv != "Ed25519" {
		return nil, fmt.Errorf("crv %.40q is not supported", j.crv)
	}
	return ed25519.PublicKey(j.x), nil
}

// set is an immutable collection of keys, arranged for being found.
type set struct {
	all     []*jwtgate.Key
	byID    map[string][]*jwtgate.Key // with the keys without ID behind; under "" all
	mixed   bool                      // some have an ID and some have none
	anyID   []*jwtgate.Key
	issuers map[*jwtgate.Key]string // of the keys that serve one issuer only
}

func newSet(keys []*jwtgate.Key, issuers map[*jwtgate.Key]string) *set {
	s := &set{all: slices.Clone(keys), byID: map[string][]*jwtgate.Key{}, issuers: issuers}
	for _, k := range keys {
		if k.ID() == "" {
			s.anyID = append(s.anyID, k)
		} else {
			s.byID[k.ID()] = append(s.byID[k.ID()], k)
		}
	}
	for id := range s.byID {
		s.byID[id] = append(s.byID[id], s.anyID...)
	}
	s.mixed = len(s.byID) > 0 && len(s.anyID) > 0
	s.byID[""] = s.all
	return s
}

// find returns the keys of issuer for tokens that name kid. known is false if
// no key of the set may be that one, or if there is no set.
func (s *set) find(issuer, kid string) (found []*jwtgate.Key, known bool) {
	if s == nil {
		return nil, false
	}
	found, known = s.byID[kid]
	if !known {
		found, known = s.anyID, len(s.anyID) > 0
	}
	if s.issuers != nil {
		found = s.only(issuer, found)
	}
	return found, known
}

// certain tells whether tokens that name kid, for which there are keys, cannot be
// meant for a key that the set does not have yet. A key without ID may be tried
// for any token, but where others have one, it may be none of its own.
func (s *set) certain(kid string) bool {
	if !s.mixed {
		return true
	}
	_, named := s.byID[kid]
	return named
}

// only returns those of keys that serve issuer. It makes a new slice only if
// that is some of them.
func (s *set) only(issuer string, keys []*jwtgate.Key) []*jwtgate.Key {
	serves := func(k *jwtgate.Key) bool {
		pattern, bound := s.issuers[k]
		return !bound || matchIssuer(pattern, issuer)
	}
	n := 0
	for _, k := range keys {
		if serves(k) {
			n++
		}
	}
	switch n {
	case 0:
		return nil
	case len(keys):
		return keys
	}
	ours := make([]*jwtgate.Key, 0, n)
	for _, k := range keys {
		if serves(k) {
			ours = append(ours, k)
		}
	}
	return ours
}

// checkIssuers returns an error for each of issuers that no key serves.
func (s *set) checkIssuers(issuers []string) error {
	var errs []error
	for _, issuer := range issuers {
		if found, _ := s.find(issuer, ""); len(found) == 0 {
			errs = append(errs, fmt.Errorf("each key is for another issuer than %q, by its issuer member", issuer))
		}
	}
	return errors.Join(errs...)
}

// matchIssuer compares an issuer with that of a key, in which "{tenantid}"
// stands for one segment of a path.
func matchIssuer(pattern, issuer string) bool {
	before, after, ok := strings.Cut(pattern, "{tenantid}")
	if !ok {
		return pattern == issuer
	}
	rest, ok := strings.CutPrefix(issuer, before)
	if !ok {
		return false
	}
	tenant, ok := strings.CutSuffix(rest, after)
	return ok && tenant != "" && !strings.ContainsAny(tenant, "/?#")
}
