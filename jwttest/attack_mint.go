package jwttest

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A minter makes tokens of the target and of an attacker.
type minter struct {
	target Target
	now    time.Time
	header object // of a token that the service accepts
	claims object
}

func newMinter(target Target) (*minter, error) {
	if err := checkKey(target.Algorithm, target.Key); err != nil {
		return nil, err
	}
	path := cmp.Or(target.Path, "/")
	if _, err := http.NewRequest(target.Method, "http://"+host+path, nil); err != nil || path[0] != '/' {
		return nil, fmt.Errorf("Target.Method and Path: %q and %q are not of a request (%v)", target.Method, target.Path, err)
	}
	m := &minter{target: target, now: time.Now()}
	if target.Now != nil {
		m.now = target.Now()
	}

	m.header = object{{"alg", quote(target.Algorithm)}, {"typ", `"JWT"`}}
	if target.KeyID != "" {
		m.header = m.header.with("kid", quote(target.KeyID))
	}
	if target.Issuer != "" {
		m.claims = m.claims.with("iss", quote(target.Issuer))
	}
	m.claims = m.claims.with("sub", `"jwttest"`)
	if target.Audience != "" {
		m.claims = m.claims.with("aud", quote(target.Audience))
	}
	m.claims = append(m.claims,
		member{"exp", m.fromNow(time.Hour)}, member{"iat", m.fromNow(-time.Minute)},
		member{"jti", `"jwttest"`}, member{"client_id", `"jwttest"`})

	var err error
	if m.header, err = merge(m.header, target.Header); err != nil {
		return nil, fmt.Errorf("Target.Header: %w", err)
	}
	if m.claims, err = merge(m.claims, target.Claims); err != nil {
		return nil, fmt.Errorf("Target.Claims: %w", err)
	}
	return m, nil
}

// merge takes changes over into an object; a nil value removes a member.
func merge(o object, changes map[string]any) (object, error) {
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		if changes[name] == nil {
			o = o.without(name)
			continue
		}
		value, err := json.Marshal(changes[name])
		if err != nil {
			return nil, err
		}
		o = o.with(name, string(value))
	}
	return o, nil
}

func checkKey(algorithm string, key any) error {
	if signingMethods[algorithm] == nil {
		return fmt.Errorf("Target.Algorithm: %q is not one of %s", algorithm, strings.Join(algorithmNames, ", "))
	}
	ok := false
	switch k := key.(type) {
	case []byte:
		ok = kind(algorithm) == "HS"
	case *rsa.PrivateKey:
		ok = k != nil && (kind(algorithm) == "RS" || kind(algorithm) == "PS")
	case *ecdsa.PrivateKey:
		ok = k != nil && curves[algorithm] != nil && k.Curve == curves[algorithm]
	case ed25519.PrivateKey:
		ok = kind(algorithm) == "Ed" && len(k) == ed25519.PrivateKeySize
	}
	if !ok {
		return fmt.Errorf("Target.Key: a %T is not what signs with %s; it takes a []byte secret, an *rsa.PrivateKey, "+
			"an *ecdsa.PrivateKey on the algorithm's curve or an ed25519.PrivateKey", key, algorithm)
	}
	return nil
}

// at returns the NumericDate of a time as far from now.
func (m *minter) fromNow(d time.Duration) string { return strconv.FormatInt(m.now.Add(d).Unix(), 10) }

// head returns the header of a good token with one member replaced; an empty
// value leaves it out.
func (m *minter) headerWith(name, value string) string { return replaced(m.header, name, value) }

// body is the same for the claims.
func (m *minter) claimsWith(name, value string) string { return replaced(m.claims, name, value) }

func replaced(o object, name, value string) string {
	if value == "" {
		return o.without(name).String()
	}
	return o.with(name, value).String()
}

// token signs any header and claims with the target's key.
func (m *minter) token(header, claims string) string {
	return m.signed(encode(header) + "." + encode(claims))
}

// signed appends the target's signature to any text.
func (m *minter) signed(input string) string {
	return input + "." + encode(sign(m.target.Algorithm, m.target.Key, input))
}

// withClaims and withHeader sign with the target's key what is good but for
// one part.
func (m *minter) tokenWithClaims(claims string) string { return m.token(m.header.String(), claims) }

func (m *minter) tokenWithHeader(header string) string { return m.token(header, m.claims.String()) }

// forged signs good claims with another key, under a header that names its
// algorithm.
func (m *minter) forged(header object, algorithm string, key any) string {
	input := encode(header.with("alg", quote(algorithm)).String()) + "." + encode(m.claims.String())
	return input + "." + encode(sign(algorithm, key, input))
}

func sign(algorithm string, key any, input string) []byte {
	return must(signingMethods[algorithm].Sign(input, key))
}

// signECDSA signs with any curve and hash, as golang-jwt would not.
func signECDSA(key *ecdsa.PrivateKey, digest []byte) []byte {
	size := (key.Params().BitSize + 7) / 8
	r, s := must2(ecdsa.Sign(rand.Reader, key, digest))
	return slices.Concat(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size)))
}

// sum returns the digest that an algorithm with a size in its name signs.
func digestFor(algorithm, input string) []byte {
	h := hashes[algorithm[2:]].New()
	h.Write([]byte(input))
	return h.Sum(nil)
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// flip changes a character of a base64url segment; i counts from the end if it
// is negative. The change is in the bit that no last character leaves unused.
func flipBit(segment string, i int) string {
	if i < 0 {
		i += len(segment)
	}
	b := []byte(segment)
	b[i] = base64url[strings.IndexByte(base64url, b[i])^32]
	return string(b)
}

// respell returns another spelling of a segment, with a bit set that decodes to
// nothing, or false if its last character has none.
func otherSpelling(segment string) (string, bool) {
	if len(segment)%4 < 2 {
		return "", false
	}
	last := len(segment) - 1
	return segment[:last] + string(base64url[strings.IndexByte(base64url, segment[last])|1]), true
}

// ragged adds a space behind a JSON text if its encoding would leave no bits
// unused.
func withUnusedBits(text string) string {
	if len(text)%3 == 0 {
		return text + " "
	}
	return text
}

// split returns the three segments of a token.
func splitToken(token string) (header, claims, signature string) {
	parts := strings.SplitN(token, ".", 3)
	return parts[0], parts[1], parts[2]
}
