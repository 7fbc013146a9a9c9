// Package jwk reads JSON Web Keys and JWK Sets (RFC 7517). It reads only public
// keys, and only those that can verify signatures.
//
// The input may come from a stranger. Parse bounds its length and refuses what
// parsers read in different ways, such as a member that occurs twice (see
// package jsonobj). It does not judge how strong a key is: before a key verifies
// anything, jwtgate.NewKey has to accept it.
package jwk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
)

// MaxKeyBytes is the length of the longest JWK that Parse reads, certificates
// included.
const MaxKeyBytes = 64 << 10

// A Key is a public key with the members of its JWK that say what it is for.
type Key struct {
	ID        string // kid; "" if the JWK has none
	Algorithm string // alg; "" if the JWK has none. It need not be one of Algorithms.
	Issuer    string // issuer, which Entra ID adds; "" if the JWK has none

	// Public is an *rsa.PublicKey, an *ecdsa.PublicKey whose point is on its
	// curve, an ed25519.PublicKey, which may have any length, or an *mldsa.PublicKey.
	Public crypto.PublicKey
	// Algorithms are those that Public can verify, the usual one first.
	Algorithms []string
}

// JWTSVID is the use of the keys that sign JWT-SVIDs, in the bundle of a SPIFFE trust
// domain (SPIFFE Trust Domain and Bundle section 4.2.2).
const JWTSVID = "jwt-svid"

// A UseError is the error of Parse for a key that is for another use than the wanted
// one.
type UseError struct {
	Use    string // of the key; "" if it has none
	Wanted string
}

func (u *UseError) Error() string {
	switch {
	case u.Wanted == "":
		return fmt.Sprintf("it is for use %.40q, not for signatures", u.Use)
	case u.Use == "":
		return fmt.Sprintf("it has no use, and %.40q is wanted", u.Wanted)
	}
	return fmt.Sprintf("it is for use %.40q, and %.40q is wanted", u.Use, u.Wanted)
}

// Parse reads a JWK for a use: "" means sig or none, and [JWTSVID] means only that.
// For another use it refuses every JWK. Its errors quote at most 40 characters of raw.
//
// Parse refuses a JWK
//   - that is longer than [MaxKeyBytes], or not an object that can be read in
//     exactly one way;
//   - that is symmetric, or has a private member;
//   - that is not for verifying, by use or key_ops;
//   - of another kty than RSA, EC, OKP and AKP, or another crv than P-256, P-384,
//     P-521 and Ed25519;
//   - of kty AKP, with another alg than ML-DSA-44, ML-DSA-65 and ML-DSA-87 (RFC 9964), or
//     in a program that was built with Go 1.26 or earlier;
//   - with a member of the wrong type, an exponent of 2^31 or more, a point that
//     is not on its curve, or a number that is not base64url without padding.
//
// A member that is null or empty counts as absent. Some libraries write all
// members that a JWK can have, and leave those empty that it does not have.
//
// Parse ignores other members, including the certificates in x5c.
func Parse(raw []byte, use string) (*Key, error) {
	if len(raw) > MaxKeyBytes {
		return nil, fmt.Errorf("it has more than %d bytes", MaxKeyBytes)
	}
	m, err := readMembers(raw)
	if err == nil {
		err = checkUse(m.use, use)
	}
	if err != nil {
		return nil, err
	}
	k := &Key{ID: m.kid, Algorithm: m.alg, Issuer: m.issuer}
	switch m.kty {
	case "RSA":
		k.Public, err = m.rsa()
	case "EC":
		k.Public, err = m.ec()
	case "OKP":
		k.Public, err = m.okp()
	case "AKP":
		k.Public, err = m.akp()
	case "oct":
		err = errors.New("it is a symmetric key, which a set of public keys must not have")
	case "":
		err = errors.New("kty is missing")
	default:
		err = fmt.Errorf("kty %.40q is not supported", m.kty)
	}
	if err != nil {
		return nil, err
	}
	k.Algorithms = Algorithms(k.Public)
	return k, nil
}

// Algorithms returns the algorithms that a public key can verify, the usual one
// first (RFC 7518 section 3.1, RFC 8037 section 3.1, RFC 9964). It returns nil
// for a key of another type than those of [Key], and for an ECDSA key on another curve.
func Algorithms(public crypto.PublicKey) []string {
	switch p := public.(type) {
	case *rsa.PublicKey:
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	case *ecdsa.PublicKey:
		if p == nil {
			return nil
		}
		switch p.Curve { // each curve has one algorithm (RFC 7518 section 3.4)
		case elliptic.P256():
			return []string{"ES256"}
		case elliptic.P384():
			return []string{"ES384"}
		case elliptic.P521():
			return []string{"ES512"}
		}
		return nil
	}
	return mldsaAlgorithms(public)
}

// members has the members of a JWK that Parse uses (RFC 7517 section 4, RFC 7518
// section 6, RFC 8037 section 2, RFC 9964).
type members struct {
	kty, use, kid, alg, crv, issuer string
	n, e, x, y, pub                 []byte
}

func readMembers(raw []byte) (*members, error) {
	all, err := jsonobj.Parse(raw, nil)
	if err != nil {
		return nil, err
	}
	var m members
	for _, member := range all {
		name := string(member.Name)
		if isEmpty(name, member.Value) {
			continue
		}
		switch name {
		case "kty":
			m.kty, err = text(member)
		case "kid":
			m.kid, err = text(member)
		case "alg":
			m.alg, err = text(member)
		case "use":
			m.use, err = text(member)
		case "crv":
			m.crv, err = text(member)
		case "issuer":
			m.issuer, err = text(member)
		case "n":
			m.n, err = octets(member)
		case "e":
			m.e, err = octets(member)
		case "x":
			m.x, err = octets(member)
		case "y":
			m.y, err = octets(member)
		case "pub":
			m.pub, err = octets(member)
		case "key_ops":
			err = checkOperations(member.Value)
		case "d", "p", "q", "dp", "dq", "qi", "oth", "priv":
			err = fmt.Errorf("it has the private member %q, so it is a private key", name)
		case "k":
			err = errors.New(`it has the private member "k", so it is a secret, which keys.HS256 takes`)
		}
		if err != nil {
			return nil, err
		}
	}
	return &m, nil
}

// isEmpty reports whether the value of a member says nothing: null, an empty string, or
// an empty array for a member that is an array (RFC 7517 section 4.3, RFC 7518 section
// 6.3.2.7).
func isEmpty(name string, value []byte) bool {
	if name == "key_ops" || name == "oth" {
		elements, ok := jsonobj.Elements(value, nil)
		return ok && len(elements) == 0 || string(value) == "null"
	}
	return string(value) == "null" || string(value) == `""`
}

func text(m jsonobj.Member[[]byte]) (string, error) {
	s, ok := jsonobj.String(m.Value)
	if !ok {
		return "", fmt.Errorf("%s is not a string", m.Name)
	}
	return s, nil
}

// octets returns the bytes of a member in base64url.
func octets(m jsonobj.Member[[]byte]) ([]byte, error) {
	s, err := text(m)
	if err != nil {
		return nil, err
	}
	// Package base64 ignores line breaks, even if it is strict.
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, fmt.Errorf("%s is not base64url", m.Name)
	}
	return b, nil
}

// checkUse returns an error if a key of the given use is for something else than what
// is wanted.
func checkUse(use, wanted string) error {
	switch wanted {
	case "":
		if use == "" || use == "sig" {
			return nil
		}
	case JWTSVID:
		if use == JWTSVID {
			return nil
		}
	}
	return &UseError{use, wanted}
}

// checkOperations returns an error if a key_ops member does not contain "verify".
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

func (m *members) rsa() (*rsa.PublicKey, error) {
	if len(m.n) == 0 || len(m.e) == 0 {
		return nil, errors.New("n or e is missing")
	}
	e := new(big.Int).SetBytes(m.e)
	if e.BitLen() > 31 {
		return nil, errors.New("e is larger than 2^31-1")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(m.n), E: int(e.Int64())}, nil
}

func (m *members) ec() (*ecdsa.PublicKey, error) {
	var curve elliptic.Curve
	switch m.crv {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return nil, fmt.Errorf("crv %.40q is not supported", m.crv)
	}
	// Coordinates have their full length, leading zeros included (RFC 7518
	// section 6.2.1.2).
	size := (curve.Params().BitSize + 7) / 8
	if len(m.x) != size || len(m.y) != size {
		return nil, fmt.Errorf("x and y do not have %d bytes each", size)
	}
	point := append(append([]byte{4}, m.x...), m.y...)
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, fmt.Errorf("x and y are not a point on %s", m.crv)
	}
	return key, nil
}

func (m *members) okp() (ed25519.PublicKey, error) {
	if m.crv != "Ed25519" {
		return nil, fmt.Errorf("crv %.40q is not supported", m.crv)
	}
	return ed25519.PublicKey(m.x), nil
}

// akp reads a key of kty AKP, whose alg says which kind of key it is (RFC 9964).
func (m *members) akp() (crypto.PublicKey, error) {
	switch m.alg {
	case "ML-DSA-44", "ML-DSA-65", "ML-DSA-87":
	case "":
		return nil, errors.New("alg is missing, which a key of kty AKP must have")
	default:
		return nil, fmt.Errorf("alg %.40q is not supported for kty AKP", m.alg)
	}
	if len(m.pub) == 0 {
		return nil, errors.New("pub is missing")
	}
	return newMLDSA(m.alg, m.pub)
}
