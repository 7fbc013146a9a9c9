package jwttest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A minter makes tokens for one target, signed with the target's key or with another.
type minter struct {
	target Target
	now    time.Time // by the service's clock
	header object    // of a good token
	claims object    // of a good token
}

// newMinter checks target and returns its minter.
func newMinter(target Target) (*minter, error) {
	if err := target.check(); err != nil {
		return nil, err
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

	if target.Prover != nil {
		// The nonces of another service, or of another Attack, are not for this one.
		m.target.Prover = target.Prover.withoutNonce()
		m.claims = m.claims.with("cnf", boundTo(target.Prover.publicJWK()))
	}

	var err error
	if m.header, err = withMembers(m.header, target.Header); err != nil {
		return nil, fmt.Errorf("Target.Header: %w", err)
	}
	if m.claims, err = withMembers(m.claims, target.Claims); err != nil {
		return nil, fmt.Errorf("Target.Claims: %w", err)
	}
	return m, nil
}

// boundTo returns the claim cnf for a token that is bound to a key (RFC 9449 section 6.1).
func boundTo(key object) string { return object{{"jkt", quote(thumbprint(key))}}.String() }

// withMembers returns a copy of o with the Header or the Claims of a Target. A nil
// value removes a member.
func withMembers(o object, changes map[string]any) (object, error) {
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

// fromNow returns the NumericDate of the time d after now.
func (m *minter) fromNow(d time.Duration) string { return numericDate(m.now.Add(d)) }

// numericDate returns t as a NumericDate (RFC 7519 section 2).
func numericDate(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// headerWith returns the header of a good token with one member replaced or added.
// An empty value removes the member.
func (m *minter) headerWith(name, value string) string { return m.header.changed(name, value).String() }

// claimsWith returns the claims of a good token, changed as by headerWith.
func (m *minter) claimsWith(name, value string) string { return m.claims.changed(name, value).String() }

// token returns a token with any header and claims, signed with the target's key.
func (m *minter) token(header, claims string) string {
	return m.signed(encode(header) + "." + encode(claims))
}

// signed returns input, which may be any text, with a dot and its signature with the
// target's key.
func (m *minter) signed(input string) string {
	return input + "." + encode(sign(m.target.Algorithm, m.target.Key, input))
}

// good returns a token that the service accepts.
func (m *minter) good() string { return m.token(m.header.String(), m.claims.String()) }

// freshToken returns a token that the service accepts, another one for each n. A service
// must ignore claims that it does not know (RFC 7519 section 4).
func (m *minter) freshToken(n int) string {
	return m.tokenWithClaims(m.claims.with("jwttest", strconv.Itoa(n)).String())
}

// tokenWithClaims returns a token with a good header and the given claims, signed
// with the target's key.
func (m *minter) tokenWithClaims(claims string) string { return m.token(m.header.String(), claims) }

// tokenWithHeader returns a token with the given header and good claims, signed
// with the target's key.
func (m *minter) tokenWithHeader(header string) string { return m.token(header, m.claims.String()) }

// forged returns a token with good claims, signed with another key. The header
// names the algorithm of that key.
func (m *minter) forged(header object, algorithm string, key any) string {
	input := encode(header.with("alg", quote(algorithm)).String()) + "." + encode(m.claims.String())
	return input + "." + encode(sign(algorithm, key, input))
}

// sign returns the signature of input.
func sign(algorithm string, key any, input string) []byte {
	return must(signingMethods[algorithm].Sign(input, key))
}

// signECDSA signs a digest of any hash with a key on any curve. golang-jwt signs only
// with the combinations of RFC 7518.
func signECDSA(key *ecdsa.PrivateKey, digest []byte) []byte {
	size := (key.Params().BitSize + 7) / 8
	r, s := must2(ecdsa.Sign(rand.Reader, key, digest))
	return slices.Concat(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size)))
}

// digestFor returns the digest of input that algorithm signs. algorithm is not EdDSA,
// which signs the input itself.
func digestFor(algorithm, input string) []byte {
	h := hashes[algorithm[2:]].New()
	h.Write([]byte(input))
	return h.Sum(nil)
}

// base64url is the alphabet of RFC 4648 section 5.
const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// flipBit changes one bit of a base64url segment: the highest bit of character i,
// which is never an unused bit. A negative i counts from the end.
func flipBit(segment string, i int) string {
	if i < 0 {
		i += len(segment)
	}
	b := []byte(segment)
	b[i] = base64url[strings.IndexByte(base64url, b[i])^32]
	return string(b)
}

// nonCanonical returns a segment that a lenient decoder decodes to the same bytes: an
// unused bit is set in its last character (RFC 4648 section 3.5). nonCanonical returns
// false if the last character has no unused bits.
func nonCanonical(segment string) (string, bool) {
	if len(segment)%4 < 2 {
		return "", false
	}
	last := len(segment) - 1
	return segment[:last] + string(base64url[strings.IndexByte(base64url, segment[last])|1]), true
}

// withUnusedBits returns JSON text whose base64url encoding has unused bits in its last
// character. It adds a space to text if needed.
func withUnusedBits(text string) string {
	if len(text)%3 == 0 {
		return text + " "
	}
	return text
}

// splitToken returns the three segments of a token.
func splitToken(token string) (header, claims, signature string) {
	parts := strings.SplitN(token, ".", 3)
	return parts[0], parts[1], parts[2]
}
