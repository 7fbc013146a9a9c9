// Package keys has the usual key sources of a [jwtgate.Gate]. A key source has the
// keys that a gate verifies tokens with.
//
// A source goes into [jwtgate.Options.Keys]. Most services need only [Remote],
// which fetches the keys from the issuer:
//
//	gate, err := jwtgate.New(jwtgate.Options{
//		Keys:      &keys.Remote{},
//		Issuers:   []string{"https://auth.example.com/"},
//		Audiences: []string{"https://api.example.com"},
//	})
//
// For each token the gate asks its source for the keys of one issuer, and perhaps
// of one key ID. A source answers from memory. All sources are safe for concurrent
// use. No source shows its keys or secrets when it is printed.
//
// # Choosing a source
//
// The choice depends on how the issuer signs and how it publishes its keys:
//
//   - An identity provider publishes its keys: [Remote] fetches them, by discovery
//     (OpenID Connect Discovery, RFC 8414) or from a URL, and follows their rotation.
//   - The issuer shares a secret with this service: [HS256], [HS384] or [HS512].
//     Anybody who can verify these tokens can also make them, so the issuer and
//     all services with the secret must trust each other fully. Never use a public
//     key as the secret.
//   - You have a public key or certificate as PEM text: [PEM]. If the program has
//     the key already parsed: [Public].
//   - You have a JWK Set document: [JWKS].
//   - The PEM text or the JWK Set is in a file that changes, such as a mounted
//     secret: [File]. It picks up a change without a restart. Replace the file by a
//     rename, because a file that is written in place can be read half.
//   - The issuer signs with RS384, PS256 or another algorithm that the kind of key
//     does not imply, or a key needs an ID: [Static], with keys of
//     [jwtgate.NewKey].
//   - One issuer signs with two kinds of keys, for example while it moves from a shared
//     secret to public keys: [Join], with a source for each kind.
//   - There are several issuers: [ByIssuer], with a source for each. Do not use one
//     source for all of them: each issuer could then sign in the name of the
//     others. A Remote without URL is the exception, because it keeps the keys of
//     each issuer apart.
//
// To write a source yourself, implement [jwtgate.KeySource], or convert a function
// with [jwtgate.KeySourceFunc].
//
// # One algorithm for each key
//
// A key verifies exactly one algorithm, so that a token cannot choose another one
// (RFC 8725 section 3.1). The alg member of a JWK names the algorithm, and so does
// the second argument of [jwtgate.NewKey] for [Static]. Otherwise the kind of key
// implies the algorithm:
//
//	RSA                  RS256
//	ECDSA on P-256       ES256
//	ECDSA on P-384       ES384
//	ECDSA on P-521       ES512
//	Ed25519              EdDSA
//	ML-DSA               ML-DSA-44, ML-DSA-65 or ML-DSA-87, since Go 1.27
//
// There is no keys.RS256 or keys.ES256: [PEM], [Public] and [JWKS] take the algorithm from
// the key. To accept two algorithms with one RSA key, make two keys of it with NewKey.
//
// The following keys are refused:
//
//   - RSA keys under 2048 bits, and those over 4096 bits with an unusual exponent;
//   - secrets shorter than the hash of their algorithm;
//   - private keys;
//   - keys on a curve that is not in the table.
//
// In a JWK Set such a key is skipped and logged, and the other keys serve (RFC 7517
// section 5). Everywhere else it is an error.
//
// # Errors
//
// The constructors return no error. If a constructor cannot use its arguments,
// [jwtgate.New] reports that. New also reads a [File] for the first time. So if New
// succeeds, the sources of this package have keys, except for [Remote]: New checks
// its fields, and the first request fetches the keys. Call [jwtgate.Gate.Ready] to
// fetch them at once.
//
// A source that has no keys because of an error returns the error when it is asked
// for keys. The gate then answers with 503 and does not refuse the token. A [Remote] and a
// [File] that can no longer read their keys use the old ones until StaleFor has passed.
//
// # Key IDs
//
// A token names its key in kid. A key with an ID verifies tokens that name this
// ID, and tokens without kid. A key without ID may be tried for any token.
//
// If none of the keys verifies a token, or a key with its ID is for another algorithm, a
// Remote, a File and a Join look whether the key was replaced under its ID. They limit how
// often they look.
//
// A gate tries at most four keys for one token. New refuses a source in which more
// than four keys for one algorithm fit the same token. A JWK Set is the exception:
// the gate tries the first four.
package keys
