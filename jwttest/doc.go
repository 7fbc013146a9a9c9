// Package jwttest helps to test services that use package jwtgate, and the key
// sources that they use.
//
//   - [Context] and [ContextWithSubjectClaim] put a verified token into a context, to
//     test a handler without its gate.
//   - [Issuer] is an identity provider on loopback, to test a handler behind its
//     gate with real tokens, key rotations and outages.
//   - [Prover] is a client with a DPoP key, to test a service that accepts only tokens
//     that are bound to a key.
//   - [TestKeySource] tests an implementation of [jwtgate.KeySource].
//   - [Attack] sends hostile requests to a handler.
//
// # A handler without its gate
//
// To test what a handler does for a caller, give the handler the token that a
// gate would put into the context:
//
//	func TestProfile(t *testing.T) {
//		r := httptest.NewRequest("GET", "/me", nil)
//		r = r.WithContext(jwttest.Context(t, r.Context(), map[string]any{"sub": "bob", "email": "bob@example.com"}))
//		w := httptest.NewRecorder()
//		profile(w, r)
//		// ... check w
//	}
//
// If the service's gate has [jwtgate.Options].SubjectClaim, use [ContextWithSubjectClaim]:
//
//	ctx := jwttest.ContextWithSubjectClaim(t, t.Context(), "oid", map[string]any{"oid": "bob"})
//
// # A handler behind its gate
//
// To test which callers reach a handler, make the service as in production, but
// let its gate trust an Issuer that the test has started:
//
//	func TestOrders(t *testing.T) {
//		issuer := jwttest.NewIssuer(t)
//		service := newService(issuer.URL, issuer.Audience) // with &keys.Remote{}
//
//		r := httptest.NewRequest("POST", "/orders", body)
//		r.Header.Set("Authorization", "Bearer "+issuer.Token(map[string]any{"scope": "orders:write"}))
//		w := httptest.NewRecorder()
//		service.ServeHTTP(w, r)
//		// ... check for 201, and for 403 with issuer.Token(nil)
//	}
//
// If the service takes its [jwtgate.Options] as an argument, start from those of
// [Issuer.Options] and change them, for example to add rules, a cache or a clock.
//
// [Issuer.Token] returns a good token. Its argument replaces and adds claims, and a
// nil value removes a claim, so each bad token takes one line:
//
//	issuer.Token(map[string]any{"exp": time.Now().Add(-time.Hour)})  // expired
//	issuer.Token(map[string]any{"aud": "https://other.example"})     // for another service
//	issuer.Token(map[string]any{"sub": nil})                         // without a subject
//	issuer.Sign(map[string]any{"typ": "at+jwt"}, claims)             // with another header
//	issuer.Forge(nil, claims)                                        // signed with another key
//
// Tokens are signed with ES256. [Issuer.SetAlgorithm] changes the algorithm.
//
// # An outage
//
//	issuer.Down(503) // or 0, for no answer at all
//	// ... a service that has fetched the keys still accepts tokens, a new service answers 503
//	issuer.Up()
//
// To make the issuer slow, hold its answer back:
//
//	release := issuer.Hold()
//	// ... requests that need the keys wait for release, or until their context ends
//	release()
//
// # A key rotation
//
//	old := issuer.Token(nil)
//	issuer.Rotate()
//	// ... the gate accepts tokens signed with the new key, and the old token too
//	issuer.Withdraw()
//	// ... the gate refuses the old token once it has fetched the keys again
//
// [Issuer.Fetches] returns how many times the keys were requested. A gate with
// Issuer.Options fetches the keys for each new key ID and each bad signature. Any other
// gate waits
// between fetches, as [keys.Remote] describes: give it a short MinInterval if the
// test rotates more than once.
//
// # Tokens bound to a DPoP key
//
// A [Prover] is a client with a key. Bind a token to the key, and let the Prover set the
// headers of each request (RFC 9449):
//
//	prover := jwttest.NewProver(t)
//	prover.URL = "https://api.example.com" // one of dpop.Verifier.URLs
//	token := issuer.Token(map[string]any{"cnf": prover.Confirmation()})
//
//	r := httptest.NewRequest("GET", "/orders", nil)
//	prover.Prove(r, token)
//	w := httptest.NewRecorder()
//	service.ServeHTTP(w, r)
//
// If the service gives nonces, call [Prover.TakeNonce] with the header of each answer, and
// repeat a request that got 401 and a new nonce. [Prover.Transport] does all this for an
// [http.Client].
//
// # A key source
//
// [TestKeySource] tests that a source keeps the promises of [jwtgate.KeySource].
// Wrap the source in keys.ByIssuer to name an issuer whose keys it has:
//
//	func TestVault(t *testing.T) {
//		jwttest.TestKeySource(t, keys.ByIssuer{"https://auth.example.com/": newVault(t)})
//	}
//
// # Hostile requests
//
// [Attack] sends more than a thousand hostile requests to a handler. Attack signs the
// tokens, so make a service that trusts a key of the test:
//
//	func TestAttack(t *testing.T) {
//		jwttest.Attack(t, service, jwttest.Target{
//			Key: key, Algorithm: "ES256", KeyID: "test-key",
//			Issuer: "https://auth.example.com/", Audience: "https://api.example.com",
//			Routes: []jwttest.Route{{Path: "/orders"}, {Path: "/invoices"}},
//			Strict: true, // the service is behind a jwtgate.Gate
//		})
//	}
//
// To attack a service that accepts DPoP-bound tokens, set Target.Prover. Attack then sends
// bound tokens with proofs, and adds more than 300 requests with bad proofs.
//
// Switch rate limits off for such a test: Attack sends thousands of requests, and fails if
// the service stops answering. For GraphQL, and for a handler that serves anonymous
// requests, set Target.GotIn.
//
// # Concurrency
//
// Parallel tests may use everything in this package. Several goroutines of a test
// may share an Issuer.
package jwttest
