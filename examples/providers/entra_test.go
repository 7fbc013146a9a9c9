package providers_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/providers"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEntraID(t *testing.T) {
	t.Parallel()
	const (
		login      = "https://login.microsoftonline.com/"
		contoso    = "72f988bf-86f1-41af-91ab-2d7cd011db47"
		fabrikam   = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
		stranger   = "82229342-1101-4ab6-817b-70c0747630f3"
		otherCloud = "https://login.microsoftonline.us/" + contoso + "/v2.0"
		personal   = "9188040d-6c67-4c5b-b112-36a304b66dad"
		api        = "6e74172b-be56-4843-9ff4-e66a39bb12e3"
		user       = "690222be-ff1a-4d56-abd1-7e4f7d38e474"
	)
	customers := map[string]bool{contoso: true, fabrikam: true}
	isCustomer := func(tenantID string) bool { return customers[tenantID] }
	key := func(kid, issuer string) map[string]any { // no alg
		return map[string]any{"use": "sig", "kid": kid, "issuer": issuer, "cloud_instance_name": "microsoftonline.com"}
	}
	options := online(t, providers.EntraID(api, "access_as_user", isCustomer), map[string]any{
		login + "common/discovery/v2.0/keys": jwks(
			jwkWithCertificate(ours(), key("A1bC2dE3fH4iJ5kL6mN7oP8qR9sT0u", login+"{tenantid}/v2.0")),
			jwkWithCertificate(ours2(), key("E3fH4iJ5kL6mN7oP8qR9sT0uV1wX2y", login+personal+"/v2.0")),
		),
	})

	header := map[string]any{"typ": "JWT", "kid": "A1bC2dE3fH4iJ5kL6mN7oP8qR9sT0u"}
	claims := fresh(jwt.MapClaims{
		"aud": api, "iss": login + contoso + "/v2.0", "nbf": ago(time.Minute), "tid": contoso, "ver": "2.0",
		"oid": user, "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", "azp": "75dbe77f-10a3-4e59-85fd-8c127544f17c",
		"azpacr": "0", "name": "Abe Lincoln", "preferred_username": "abeli@contoso.example", "scp": "access_as_user Orders.Read",
		"uti": "fqiBqXLPj0eQa82S-IYFAA", "rh": "0.ARoA", "aio": "AXQAi/8IAAAAtAaZLo3ChMif6KOnttRB",
	})
	maker := tokenMaker{t, ours(), header, claims}
	token := maker.token
	of := func(tenantID string) jwt.MapClaims {
		return jwt.MapClaims{"iss": login + tenantID + "/v2.0", "tid": tenantID}
	}
	version1 := token(jwt.MapClaims{
		"iss": "https://sts.windows.net/" + contoso + "/", "aud": "api://" + api, "ver": "1.0",
		"azp": nil, "azpacr": nil, "appid": "75dbe77f-10a3-4e59-85fd-8c127544f17c", "appidacr": "0",
		"unique_name": "abeli@contoso.example",
	})
	idToken := token(jwt.MapClaims{"scp": nil, "azp": nil, "azpacr": nil, "nonce": "678910"})
	daemon := jwt.MapClaims{
		"scp": nil, "roles": []string{"Orders.Read.All"}, "idtyp": "app", "azpacr": "1", "name": nil, "preferred_username": nil,
		"oid": "0b3fd6d4-8c1e-4b8f-8a43-0f3a3f2c1d0e", "sub": "0b3fd6d4-8c1e-4b8f-8a43-0f3a3f2c1d0e",
	}
	withTheirKey := maker.withKey(ours2(), "E3fH4iJ5kL6mN7oP8qR9sT0uV1wX2y").token // of personal accounts

	require.NoError(t, options.Keys.(*keys.Remote).Refresh(t.Context(), ""), "as a program may do at start")
	visitAll(t, options, map[string]visit{
		"user":           passes(token(nil), user+" access_as_user Orders.Read"),
		"another tenant": passes(token(of(fabrikam)), user+" access_as_user Orders.Read"),
		"scope":          onRoute(jwtgate.Scope("Orders.Read"), passes(token(nil), user+" access_as_user Orders.Read")),
		"lacks scope":    forbidden(jwtgate.Scope("Orders.Write"), token(nil)),

		"no customer":                    refused(token(of(stranger)), "issuer"),
		"personal account":               refused(withTheirKey(of(personal)), "issuer"),
		"key of personal accounts":       refused(withTheirKey(nil), "unknown_key"),
		"version 1":                      refused(version1, "issuer"),
		"version 1 by path":              refused(token(jwt.MapClaims{"iss": login + contoso + "/"}), "issuer"),
		"tenant of another cloud":        refused(token(jwt.MapClaims{"iss": otherCloud}), "issuer"),
		"the template":                   refused(token(of("{tenantid}")), "issuer"),
		"no tenant":                      refused(token(of("")), "issuer"),
		"for Microsoft Graph":            refused(token(jwt.MapClaims{"aud": "00000003-0000-0000-c000-000000000000"}), "audience"),
		"for another API":                refused(token(jwt.MapClaims{"aud": "ef1da9d4-ff77-4c3e-a005-840c3f830745"}), "audience"),
		"ID token":                       refused(idToken, "claim"),
		"daemon":                         refused(token(daemon), "claim"),
		"without oid":                    refused(token(jwt.MapClaims{"oid": nil}), "claim"),
		"another key":                    refused(maker.withKey(theirs(), "").token(nil), "signature"),
		"another key of the same tenant": refused(maker.withKey(theirs(), "C2dE3fH4").token(nil), "unknown_key"),
	})

	t.Run("users of two tenants with one ID", func(t *testing.T) {
		gate, err := jwtgate.New(options)
		require.NoError(t, err)
		type userID struct{ issuer, subject string }
		users := map[userID]bool{}
		handler := gate.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			issuer, subject := jwtgate.Identity(r.Context())
			users[userID{issuer, subject}] = true
		}))
		for _, tenantID := range []string{contoso, fabrikam} {
			r := httptest.NewRequest(http.MethodGet, "https://api.example.com/", nil)
			r.Header.Set("Authorization", "Bearer "+token(of(tenantID)))
			handler.ServeHTTP(httptest.NewRecorder(), r)
		}
		assert.Equal(t, map[userID]bool{{login + contoso + "/v2.0", user}: true, {login + fabrikam + "/v2.0", user}: true}, users)
	})

	options.Rules = []jwtgate.Rule{jwtgate.AnyOf(jwtgate.Scope("access_as_user"), jwtgate.Claim("roles", "Orders.Read.All"))}
	t.Run("for daemons too", func(t *testing.T) {
		t.Parallel()
		visitAll(t, options, map[string]visit{
			"user":     passes(token(nil), user+" access_as_user Orders.Read"),
			"daemon":   passes(token(daemon), "0b3fd6d4-8c1e-4b8f-8a43-0f3a3f2c1d0e"),
			"ID token": refused(idToken, "claim"),
		})
	})
}
