// Package jwttest is for the tests of services that are guarded by package
// jwtgate, and of key sources.
//
//   - [Context] puts a verified token into a context, to test a handler alone.
//   - [Issuer] is an identity provider on loopback, to test a handler behind its
//     gate with real tokens, rotations and outages.
//   - [TestKeySource] tests a key source of one's own.
//   - [Attack] fires hostile requests at a handler.
//
// # A handler alone
//
// What a handler does for whom needs no gate, only the token that a gate would
// have left in the context, with the claims that matter here:
//
//	func TestProfile(t *testing.T) {
//		r := httptest.NewRequest("GET", "/me", nil)
//		r = r.WithContext(jwttest.Context(t, r.Context(), map[string]any{"sub": "bob", "email": "bob@example.com"}))
//		w := httptest.NewRecorder()
//		profile(w, r)
//		// ... what is in w
//	}
//
// # A handler behind its gate
//
// Who gets to the handler is for the gate to say. It is made as in the service,
// but trusts an Issuer that the test has started:
//
//	func TestOrders(t *testing.T) {
//		issuer := jwttest.NewIssuer(t)
//		service := newService(issuer.URL, issuer.Audience) // with &keys.Remote{}
//
//		r := httptest.NewRequest("POST", "/orders", body)
//		r.Header.Set("Authorization", "Bearer "+issuer.Token(map[string]any{"scope": "orders:write"}))
//		w := httptest.NewRecorder()
//		service.ServeHTTP(w, r)
//		// ... 201, and 403 for issuer.Token(nil)
//	}
//
// Where a service is given its [jwtgate.Options], [Issuer.Options] has them,
// ready to be changed: rules, a cache, a clock. [Issuer.Token] makes a good token;
// claims change it, a nil value drops one, and so each mistake is a line:
//
//	issuer.Token(map[string]any{"exp": time.Now().Add(-time.Hour)})  // expired
//	issuer.Token(map[string]any{"aud": "https://other.example"})     // meant for another service
//	issuer.Token(map[string]any{"sub": nil})                         // nobody's
//	issuer.Sign(map[string]any{"typ": "at+jwt"}, claims)             // with a header
//	issuer.Forge(nil, claims)                                        // signed with somebody else's key
//
// Tokens are signed with ES256, unless [Issuer.SetAlgorithm] says otherwise.
//
// # An outage
//
//	issuer.Down(503) // or 0, for no answer at all
//	// ... whom the service knows the keys of still gets in, and a new service answers 503
//	issuer.Up()
//
// A slow issuer is one whose answer is held back until the test lets it go:
//
//	release := issuer.Hold()
//	// ... requests that need the keys wait, as long as their context lasts
//	release()
//
// # A rotation
//
//	old := issuer.Token(nil)
//	issuer.Rotate()
//	// ... a token of the new key is good, and so is the old one
//	issuer.Withdraw()
//	// ... once the gate has fetched the keys again, the old one is not
//
// [Issuer.Fetches] tells how often the keys were asked for. A gate of
// Issuer.Options fetches them whenever it meets a new key ID. One of the
// service's own waits between fetches, as [keys.Remote] describes; a test that
// rotates more than once gives it a short MinInterval.
//
// # A key source of one's own
//
// [TestKeySource] tests what [jwtgate.KeySource] asks of each. ByIssuer names an
// issuer that the source has keys of:
//
//	func TestVault(t *testing.T) {
//		jwttest.TestKeySource(t, keys.ByIssuer{"https://auth.example.com/": newVault(t)})
//	}
//
// # Concurrency
//
// Everything here may be used by parallel tests, and an Issuer by several
// goroutines of one.
package jwttest
