// Package providers is for copying: do not import it. It has recipes for the tokens of
// identity providers. A recipe is a function that returns the [jwtgate.Options] for the
// tokens of one provider. Copy the function with its comment, put in your values, and delete
// what you do not need. The recipes follow what the providers do today, so their functions
// may change in each version.
//
//	gate, err := jwtgate.New(providers.Auth0("example.eu.auth0.com", "https://api.example.com"))
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("GET /orders", gate.Handler(orders))
//	mux.Handle("POST /orders", gate.Require(jwtgate.Scope("write:orders")).Handler(create))
//
// # Which recipe to use
//
// For users who sign in:
//
//   - [Auth0], and [Okta] with a custom authorization server
//   - [EntraID] for Microsoft's work and school accounts, of many tenants
//   - [Cognito] for the user pools of Amazon Cognito
//   - [Keycloak], and [Zitadel]
//   - [Clerk], and [Supabase]
//   - [Google] and [Firebase], whose applications send ID tokens to services.
//     [FirebaseX509] gets the keys of Firebase from another document. It shows
//     how to read a document that is not a JWK Set.
//
// For programs:
//
//   - [Kubernetes] for the pods of a cluster, by their service accounts
//   - [GitHubActions] for the jobs of a repository, and [GitLabCI] for those of a project
//   - [SPIFFE] for the workloads of a trust domain, by their JWT-SVIDs
//
// For applications behind a proxy that signs users in and adds a header with a token:
//
//   - [CloudflareAccess]
//   - [GoogleIAP]
//   - [AWSLoadBalancer]
//
// For clients whose tokens are bound to their certificates or DPoP keys, as in open banking:
// [FAPI].
//
// For another provider, look at one of its tokens and at its discovery document. Nearly
// all providers have it at the issuer's URL followed by /.well-known/openid-configuration;
// [keys.Remote] lists the other addresses where it may be. If the document's issuer equals
// the token's iss, character by character, use the options of [Auth0] with that iss, and
// with the aud that names your service.
//
// Then compare an access token with an ID token. If their typ is the same, and an ID
// token may have your aud, add the rule
//
//	options.Rules = []jwtgate.Rule{jwtgate.NoClaim("at_hash")}
//
// Issuers put at_hash, the hash of the access token, into ID tokens that they issue
// together with an access token (OpenID Connect Core 1.0 section 3.1.3.6). Check that
// your ID tokens have it. An ID token that is issued alone has no at_hash but a nonce:
// name "nonce" too if your access tokens have none. These providers need the rule:
//
//   - Zitadel. The recipe [Zitadel] has the rule.
//   - Ory Hydra, and other servers made with the library fosite. Their JWT access
//     tokens have typ JWT, like their ID tokens. The aud of an ID token contains the
//     client ID, and what the server's session adds.
//   - node-oidc-provider, in versions whose JWT access tokens have no typ at+jwt. If
//     they have it, set Options.RFC9068 instead, which refuses ID tokens by their typ.
//
// # What the recipes have in common
//
// The gate fetches the keys at the first request and again when they change; see
// [keys.Remote]. To make a program fail at start if the keys cannot be fetched, call
// [jwtgate.Gate.Ready]. [EntraID] lists no issuers, so Ready cannot check its keys:
// call the Refresh method of its Keys instead.
//
// A trusted issuer and a good signature prove that the provider made the token. They
// do not prove that the token is for you: a provider signs the tokens of many
// applications with the same keys, and some providers use the same keys for all
// customers. The recipes check the audience and, where the audience is not enough,
// rules. The comment of each recipe explains its rules and lists common mistakes.
//
// An ID token tells an application who signed in. An access token lets the
// application call a service. Both may be signed with the same key. A service that
// accepts ID tokens can be called by anybody who obtains a user's ID token, for
// example another application that the user signed in to. Google and Firebase are
// exceptions: they have no other tokens that a service can verify. The other recipes
// refuse ID tokens by their audience, by a claim such as typ or token_use, or by NoClaim.
//
// Put requirements for every token of the service into Options.Rules: a token that
// does not meet them is refused with 401. Put requirements of one route into
// [jwtgate.Gate.Require]: a token that does not meet them is refused with 403.
//
// Names, email addresses and logins can pass to another person. The subject of each
// recipe is an identifier that cannot. It is unique for one issuer only. If you trust
// several issuers, such as those of two recipes or the tenants of [EntraID], store users
// under both results of [jwtgate.Identity]. Otherwise two people with the same subject
// get one account.
package providers
