// Package jwtgate is JWT authentication middleware for net/http.
//
// A [Gate] verifies the bearer token of each request with the keys of a
// [KeySource], and puts the token into the request's context:
//
//	gate, err := jwtgate.New(jwtgate.Options{
//		Keys:      &keys.Remote{}, // fetched from the issuer
//		Issuers:   []string{"https://auth.example.com/"},
//		Audiences: []string{"https://api.example.com"},
//		Observe:   jwtgate.AuditLog(nil), // logs why a token was refused
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("POST /orders", gate.Require(jwtgate.Scope("orders:write")).Handler(create))
//	http.ListenAndServe(":8080", gate.Handler(mux))
//
// A handler gets the user's ID from [Subject], the token from [FromContext], and
// other claims from [Decode]. If several issuers are trusted, [Identity] replaces
// Subject. Package keys has the key sources.
//
// Clients get fixed texts. Only the log says why a token was refused: [AuditLog] writes
// the reason.
//
// # What is checked
//
// A token can be read in one way only: compact serialisation, canonical base64url,
// and a JSON header and JSON claims without duplicate members at any depth (RFC
// 7515, RFC 7519). Before the signature is verified, the gate uses one claim: it compares
// iss with the trusted issuers, and asks for the keys of that issuer. Each key is for
// exactly one algorithm.
//
// Then the gate checks exp, nbf, iat, iss, aud, the typ of the header, the subject,
// and the rules of [Options]. To leave out a check, set a field of Options whose
// name begins with Any or Allow. [New] refuses options that check less than they seem
// to. The zero Gate refuses everything.
//
// # What is answered
//
//   - no credentials, or credentials of another scheme: 401 without error code
//   - several tokens, or a malformed Authorization header: 400 invalid_request
//   - a token that is not accepted: 401 invalid_token
//   - a token that does not grant enough: 403 insufficient_scope
//   - the token cannot be verified now, for example because keys are unavailable: 503
//
// The 400, 401 and 403 are those of RFC 6750 section 3. A fault on the service's side
// is always a 503, never a 401 that signs users out. Clients get fixed texts. The
// reason is in [Error] and in the [Event] that Options.Observe gets, which [AuditLog]
// logs.
//
// # Threat model
//
// The attacker is a client. It sends any bytes, or it has a valid token that is
// meant for another service or comes from another issuer. The gate trusts the
// listed issuers, the key source, and the code of this process.
//
// The gate itself does not:
//
//   - tell the users of several issuers apart by their subjects: two people may have
//     the same sub, so store users under both results of [Identity]
//   - revoke tokens: use Options.Validate
//   - detect stolen bearer tokens: use tokens that are bound to a key, and a Verifier of
//     package dpop or package mtls in Options.Confirm
//   - protect cookies against CSRF: use [http.CrossOriginProtection]
//   - limit rates: use other middleware
//
// # Concurrency
//
// All exported functions are safe for concurrent use, and so are the methods of
// Gate, Key and the sources of package keys. The functions in Options must be safe
// for concurrent use too. The package makes no network request, and starts
// no goroutine that outlives a call.
//
// # Backwards compatibility
//
// Struct types will gain fields, so construct them by field name. Refusing a
// malformed or ambiguous token that was accepted before counts as a bug fix. The
// texts of errors may change. The sentinel errors and the results of
// [Error.Reason] do not change.
package jwtgate
