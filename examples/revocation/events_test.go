package main

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// post sends a body and returns the answer and its body.
func (s *service) post(path, contentType, body string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "POST", s.server.URL+path, strings.NewReader(body))
	require.NoError(s.t, err)
	r.Header.Set("Content-Type", contentType)
	response, err := s.server.Client().Do(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return response, string(text)
}

const (
	form     = "application/x-www-form-urlencoded"
	secevent = "application/secevent+jwt"
)

// merge returns the claims with changes. The value nil removes a claim.
func merge(claims, changes map[string]any) map[string]any {
	all := map[string]any{}
	for _, m := range []map[string]any{claims, changes} {
		for name, value := range m {
			all[name] = value
		}
	}
	return all
}

func TestBackChannelLogout(t *testing.T) {
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, 100)
	now := time.Now()
	logout := func(changes map[string]any) map[string]any {
		return merge(map[string]any{
			"aud": clientID, "iat": now.Add(-10 * time.Second), "exp": now.Add(2 * time.Minute), "sid": "08a5019c",
			"events": map[string]any{logoutEvent: map[string]any{}},
		}, changes)
	}
	typ := map[string]any{"typ": "logout+jwt"}
	for name, test := range map[string]struct {
		token  string
		status int
	}{
		"good":                       {s.issuer.Sign(typ, logout(nil)), 200},
		"sent again":                 {s.issuer.Sign(typ, logout(nil)), 200},
		"forged":                     {s.issuer.Forge(typ, logout(nil)), 400},
		"access token":               {s.issuer.Token(nil), 400},
		"access token for us":        {s.issuer.Token(map[string]any{"aud": clientID}), 400},
		"ID token":                   {s.issuer.Token(map[string]any{"aud": clientID, "nonce": "x"}), 400},
		"typ of an access token":     {s.issuer.Sign(nil, logout(nil)), 400},
		"for another client":         {s.issuer.Sign(typ, logout(map[string]any{"aud": "shop"})), 400},
		"of another issuer":          {s.issuer.Sign(typ, logout(map[string]any{"iss": "https://evil.example/"})), 400},
		"only a session":             {s.issuer.Sign(typ, logout(map[string]any{"sub": nil})), 400},
		"no events":                  {s.issuer.Sign(typ, logout(map[string]any{"events": nil})), 400},
		"another event":              {s.issuer.Sign(typ, logout(map[string]any{"events": map[string]any{"x": map[string]any{}}})), 400},
		"with a nonce":               {s.issuer.Sign(typ, logout(map[string]any{"nonce": "x"})), 400},
		"without jti":                {s.issuer.Sign(typ, logout(map[string]any{"jti": nil})), 400},
		"without iat":                {s.issuer.Sign(typ, logout(map[string]any{"iat": nil})), 400},
		"issued in the future":       {s.issuer.Sign(typ, logout(map[string]any{"iat": now.Add(time.Hour)})), 400},
		"expired":                    {s.issuer.Sign(typ, logout(map[string]any{"exp": now.Add(-time.Hour)})), 400},
		"none":                       {"", 400},
		"longer than it ever can be": {strings.Repeat("x", 64<<10), 400},
	} {
		t.Run(name, func(t *testing.T) {
			// Each case has its own user.
			user := strings.ReplaceAll(name, " ", "-")
			if name == "sent again" {
				user = "good"
			}
			before := s.issuer.Token(map[string]any{"sub": user, "iat": now.Add(-20 * time.Second)})
			after := s.issuer.Token(map[string]any{"sub": user, "iat": now})
			token := test.token
			if test.status == 200 {
				token = s.issuer.Sign(typ, logout(map[string]any{"sub": user}))
			}
			response, body := s.post("/backchannel-logout", form, url.Values{"logout_token": {token}}.Encode())
			assert.Equal(t, test.status, response.StatusCode, body)
			assert.Equal(t, "no-store", response.Header.Get("Cache-Control"))
			want := http.StatusOK
			if test.status == 200 {
				want = http.StatusUnauthorized
			}
			assert.Equal(t, want, s.status("GET /account", before))
			assert.Equal(t, http.StatusOK, s.status("GET /account", after), "issued after the logout")
		})
	}
	// No refused message has revoked anything of the user whom it named.
	assert.Equal(t, http.StatusOK, s.status("GET /account", s.issuer.Token(map[string]any{"iat": now.Add(-20 * time.Second)})))
	t.Run("in the URL", func(t *testing.T) {
		response, _ := s.post("/backchannel-logout?logout_token="+s.issuer.Sign(typ, logout(nil)), form, "")
		assert.Equal(t, http.StatusBadRequest, response.StatusCode)
	})
	t.Run("as an access token", func(t *testing.T) {
		assert.Equal(t, http.StatusUnauthorized, s.status("GET /account", s.issuer.Sign(typ, logout(map[string]any{"aud": s.issuer.Audience}))))
		assert.Equal(t, http.StatusUnauthorized, s.status("GET /account", s.issuer.Sign(nil, logout(map[string]any{"aud": s.issuer.Audience}))))
	})
}

func TestSecurityEvents(t *testing.T) {
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, 100)
	now := time.Now()
	const disabled = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"
	typ := map[string]any{"typ": "secevent+jwt"}
	event := func(changes map[string]any) map[string]any {
		return merge(map[string]any{
			"aud": eventAudience, "iat": now.Add(-10 * time.Second), "exp": nil, "sub": nil,
			"sub_id": map[string]any{"format": "iss_sub", "iss": s.issuer.URL, "sub": "mallory"},
			"events": map[string]any{disabled: map[string]any{"reason": "hijacking"}},
		}, changes)
	}
	user := func(iss, sub string) map[string]any {
		return map[string]any{"sub_id": map[string]any{"format": "iss_sub", "iss": iss, "sub": sub}}
	}
	for name, test := range map[string]struct {
		kind, body string
		status     int
		code       string
	}{
		"forged":               {secevent, s.issuer.Forge(typ, event(nil)), 400, "invalid_key"},
		"of another issuer":    {secevent, s.issuer.Sign(typ, event(map[string]any{"iss": "https://evil.example/"})), 400, "invalid_issuer"},
		"for another":          {secevent, s.issuer.Sign(typ, event(map[string]any{"aud": clientID})), 400, "invalid_audience"},
		"access token":         {secevent, s.issuer.Token(map[string]any{"aud": eventAudience}), 400, "invalid_request"},
		"typ JWT":              {secevent, s.issuer.Sign(nil, event(nil)), 400, "invalid_request"},
		"no token":             {secevent, "", 400, "invalid_request"},
		"too long":             {secevent, strings.Repeat("x", 64<<10), 400, "invalid_request"},
		"another content type": {"application/jwt", s.issuer.Sign(typ, event(nil)), 400, "invalid_request"},
		"user of somebody":     {secevent, s.issuer.Sign(typ, event(user("https://other.example/", "mallory"))), 400, "access_denied"},
		"no user":              {secevent, s.issuer.Sign(typ, event(map[string]any{"sub_id": nil})), 400, "invalid_request"},
		"empty user":           {secevent, s.issuer.Sign(typ, event(user(s.issuer.URL, ""))), 400, "invalid_request"},
		"user by address":      {secevent, s.issuer.Sign(typ, event(map[string]any{"sub_id": map[string]any{"format": "email", "email": "m@example.com"}})), 400, "invalid_request"},
		"another event":        {secevent, s.issuer.Sign(typ, event(map[string]any{"events": map[string]any{"https://example.com/greeting": map[string]any{}}})), 202, ""},
		"without jti":          {secevent, s.issuer.Sign(typ, event(map[string]any{"jti": nil})), 400, "invalid_request"},
		"very old":             {secevent, s.issuer.Sign(typ, event(map[string]any{"iat": now.Add(-48 * time.Hour)})), 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			response, body := s.post("/events", test.kind, test.body)
			assert.Equal(t, test.status, response.StatusCode)
			if test.code == "" {
				assert.Empty(t, body)
			} else {
				assert.JSONEq(t, `{"err":"`+test.code+`","description":"The event was not accepted."}`, body)
				assert.Equal(t, "en", response.Header.Get("Content-Language"))
			}
			assert.Equal(t, http.StatusOK, s.status("GET /account", s.issuer.Token(map[string]any{"sub": "mallory", "iat": now.Add(-20 * time.Second)})))
		})
	}
	before := s.issuer.Token(map[string]any{"sub": "mallory", "iat": now.Add(-20 * time.Second)})
	for range 2 { // the second time it is sent again
		response, body := s.post("/events", secevent, s.issuer.Sign(typ, event(nil)))
		assert.Equal(t, http.StatusAccepted, response.StatusCode)
		assert.Empty(t, body)
		assert.Equal(t, http.StatusUnauthorized, s.status("GET /account", before))
		assert.Equal(t, http.StatusOK, s.status("GET /account", s.issuer.Token(map[string]any{"sub": "mallory", "iat": now})))
	}
}

// During an outage of Redis or of the issuer no message counts as obeyed.
func TestMessagesInAnOutage(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	s := serve(t, redis.Addr, longPatience, 0)
	event := s.issuer.Sign(map[string]any{"typ": "secevent+jwt"}, map[string]any{
		"aud": eventAudience, "exp": nil, "sub_id": map[string]any{"format": "iss_sub", "iss": s.issuer.URL, "sub": "alice"},
		"events": map[string]any{revokingEvents[0]: map[string]any{}},
	})
	logout := url.Values{"logout_token": {s.issuer.Sign(map[string]any{"typ": "logout+jwt"}, map[string]any{
		"aud": clientID, "events": map[string]any{logoutEvent: map[string]any{}},
	})}}.Encode()
	outage := func() {
		response, _ := s.post("/events", secevent, event)
		assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
		assert.Equal(t, "5", response.Header.Get("Retry-After"))
		response, _ = s.post("/backchannel-logout", form, logout)
		assert.Equal(t, http.StatusBadRequest, response.StatusCode)
	}
	s.issuer.Down(503) // before its keys were fetched
	outage()
	s.issuer.Up()
	redis.Kill()
	outage()
	assert.NotContains(t, s.logged.String(), event)
}
