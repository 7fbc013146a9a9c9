package jwtgate_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

func TestVerifyReadsEveryClaim(t *testing.T) {
	t.Parallel()
	gate := newGate(t)
	got, err := gate.Verify(t.Context(), sign("HS256", secret, `{"alg":"HS256","kid":"any","typ":"at+jwt"}`, `{
		"iss": "https:\/\/auth.example.com\/", "sub": "\u0061lice", "jti": "id", "client_id": "web", "azp": "other",
		"aud": ["https://other.example.com", "https://api.example.com"],
		"scope": " a  b ", "scp": ["c d", "e"],
		"exp": 1767227400.25e0, "nbf": 1767225600.5, "iat": 1767225600, "extra": {"deep": [1]}
	}`))
	require.NoError(t, err)
	assert.Equal(t, issuer, got.Issuer)
	assert.Equal(t, "alice", got.Subject)
	assert.Equal(t, "id", got.ID)
	assert.Equal(t, "web", got.ClientID)
	assert.Equal(t, []string{"https://other.example.com", audience}, got.Audience)
	assert.Equal(t, []string{"a", "b", "c d", "e"}, got.Scopes)
	assert.Equal(t, time.Unix(1767227400, 250e6).UTC(), got.Expires)
	assert.Equal(t, time.Unix(1767225600, 500e6).UTC(), got.NotBefore)
	assert.Equal(t, time.Unix(1767225600, 0).UTC(), got.IssuedAt)
	assert.Equal(t, "at+jwt", got.Type)

	got, err = gate.Verify(t.Context(), hs256Token(map[string]any{"azp": "other"}))
	require.NoError(t, err)
	assert.Equal(t, "other", got.ClientID)
	assert.Zero(t, got.NotBefore)
}

// The lists of a Token have what the claims say, in the order of the token, for any number of
// elements, and each request has lists of its own.
func TestTokenLists(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		return []string{"a", "read", "orders:write", "\u00e9", `quote " and \`, ""}[random.IntN(6)]
	}
	list := func() []string {
		words := make([]string, random.IntN(7))
		for i := range words {
			words[i] = word()
		}
		return words
	}
	anyAudience := func(o *jwtgate.Options) { o.AnyAudience, o.Audiences = true, nil }
	cached := newGate(t, anyAudience, func(o *jwtgate.Options) { o.CacheSize = 10 })
	uncached := newGate(t, anyAudience)
	for range 1_000 {
		var members []string
		add := func(name string, value any) {
			written := string(must(json.Marshal(value)))
			if random.IntN(3) == 0 {
				written = strings.ReplaceAll(written, "e", `\u0065`)
			}
			members = append(members, `"`+name+`":`+written)
		}
		for name, value := range claimsWith(map[string]any{"aud": nil, "scope": nil}) { // in random order
			add(name, value)
		}
		var audience, scopes []string
		claims := []string{"aud", "scope", "scp"}
		random.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
		for _, name := range claims {
			var value any
			var elements []string
			switch random.IntN(4) {
			case 0:
				continue
			case 1:
				elements = list()
				value = elements
			default:
				text := strings.Join(list(), " ")
				value, elements = text, []string{text}
				if name != "aud" {
					elements = slices.DeleteFunc(strings.Split(text, " "), func(s string) bool { return s == "" })
				}
			}
			if add(name, value); name == "aud" {
				audience = append(audience, elements...)
			} else {
				scopes = append(scopes, elements...)
			}
		}
		token := sign("HS256", secret, `{"alg":"HS256"}`, "{"+strings.Join(members, ",")+"}")
		for _, gate := range []*jwtgate.Gate{uncached, cached, cached} {
			got, err := gate.Verify(t.Context(), token)
			require.NoError(t, err)
			require.Equal(t, audience, got.Audience, "%s", members)
			require.Equal(t, scopes, got.Scopes, "%s", members)
			_ = append(got.Audience, "appended")
			require.Equal(t, scopes, got.Scopes, "the lists do not share memory")
			for _, list := range [][]string{append(got.Audience, "changed"), append(got.Scopes, "changed")} {
				for i := range list {
					list[i] = "changed"
				}
			}
		}
	}
}

func TestVerifyClaims(t *testing.T) {
	t.Parallel()
	unix := func(d time.Duration) int64 { return now.Add(d).Unix() }
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	type change = func(*jwtgate.Options)
	var (
		none            change = func(*jwtgate.Options) {}
		noLeeway        change = func(o *jwtgate.Options) { o.Leeway = -1 }
		noExpiry        change = func(o *jwtgate.Options) { o.AllowNoExpiry = true }
		endless         change = func(o *jwtgate.Options) { o.MaxAge = math.MaxInt64 }
		maxAge          change = func(o *jwtgate.Options) { o.MaxAge = 10 * time.Minute; o.Leeway = -1 }
		maxAgeAndLeeway change = func(o *jwtgate.Options) { o.MaxAge = 10 * time.Minute }
		anyIssuer       change = func(o *jwtgate.Options) { o.Issuers = nil; o.AnyIssuer = true }
		trust           change = func(o *jwtgate.Options) {
			o.Issuers = nil
			o.TrustIssuer = func(s string) bool { return strings.HasSuffix(s, ".example.com/") }
		}
		anyAud     change = func(o *jwtgate.Options) { o.Audiences = []string{}; o.AnyAudience = true }
		noSubject  change = func(o *jwtgate.Options) { o.AllowNoSubject = true }
		idIsUser   change = func(o *jwtgate.Options) { o.SubjectClaim = "id" }
		subIsUser  change = func(o *jwtgate.Options) { o.SubjectClaim = "sub" }
		noID       change = func(o *jwtgate.Options) { o.SubjectClaim = "id"; o.AllowNoSubject = true }
		typesAre          = func(types ...string) change { return func(o *jwtgate.Options) { o.Types = types } }
		rfc9068    change = func(o *jwtgate.Options) { o.RFC9068 = true; o.SubjectClaim = "uid" }
		confirmYes change = func(o *jwtgate.Options) {
			confirmBy(o, func(*http.Request, *jwtgate.Token) error { return nil })
		}
		confirmNo change = func(o *jwtgate.Options) {
			confirmBy(o, func(*http.Request, *jwtgate.Token) error { return errors.New("not his key") })
		}
		confirmOnly change = func(o *jwtgate.Options) {
			confirmBy(o, func(*http.Request, *jwtgate.Token) error { return nil })
			o.AllowUnbound = false
		}
		long = strings.Repeat("s", 1024)
	)
	for _, tt := range []struct {
		name    string
		options change
		claims  map[string]any
		err     error // nil: accepted
	}{
		// acceptance 34
		{"exp missing", none, map[string]any{"exp": nil}, jwtgate.ErrClaim},
		{"exp missing, allowed", noExpiry, map[string]any{"exp": nil}, nil},
		{"exp passed, absence allowed", noExpiry, map[string]any{"exp": unix(-time.Hour)}, jwtgate.ErrExpired},
		{"exp zero", noExpiry, map[string]any{"exp": 0}, jwtgate.ErrExpired},
		{"exp at the leeway", none, map[string]any{"exp": unix(-30 * time.Second)}, jwtgate.ErrExpired},
		{"exp within the leeway", none, map[string]any{"exp": unix(-29 * time.Second)}, nil},
		{"exp now, no leeway", noLeeway, map[string]any{"exp": unix(0)}, jwtgate.ErrExpired},
		{"exp in a second, no leeway", noLeeway, map[string]any{"exp": unix(time.Second)}, nil},
		{"exp half a second ago, no leeway", noLeeway, map[string]any{"exp": float64(unix(0)) - 0.5}, jwtgate.ErrExpired},
		{"exp in half a second, no leeway", noLeeway, map[string]any{"exp": float64(unix(0)) + 0.5}, nil},
		{"exp far ahead", none, map[string]any{"exp": int64(253402300799)}, nil},
		// acceptance 35
		{"nbf ahead", none, map[string]any{"nbf": unix(31 * time.Second)}, jwtgate.ErrNotYetValid},
		{"nbf within the leeway", none, map[string]any{"nbf": unix(30 * time.Second)}, nil},
		{"nbf ahead, no leeway", noLeeway, map[string]any{"nbf": unix(time.Second)}, jwtgate.ErrNotYetValid},
		{"iat ahead", none, map[string]any{"iat": unix(31 * time.Second)}, jwtgate.ErrNotYetValid},
		{"iat within the leeway", none, map[string]any{"iat": unix(30 * time.Second)}, nil},
		{"iat missing", none, map[string]any{"iat": nil}, nil},
		{"MaxAge reached", maxAge, map[string]any{"iat": unix(-10 * time.Minute)}, nil},
		{"MaxAge exceeded", maxAge, map[string]any{"iat": unix(-10*time.Minute - time.Second)}, jwtgate.ErrExpired},
		{"MaxAge exceeded within the leeway", maxAgeAndLeeway, map[string]any{"iat": unix(-10*time.Minute - 30*time.Second)}, nil},
		{"MaxAge exceeded beyond the leeway", maxAgeAndLeeway, map[string]any{"iat": unix(-10*time.Minute - 31*time.Second)}, jwtgate.ErrExpired},
		{"MaxAge of centuries", endless, map[string]any{"iat": 0}, nil},
		{"MaxAge without iat", maxAge, map[string]any{"iat": nil}, jwtgate.ErrClaim},
		// acceptance 36
		{"exp a string", none, map[string]any{"exp": "1767229200"}, jwtgate.ErrClaim},
		{"exp null", noExpiry, map[string]any{"exp": raw("null")}, jwtgate.ErrClaim},
		{"exp true", none, map[string]any{"exp": true}, jwtgate.ErrClaim},
		{"exp an array", none, map[string]any{"exp": []int{1767229200}}, jwtgate.ErrClaim},
		{"exp NaN", none, map[string]any{"exp": "NaN"}, jwtgate.ErrClaim},
		{"exp negative", none, map[string]any{"exp": -1}, jwtgate.ErrClaim},
		{"exp beyond the year 9999", none, map[string]any{"exp": int64(253402300800)}, jwtgate.ErrClaim},
		{"exp just beyond the year 9999", none, map[string]any{"exp": raw("253402300799.5")}, jwtgate.ErrClaim},
		{"exp 1e300", none, map[string]any{"exp": raw("1e300")}, jwtgate.ErrClaim},
		{"exp 1e400", none, map[string]any{"exp": raw("1e400")}, jwtgate.ErrMalformed},
		{"exp of many digits", none, map[string]any{"exp": raw("99999999999999999999")}, jwtgate.ErrClaim},
		{"exp with an exponent", none, map[string]any{"exp": raw("1.7672292e9")}, nil},
		{"nbf 1e300", none, map[string]any{"nbf": raw("1e300")}, jwtgate.ErrClaim},
		{"nbf -1e300", none, map[string]any{"nbf": raw("-1e300")}, jwtgate.ErrClaim},
		{"nbf a string", none, map[string]any{"nbf": "0"}, jwtgate.ErrClaim},
		{"iat a string", none, map[string]any{"iat": "0"}, jwtgate.ErrClaim},
		{"iat an object", none, map[string]any{"iat": map[string]any{}}, jwtgate.ErrClaim},
		{"iat zero", none, map[string]any{"iat": 0}, nil},
		{"nbf minus zero", none, map[string]any{"nbf": raw("-0")}, nil},
		// acceptance 37
		{"iss missing", none, map[string]any{"iss": nil}, jwtgate.ErrIssuer},
		{"iss empty", none, map[string]any{"iss": ""}, jwtgate.ErrIssuer},
		{"iss of another", none, map[string]any{"iss": "https://evil.example/"}, jwtgate.ErrIssuer},
		{"iss without slash", none, map[string]any{"iss": "https://auth.example.com"}, jwtgate.ErrIssuer},
		{"iss with port", none, map[string]any{"iss": "https://auth.example.com:443/"}, jwtgate.ErrIssuer},
		{"iss in upper case", none, map[string]any{"iss": "https://AUTH.example.com/"}, jwtgate.ErrIssuer},
		{"iss with a longer host", none, map[string]any{"iss": "https://auth.example.com/.evil.example"}, jwtgate.ErrIssuer},
		{"iss with a look-alike", none, map[string]any{"iss": "https://\u0430uth.example.com/"}, jwtgate.ErrIssuer},
		{"iss an array", none, map[string]any{"iss": []string{issuer}}, jwtgate.ErrIssuer},
		{"iss a number", none, map[string]any{"iss": 1}, jwtgate.ErrIssuer},
		{"iss null", none, map[string]any{"iss": raw("null")}, jwtgate.ErrIssuer},
		{"iss very long", none, map[string]any{"iss": strings.Repeat("i", 8000)}, jwtgate.ErrIssuer},
		{"iss long by escapes", trust, map[string]any{"iss": raw(`"` + strings.Repeat(`\u0069`, 1025) + `"`)}, jwtgate.ErrIssuer},
		{"iss within another claim", none, map[string]any{"iss": nil, "a": map[string]any{"iss": issuer}}, jwtgate.ErrIssuer},
		{"iss empty, all approved", func(o *jwtgate.Options) { o.Issuers = nil; o.TrustIssuer = func(string) bool { return true } }, map[string]any{"iss": ""}, jwtgate.ErrIssuer},
		{"iss missing, any allowed", anyIssuer, map[string]any{"iss": nil}, nil},
		{"iss a number, any allowed", anyIssuer, map[string]any{"iss": 1}, jwtgate.ErrIssuer},
		{"iss approved", trust, map[string]any{"iss": "https://tenant-7.example.com/"}, nil},
		{"iss of 1024 bytes approved", trust, map[string]any{"iss": strings.Repeat("i", 1011) + ".example.com/"}, nil},
		{"iss of 1025 bytes approved", trust, map[string]any{"iss": strings.Repeat("i", 1012) + ".example.com/"}, jwtgate.ErrIssuer},
		{"iss not approved", trust, map[string]any{"iss": "https://tenant-7.example.com"}, jwtgate.ErrIssuer},
		// acceptance 38
		{"aud missing", none, map[string]any{"aud": nil}, jwtgate.ErrAudience},
		{"aud empty", none, map[string]any{"aud": ""}, jwtgate.ErrAudience},
		{"aud of another", none, map[string]any{"aud": "https://other.example.com"}, jwtgate.ErrAudience},
		{"aud with ours as prefix", none, map[string]any{"aud": audience + ".evil.example"}, jwtgate.ErrAudience},
		{"aud as prefix of ours", none, map[string]any{"aud": "https://api"}, jwtgate.ErrAudience},
		{"aud in another case", none, map[string]any{"aud": strings.ToUpper(audience)}, jwtgate.ErrAudience},
		{"aud with a slash", none, map[string]any{"aud": audience + "/"}, jwtgate.ErrAudience},
		{"aud separated by spaces", none, map[string]any{"aud": audience + " x"}, jwtgate.ErrAudience},
		{"aud array with ours", none, map[string]any{"aud": []string{"x", audience}}, nil},
		{"aud array without ours", none, map[string]any{"aud": []string{"x", "y"}}, jwtgate.ErrAudience},
		{"aud empty array", none, map[string]any{"aud": []string{}}, jwtgate.ErrAudience},
		{"aud nested", none, map[string]any{"aud": [][]string{{audience}}}, jwtgate.ErrAudience},
		{"aud array with a number", none, map[string]any{"aud": []any{audience, 1}}, jwtgate.ErrAudience},
		{"aud an object", none, map[string]any{"aud": map[string]any{audience: true}}, jwtgate.ErrAudience},
		{"aud a number", none, map[string]any{"aud": 1}, jwtgate.ErrAudience},
		{"aud null", none, map[string]any{"aud": raw("null")}, jwtgate.ErrAudience},
		{"aud missing, any allowed", anyAud, map[string]any{"aud": nil}, nil},
		{"aud of another, any allowed", anyAud, map[string]any{"aud": "x"}, nil},
		{"aud a number, any allowed", anyAud, map[string]any{"aud": 1}, jwtgate.ErrAudience},
		// acceptance 39
		{"sub missing", none, map[string]any{"sub": nil}, jwtgate.ErrClaim},
		{"sub empty", none, map[string]any{"sub": ""}, jwtgate.ErrClaim},
		{"sub a number", none, map[string]any{"sub": 42}, jwtgate.ErrClaim},
		{"sub null", none, map[string]any{"sub": raw("null")}, jwtgate.ErrClaim},
		{"sub an array", none, map[string]any{"sub": []string{"alice"}}, jwtgate.ErrClaim},
		{"sub of 1024 bytes", none, map[string]any{"sub": long}, nil},
		{"sub of 1025 bytes", none, map[string]any{"sub": long + "s"}, jwtgate.ErrClaim},
		{"sub missing, allowed", noSubject, map[string]any{"sub": nil}, nil},
		{"sub empty, absence allowed", noSubject, map[string]any{"sub": ""}, nil},
		{"sub null, absence allowed", noSubject, map[string]any{"sub": raw("null")}, nil},
		{"sub an array, absence allowed", noSubject, map[string]any{"sub": []string{}}, jwtgate.ErrClaim},
		{"sub false, absence allowed", noSubject, map[string]any{"sub": false}, jwtgate.ErrClaim},
		{"id empty, absence allowed", noID, map[string]any{"id": ""}, nil},
		{"id null, absence allowed", noID, map[string]any{"id": raw("null")}, nil},
		{"id empty", idIsUser, map[string]any{"id": ""}, jwtgate.ErrClaim},
		{"id null", idIsUser, map[string]any{"id": raw("null")}, jwtgate.ErrClaim},
		{"sub an integer, named", subIsUser, map[string]any{"sub": 42}, nil},
		{"sub a fraction, named", subIsUser, map[string]any{"sub": raw("42.0")}, jwtgate.ErrClaim},
		{"sub with an exponent, named", subIsUser, map[string]any{"sub": raw("42e0")}, jwtgate.ErrClaim},
		{"sub negative, named", subIsUser, map[string]any{"sub": -42}, jwtgate.ErrClaim},
		{"sub a long fraction, named", subIsUser, map[string]any{"sub": raw("0." + strings.Repeat("1", 1025))}, jwtgate.ErrClaim},
		{"sub missing, named", subIsUser, map[string]any{"sub": nil}, jwtgate.ErrClaim},
		{"sub a number, absence allowed", noSubject, map[string]any{"sub": 42}, jwtgate.ErrClaim},
		{"id a string", idIsUser, map[string]any{"id": "u1", "sub": nil}, nil},
		{"id an integer", idIsUser, map[string]any{"id": raw("90071992547409931"), "sub": nil}, nil},
		{"id zero", idIsUser, map[string]any{"id": 0}, nil},
		{"id negative", idIsUser, map[string]any{"id": -1}, jwtgate.ErrClaim},
		{"id with a fraction", idIsUser, map[string]any{"id": raw("42.0")}, jwtgate.ErrClaim},
		{"id with an exponent", idIsUser, map[string]any{"id": raw("42e0")}, jwtgate.ErrClaim},
		{"id true", idIsUser, map[string]any{"id": true}, jwtgate.ErrClaim},
		{"id missing", idIsUser, nil, jwtgate.ErrClaim},
		// acceptance 40
		{"RFC9068", rfc9068, map[string]any{"client_id": "web", "uid": 7}, nil},
		{"RFC9068 without iss", rfc9068, map[string]any{"client_id": "web", "uid": 7, "iss": nil}, jwtgate.ErrIssuer},
		{"RFC9068 without exp", rfc9068, map[string]any{"client_id": "web", "uid": 7, "exp": nil}, jwtgate.ErrClaim},
		{"RFC9068 without aud", rfc9068, map[string]any{"client_id": "web", "uid": 7, "aud": nil}, jwtgate.ErrAudience},
		{"RFC9068 without sub", rfc9068, map[string]any{"client_id": "web", "uid": 7, "sub": nil}, jwtgate.ErrClaim},
		{"RFC9068 with sub a number", rfc9068, map[string]any{"client_id": "web", "uid": 7, "sub": 1}, jwtgate.ErrClaim},
		{"RFC9068 with sub null", rfc9068, map[string]any{"client_id": "web", "uid": 7, "sub": raw("null")}, jwtgate.ErrClaim},
		{"RFC9068 with sub empty", rfc9068, map[string]any{"client_id": "web", "uid": 7, "sub": ""}, jwtgate.ErrClaim},
		{"RFC9068 with sub an integer, named", func(o *jwtgate.Options) { o.RFC9068 = true; o.SubjectClaim = "sub" }, map[string]any{"client_id": "web", "sub": 7}, jwtgate.ErrClaim},
		{"RFC9068 with client_id null", rfc9068, map[string]any{"client_id": raw("null"), "azp": "web", "uid": 7}, jwtgate.ErrClaim},
		{"RFC9068 with jti null", rfc9068, map[string]any{"client_id": "web", "uid": 7, "jti": raw("null")}, jwtgate.ErrClaim},
		{"RFC9068 without client_id", rfc9068, map[string]any{"uid": 7}, jwtgate.ErrClaim},
		{"RFC9068 with client_id empty", rfc9068, map[string]any{"client_id": "", "uid": 7}, jwtgate.ErrClaim},
		{"RFC9068 with azp for client_id", rfc9068, map[string]any{"azp": "web", "uid": 7}, jwtgate.ErrClaim},
		{"RFC9068 without iat", rfc9068, map[string]any{"client_id": "web", "uid": 7, "iat": nil}, jwtgate.ErrClaim},
		{"RFC9068 without jti", rfc9068, map[string]any{"client_id": "web", "uid": 7, "jti": nil}, jwtgate.ErrClaim},
		// acceptance 39: null counts as absent in these claims, and in no other.
		{"jti null", none, map[string]any{"jti": raw("null")}, nil},
		{"azp null", none, map[string]any{"azp": raw("null")}, nil},
		{"client_id null", none, map[string]any{"client_id": raw("null"), "azp": "web"}, nil},
		{"scope null", none, map[string]any{"scope": raw("null")}, nil},
		{"scp null", none, map[string]any{"scp": raw("null")}, nil},
		{"scope with null", none, map[string]any{"scope": []any{"a", nil}}, jwtgate.ErrClaim},
		{"nbf null", none, map[string]any{"nbf": raw("null")}, jwtgate.ErrClaim},
		{"iat null", none, map[string]any{"iat": raw("null")}, jwtgate.ErrClaim},
		{"aud with null", none, map[string]any{"aud": []any{audience, nil}}, jwtgate.ErrAudience},
		{"aud null, any allowed", anyAud, map[string]any{"aud": raw("null")}, jwtgate.ErrAudience},
		{"iss null, any allowed", anyIssuer, map[string]any{"iss": raw("null")}, jwtgate.ErrIssuer},
		// acceptance 62
		{"events", none, map[string]any{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}, jwtgate.ErrType},
		{"events empty", none, map[string]any{"events": map[string]any{}}, jwtgate.ErrType},
		{"events null", none, map[string]any{"events": raw("null")}, jwtgate.ErrType},
		{"events, default types listed", typesAre("", "JWT", "application/AT+jwt"), map[string]any{"events": 1}, jwtgate.ErrType},
		{"events, RFC9068", rfc9068, map[string]any{"client_id": "web", "uid": 7, "events": 1}, jwtgate.ErrType},
		{"events, another type listed", typesAre("at+jwt", "secevent+jwt"), map[string]any{"events": 1}, nil},
		{"events inside another claim", none, map[string]any{"x": map[string]any{"events": 1}}, nil},
		{"Events", none, map[string]any{"Events": 1}, nil},
		// The other claims that Token has fields for
		{"jti a number", none, map[string]any{"jti": 1}, jwtgate.ErrClaim},
		{"client_id an array", none, map[string]any{"client_id": []string{"web"}}, jwtgate.ErrClaim},
		{"azp a number", none, map[string]any{"azp": 1}, jwtgate.ErrClaim},
		{"scope a number", none, map[string]any{"scope": 1}, jwtgate.ErrClaim},
		{"scope an array", none, map[string]any{"scope": []string{"a"}}, nil},
		{"scp with a number", none, map[string]any{"scp": []any{"a", 1}}, jwtgate.ErrClaim},
		// acceptance 44
		{"cnf", none, map[string]any{"cnf": map[string]any{"jkt": "x"}}, jwtgate.ErrClaim},
		{"cnf empty", none, map[string]any{"cnf": map[string]any{}}, jwtgate.ErrClaim},
		{"cnf null", none, map[string]any{"cnf": raw("null")}, jwtgate.ErrClaim},
		{"cnf a string", none, map[string]any{"cnf": "x"}, jwtgate.ErrClaim},
		{"cnf confirmed", confirmYes, map[string]any{"cnf": map[string]any{"jkt": "x"}}, nil},
		// acceptance 83
		{"cnf null, Confirm set", confirmYes, map[string]any{"cnf": raw("null")}, jwtgate.ErrClaim},
		{"cnf a string, Confirm set", confirmYes, map[string]any{"cnf": "x"}, jwtgate.ErrClaim},
		{"cnf an array, Confirm set", confirmYes, map[string]any{"cnf": []any{map[string]any{"jkt": "x"}}}, jwtgate.ErrClaim},
		{"cnf empty, Confirm set", confirmYes, map[string]any{"cnf": map[string]any{}}, jwtgate.ErrClaim},
		{"cnf with two members", confirmYes, map[string]any{"cnf": map[string]any{"jkt": "x", "x5t#S256": "y"}}, jwtgate.ErrClaim},
		{"cnf with a member that nobody checks", confirmYes, map[string]any{"cnf": map[string]any{"kid": "x"}}, jwtgate.ErrClaim},
		{"cnf with a member in another case", confirmYes, map[string]any{"cnf": map[string]any{"JKT": "x"}}, jwtgate.ErrClaim},
		{"cnf with a number", confirmYes, map[string]any{"cnf": map[string]any{"jkt": 1}}, jwtgate.ErrClaim},
		{"cnf with null", confirmYes, map[string]any{"cnf": map[string]any{"jkt": raw("null")}}, jwtgate.ErrClaim},
		{"no cnf, Confirm set", confirmOnly, nil, jwtgate.ErrClaim},
		// acceptance 89
		{"act", none, map[string]any{"act": map[string]any{"sub": "app", "act": map[string]any{"sub": 1}}}, nil},
		{"act without sub", none, map[string]any{"act": map[string]any{"iss": "x"}}, nil},
		{"act a string", none, map[string]any{"act": "app"}, jwtgate.ErrClaim},
		{"act null", none, map[string]any{"act": raw("null")}, jwtgate.ErrClaim},
		{"act an array", none, map[string]any{"act": []any{}}, jwtgate.ErrClaim},
		{"sub of act a number", none, map[string]any{"act": map[string]any{"sub": 1}}, jwtgate.ErrClaim},
		{"sub of act null", none, map[string]any{"act": map[string]any{"sub": raw("null")}}, jwtgate.ErrClaim},
		{"no cnf, Confirm not asked", confirmNo, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header := `{"alg":"HS256","typ":"at+jwt"}`
			for _, cache := range []int{0, 16} {
				gate := newGate(t, tt.options, func(o *jwtgate.Options) { o.CacheSize = cache })
				for range 2 {
					got, err := gate.Verify(t.Context(), sign("HS256", secret, header, claimsJSON(tt.claims)))
					if tt.err == nil {
						require.NoError(t, err)
						require.NotNil(t, got)
						continue
					}
					e := requireRefused(t, err, http.StatusUnauthorized, tt.err)
					assert.Equal(t, "invalid_token", e.Code)
					assert.Nil(t, got)
				}
			}
		})
	}

	t.Run("confirmed each time", func(t *testing.T) {
		t.Parallel()
		// acceptance 44: Confirm is called for remembered tokens too.
		his := true
		gate := newGate(t, func(o *jwtgate.Options) {
			o.CacheSize = 16
			confirmBy(o, func(*http.Request, *jwtgate.Token) error {
				if !his {
					return errors.New("not his key")
				}
				return nil
			})
		})
		token := hs256Token(map[string]any{"cnf": map[string]any{"jkt": "x"}})
		for _, his = range []bool{true, true, false} {
			_, err := gate.Verify(t.Context(), token)
			if his {
				require.NoError(t, err)
				continue
			}
			requireRefused(t, err, http.StatusUnauthorized, jwtgate.ErrClaim)
		}
	})

	t.Run("not confirmed", func(t *testing.T) { // acceptance 44
		t.Parallel()
		_, err := newGate(t, confirmNo).Verify(t.Context(), hs256Token(map[string]any{"cnf": map[string]any{"jkt": "x"}}))
		var e *jwtgate.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, http.StatusUnauthorized, e.Status)
	})
}

// Claims that are null are read as absent. acceptance 39
func TestVerifyReadsNullAsAbsent(t *testing.T) {
	t.Parallel()
	null := json.RawMessage("null")
	for _, named := range []string{"", "sub", "id"} {
		gate := newGate(t, func(o *jwtgate.Options) { o.AllowNoSubject, o.SubjectClaim = true, named })
		for _, nothing := range []any{null, ""} {
			got, err := gate.Verify(t.Context(), hs256Token(map[string]any{
				"sub": nothing, "id": nothing, "jti": null, "client_id": null, "azp": "web", "scope": null, "scp": []string{"a"},
			}))
			require.NoError(t, err)
			assert.Empty(t, got.Subject)
			assert.Empty(t, got.ID)
			assert.Equal(t, "web", got.ClientID)
			assert.Equal(t, []string{"a"}, got.Scopes)
		}
	}
	got, err := newGate(t).Verify(t.Context(), hs256Token(map[string]any{"azp": null, "scope": null}))
	require.NoError(t, err)
	assert.Empty(t, got.ClientID)
	assert.Empty(t, got.Scopes)
}

// The log says what a claim is and what it must be. acceptance 33
func TestClaimTexts(t *testing.T) {
	t.Parallel()
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	unix := func(d time.Duration) int64 { return now.Add(d).Unix() }
	long := strings.Repeat("\U0001f600", 300)
	for _, tt := range []struct {
		change func(*jwtgate.Options)
		claims map[string]any
		text   string
	}{
		{nil, map[string]any{"aud": []string{"a", "b c d"}}, `token for another audience: aud is ["a", "b c d"], this service is "https://api.example.com"`},
		{nil, map[string]any{"aud": "x " + audience}, `token for another audience: aud is "x https://api.example.com", this service is "https://api.example.com"; the list must be a JSON array`},
		{nil, map[string]any{"aud": audience + "/"}, `token for another audience: aud is "https://api.example.com/", this service is "https://api.example.com"; the only difference is the slash at the end`},
		{nil, map[string]any{"aud": strings.ToUpper(audience)}, `token for another audience: aud is "HTTPS://API.EXAMPLE.COM", this service is "https://api.example.com"; the only difference is upper and lower case`},
		{nil, map[string]any{"aud": audience + " "}, `token for another audience: aud is "https://api.example.com ", this service is "https://api.example.com"; the only difference is white space at the start or the end`},
		{nil, map[string]any{"aud": []string{"account", "api.example.com"}}, `token for another audience: aud is ["account", "api.example.com"], this service is "https://api.example.com"; the only difference is the scheme, such as https://`},
		{nil, map[string]any{"aud": nil}, `token for another audience: aud is missing or empty, and Options.AnyAudience is not set; this service is "https://api.example.com"`},
		{nil, map[string]any{"aud": strings.Split(strings.Repeat("audience ", 99)+"end", " ")}, `token for another audience: aud is ["audience", "audience", "audience", "audience", "audience", "audience" and 94 more], this service is "https://api.example.com"`},
		{func(o *jwtgate.Options) { o.Audiences = []string{"a", "b", strings.Repeat("c", 90)} }, map[string]any{"aud": long}, `token for another audience: aud is "` + strings.Repeat(`\U0001f600`, 8) + `\U0001...` + `, this service is "a", "b" and 1 more`},
		{nil, map[string]any{"aud": 1}, `token for another audience: aud is the number 1; it must be a string or an array of strings`},
		{nil, map[string]any{"aud": []any{audience, raw("null")}}, `token for another audience: aud has null among its elements; each must be a string`},
		{nil, map[string]any{"exp": raw("1795835026000")}, `claim not accepted: exp is 1795835026000, which looks like milliseconds; it must be seconds since 1970`},
		{nil, map[string]any{"exp": raw("1795835026000000")}, `claim not accepted: exp is 1795835026000000, which looks like microseconds; it must be seconds since 1970`},
		{nil, map[string]any{"iat": raw("1795835026000000000")}, `claim not accepted: iat is 1795835026000000000, which looks like nanoseconds; it must be seconds since 1970`},
		{nil, map[string]any{"exp": "1795835026"}, `claim not accepted: exp is the string "1795835026"; it must be a JSON number: the seconds since 1970`},
		{nil, map[string]any{"exp": raw("null")}, `claim not accepted: exp is null; it must be a JSON number: the seconds since 1970`},
		{nil, map[string]any{"nbf": raw("-1")}, `claim not accepted: nbf is -1; it must be from 0 to 253402300799: the seconds since 1970`},
		{nil, map[string]any{"nbf": raw(strings.Repeat("9", 300))}, `claim not accepted: nbf is ` + strings.Repeat("9", 29) + `...; it must be from 0 to 253402300799: the seconds since 1970`},
		{nil, map[string]any{"exp": nil}, `claim not accepted: exp is missing, and Options.AllowNoExpiry is not set`},
		{nil, map[string]any{"exp": unix(-45 * time.Second)}, `token expired: exp was 2026-01-01T00:29:15Z, 45s ago; the leeway is 30s`},
		{nil, map[string]any{"iat": unix(250 * time.Second)}, `token not yet valid: iat is 2026-01-01T00:34:10Z, 4m10s ahead of this machine's clock; the leeway is 30s`},
		{func(o *jwtgate.Options) { o.Leeway = -1 }, map[string]any{"nbf": unix(2 * time.Hour)}, `token not yet valid: nbf is 2026-01-01T02:30:00Z, 2h ahead of this machine's clock; the leeway is 0s`},
		{func(o *jwtgate.Options) { o.MaxAge = 10 * time.Minute }, map[string]any{"iat": unix(-11 * time.Minute)}, `token expired: iat was 2026-01-01T00:19:00Z, 11m ago, longer than MaxAge, which is 10m`},
		{nil, map[string]any{"sub": 42}, `claim not accepted: the subject, "sub", is the number 42; it must be a string, or set Options.SubjectClaim to "sub" to accept integers`},
		{nil, map[string]any{"sub": ""}, `claim not accepted: the subject, "sub", is missing, null or empty; Options.SubjectClaim names the top-level claim that has the user's ID, Options.AllowNoSubject accepts tokens without one`},
		{nil, map[string]any{"sub": raw("null")}, `claim not accepted: the subject, "sub", is missing, null or empty; Options.SubjectClaim names the top-level claim that has the user's ID, Options.AllowNoSubject accepts tokens without one`},
		{nil, map[string]any{"sub": nil}, `claim not accepted: the subject, "sub", is missing, null or empty; Options.SubjectClaim names the top-level claim that has the user's ID, Options.AllowNoSubject accepts tokens without one`},
		{nil, map[string]any{"sub": long}, `claim not accepted: the subject, "sub", has more than 1024 bytes`},
		{func(o *jwtgate.Options) { o.SubjectClaim = "id" }, map[string]any{"id": -1}, `claim not accepted: the subject, "id", is the number -1; it must be a string or an integer from 0 on`},
		{nil, map[string]any{"jti": []int{1}}, `claim not accepted: jti is an array; it must be a string`},
		{nil, map[string]any{"scope": []any{"a", 1.5}}, `claim not accepted: scope has the number 1.5 among its elements; each must be a string`},
		{nil, map[string]any{"events": 1}, `token type not accepted: the token has events: it is a security event or a logout token (RFC 8417 section 2), not an access token`},
	} {
		var changes []func(*jwtgate.Options)
		if tt.change != nil {
			changes = append(changes, tt.change)
		}
		_, err := newGate(t, changes...).Verify(t.Context(), hs256Token(tt.claims))
		var e *jwtgate.Error
		require.ErrorAs(t, err, &e)
		assert.EqualError(t, e.Err, tt.text)
		assert.Less(t, len(err.Error()), 256)
	}
}

// Token.Subject is the claim that SubjectClaim names. A whole number becomes its decimal text.
// acceptance 39
func TestVerifySubjectClaim(t *testing.T) {
	t.Parallel()
	gate := newGate(t, func(o *jwtgate.Options) { o.SubjectClaim = "id" })
	for want, id := range map[string]any{"u1": "u1", "42": 42, "0": 0, "90071992547409931": json.RawMessage("90071992547409931")} {
		got, err := gate.Verify(t.Context(), hs256Token(map[string]any{"id": id}))
		require.NoError(t, err)
		assert.Equal(t, want, got.Subject)
	}
	gate = newGate(t, func(o *jwtgate.Options) { o.SubjectClaim = "sub" })
	got, err := gate.Verify(t.Context(), hs256Token(map[string]any{"sub": json.RawMessage("90071992547409931")}))
	require.NoError(t, err)
	assert.Equal(t, "90071992547409931", got.Subject)
}
