// Package keys has the key sources of a [jwtgate.Gate]: where the keys come
// from that tokens are verified with.
//
// A source is asked for the keys of one issuer, and perhaps of one key ID, each
// time a token comes in, and answers from memory. It goes into
// [jwtgate.Options.Keys]:
//
//	gate, err := jwtgate.New(jwtgate.Options{
//		Keys:      &keys.Remote{},
//		Issuers:   []string{"https://auth.example.com/"},
//		Audiences: []string{"https://api.example.com"},
//	})
//
// # Which one to take
//
// The issuer says how it signs and how it hands out its keys:
//
//   - It is an identity provider that publishes its keys: [Remote], which fetches
//     them, by discovery or from a URL, and follows their rotation.
//   - It shares a secret with this service: [HS256], [HS384] or [HS512]. Whoever
//     can verify these tokens can also make them, so a secret is for issuers and
//     services that trust each other fully. A public key is never a secret.
//   - It gave you its public key or certificate as a PEM text: [PEM]. If the
//     program has the key already parsed, [Public].
//   - It gave you a JWK Set document: [JWKS].
//   - The key or the set is in a file that somebody else replaces, such as a
//     mounted secret: [File]. It picks up the change without a restart.
//   - There are several issuers: [ByIssuer], with a source for each. One source
//     for all of them would let each sign in the name of the others, but for a
//     Remote without URL, which keeps the keys that it discovers apart.
//   - It signs with RS384, PS256 or another algorithm that its kind of key does
//     not imply, or a key needs its ID: [Static], with keys of [jwtgate.NewKey].
//
// Sources can be written by hand too: anything with the method of
// [jwtgate.KeySource] is one, and [jwtgate.KeySourceFunc] makes one of a
// function.
//
// # One algorithm for each key
//
// A key verifies exactly one algorithm, so that a token cannot choose another
// one for it (RFC 8725 section 3.1). Where nothing says which, RSA keys are for
// RS256, keys on P-256, P-384 and P-521 for ES256, ES384 and ES512, and Ed25519
// keys for EdDSA. A JWK says it in alg; with Static it is the second argument
// of NewKey. To accept two algorithms with one RSA key, make two keys of it.
//
// Keys that are weak or not for verifying are not taken: RSA under 2048 bits, a
// secret shorter than its hash, a private key, a curve that no algorithm has. In
// a JWK Set such a key is skipped and logged, and the others serve (RFC 7517
// section 5); in all other places it is an error.
//
// # Mistakes
//
// The constructors return no error. One that is given something it cannot use
// keeps the reason for [jwtgate.New] to report, which also reads a File for the
// first time: if New succeeds, the sources of this package have keys. A Remote is
// different. New checks its fields, and the first request fetches the keys;
// [jwtgate.Gate.Ready] does so at once.
//
// A source without keys that is asked for some answers with an error, which a
// gate turns into 503 rather than into a refusal of the token.
//
// # Key IDs
//
// A token names its key in kid. A key with an ID verifies the tokens that name
// it, and those that name none; a key without ID may be tried for any token. Of
// the keys that fit, the gate tries at most four. More than four that no key ID
// tells apart are therefore refused, except in a JWK Set, of which the first four
// are tried.
//
// All sources are safe for concurrent use, and none of them shows its keys or
// secrets when it is printed.
package keys
