package jwtgate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512" // and for the algorithms that use it by crypto.Hash
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"slices"
	"strings"
	"sync"

	"github.com/golang-jwt/jwt/v5"

	"github.com/jwtgate/jwtgate/internal/jws"
)

// A KeySource has the keys that tokens are verified with. Package keys has the
// usual ones.
//
// A KeySource must be safe for concurrent use. It should answer from memory:
// it is asked once for every token.
type KeySource interface {
	// Keys returns the keys of issuer that may have signed a token naming kid
	// ("" if it named none).
	//
	// issuer is a trusted one, or empty under [Options.AnyIssuer]; it is never
	// an unverified string. kid comes from the token and is not verified: at
	// most 256 bytes, to be compared and for nothing else. It must not become
	// part of a path, a URL or a query.
	//
	// More keys than asked for may be returned. The gate uses those whose
	// algorithm is the token's and whose ID is empty or kid, or any ID if the
	// token names none; at most four of them, in their order. It does not change the slice,
	// and neither must the source once it has returned it.
	//
	// No key and no error means that there is none, and the token is refused
	// with 401. An error means that this cannot be told now; the answer is 503
	// and the client is not blamed. A ctx that has ended is a reason for an error
	// where the source would have to wait, and never for "there is none".
	//
	// A source may also have a method CheckIssuers([]string) error. [New] calls
	// it once and reports what it returns, such as material that the source's
	// constructor was given and cannot use. It is passed the issuers that Keys
	// will be called with: the listed ones, a single empty string under
	// AnyIssuer, or nil under [Options.TrustIssuer], where they are not known.
	Keys(ctx context.Context, issuer, kid string) ([]*Key, error)
}

// KeySourceFunc makes a function a [KeySource].
type KeySourceFunc func(ctx context.Context, issuer, kid string) ([]*Key, error)

// Keys calls f.
func (f KeySourceFunc) Keys(ctx context.Context, issuer, kid string) ([]*Key, error) {
	return f(ctx, issuer, kid)
}

// A Key verifies signatures of exactly one algorithm, so that no token can
// choose another one for it (RFC 8725 section 3.1). It is immutable, safe for
// concurrent use, and made by [NewKey]; the zero Key verifies nothing.
type Key struct {
	id        string
	algorithm *algorithm
	verify    verifyFunc
	// digest returns one of ID, algorithm and material. Inside a function,
	// package fmt does not reach it, even if a Key is a field of a struct.
	digest func() [sha256.Size]byte
}

// verifyFunc tells whether signature is that of input, which comes both as a
// string and as bytes because the two libraries beneath want one each.
type verifyFunc func(text string, input, signature []byte) bool

// NewKey returns a key that verifies signatures of the named algorithm.
//
// id is the key ID that tokens name in kid, or empty for a key to be tried
// whatever they name. It is compared exactly, letter case included.
//
// algorithm is one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384,
// PS512, ES256, ES384, ES512 and EdDSA or its newer name Ed25519 (RFC 7518
// section 3.1, RFC 9864).
//
// material is the []byte secret for HS algorithms, and otherwise an
// *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey. It is copied.
//
// An error is returned for material that is weak or of the wrong kind: a
// secret shorter than the hash (RFC 7518 section 3.2) or one that looks like a
// public key, RSA under 2048 or over 8192 bits or with an unusual exponent, a
// curve that is not the algorithm's, a point that is not on it, an Ed25519
// point of small order, a private key, nil.
func NewKey(id, algorithm string, material any) (*Key, error) {
	k, err := newKey(id, algorithm, material)
	switch {
	case err == nil:
		return k, nil
	case id == "":
		return nil, fmt.Errorf("jwtgate: key for %s: %w", quote(algorithm), err)
	default:
		return nil, fmt.Errorf("jwtgate: key %s for %s: %w", quote(id), quote(algorithm), err)
	}
}

func newKey(id, name string, material any) (*Key, error) {
	if len(id) > jws.MaxKeyID {
		return nil, fmt.Errorf("the key ID is longer than %d bytes, and no token may name it", jws.MaxKeyID)
	}
	alg := algorithms[name]
	if alg == nil {
		return nil, fmt.Errorf("the algorithm is not supported; use one of %s", algorithmNames)
	}
	verify, encoded, err := alg.use(alg, material)
	if err != nil {
		return nil, err
	}
	// The lengths keep apart what would otherwise be the same bytes.
	d := sha256.New()
	fmt.Fprintf(d, "%d %s %s %d ", len(id), id, alg.name, len(encoded))
	d.Write(encoded)
	digest := [sha256.Size]byte(d.Sum(nil))
	return &Key{id: id, algorithm: alg, verify: verify, digest: func() [sha256.Size]byte { return digest }}, nil
}

// ID returns the key ID, "" if the key has none.
func (k *Key) ID() string { return k.id }

// Algorithm returns the only algorithm the key verifies, EdDSA standing for
// Ed25519 too. It is "" for the zero Key.
func (k *Key) Algorithm() string {
	if k.algorithm == nil {
		return ""
	}
	return k.algorithm.name
}

// String returns the key's ID and algorithm. A Key never prints its material.
func (k Key) String() string {
	return fmt.Sprintf("key %s for %s", quote(k.id), k.Algorithm())
}

// Format prints what String returns, whatever the verb, so that no verb
// reaches the key itself.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// equal compares by value, so that a source may make its keys anew each time.
func (k *Key) equal(other *Key) bool { return k.digest() == other.digest() }

// fits tells whether the key may have signed a token with this header.
func (k *Key) fits(alg *algorithm, kid string) bool {
	return k != nil && k.algorithm == alg && (k.id == "" || kid == "" || k.id == kid)
}

// An algorithm is one of those that tokens may be signed with. There is one
// value for each, compared by address.
type algorithm struct {
	name string
	// use checks material and returns what verifies with it, and the encoding
	// that tells the material from any other.
	use    func(alg *algorithm, material any) (verify verifyFunc, encoded []byte, err error)
	hash   crypto.Hash
	curve  elliptic.Curve
	method jwt.SigningMethod
}

// algorithms has each algorithm under the names that alg may have for it. The
// signing methods are golang-jwt's package variables: its registry can be
// overwritten by any package of the program.
var algorithms = func() map[string]*algorithm {
	all := map[string]*algorithm{}
	for _, a := range []*algorithm{
		{name: "HS256", use: useSecret, hash: crypto.SHA256},
		{name: "HS384", use: useSecret, hash: crypto.SHA384},
		{name: "HS512", use: useSecret, hash: crypto.SHA512},
		{name: "RS256", use: useRSA, hash: crypto.SHA256},
		{name: "RS384", use: useRSA, hash: crypto.SHA384},
		{name: "RS512", use: useRSA, hash: crypto.SHA512},
		{name: "PS256", use: useRSA, method: exactSalt(jwt.SigningMethodPS256)},
		{name: "PS384", use: useRSA, method: exactSalt(jwt.SigningMethodPS384)},
		{name: "PS512", use: useRSA, method: exactSalt(jwt.SigningMethodPS512)},
		{name: "ES256", use: useECDSA, method: jwt.SigningMethodES256, curve: elliptic.P256()},
		{name: "ES384", use: useECDSA, method: jwt.SigningMethodES384, curve: elliptic.P384()},
		{name: "ES512", use: useECDSA, method: jwt.SigningMethodES512, curve: elliptic.P521()},
		{name: "EdDSA", use: useEd25519, method: jwt.SigningMethodEdDSA},
	} {
		all[a.name] = a
	}
	// RFC 9864 gives the algorithm behind EdDSA a name of its own. Ed448, the
	// other one that EdDSA may mean, is not supported.
	all["Ed25519"] = all["EdDSA"]
	return all
}()

const algorithmNames = "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519"

// exactSalt returns method, but verifying only signatures whose salt is as
// long as the hash (RFC 7518 section 3.5). golang-jwt takes any length.
func exactSalt(method *jwt.SigningMethodRSAPSS) jwt.SigningMethod {
	strict := *method
	strict.VerifyOptions = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	return &strict
}

// verifyWith returns a verifyFunc of golang-jwt's signing method.
func verifyWith(method jwt.SigningMethod, key any) verifyFunc {
	return func(text string, _, signature []byte) bool {
		return method.Verify(text, signature, key) == nil
	}
}

// verifyPKCS1v15 does what golang-jwt does for RS256, RS384 and RS512, without
// the copy of the whole token that it makes each time: beside a check as short
// as this one that counts.
func verifyPKCS1v15(hash crypto.Hash, key *rsa.PublicKey) verifyFunc {
	digest := func(input []byte) []byte { d := sha512.Sum512(input); return d[:] }
	switch hash {
	case crypto.SHA256:
		digest = func(input []byte) []byte { d := sha256.Sum256(input); return d[:] }
	case crypto.SHA384:
		digest = func(input []byte) []byte { d := sha512.Sum384(input); return d[:] }
	}
	return func(_ string, input, signature []byte) bool {
		return rsa.VerifyPKCS1v15(key, hash, digest(input), signature) == nil
	}
}

func useSecret(alg *algorithm, material any) (verifyFunc, []byte, error) {
	secret, ok := material.([]byte)
	if !ok {
		return nil, nil, wrongKind(alg, "a []byte secret", material)
	}
	if err := checkSecret(alg, secret); err != nil {
		return nil, nil, err
	}
	secret = bytes.Clone(secret)

	// Keying HMAC costs as much as hashing a short token; Reset brings back
	// the keyed state.
	pool := &sync.Pool{New: func() any {
		return &hashWithRoom{Hash: hmac.New(alg.hash.New, secret)}
	}}
	verify := func(_ string, input, signature []byte) bool {
		h := pool.Get().(*hashWithRoom)
		h.Reset()
		h.Write(input)
		equal := hmac.Equal(signature, h.Sum(h.sum[:0]))
		pool.Put(h)
		return equal
	}
	return verify, secret, nil
}

// hashWithRoom is a hash, perhaps a keyed one, with room for its result.
type hashWithRoom struct {
	hash.Hash
	sum [64]byte
}

func checkSecret(alg *algorithm, secret []byte) error {
	switch {
	case looksPublic(secret):
		return fmt.Errorf("the secret looks like a public key or certificate, which anybody may know; "+
			"%s needs a secret, and tokens signed with a private key need RS256, ES256 or EdDSA", alg.name)
	case len(secret) < alg.hash.Size():
		return fmt.Errorf("the secret has %d bytes and %s needs at least %d (RFC 7518 section 3.2); "+
			"make one with: openssl rand -hex %d", len(secret), alg.name, alg.hash.Size(), alg.hash.Size())
	}
	return nil
}

// looksPublic tells whether a secret is a public key or certificate in one of
// the forms they are copied in. As a secret it is the oldest of forgeries:
// whoever reads the key can sign (RFC 8725 section 2.1).
func looksPublic(secret []byte) bool {
	if isPublic(secret) {
		return true
	}
	// Settings carry them encoded once more, and consoles show the inside of a
	// PEM without its armour.
	text := strings.Join(strings.Fields(string(secret)), "")
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if decoded, err := decode(text); err == nil && isPublic(decoded) {
			return true
		}
	}
	return false
}

func isPublic(b []byte) bool {
	text := strings.TrimSpace(strings.TrimPrefix(string(b), "\ufeff"))
	switch {
	case isPublicDER(b), strings.Contains(text, "-----BEGIN "):
		return true
	case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "["):
		return strings.Contains(text, `"kty"`)
	}
	first, _, more := strings.Cut(text, " ")
	for _, ssh := range []string{"ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"} {
		if more && strings.HasPrefix(first, ssh) {
			return true
		}
	}
	return false
}

func isPublicDER(der []byte) bool {
	_, pkix := x509.ParsePKIXPublicKey(der)
	_, pkcs1 := x509.ParsePKCS1PublicKey(der)
	_, certificate := x509.ParseCertificate(der)
	return pkix == nil || pkcs1 == nil || certificate == nil
}

func useRSA(alg *algorithm, material any) (verifyFunc, []byte, error) {
	key, ok := material.(*rsa.PublicKey)
	if !ok {
		return nil, nil, wrongKind(alg, "an *rsa.PublicKey", material)
	}
	if key == nil || key.N == nil {
		return nil, nil, errors.New("the RSA key is nil")
	}
	if key.N.Sign() <= 0 || key.N.Bit(0) == 0 {
		return nil, nil, errors.New("the RSA modulus is not a positive odd number")
	}
	if bits := key.N.BitLen(); bits < 2048 || bits > 8192 {
		return nil, nil, fmt.Errorf("the RSA key has %d bits; use one of 2048 to 8192 (RFC 7518 section 3.3)", bits)
	}
	if key.E < 3 || key.E > 1<<31-1 || key.E%2 == 0 {
		return nil, nil, fmt.Errorf("the RSA exponent %d is not an odd number from 3 to 2^31-1", key.E)
	}
	key = &rsa.PublicKey{N: new(big.Int).Set(key.N), E: key.E}
	verify := verifyPKCS1v15(alg.hash, key)
	if alg.method != nil {
		verify = verifyWith(alg.method, key)
	}
	return verify, x509.MarshalPKCS1PublicKey(key), nil
}

func useECDSA(alg *algorithm, material any) (verifyFunc, []byte, error) {
	key, ok := material.(*ecdsa.PublicKey)
	if !ok {
		return nil, nil, wrongKind(alg, "an *ecdsa.PublicKey", material)
	}
	if key == nil || isNil(key.Curve) || key.X == nil || key.Y == nil {
		return nil, nil, errors.New("the ECDSA key is nil")
	}
	// golang-jwt does not tie the curve to the algorithm (RFC 7518 section 3.4).
	if key.Curve != alg.curve {
		return nil, nil, fmt.Errorf("%s needs a key on curve %s, not %s", alg.name, alg.curve.Params().Name, key.Params().Name)
	}
	point, err := key.Bytes()
	if err == nil {
		key, err = ecdsa.ParseUncompressedPublicKey(alg.curve, point)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the ECDSA key is not a point on its curve: %w", err)
	}
	return verifyWith(alg.method, key), point, nil
}

func useEd25519(alg *algorithm, material any) (verifyFunc, []byte, error) {
	key, ok := material.(ed25519.PublicKey)
	if !ok {
		return nil, nil, wrongKind(alg, "an ed25519.PublicKey", material)
	}
	if len(key) != ed25519.PublicKeySize {
		return nil, nil, fmt.Errorf("the Ed25519 key has %d bytes instead of %d", len(key), ed25519.PublicKeySize)
	}
	if !onEdwards25519(key) {
		return nil, nil, errors.New("the Ed25519 key is not a point on its curve")
	}
	if smallOrder(key) {
		return nil, nil, errors.New("the Ed25519 key is a point of small order, for which signatures can be made without a private key")
	}
	key = bytes.Clone(key)
	return verifyWith(alg.method, key), key, nil
}

// onEdwards25519 tells whether key decodes (RFC 8032 section 5.1.3): y is
// reduced, and (y^2-1)/(dy^2+1) is a square.
func onEdwards25519(key ed25519.PublicKey) bool {
	bigEndian := bytes.Clone(key)
	slices.Reverse(bigEndian)
	bigEndian[0] &^= 0x80 // the sign of x
	one := big.NewInt(1)
	p := new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mul(d, big.NewInt(-121665)).Mod(d, p)

	y := new(big.Int).SetBytes(bigEndian)
	if y.Cmp(p) >= 0 {
		return false
	}
	square := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(square, one)
	v := new(big.Int).Mul(d, square)
	v.Add(v, one).ModInverse(v, p)
	return big.Jacobi(u.Mul(u, v).Mod(u, p), p) >= 0
}

// smallOrder tells whether key encodes one of the eight points whose order divides the cofactor (RFC 8032 section 5.1).
func smallOrder(key ed25519.PublicKey) bool {
	y := bytes.Clone(key)
	y[len(y)-1] &^= 0x80 // the sign of x does not matter here
	return smallOrderY[hex.EncodeToString(y)]
}

// smallOrderY has the y coordinates of those points, little-endian: 0, 1, the
// two of order eight, and p-1.
var smallOrderY = map[string]bool{
	strings.Repeat("00", 32):                                           true,
	"01" + strings.Repeat("00", 31):                                    true,
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05": true,
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a": true,
	"ec" + strings.Repeat("ff", 30) + "7f":                             true,
}

func wrongKind(alg *algorithm, want string, material any) error {
	switch material.(type) {
	case nil:
		return errors.New("the key is nil")
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		return fmt.Errorf("a %T was given; verifying takes the public key: pass its Public()", material)
	case string:
		return fmt.Errorf("a string was given and %s needs %s; convert a secret with []byte(s), and parse a PEM with keys.PEM", alg.name, want)
	}
	return fmt.Errorf("a %T was given and %s needs %s", material, alg.name, want)
}
