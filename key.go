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
	"crypto/sha512" // also registers the hashes for crypto.Hash
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"runtime"
	"strings"
	"sync"

	"github.com/golang-jwt/jwt/v5"

	"github.com/jwtgate/jwtgate/internal/edwards25519"
	"github.com/jwtgate/jwtgate/internal/jws"
	"github.com/jwtgate/jwtgate/internal/keyform"
	"github.com/jwtgate/jwtgate/internal/logtext"
	"github.com/jwtgate/jwtgate/internal/typednil"
)

// A KeySource returns the keys that tokens are verified with. Package keys has the
// common ones.
//
// A KeySource must be safe for concurrent use. It should answer from memory, because
// a gate calls it for each token, remembered tokens included. A KeySource that can
// detect mistakes in its own configuration should also implement [IssuerChecker] and
// [AlgorithmChecker]. A KeySource that has to know the algorithm of a token should also
// implement [AlgorithmSource]. A KeySource whose keys may have changed since it last looked
// should also implement [Rechecker].
type KeySource interface {
	// Keys returns the keys of issuer that may have signed a token with the given
	// kid, which is "" if the token has none.
	//
	// issuer is a trusted issuer, or "" under [Options.AnyIssuer]. It is never an
	// unverified string. kid comes from the unverified token and has at most 256
	// bytes. Compare it with key IDs and use it for nothing else: it must not
	// become part of a path, a URL or a query.
	//
	// Keys may also return keys of issuer with another ID or another algorithm. It
	// must not return keys of another issuer. The gate tries, in their order, at most
	// four keys that
	//
	//   - are for the algorithm of the token, and
	//   - have the ID kid or no ID; if kid is "", they may have any ID.
	//
	// Neither the gate nor the source may change the slice afterwards.
	//
	// No keys and a nil error mean that the issuer has no such key: the token is
	// refused with 401. An error means that the source cannot find out now: the answer
	// is 503, unless the error wraps an [*Error] or a sentinel of this package. If ctx
	// ends while Keys waits, Keys must return an error, never an empty result.
	Keys(ctx context.Context, issuer, kid string) ([]*Key, error)
}

// KeySourceFunc is a function that is a [KeySource].
type KeySourceFunc func(ctx context.Context, issuer, kid string) ([]*Key, error)

// Keys returns f(ctx, issuer, kid).
func (f KeySourceFunc) Keys(ctx context.Context, issuer, kid string) ([]*Key, error) {
	return f(ctx, issuer, kid)
}

// An IssuerChecker is a [KeySource] that reports mistakes in its own configuration to
// [New], such as a key that its constructor could not use, or an issuer that it has no
// keys for.
type IssuerChecker interface {
	// CheckIssuers returns the reasons why the source cannot serve issuers, or
	// nil. New calls it once and reports its error. issuers are those that Keys
	// will be called with: Options.Issuers, or a single "" under AnyIssuer. issuers
	// is nil under Options.TrustIssuer, where the issuers are not known yet.
	CheckIssuers(issuers []string) error
}

// An AlgorithmChecker is a [KeySource] that knows the algorithms of its keys when [New]
// is called, because it has them in memory. It reports algorithms that cannot be meant:
// a gate refuses all tokens of an algorithm that no key is for.
type AlgorithmChecker interface {
	// CheckAlgorithms returns why a gate that accepts only algorithms would refuse
	// tokens that it is meant to accept, or nil. New calls it once if
	// Options.Algorithms is set and CheckIssuers has returned nil, and reports its
	// error.
	//
	// A source whose keys never change returns an error if any of algorithms is not
	// the [Key.Algorithm] of one of its keys. A source whose keys may change returns
	// an error only if none of algorithms is. algorithms has no duplicates, and
	// names Ed25519 as EdDSA, as Key.Algorithm does.
	CheckAlgorithms(algorithms []string) error
}

// An AlgorithmSource is a [KeySource] that uses the algorithm of a token to decide where
// to look for its key, such as a source that asks several sources.
type AlgorithmSource interface {
	KeySource
	// KeysFor is like Keys for a token that is signed with algorithm. It may leave
	// out keys for other algorithms. A gate calls KeysFor instead of Keys.
	//
	// algorithm is one that the gate accepts, spelled as by [Key.Algorithm]: for the
	// name Ed25519 it is EdDSA. It comes from the unverified token, as kid does.
	//
	// KeysFor may return keys together with an error, if it knows some keys and cannot
	// find out about others. The gate then tries the keys. It answers with the error,
	// as it does with an error of Keys, only if no key verifies the token.
	KeysFor(ctx context.Context, issuer, kid, algorithm string) ([]*Key, error)
}

// A Rechecker is a [KeySource] that can look again where its keys come from. It finds a
// key that an issuer has replaced under the same key ID, or in a set without key IDs.
type Rechecker interface {
	KeySource
	// Recheck returns keys that are not among tried and that may have signed a token
	// with kid and algorithm, or no keys. A gate calls Recheck at most once for a
	// token, after Keys or KeysFor has returned no error, if
	//
	//   - none of their keys verifies the signature, or
	//   - they have no key that fits, and a key with the ID kid is for another algorithm.
	//
	// The gate tries at most four of the keys, by the rules of KeySource. It skips those
	// that equal a key of tried. If none verifies the token, the gate refuses it with
	// 401. Recheck returns no error, because the token is probably forged: anybody could
	// otherwise cause answers with 503, for which a load balancer ejects an instance.
	//
	// issuer, kid and algorithm are as in Keys and KeysFor. tried has the keys that the
	// gate has tried, and is empty if none fits. Recheck must not change tried or keep it,
	// and neither Recheck nor the gate may change the result afterwards.
	//
	// Anybody can make the gate call Recheck, with any kid. So the source must limit how
	// often it looks, and how many calls wait at a time. Only the request with the token
	// waits for Recheck. If ctx ends, Recheck must return no keys at once.
	Recheck(ctx context.Context, issuer, kid, algorithm string, tried []*Key) []*Key
}

// A Key verifies signatures of exactly one algorithm, so that a token cannot choose the
// algorithm (RFC 8725 section 3.1). Make a Key with [NewKey]; the zero Key verifies
// nothing. A Key is immutable and safe for concurrent use.
type Key struct {
	id        string
	algorithm *algorithm
	verify    verifyFunc
	// digest returns the SHA-256 of ID, algorithm and material. It is a function so
	// that package fmt cannot print the hash: fmt does not call Format for a Key in
	// an unexported field, and prints only the address of a function.
	digest func() [sha256.Size]byte
	// secretHint is why signatures of the key may fail although the issuer has the
	// right secret: the form of the secret is unusual. It is "" if nothing is unusual,
	// and for a key that is not a secret. It contains no part of the secret.
	secretHint string
}

// A verifyFunc reports whether signature is a valid signature of input. text is the
// same as input: golang-jwt takes a string, and package crypto takes bytes.
type verifyFunc func(text string, input, signature []byte) bool

// NewKey returns a key that verifies signatures of the named algorithm.
//
// id is the key ID that tokens name in kid. It is compared exactly, letter case
// included. A key with the ID "" is tried whatever kid is.
//
// The algorithms and their material are (RFC 7518 section 3.1, RFC 9864):
//
//   - HS256, HS384, HS512: a []byte secret;
//   - RS256, RS384, RS512, PS256, PS384, PS512: an *rsa.PublicKey;
//   - ES256, ES384, ES512: an *ecdsa.PublicKey;
//   - EdDSA, or its newer name Ed25519: an ed25519.PublicKey;
//   - ML-DSA-44, ML-DSA-65, ML-DSA-87: an *mldsa.PublicKey with these parameters, in a
//     program that was built with Go 1.27 or later (RFC 9964).
//
// NewKey copies the material. It returns an error for an unsupported algorithm, an ID
// of more than 256 bytes, a nil key, a private key, material of the wrong kind, and
// weak material:
//
//   - a secret that is shorter than the hash (RFC 7518 section 3.2);
//   - a secret that looks like a public key, a certificate, a PEM text or a JWK:
//     anybody may know a public key;
//   - an RSA key under 2048 or over 8192 bits, or with an exponent that is even,
//     less than 3 or greater than 2^31-1;
//   - an RSA key over 4096 bits with an exponent other than 65537 and the odd numbers
//     from 3 to 257: each forged token would cost too much time;
//   - an ECDSA key on a curve that is not the algorithm's, or a point that is not
//     on the curve;
//   - an Ed25519 key that is not a point on the curve, or of small order.
func NewKey(id, algorithm string, material any) (*Key, error) {
	k, err := newKey(id, algorithm, material)
	switch {
	case err == nil:
		return k, nil
	case id == "":
		return nil, fmt.Errorf("jwtgate: key for %s: %w", logtext.Quote(algorithm), err)
	default:
		return nil, fmt.Errorf("jwtgate: key %s for %s: %w", logtext.Quote(id), logtext.Quote(algorithm), err)
	}
}

func newKey(id, name string, material any) (*Key, error) {
	if len(id) > jws.MaxKeyID {
		return nil, fmt.Errorf("the key ID is longer than %d bytes, and no token may name it", jws.MaxKeyID)
	}
	alg := algorithms[name]
	if alg == nil {
		return nil, errors.New(unsupported(name))
	}
	verify, encoded, err := alg.newVerify(alg, material)
	if err != nil {
		return nil, err
	}
	// The lengths keep different IDs and materials from encoding to the same bytes.
	d := sha256.New()
	fmt.Fprintf(d, "%d %s %s %d ", len(id), id, alg.name, len(encoded))
	d.Write(encoded)
	digest := [sha256.Size]byte(d.Sum(nil))
	k := &Key{id: id, algorithm: alg, verify: verify, digest: func() [sha256.Size]byte { return digest }}
	if secret, ok := material.([]byte); ok {
		k.secretHint = keyform.SecretHint(secret)
	}
	return k, nil
}

// ID returns the key ID, or "" if the key has none.
func (k *Key) ID() string { return k.id }

// Algorithm returns the only algorithm that the key verifies, or "" for the zero
// Key. It returns EdDSA for a key that was made with the name Ed25519.
func (k *Key) Algorithm() string {
	if k.algorithm == nil {
		return ""
	}
	return k.algorithm.name
}

// String returns the key's ID and algorithm. It never returns the material.
func (k Key) String() string {
	return fmt.Sprintf("key %s for %s", logtext.Quote(k.id), k.Algorithm())
}

// Format prints the result of String for every verb, so that no verb prints the
// material.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// Equal reports whether k and other have the same ID, algorithm and material. Use it
// instead of ==, because a source may make its keys anew each time. A nil Key equals only a
// nil Key, and the zero Key only a zero Key.
func (k *Key) Equal(other *Key) bool {
	switch {
	case k == nil || other == nil:
		return k == other
	case k.digest == nil || other.digest == nil:
		return k.digest == nil && other.digest == nil
	}
	return k.digest() == other.digest()
}

// fits reports whether the key may have signed a token with this algorithm and kid.
func (k *Key) fits(alg *algorithm, kid string) bool {
	return k != nil && k.algorithm == alg && (k.id == "" || kid == "" || k.id == kid)
}

// An algorithm is a signature algorithm that the gate supports. Each has one value,
// so algorithms are compared by address.
type algorithm struct {
	name string
	// newVerify checks material. It returns the function that verifies with it,
	// and an encoding that differs for each material.
	newVerify func(alg *algorithm, material any) (verify verifyFunc, encoded []byte, err error)
	hash      crypto.Hash       // of HS and RS algorithms
	curve     elliptic.Curve    // of ES algorithms
	size      int               // of the signatures of ML-DSA algorithms
	method    jwt.SigningMethod // nil for HS, RS and ML-DSA algorithms, which do not use golang-jwt
}

// algorithms has each algorithm under the values of alg that name it. The signing
// methods are golang-jwt's package variables. They are not looked up with
// jwt.GetSigningMethod, because any package of the program can register others.
var algorithms = func() map[string]*algorithm {
	all := map[string]*algorithm{}
	for _, a := range append(mldsaAlgorithms(), []*algorithm{
		{name: "HS256", newVerify: newHMACVerify, hash: crypto.SHA256},
		{name: "HS384", newVerify: newHMACVerify, hash: crypto.SHA384},
		{name: "HS512", newVerify: newHMACVerify, hash: crypto.SHA512},
		{name: "RS256", newVerify: newRSAVerify, hash: crypto.SHA256},
		{name: "RS384", newVerify: newRSAVerify, hash: crypto.SHA384},
		{name: "RS512", newVerify: newRSAVerify, hash: crypto.SHA512},
		{name: "PS256", newVerify: newRSAVerify, method: exactSalt(jwt.SigningMethodPS256)},
		{name: "PS384", newVerify: newRSAVerify, method: exactSalt(jwt.SigningMethodPS384)},
		{name: "PS512", newVerify: newRSAVerify, method: exactSalt(jwt.SigningMethodPS512)},
		{name: "ES256", newVerify: newECDSAVerify, method: jwt.SigningMethodES256, curve: elliptic.P256()},
		{name: "ES384", newVerify: newECDSAVerify, method: jwt.SigningMethodES384, curve: elliptic.P384()},
		{name: "ES512", newVerify: newECDSAVerify, method: jwt.SigningMethodES512, curve: elliptic.P521()},
		{name: "EdDSA", newVerify: newEd25519Verify, method: jwt.SigningMethodEdDSA},
	}...) {
		all[a.name] = a
	}
	// RFC 9864 gives EdDSA with an Ed25519 key the name Ed25519. EdDSA can also mean
	// Ed448, which is not supported.
	all["Ed25519"] = all["EdDSA"]
	return all
}()

// isHMAC reports whether a is HS256, HS384 or HS512.
func (a *algorithm) isHMAC() bool { return strings.HasPrefix(a.name, "HS") }

// signatureBytes returns the length of each signature of a, or 0 if the length depends
// on the key.
func (a *algorithm) signatureBytes() int {
	switch {
	case a.isHMAC():
		return a.hash.Size()
	case a.curve != nil:
		return 2 * ((a.curve.Params().BitSize + 7) / 8) // RFC 7518 section 3.4
	case a == algorithms["EdDSA"]:
		return ed25519.SignatureSize
	}
	return a.size
}

// algorithmNames lists the supported algorithms, for an error.
var algorithmNames = func() string {
	names := "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519"
	for _, a := range mldsaAlgorithms() {
		names += ", " + a.name
	}
	return names
}()

// unsupported says why a key cannot be for the algorithm with this name.
func unsupported(name string) string {
	if isMLDSA(name) {
		return fmt.Sprintf("%s needs Go 1.27 or later; this program was built with %s", name, runtime.Version())
	}
	return "the algorithm is not supported; use one of " + algorithmNames
}

// isMLDSA reports whether name is an algorithm of RFC 9964.
func isMLDSA(name string) bool {
	return name == "ML-DSA-44" || name == "ML-DSA-65" || name == "ML-DSA-87"
}

// exactSalt returns a copy of method that accepts only a salt as long as the hash
// (RFC 7518 section 3.5). golang-jwt accepts any length.
func exactSalt(method *jwt.SigningMethodRSAPSS) jwt.SigningMethod {
	strict := *method
	strict.VerifyOptions = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	return &strict
}

// verifyByMethod returns a verifyFunc that calls golang-jwt's signing method.
func verifyByMethod(method jwt.SigningMethod, key any) verifyFunc {
	return func(text string, _, signature []byte) bool {
		return method.Verify(text, signature, key) == nil
	}
}

// verifyPKCS1v15 returns a verifyFunc for RS256, RS384 and RS512. It does not use
// golang-jwt, which copies the whole token for each signature. RSA signatures are
// verified so fast that the copy is measurable.
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

func newHMACVerify(alg *algorithm, material any) (verifyFunc, []byte, error) {
	secret, ok := material.([]byte)
	if !ok {
		return nil, nil, wrongKind(alg, "a []byte secret", material)
	}
	if err := checkSecret(alg, secret); err != nil {
		return nil, nil, err
	}
	secret = bytes.Clone(secret)

	// A new HMAC hashes the key twice, which takes as long as hashing a short token.
	// Reset does not hash the key again: it restores the state after those hashes.
	pool := &sync.Pool{New: func() any {
		return &pooledHash{Hash: hmac.New(alg.hash.New, secret)}
	}}
	verify := func(_ string, input, signature []byte) bool {
		h := pool.Get().(*pooledHash)
		h.Reset()
		h.Write(input)
		equal := hmac.Equal(signature, h.Sum(h.sum[:0]))
		pool.Put(h)
		return equal
	}
	return verify, secret, nil
}

// A pooledHash is an HMAC with memory for its result.
type pooledHash struct {
	hash.Hash
	sum [64]byte
}

func checkSecret(alg *algorithm, secret []byte) error {
	const makeOne = "make one with: openssl rand -hex"
	size := alg.hash.Size()
	switch {
	case len(secret) == 0:
		return fmt.Errorf("the secret is empty; was a setting not loaded? %s needs at least %d bytes; %s %d", alg.name, size, makeOne, size)
	case len(bytes.TrimSpace(secret)) == 0:
		return errors.New("the secret is nothing but white space; was a setting not loaded?")
	case keyform.IsPublic(secret):
		return fmt.Errorf("the secret looks like a public key or certificate, which anybody may know; "+
			"%s needs a secret, and tokens signed with a private key need RS256, ES256 or EdDSA", alg.name)
	case len(secret) >= size:
		return nil
	}
	advice := fmt.Sprintf("%s %d", makeOne, size)
	switch form := keyform.Of(secret); form {
	case keyform.FileName, keyform.Address:
		advice = fmt.Sprintf("it looks like %s: pass the secret that is there", form)
	}
	return fmt.Errorf("the secret has %d bytes and %s needs at least %d (RFC 7518 section 3.2); %s", len(secret), alg.name, size, advice)
}

func newRSAVerify(alg *algorithm, material any) (verifyFunc, []byte, error) {
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
	if isSlowRSA(key) {
		return nil, nil, fmt.Errorf("the RSA key has %d bits and the exponent %d, so verifying with it is slow; "+
			"over 4096 bits use the exponent 65537", key.N.BitLen(), key.E)
	}
	key = &rsa.PublicKey{N: new(big.Int).Set(key.N), E: key.E}
	encoded := x509.MarshalPKCS1PublicKey(key)
	if alg.method != nil { // PS256, PS384, PS512
		return verifyByMethod(alg.method, key), encoded, nil
	}
	return verifyPKCS1v15(alg.hash, key), encoded, nil
}

// isSlowRSA reports whether verifying takes much longer than with any usual key. An
// attacker chooses how many forged tokens a gate verifies, with up to four keys each.
//
// A verification costs about one multiplication of the size of the key for each bit of
// the exponent, and another one for each bit that is set. With 65537 that is 17
// multiplications, and with an exponent up to 257 at most 14. So the slowest accepted
// keys have 8192 bits and take less than four times as long as a key of 4096 bits with
// the exponent 65537.
func isSlowRSA(key *rsa.PublicKey) bool {
	return key.N.BitLen() > 4096 && key.E > 257 && key.E != 65537
}

func newECDSAVerify(alg *algorithm, material any) (verifyFunc, []byte, error) {
	key, ok := material.(*ecdsa.PublicKey)
	if !ok {
		return nil, nil, wrongKind(alg, "an *ecdsa.PublicKey", material)
	}
	if key == nil || typednil.Is(key.Curve) || key.X == nil || key.Y == nil {
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
	return verifyByMethod(alg.method, key), point, nil
}

func newEd25519Verify(alg *algorithm, material any) (verifyFunc, []byte, error) {
	key, ok := material.(ed25519.PublicKey)
	if !ok {
		return nil, nil, wrongKind(alg, "an ed25519.PublicKey", material)
	}
	if len(key) != ed25519.PublicKeySize {
		return nil, nil, fmt.Errorf("the Ed25519 key has %d bytes instead of %d", len(key), ed25519.PublicKeySize)
	}
	if !edwards25519.IsPoint(key) {
		return nil, nil, errors.New("the Ed25519 key is not a point on its curve")
	}
	if edwards25519.HasSmallOrder(key) {
		return nil, nil, errors.New("the Ed25519 key is a point of small order, for which signatures can be made without a private key")
	}
	key = bytes.Clone(key)
	return verifyByMethod(alg.method, key), key, nil
}

// wrongKind returns the error for material of a wrong type.
func wrongKind(alg *algorithm, want string, material any) error {
	switch material.(type) {
	case nil:
		return errors.New("the key is nil")
	case crypto.Signer:
		return fmt.Errorf("a %T was given; verifying takes the public key: pass its Public()", material)
	case []byte:
		return fmt.Errorf("a %T was given and %s needs %s; parse a PEM with keys.PEM", material, alg.name, want)
	case string:
		return fmt.Errorf("a string was given and %s needs %s; convert a secret with []byte(s), and parse a PEM with keys.PEM", alg.name, want)
	}
	return fmt.Errorf("a %T was given and %s needs %s", material, alg.name, want)
}
