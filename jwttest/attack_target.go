package jwttest

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	// for the test only: reports show tokens that are signed with it. An [Issuer]
	// does not give out its keys, so let the service under attack trust Key by keys.HS256
	// or keys.Public.
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

	// Routes are requests that the service must guard, one for each of its routes. The
	// default is one request with GET for "/". Attack sends all cases to the first
	// route. To each other route it sends the first hostile case of each family, which
	// shows whether the route is guarded at all.
	//
	// With a good token, each request must pass each time that it is sent. Attack
	// sends the good request of the first route hundreds of times, so choose one that
	// changes nothing.
	Routes []Route
	// GotIn reports whether the service let the sender of a request in. It is called
	// with the answer to each request. nil means that a status below 400 lets the
	// sender in.
	//
	// Set GotIn for a service that answers refusals with 200, such as GraphQL, JSON-RPC
	// and gRPC-Web. Set it also for a handler that serves anonymous requests, such as
	// one behind [github.com/jwtgate/jwtgate.Gate.Optional]: GotIn then reports
	// whether the answer is for a signed-in user. Do not compare with the name of one
	// user only, because hostile tokens name others.
	//
	// GotIn can read the first megabyte of the body, and need not close it. The answer to
	// a HEAD request has no body. GotIn is never called twice at once.
	GotIn func(*http.Response) bool

	// Prover adds the family dpop, for a service that accepts tokens bound to a DPoP key
	// (RFC 9449). All good tokens are then bound to the Prover's key by cnf. The requests of
	// all families come with the scheme DPoP in place of Bearer and with a proof. Attack
	// takes nonces from the answers of the service. It uses the key, the URL and the clock of
	// the Prover, and does not change it.
	//
	// Prover.URL is how clients call the service, without the Path of a Route. If it is empty, it
	// is "https://example.com", which is the Host of the requests. To attack a service that
	// also accepts tokens that are not bound, call Attack a second time, without Prover.
	Prover *Prover

	// Strict adds the cases that no RFC decides. They test that the service does what
	// jwtgate does, for example that it refuses duplicate members. Set Strict for a service
	// behind a [github.com/jwtgate/jwtgate.Gate]. Without Strict, Attack runs only
	// the cases that an RFC decides with MUST or SHOULD.
	Strict bool
	// Skip leaves out cases, or whole families of cases. Use the names in the
	// reports, for example "times/exp-missing" or "other-places". A name that does not
	// exist fails the test. The case valid/plain always runs.
	Skip []string

	// Now is the service's clock. nil means [time.Now].
	Now func() time.Time
}

// A Route is a request to the service under attack, without its credentials.
type Route struct {
	_ struct{} // keyed literals only: fields will be added

	// Method and Path are those of the request. The defaults are GET and "/". Path may
	// have a query.
	Method, Path string
	// Header has what else the service needs in the header of the request, such as
	// Content-Type. Attack itself sets Authorization, Host, Connection and
	// Content-Length.
	Header http.Header
	// Body is the body of the request.
	Body string
}

// name returns the name of r in reports and in the names of subtests.
func (r Route) name() string {
	path, _, _ := strings.Cut(cmp.Or(r.Path, "/"), "?")
	return cmp.Or(r.Method, http.MethodGet) + " " + path
}

// check returns an error if r does not make a request.
func (r Route) check() error {
	path := cmp.Or(r.Path, "/")
	if path[0] != '/' {
		return fmt.Errorf("the path %q does not begin with a slash", r.Path)
	}
	if _, err := http.NewRequest(r.Method, "http://"+host+path, nil); err != nil {
		return fmt.Errorf("%q and %q do not make a request: %w", r.Method, r.Path, err)
	}
	for name, values := range r.Header {
		switch http.CanonicalHeaderKey(name) {
		case "Authorization", "Host", "Connection", "Content-Length", "Transfer-Encoding":
			return fmt.Errorf("the header has %s, which Attack sets itself", name)
		}
		if strings.Trim(name, tokenCharacters) != "" || name == "" {
			return fmt.Errorf("the header has %q, which is not a name", name)
		}
		for _, value := range values {
			if strings.ContainsAny(value, "\r\n\x00") {
				return fmt.Errorf("the header has %s with the value %q", name, value)
			}
		}
	}
	return nil
}

// tokenCharacters are the characters of a name in a header (RFC 9110 section 5.6.2).
const tokenCharacters = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// firstRoute returns the route that gets all cases.
func (t Target) firstRoute() Route {
	if len(t.Routes) == 0 {
		return Route{}
	}
	return t.Routes[0]
}

// otherRoutes returns the routes that get one case of each family.
func (t Target) otherRoutes() []Route {
	if len(t.Routes) == 0 {
		return nil
	}
	return t.Routes[1:]
}

// check returns an error if t cannot sign a token or make a request.
func (t Target) check() error {
	if err := checkKey(t.Algorithm, t.Key); err != nil {
		return err
	}
	if err := t.checkProver(); err != nil {
		return err
	}
	for i, route := range t.Routes {
		if err := route.check(); err != nil {
			return fmt.Errorf("Target.Routes[%d]: %w", i, err)
		}
	}
	return nil
}

// checkProver returns an error if Prover cannot make a proof for the service.
func (t Target) checkProver() error {
	if t.Prover == nil {
		return nil
	}
	if k, _ := t.Prover.state(); k == nil {
		return errors.New("Target.Prover: make it with NewProver")
	}
	u, err := url.Parse(t.Prover.URL)
	if err != nil || t.Prover.URL != "" && (u.Host == "" || u.RawQuery != "" || u.Fragment != "") {
		return fmt.Errorf("Target.Prover: its URL %q is not a scheme, a host and the start of a path", t.Prover.URL)
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
