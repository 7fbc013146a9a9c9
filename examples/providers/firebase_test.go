package providers_test

import (
	"crypto/rsa"
	"encoding/pem"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/stretchr/testify/assert"
)

func TestFirebase(t *testing.T) {
	t.Parallel()
	const (
		project = "example-shop"
		issuer  = "https://securetoken.google.com/" + project
		jwksURI = "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"
		x509URI = "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com"
		user    = "Xk893u23H9SI893abcDEF012345a"
		kid     = "c8ab71530972bba20b49f78a09c9852c43ff9118"
		robot   = "firebase-adminsdk@example-shop.iam.gserviceaccount.com"
		kid2    = "7d8d1d0a4e5f4c0f8f1d2b3c4a5968778695a4b3"
	)
	x509Text := func(key *rsa.PrivateKey) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificateOf(key)}))
	}
	for name, options := range map[string]jwtgate.Options{
		"JWKS": online(t, providers.Firebase(project), map[string]any{
			issuer + "/.well-known/openid-configuration": map[string]any{
				"issuer":                                issuer,
				"jwks_uri":                              jwksURI,
				"response_types_supported":              []string{"id_token"},
				"subject_types_supported":               []string{"public"},
				"id_token_signing_alg_values_supported": []string{"RS256"},
			},
			jwksURI: jwks(
				jwk(ours(), map[string]any{"alg": "RS256", "kid": kid, "use": "sig"}),
				jwk(ours2(), map[string]any{"use": "sig", "alg": "RS256", "kid": kid2}),
			),
		}),
		"X.509": online(t, providers.FirebaseX509(project), map[string]any{
			x509URI: map[string]string{kid: x509Text(ours()), kid2: x509Text(ours2())},
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := map[string]any{"kid": kid, "typ": "JWT"}
			claims := fresh(jwt.MapClaims{
				"iss": issuer, "aud": project, "auth_time": ago(time.Minute), "user_id": user, "sub": user,
				"email": "jane@example.com", "email_verified": true, "admin": true,
				"firebase": map[string]any{
					"identities": map[string]any{"email": []string{"jane@example.com"}}, "sign_in_provider": "password",
				},
			})
			maker := tokenMaker{t, ours(), header, claims}
			token := maker.token
			anonymous := token(jwt.MapClaims{
				"provider_id": "anonymous", "email": nil, "email_verified": nil, "admin": nil,
				"firebase": map[string]any{"identities": map[string]any{}, "sign_in_provider": "anonymous"},
			})
			custom := sign(t, theirs(), map[string]any{"typ": "JWT"}, fresh(jwt.MapClaims{
				"iss": robot, "sub": robot,
				"aud": "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit", "uid": user,
			}))
			emulated := signBy(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, map[string]any{"typ": "JWT"}, claims)
			of := func(iss, aud string) jwt.MapClaims { return jwt.MapClaims{"iss": iss, "aud": aud} }
			signedIn := jwtgate.Claim("/firebase/sign_in_provider", "password", "google.com")

			visitAll(t, options, map[string]visit{
				"user":          passes(token(nil), user),
				"other key":     passes(maker.withKey(ours2(), kid2).token(nil), user),
				"anonymous":     passes(anonymous, user),
				"signed in":     onRoute(signedIn, passes(token(nil), user)),
				"custom claim":  onRoute(jwtgate.Claim("admin", "true"), passes(token(nil), user)),
				"not signed in": forbidden(signedIn, anonymous),
				"not an admin":  forbidden(jwtgate.Claim("admin", "true"), anonymous),
				"unconfirmed":   forbidden(jwtgate.Claim("email_verified", "true"), token(jwt.MapClaims{"email_verified": false})),

				// Another project's tokens are signed with the same keys.
				"another project":        refused(token(of("https://securetoken.google.com/other", "other")), "issuer"),
				"another project's aud":  refused(token(jwt.MapClaims{"aud": "other"}), "audience"),
				"session cookie":         refused(token(of("https://session.firebase.google.com/"+project, project)), "issuer"),
				"Google ID token":        refused(token(of("https://accounts.google.com", "123.apps.googleusercontent.com")), "issuer"),
				"custom token":           refused(custom, "issuer"),
				"emulator's, not signed": refused(emulated, "malformed"),
				"not Google's key":       refused(maker.withKey(theirs(), "").token(nil), "signature"),
				"an unpublished key":     refused(maker.withKey(theirs(), "6f6d").token(nil), "unknown_key"),
				"without subject":        refused(token(jwt.MapClaims{"sub": nil}), "claim"),
				"user_id is not enough":  refused(token(jwt.MapClaims{"sub": ""}), "claim"),
			})
		})
	}
}

func TestFirebaseX509Documents(t *testing.T) {
	t.Parallel()
	parse := providers.FirebaseX509("example-shop").Keys.(*keys.Remote).Parse
	for name, document := range map[string]string{
		"no JSON":          "-----BEGIN CERTIFICATE-----",
		"a JWK Set":        `{"keys": []}`,
		"no PEM":           `{"a": "MIIC"}`,
		"no certificate":   `{"a": "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n"}`,
		"another key type": `{"a": ` + quoted(authority().pem) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse([]byte(document))
			assert.Error(t, err)
		})
	}
}
