package jwttest

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A Target tells [Attack] how to make requests and tokens that the service under
// attack accepts.
type Target struct {
	_ struct{} // keyed literals only: fields will be added

	// Key signs the tokens with Algorithm. Algorithm is one of those of
	// [github.com/jwtgate/jwtgate.NewKey]. Key is a []byte secret, an
	// *rsa.PrivateKey, an *ecdsa.PrivateKey or an ed25519.PrivateKey. Make a key
	// for the test only: reports show tokens that are signed with it.
	Key       any
	Algorithm string
	// KeyID is the ID under which the service knows the key. It is the kid of good
	// tokens. If the service's key has no ID and the service ignores kid, leave KeyID
	// empty: good tokens then have no kid.
	KeyID string
	// Issuer and Audience are the iss and aud that the service expects. If Issuer is
	// empty, good tokens have no iss and Attack skips the family issuer. If Audience
	// is empty, good tokens have no aud and Attack skips the family audience.
	Issuer, Audience string

	// Header and Claims change the header and the claims of good tokens: set here
	// the typ, scope and other claims that the service requires. A nil value removes
	// a member. By default typ is "JWT", sub, jti and client_id are "jwttest", exp is
	// in an hour, and iat is a minute ago.
	Header, Claims map[string]any

	// Method and Path make a request that the service answers with a status below
	// 400 if the token is good. The defaults are GET and "/".
	Method, Path string

	// Strict adds the cases that no RFC decides. They test that the service does what
	// jwtgate does, for example that it refuses duplicate members. Set Strict for a service
	// behind a [github.com/jwtgate/jwtgate.Gate]. Without Strict, Attack runs only
	// the cases that an RFC decides with MUST or SHOULD.
	Strict bool
	// Skip leaves out cases, or whole families of cases. Use the names in the
	// reports, for example "times/exp-missing" or "carriage". A name that does not
	// exist fails the test. The case valid/plain always runs.
	Skip []string

	// Now is the service's clock. nil means [time.Now].
	Now func() time.Time
}

// check returns an error if t cannot sign a token or make a request.
func (t Target) check() error {
	if err := checkKey(t.Algorithm, t.Key); err != nil {
		return err
	}
	path := cmp.Or(t.Path, "/")
	if path[0] != '/' {
		return fmt.Errorf("Target.Method and Path: the path %q does not begin with a slash", t.Path)
	}
	if _, err := http.NewRequest(t.Method, "http://"+host+path, nil); err != nil {
		return fmt.Errorf("Target.Method and Path: %q and %q do not make a request: %w", t.Method, t.Path, err)
	}
	return nil
}

// host is the Host of all requests, the same as that of [httptest.NewRequest].
const host = "example.com"

// checkKey returns an error if the algorithm is unknown or key cannot sign with it.
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
		return fmt.Errorf("Target.Key: this %T cannot sign with %s; use a []byte for HS, an *rsa.PrivateKey for RS and PS, "+
			"an *ecdsa.PrivateKey on the algorithm's curve for ES, or an ed25519.PrivateKey for EdDSA", key, algorithm)
	}
	return nil
}
