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

// A Target tells [Attack] how to make tokens that the service under attack
// accepts.
type Target struct {
	_ struct{} // keyed literals only: fields will be added

	// Key signs the tokens with Algorithm. Algorithm is one of those of
	// [github.com/jwtgate/jwtgate.NewKey]. Key is a []byte secret, an
	// *rsa.PrivateKey, an *ecdsa.PrivateKey or an ed25519.PrivateKey. Make a key
	// for the test only: reports show tokens that are signed with it.
	Key       any
	Algorithm string
	// KeyID is the ID of the key at the service, and the kid of the tokens. Leave
	// KeyID empty if the service's key has no ID and the service ignores kid: good
	// tokens then have no kid.
	KeyID string
	// Issuer and Audience are the iss and aud that the service expects. If one of
	// them is empty, tokens do not have the claim and Attack skips its family of
	// cases.
	Issuer, Audience string

	// Header and Claims change the header and the claims of a good token, for
	// example scope or typ. A nil value removes a member. By default a good token
	// has typ, sub, exp, iat, jti and client_id, and its sub is "jwttest".
	Header, Claims map[string]any

	// Method and Path make a request that the service answers with a status below
	// 400 if the token is good. The defaults are GET and "/".
	Method, Path string

	// Strict adds the cases where an RFC leaves the choice to the service and
	// jwtgate is strict, for example duplicate members. Without Strict, Attack
	// runs only the cases that an RFC decides with MUST or SHOULD.
	Strict bool
	// Skip leaves out cases, or whole families of cases. Use the names in the
	// reports, for example "times/exp-missing" or "carriage".
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
	if _, err := http.NewRequest(t.Method, "http://"+host+path, nil); err != nil || path[0] != '/' {
		return fmt.Errorf("Target.Method and Path: %q and %q do not make a request (%v)", t.Method, t.Path, err)
	}
	return nil
}

// host is the Host of all requests, the same as that of [httptest.NewRequest].
const host = "example.com"

// checkKey reports an unknown algorithm, or a key of the wrong type for it.
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
		return fmt.Errorf("Target.Key: a %T cannot sign with %s; use the key that the algorithm needs: a []byte secret, "+
			"an *rsa.PrivateKey, an *ecdsa.PrivateKey on the algorithm's curve or an ed25519.PrivateKey", key, algorithm)
	}
	return nil
}
