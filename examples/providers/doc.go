// Package providers has a recipe for each of some identity providers: a
// function that returns the [jwtgate.Options] for its tokens. They are made
// to be copied. Take the function, put your values in, and leave out what
// you do not need.
//
//	gate, err := jwtgate.New(providers.Auth0("example.eu.auth0.com", "https://api.example.com"))
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("GET /orders", gate.Handler(orders))
//	mux.Handle("POST /orders", gate.Require(jwtgate.Scope("write:orders")).Handler(create))
//
// # Which one to take
//
// For users who sign in:
//
//   - [Auth0], and [Okta] with a custom authorization server
//   - [EntraID] for Microsoft's work and school accounts, of many tenants
//   - [Cognito] for the user pools of Amazon Cognito
//   - [Keycloak]
//   - [Google] and [Firebase], whose ID tokens are sent to services.
//     [FirebaseX509] is the same as the latter with other keys; it shows how to
//     read a document that is not a JWK Set.
//
// For programs:
//
//   - [Kubernetes] for the pods of a cluster, by their service accounts
//   - [GitHubActions] for the jobs of a repository
//
// For another provider, look at one of its tokens and at its discovery
// document, which is at the issuer's URL with
// /.well-known/openid-configuration behind it. If the document's issuer is
// the token's iss, character by character, the options of [Auth0] are what
// you need, with that iss and the aud that stands for your service.
//
// # What they have in common
//
// The keys come from the provider with the first request, and again when
// they change; see [keys.Remote]. To have a program fail at start if they
// cannot be fetched, call [jwtgate.Gate.Ready]. With EntraID, which lists no
// issuer that Ready could ask for, call the Refresh method of its Keys.
//
// A trusted issuer and a good signature say that the provider made the
// token. They do not say that it made it for you: a provider signs the
// tokens of many applications, and some those of all their customers, with
// the same keys. What tells yours apart is the audience, or rules where the
// audience does not tell. The comment of each recipe says which, and what
// else is easily got wrong.
//
// An ID token tells an application who has signed in. An access token lets
// the application call a service. Both may be signed with the same key, and
// a service that takes the one for the other answers whoever got hold of a
// proof of somebody's sign-in. Google and Firebase are the exceptions: they
// have no other tokens that a service could verify.
//
// What every token for this service has goes into Options.Rules; a token
// without it is refused with 401. What one route asks for goes into
// [jwtgate.Gate.Require], and a token without it is refused with 403.
//
// Names, addresses and logins change hands. The subject of each recipe is an
// identifier that does not. Store it together with the issuer if there is
// more than one.
package providers
