package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var secret = []byte("a secret of this test and of nobody else")

const password = "correct horse"

// browse starts the site and returns it with a client that keeps cookies like a
// browser. The server uses TLS because the cookie is Secure.
func browse(t *testing.T) (*httptest.Server, *http.Client) {
	t.Helper()
	handler, err := newHandler(secret, password)
	require.NoError(t, err)
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	client := server.Client()
	client.Jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	return server, client
}

func send(t *testing.T, client *http.Client, method, address string, header http.Header, form url.Values) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	if header != nil {
		request.Header = header
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

func signIn(t *testing.T, server *httptest.Server, client *http.Client) *http.Cookie {
	t.Helper()
	response, body := send(t, client, "POST", server.URL+"/login", nil, url.Values{"user": {"alice"}, "password": {password}})
	require.Equal(t, http.StatusNoContent, response.StatusCode, body)
	require.Len(t, response.Cookies(), 1)
	return response.Cookies()[0]
}

func TestSession(t *testing.T) {
	t.Parallel()
	server, client := browse(t)

	response, _ := send(t, client, "GET", server.URL+"/account", nil, nil)
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	assert.Equal(t, `Bearer realm="api"`, response.Header.Get("WWW-Authenticate"))

	cookie := signIn(t, server, client)
	assert.Equal(t, "__Host-session", cookie.Name)
	assert.True(t, cookie.Secure)
	assert.True(t, cookie.HttpOnly)
	assert.Equal(t, http.SameSiteLaxMode, cookie.SameSite)
	assert.Equal(t, "/", cookie.Path)
	assert.Empty(t, cookie.Domain)

	response, body := send(t, client, "GET", server.URL+"/account", nil, nil)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, "account of alice\n", body)
	response, body = send(t, client, "POST", server.URL+"/pay", nil, nil)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, "paid by alice\n", body)

	response, _ = send(t, client, "POST", server.URL+"/logout", nil, nil)
	assert.Equal(t, http.StatusNoContent, response.StatusCode)
	response, _ = send(t, client, "GET", server.URL+"/account", nil, nil)
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
	assert.Equal(t, `Bearer realm="api"`, response.Header.Get("WWW-Authenticate"), "the browser must send no cookie at all, instead of a bad one")
}

func TestLoginRefused(t *testing.T) {
	t.Parallel()
	server, client := browse(t)
	for _, form := range []url.Values{
		{"user": {"alice"}, "password": {"guess"}},
		{"user": {"mallory"}, "password": {password}},
		{},
	} {
		response, _ := send(t, client, "POST", server.URL+"/login", nil, form)
		assert.Equal(t, http.StatusForbidden, response.StatusCode)
		assert.Empty(t, response.Cookies())
	}
}

func TestRequestsOfOtherSites(t *testing.T) {
	t.Parallel()
	server, client := browse(t)
	signIn(t, server, client)
	for _, test := range []struct {
		name, method, path string
		header             http.Header
		status             int
	}{
		{"form of another site", "POST", "/pay", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"form of another host of the domain", "POST", "/pay", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
		{"form of another site in an old browser", "POST", "/pay", http.Header{"Origin": {"https://evil.example"}}, 403},
		{"login by another site", "POST", "/login", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"logout by another site", "POST", "/logout", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"form of this site", "POST", "/pay", http.Header{"Sec-Fetch-Site": {"same-origin"}}, 200},
		{"form of this site in an old browser", "POST", "/pay", http.Header{"Origin": {server.URL}}, 200},
		{"link of another site", "GET", "/account", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			response, _ := send(t, client, test.method, server.URL+test.path, test.header, nil)
			assert.Equal(t, test.status, response.StatusCode)
		})
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	token := func(user string, expires time.Duration) string {
		signed, err := sign(secret, user, time.Now().Add(expires))
		require.NoError(t, err)
		return signed
	}
	alice, bob, late := token("alice", time.Hour), token("bob", time.Hour), token("alice", -time.Hour)
	for _, test := range []struct {
		name   string
		header http.Header
		status int
		body   string
	}{
		{"header alone", http.Header{"Authorization": {"Bearer " + bob}}, 200, "account of bob\n"},
		{"cookie alone", http.Header{"Cookie": {cookieName + "=" + alice}}, 200, "account of alice\n"},
		{"both", http.Header{"Authorization": {"Bearer " + bob}, "Cookie": {cookieName + "=" + alice}}, 200, "account of bob\n"},
		{"good cookie does not replace a bad header", http.Header{"Authorization": {"Bearer " + late}, "Cookie": {cookieName + "=" + alice}}, 401, "expired"},
		{"good cookie does not replace a malformed header", http.Header{"Authorization": {"Bearer"}, "Cookie": {cookieName + "=" + alice}}, 400, "invalid_request"},
		{"header of another scheme is no token", http.Header{"Authorization": {"Basic YTpi"}, "Cookie": {cookieName + "=" + alice}}, 200, "account of alice\n"},
		{"two cookies", http.Header{"Cookie": {cookieName + "=" + alice + "; " + cookieName + "=" + bob}}, 400, "invalid_request"},
		{"expired cookie", http.Header{"Cookie": {cookieName + "=" + late}}, 401, "expired"},
		{"another cookie", http.Header{"Cookie": {"session=" + alice}}, 401, "unauthorized"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server, client := browse(t)
			response, body := send(t, client, "GET", server.URL+"/account", test.header, nil)
			assert.Equal(t, test.status, response.StatusCode)
			assert.Contains(t, body, test.body)
		})
	}
}

// A user whose token has expired can log out.
func TestLogoutWithExpiredCookie(t *testing.T) {
	t.Parallel()
	server, client := browse(t)
	late, err := sign(secret, "alice", time.Now().Add(-time.Hour))
	require.NoError(t, err)
	response, _ := send(t, client, "POST", server.URL+"/logout", http.Header{"Cookie": {cookieName + "=" + late}}, nil)
	assert.Equal(t, http.StatusNoContent, response.StatusCode)
	require.Len(t, response.Cookies(), 1)
	assert.Negative(t, response.Cookies()[0].MaxAge)
}
