package jwttest

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// An object is a JSON object in the making. Names and values stand as they
// will be written, so that both may be wrong, and names may repeat.
type object []member

type member struct{ name, value string }

// with returns the object with a member replaced, or added at the end.
func (o object) with(name, value string) object {
	o = slices.Clone(o)
	for i := range o {
		if o[i].name == name {
			o[i].value = value
			return o
		}
	}
	return append(o, member{name, value})
}

func (o object) without(name string) object {
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool { return m.name == name })
}

// before and behind add a member whether or not there is one of its name.
func (o object) before(name, value string) object {
	return slices.Concat(object{{name, value}}, o)
}

func (o object) behind(name, value string) object {
	return slices.Concat(o, object{{name, value}})
}

// value returns the member's value as it is written, "" if there is none.
func (o object) value(name string) string {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return ""
}

func (o object) String() string {
	members := make([]string, len(o))
	for i, m := range o {
		members[i] = `"` + m.name + `":` + m.value
	}
	return "{" + strings.Join(members, ",") + "}"
}

// quote returns s as a JSON string, with no more escapes than it needs.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can always be written
	return strings.TrimSuffix(b.String(), "\n")
}

func encode[T ~string | ~[]byte](s T) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// signingMethods has golang-jwt's methods by their package variables, since any
// package of the program can overwrite its registry.
var signingMethods = map[string]jwt.SigningMethod{
	"HS256": jwt.SigningMethodHS256, "HS384": jwt.SigningMethodHS384, "HS512": jwt.SigningMethodHS512,
	"RS256": jwt.SigningMethodRS256, "RS384": jwt.SigningMethodRS384, "RS512": jwt.SigningMethodRS512,
	"PS256": jwt.SigningMethodPS256, "PS384": jwt.SigningMethodPS384, "PS512": jwt.SigningMethodPS512,
	"ES256": jwt.SigningMethodES256, "ES384": jwt.SigningMethodES384, "ES512": jwt.SigningMethodES512,
	"EdDSA": jwt.SigningMethodEdDSA, "Ed25519": jwt.SigningMethodEdDSA,
}

var (
	algorithmNames = slices.Sorted(maps.Keys(signingMethods))
	hashes         = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}
	curves         = map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}
)

// kind returns "HS", "RS", "PS", "ES" or "Ed".
func kind(algorithm string) string { return algorithm[:2] }

// sum returns the digest that an algorithm with a size in its name signs.
func sum(algorithm, input string) []byte {
	h := hashes[algorithm[2:]].New()
	h.Write([]byte(input))
	return h.Sum(nil)
}

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
	path := or(target.Path, "/")
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
		member{"exp", m.at(time.Hour)}, member{"iat", m.at(-time.Minute)},
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
func (m *minter) at(d time.Duration) string { return strconv.FormatInt(m.now.Add(d).Unix(), 10) }

// head returns the header of a good token with one member replaced; an empty
// value leaves it out.
func (m *minter) head(name, value string) string { return replaced(m.header, name, value) }

// body is the same for the claims.
func (m *minter) body(name, value string) string { return replaced(m.claims, name, value) }

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
func (m *minter) withClaims(claims string) string { return m.token(m.header.String(), claims) }
func (m *minter) withHeader(header string) string { return m.token(header, m.claims.String()) }

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

// must is for what cannot fail with keys that were checked or made here.
func must[T any](v T, err error) T {
	if err != nil {
		panic("jwttest.Attack: " + err.Error())
	}
	return v
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic("jwttest.Attack: " + err.Error())
	}
	return a, b
}

// The keys of the attacker, who can make as many as she likes. They are made
// once for all targets, since an RSA key takes its time.
var (
	attackersRSA     = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	attackersWeakRSA = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) })
	attackersEC      = map[string]func() *ecdsa.PrivateKey{
		"ES256": sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
		"ES384": sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) }),
		"ES512": sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) }),
	}
	attackersEd = sync.OnceValue(func() ed25519.PrivateKey {
		_, key := must2(ed25519.GenerateKey(rand.Reader))
		return key
	})
	attackersSecret = []byte(strings.Repeat("attacker", 8))
)

// attackersKey returns a key of the attacker that signs with algorithm.
func attackersKey(algorithm string) any {
	switch kind(algorithm) {
	case "HS":
		return attackersSecret
	case "ES":
		return attackersEC[algorithm]()
	case "Ed":
		return attackersEd()
	default:
		return attackersRSA()
	}
}

// public returns the public half of a private key, nil for a secret.
func public(key any) crypto.PublicKey {
	if signer, ok := key.(crypto.Signer); ok {
		return signer.Public()
	}
	return nil
}

// jwk returns a public key or a secret as a JWK (RFC 7517), with the members
// of its thumbprint (RFC 7638 section 3.2) in their order.
func jwk(key any) object {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return object{{"e", quote(encode(big.NewInt(int64(k.E)).Bytes()))}, {"kty", `"RSA"`}, {"n", quote(encode(k.N.Bytes()))}}
	case *ecdsa.PublicKey:
		x, y := coordinates(k)
		return object{{"crv", quote(k.Params().Name)}, {"kty", `"EC"`}, {"x", quote(encode(x))}, {"y", quote(encode(y))}}
	case ed25519.PublicKey:
		return object{{"crv", `"Ed25519"`}, {"kty", `"OKP"`}, {"x", quote(encode(k))}}
	case []byte:
		return object{{"k", quote(encode(k))}, {"kty", `"oct"`}}
	}
	panic(fmt.Sprintf("jwttest.Attack: no JWK of a %T", key))
}

func coordinates(k *ecdsa.PublicKey) (x, y []byte) {
	point := must(k.Bytes()) // 4, x, y
	size := (len(point) - 1) / 2
	return point[1 : 1+size], point[1+size:]
}

// certificate returns a certificate of key that vouches for itself.
func certificate(key crypto.Signer) []byte {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "attacker"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	return must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
}

// A publicForm is one of the ways to write a public key that a verifier might
// take for an HMAC secret.
type publicForm struct {
	name   string
	secret []byte
}

// publicForms returns key in all the ways it is handed out.
func publicForms(key crypto.PublicKey) []publicForm {
	der := must(x509.MarshalPKIXPublicKey(key))
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	k := jwk(key)
	thumbprint := sha256.Sum256([]byte(k.String()))
	forms := append(pemForms("pkix", text),
		publicForm{"pkix-der", der},
		publicForm{"pkix-der-in-base64", []byte(base64.StdEncoding.EncodeToString(der))},
		publicForm{"pkix-der-in-base64url", []byte(encode(der))},
		publicForm{"pkix-der-in-hex", fmt.Appendf(nil, "%x", der)},
		publicForm{"jwk", []byte(k.String())},
		publicForm{"jwk-with-use", []byte(k.with("use", `"sig"`).String())},
		publicForm{"jwk-set", []byte(`{"keys":[` + k.String() + `]}`)},
		publicForm{"jwk-in-base64url", []byte(encode(k.String()))},
		publicForm{"thumbprint-in-base64url", []byte(encode(thumbprint[:]))},
	)
	switch p := key.(type) {
	case *rsa.PublicKey:
		der := x509.MarshalPKCS1PublicKey(p)
		forms = append(forms, pemForms("pkcs1", pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: der}))...)
		forms = append(forms,
			publicForm{"pkcs1-der", der},
			publicForm{"pkcs1-der-in-base64", []byte(base64.StdEncoding.EncodeToString(der))},
			publicForm{"modulus", p.N.Bytes()},
			publicForm{"modulus-in-base64url", []byte(encode(p.N.Bytes()))},
			publicForm{"modulus-in-hex", fmt.Appendf(nil, "%x", p.N)},
			publicForm{"modulus-in-decimal", []byte(p.N.String())},
		)
	case *ecdsa.PublicKey:
		point := must(p.Bytes())
		x, y := coordinates(p)
		forms = append(forms,
			publicForm{"point", point},
			publicForm{"point-in-base64url", []byte(encode(point))},
			publicForm{"point-in-hex", fmt.Appendf(nil, "%x", point)},
			publicForm{"point-compressed", append([]byte{2 + y[len(y)-1]&1}, x...)},
			publicForm{"x", x},
			publicForm{"x-in-base64url", []byte(encode(x))},
			publicForm{"y", y},
		)
	case ed25519.PublicKey:
		forms = append(forms,
			publicForm{"point", p},
			publicForm{"point-in-base64url", []byte(encode(p))},
			publicForm{"point-in-base64", []byte(base64.StdEncoding.EncodeToString(p))},
			publicForm{"point-in-hex", fmt.Appendf(nil, "%x", []byte(p))},
		)
	}
	return forms
}

// pemForms returns a PEM with the line ends that editors, settings and
// environment variables give it.
func pemForms(name string, text []byte) []publicForm {
	bare := bytes.TrimRight(text, "\n")
	crlf := bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	lines := bytes.Split(bare, []byte("\n"))
	return []publicForm{
		{name + "-pem", text},
		{name + "-pem-without-last-newline", bare},
		{name + "-pem-with-crlf", crlf},
		{name + "-pem-with-crlf-without-last", bytes.TrimRight(crlf, "\r\n")},
		{name + "-pem-with-two-newlines", append(bytes.Clone(text), '\n')},
		{name + "-pem-on-one-line", bytes.ReplaceAll(bare, []byte("\n"), nil)},
		{name + "-pem-with-escaped-newlines", bytes.ReplaceAll(text, []byte("\n"), []byte(`\n`))},
		{name + "-pem-without-armour", bytes.Join(lines[1:len(lines)-1], []byte("\n"))},
	}
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// flip changes a character of a base64url segment; i counts from the end if it
// is negative. The change is in the bit that no last character leaves unused.
func flip(segment string, i int) string {
	if i < 0 {
		i += len(segment)
	}
	b := []byte(segment)
	b[i] = base64url[strings.IndexByte(base64url, b[i])^32]
	return string(b)
}

// respell returns another spelling of a segment, with a bit set that decodes to
// nothing, or false if its last character has none.
func respell(segment string) (string, bool) {
	if len(segment)%4 < 2 {
		return "", false
	}
	last := len(segment) - 1
	return segment[:last] + string(base64url[strings.IndexByte(base64url, segment[last])|1]), true
}

// ragged adds a space behind a JSON text if its encoding would leave no bits
// unused.
func ragged(text string) string {
	if len(text)%3 == 0 {
		return text + " "
	}
	return text
}

// split returns the three segments of a token.
func split(token string) (header, claims, signature string) {
	parts := strings.SplitN(token, ".", 3)
	return parts[0], parts[1], parts[2]
}

// or returns the first argument that is not the zero value.
func or[T comparable](values ...T) T { return cmp.Or(values...) }
