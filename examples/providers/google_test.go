package providers_test

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
)

func TestGoogle(t *testing.T) {
	t.Parallel()
	const (
		client = "1234987819200-ab12.apps.googleusercontent.com"
		user   = "110169484474386276334"
	)
	options := online(t, providers.Google(client, "example.com"), map[string]any{
		"https://www.googleapis.com/oauth2/v3/certs": jwks(
			jwk(ours(), map[string]any{"use": "sig", "kid": "c8ab71530972bba20b49f78a09c9852c43ff9118", "alg": "RS256"}),
			jwk(ours2(), map[string]any{"use": "sig", "kid": "7d8d1d0a4e5f4c0f8f1d2b3c4a5968778695a4b3", "alg": "RS256"}),
		),
	})

	header := map[string]any{"kid": "c8ab71530972bba20b49f78a09c9852c43ff9118", "typ": "JWT"}
	claims := fresh(jwt.MapClaims{
		"iss": "https://accounts.google.com", "azp": client, "aud": client, "sub": user, "hd": "example.com",
		"email": "jane@example.com", "email_verified": true, "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q", "name": "Jane Doe",
		"nbf": ago(time.Minute), "jti": "161803398874def",
	})
	maker := tokenMaker{t, ours(), header, claims}
	token := maker.token
	serviceAccount := jwt.MapClaims{
		"azp": "117102930214862573214", "sub": "117102930214862573214", "hd": nil, "name": nil, "at_hash": nil,
		"email": "robot@stranger.iam.gserviceaccount.com",
	}
	firebase := jwt.MapClaims{"iss": "https://securetoken.google.com/example-shop", "aud": "example-shop", "azp": nil}

	visitAll(t, options, map[string]visit{
		"user":        passes(token(nil), user),
		"old issuer":  passes(token(jwt.MapClaims{"iss": "accounts.google.com"}), user),
		"other key":   passes(maker.withKey(ours2(), "7d8d1d0a4e5f4c0f8f1d2b3c4a5968778695a4b3").token(nil), user),
		"confirmed":   onRoute(jwtgate.Claim("email_verified", "true"), passes(token(nil), user)),
		"unconfirmed": forbidden(jwtgate.Claim("email_verified", "true"), token(jwt.MapClaims{"email_verified": false})),

		"another application": refused(token(jwt.MapClaims{"aud": "1234987819200-cd34.apps.googleusercontent.com"}), "audience"),
		"another domain":      refused(token(jwt.MapClaims{"hd": "example.org"}), "claim"),
		"personal account":    refused(token(jwt.MapClaims{"hd": nil}), "claim"),
		"service account":     refused(token(serviceAccount), "claim"),
		"issuer with a slash": refused(token(jwt.MapClaims{"iss": "https://accounts.google.com/"}), "issuer"),
		"Firebase token":      refused(token(firebase), "issuer"),
		"not Google's key":    refused(maker.withKey(theirs(), "").token(nil), "signature"),
		"a key nobody has":    refused(maker.withKey(theirs(), "6f6d").token(nil), "unknown_key"),
		"access token":        refused("ya29.a0AfH6SMBx3Zk1Vn7dQw4lGm0", "malformed"),
		"no audience":         refused(token(jwt.MapClaims{"aud": nil}), "audience"),
	})
}
