// Package dpop checks DPoP proofs (RFC 9449): a token that is bound to a key is good only
// for the client that holds the key. A thief of the token cannot use it.
//
// Two fields of [jwtgate.Options] switch it on:
//
//	gate, err := jwtgate.New(jwtgate.Options{
//		Keys:      &keys.Remote{},
//		Issuers:   []string{"https://auth.example.com/"},
//		Audiences: []string{"https://api.example.com"},
//		Confirm:   []jwtgate.Confirmer{&dpop.Verifier{URLs: []string{"https://api.example.com"}}},
//		Observe:   jwtgate.AuditLog(nil),
//	})
//
// The gate then accepts only bound tokens, which come with the scheme DPoP in place of
// Bearer. While clients are being moved, Options.AllowUnbound also accepts tokens that are
// not bound.
//
// # What a client does
//
// The client has a key pair, and the issuer writes the thumbprint of the public key into
// the token: cnf.jkt. With each request the client sends the token and a proof, a small
// JWT that it signs with its key:
//
//	Authorization: DPoP eyJhbGciOiJFUzI1NiIsImtpZCI6...
//	DPoP: eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2...
//
// A proof is for one request: it names the method (htm), the URL without its query (htu)
// and the hash of the token (ath). It is short-lived (iat or nonce), and good only once
// (jti). The client gets
//
//   - 401 invalid_dpop_proof if the proof is not accepted
//   - 401 use_dpop_nonce if the proof needs the nonce that the answer has in DPoP-Nonce.
//     Client libraries then try again by themselves
//   - 401 invalid_token if the token is bound to another key, or comes as Bearer
//   - 503 if the memory of used proofs is not available
//
// The challenge names the algorithms that are accepted, as algs. The log says what came
// and what was wanted.
//
// # URLs
//
// The proof says which URL the client has called. The service must know its own URL to
// compare, and a request does not say it: Host and X-Forwarded-Host are what the client
// wrote. If they were believed, a proof that was made for another service would be good
// here. So [Verifier.URLs] is required, and these headers are never read.
//
// The path is that of the request line, so a mux or [http.StripPrefix] in front of the gate
// does not matter. What a proxy does before the request reaches this process matters. If it
// takes a prefix off the path, write the prefix into URLs:
//
//	client calls        https://example.com/shop/orders/42
//	this process gets   GET /orders/42
//	URLs                https://example.com/shop
//
// List each name under which clients call the service, and no other. URLs are compared by
// RFC 3986 sections 6.2.2 and 6.2.3: letter case of scheme and host, default ports,
// unneeded percent-encoding and dot segments do not matter. The letter case of the path
// matters, %2F is not /, and // is not /. If URLs has a path, a request for / may also have
// that path without a slash at its end as htu: proxies pass on both as /.
//
// # One server or several
//
// A proof must be accepted only once. A single server remembers used proofs by itself, up
// to a million. It forgets them when it restarts: within MaxAge, a proof from before the
// restart is good once more.
//
// Servers behind a load balancer need a common memory: set [Verifier.Replays] to a Redis or
// a database. If it fails, requests are answered with 503. No request passes unchecked.
//
// [Verifier.NonceKeys] switch nonces on. Then a proof cannot be made before the client has
// seen an answer of this service, and clients with a wrong clock are accepted. Nonces need
// no memory: servers with the same keys accept each other's nonces. They do not replace the
// memory of used proofs.
//
// # What is checked
//
// In this order: that there is one DPoP header; the form of the proof, as strictly as that
// of a token; typ, alg and that jwk is a public key; that jti, htm, htu, iat and ath are
// there; htm, htu and ath; the age, by nonce or iat; that the token is bound to the key;
// the signature; and last that the proof was not used before, so that a request that is
// refused uses no proof up. Keys are held to the rules of [jwtgate.NewKey]. kid, jku and
// x5c in the header are not used.
//
// What a proof does not cover: the query, the other headers and the body. RFC 9421 signs
// those.
package dpop
