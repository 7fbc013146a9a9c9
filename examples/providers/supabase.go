package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Supabase accepts the access tokens of the users of a Supabase project. project is the
// project's reference ID, the first label of abcdefghijklmnopqrst.supabase.co.
//
// The project must sign with an asymmetric key (JWT Signing Keys), which is published. The
// legacy JWT secret is not published. Everybody who has the secret can also make tokens: if
// you cannot move to a key yet, set Keys to keys.HS256 and treat the secret like a password.
//
// The aud of all users is "authenticated": it does not name your service. A service that has
// the same project accepts the same tokens. The recipe refuses
//
//   - the keys of a project with the roles anon and service_role, by their role
//   - tokens that other applications got by "Sign in with" your project, by their client_id.
//     To accept some of them, replace that rule by
//     jwtgate.AnyOf(jwtgate.NoClaim("client_id"), jwtgate.Claim("client_id", "9a8b7c6d..."))
//
// If the project allows anonymous sign-ins, anybody can get a token. To refuse anonymous
// users, write
//
//	gate.Require(jwtgate.Claim("is_anonymous", "false"))
//
// To require a second factor, use jwtgate.Claim("aal", "aal2"). Users can change
// user_metadata themselves. Never decide by it what somebody may do: use app_metadata, such as
// jwtgate.Claim("/app_metadata/roles", "admin").
func Supabase(project string) jwtgate.Options {
	issuer := "https://" + project + ".supabase.co/auth/v1"
	return jwtgate.Options{
		Keys:      &keys.Remote{URL: issuer + "/.well-known/jwks.json"},
		Issuers:   []string{issuer},
		Audiences: []string{"authenticated"},
		Rules: []jwtgate.Rule{
			jwtgate.Claim("role", "authenticated"),
			jwtgate.NoClaim("client_id"),
		},
	}
}
