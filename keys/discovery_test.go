package keys_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	openIDConfiguration = "/.well-known/openid-configuration"
	oauthServer         = "/.well-known/oauth-authorization-server"
)

func metadata(issuer, jwksURI string) []byte {
	return fmt.Appendf(nil, `{"issuer":%q,"jwks_uri":%q,"response_types_supported":["code"]}`, issuer, jwksURI)
}

// pages answers with a document for each path, and with 404 for others.
type pages map[string][]byte

func (p pages) answer(w http.ResponseWriter, r *http.Request) {
	page, ok := p[r.URL.RequestURI()]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Write(page)
}

func TestRemote_Discovers(t *testing.T) {
	t.Parallel()
	set := withID("1", edKey())
	for _, tt := range []struct {
		name   string
		issuer string // behind the server's URL
		pages  []string
	}{
		{"OpenID Connect", "", []string{openIDConfiguration}},
		{"with a slash at the end", "/", []string{openIDConfiguration}},
		{"with a path", "/realms/one", []string{"/realms/one" + openIDConfiguration}},
		{"with a path and a slash", "/oauth2/default/", []string{"/oauth2/default" + openIDConfiguration}},
		{"with two slashes", "/a//", []string{"/a/" + openIDConfiguration}},
		{"with an escape", "/realms/a%20b%2Fc", []string{"/realms/a%20b%2Fc" + openIDConfiguration}},
		{"RFC 8414", "", []string{oauthServer}},
		{"RFC 8414 with a slash at the end", "/", []string{oauthServer}},
		{"RFC 8414 with a path", "/issuer1", []string{oauthServer + "/issuer1"}},
		{"RFC 8414 with a path and a slash", "/a/b/", []string{oauthServer + "/a/b"}},
		{"both", "/a", []string{"/a" + openIDConfiguration, oauthServer + "/a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, nil)
			issuer := server.url + tt.issuer
			documents := pages{"/the/keys?of=it": set}
			for _, page := range tt.pages {
				documents[page] = metadata(issuer, server.url+"/the/keys?of=it")
			}
			server.now(documents.answer)
			remote, _ := server.remote()
			remote.URL = ""
			gate, err := jwtgate.New(jwtgate.Options{Keys: remote, Issuers: []string{issuer}, Audiences: []string{audience}})
			require.NoError(t, err)
			require.NoError(t, gate.Ready(t.Context()))
			assert.Equal(t, 200, statusOf(t, gate, signFor(t, issuer, jwt.SigningMethodEdDSA, edKey(), "1")))
			assert.Equal(t, server.url+"/the/keys?of=it", remote.Stats()[0].URL)
			assert.Equal(t, issuer, remote.Stats()[0].Issuer)
		})
	}
}

// acceptance 31
func TestRemote_RefusesMetadata(t *testing.T) {
	t.Parallel()
	elsewhere := newServer(t, serves(withID("1", edKey())))
	const path = "/tenants/One"
	for _, tt := range []struct {
		name     string
		document func(issuer string) string // of the right keys
		problem  string
	}{
		{"a slash more", named(func(i string) string { return i + "/" }), "its issuer is"},
		{"a letter in another case", named(func(i string) string { return strings.Replace(i, "One", "one", 1) }), "its issuer is"},
		{"a letter more", named(func(i string) string { return i + "e" }), "its issuer is"},
		{"a letter less", named(func(i string) string { return i[:len(i)-1] }), "its issuer is"},
		{"an escape", named(func(i string) string { return strings.Replace(i, "One", "%4Fne", 1) }), "its issuer is"},
		{"another host of the same meaning", named(func(i string) string { return strings.Replace(i, "127.0.0.1", "localhost", 1) }), "its issuer is"},
		{"a template", named(func(i string) string { return strings.Replace(i, "One", "{tenantid}", 1) }), "its issuer is"},
		{"empty", named(func(string) string { return "" }), "its issuer is"},
		{"a list", func(i string) string { return fmt.Sprintf(`{"issuer":[%q],"jwks_uri":"JWKS"}`, i) }, "its issuer is"},
		{"null", func(string) string { return `{"issuer":null,"jwks_uri":"JWKS"}` }, "its issuer is"},
		{"without issuer", func(string) string { return `{"jwks_uri":"JWKS"}` }, "its issuer is"},
		{"issuer in another case", func(i string) string { return fmt.Sprintf(`{"Issuer":%q,"jwks_uri":"JWKS"}`, i) }, "its issuer is"},
		{"two issuers", func(i string) string {
			return fmt.Sprintf(`{"issuer":%q,"issuer":"https://x.example","jwks_uri":"JWKS"}`, i)
		}, "its issuer is"},
		{"without jwks_uri", func(i string) string { return fmt.Sprintf(`{"issuer":%q}`, i) }, "jwks_uri is missing"},
		{"jwks_uri in another case", func(i string) string { return fmt.Sprintf(`{"issuer":%q,"JWKS_URI":"JWKS"}`, i) }, "jwks_uri is missing"},
		{"jwks_uri a list", func(i string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":["JWKS"]}`, i) }, "jwks_uri is missing"},
		{"jwks_uri empty", at(""), "jwks_uri is missing"},
		{"jwks_uri relative", at("/jwks"), "does not start with https://"},
		{"jwks_uri with plain http", at("http://keys.example/jwks"), "plain http"},
		{"jwks_uri with another scheme", at("file:///etc/jwks"), "does not start with https://"},
		{"jwks_uri with credentials", at("https://me:secret@127.0.0.1/"), "credentials"},
		{"jwks_uri that is no URL", at("https://[::1"), "not a URL"},
		{"no JSON", func(string) string { return "<html>" }, "not a JSON object"},
		{"an array", func(string) string { return "[]" }, "not a JSON object"},
		{"two documents", func(i string) string { return string(metadata(i, "JWKS")) + "{}" }, "not a JSON object"},
		{"jwks_uri too long", func(i string) string { return string(metadata(i, "JWKS?"+strings.Repeat("a", 2048))) }, "jwks_uri has more than 2048 bytes"},
		{"a mebibyte", func(i string) string { return string(metadata(i, "JWKS")) + strings.Repeat(" ", 1<<20) }, "more than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, nil)
			issuer := server.url + path
			server.now(pages{
				path + openIDConfiguration: []byte(strings.ReplaceAll(tt.document(issuer), "JWKS", server.url+"/jwks")),
				oauthServer + path:         metadata(issuer, elsewhere.url+"/jwks"), // not for want of the other
				"/jwks":                    withID("1", edKey()),
			}.answer)
			remote, _ := server.remote()
			remote.URL = ""
			gate, err := jwtgate.New(jwtgate.Options{Keys: remote, Issuers: []string{issuer}, Audiences: []string{audience}})
			require.NoError(t, err)
			w := answerTo(gate, t.Context(), signFor(t, issuer, jwt.SigningMethodEdDSA, edKey(), "1"))
			requireUnavailable(t, w)
			problem := remote.Refresh(t.Context(), issuer)
			assert.ErrorContains(t, problem, tt.problem)
			assert.NotContains(t, problem.Error(), "secret")
			assert.LessOrEqual(t, len(problem.Error()), 600)
		})
	}
	t.Cleanup(func() { assert.Zero(t, elsewhere.fetches.Load()) })
}

// named returns metadata of an issuer that calls itself something else.
func named(name func(issuer string) string) func(string) string {
	return func(issuer string) string { return string(metadata(name(issuer), "JWKS")) }
}

// at returns metadata of an issuer whose keys are there.
func at(jwksURI string) func(string) string {
	return func(issuer string) string { return string(metadata(issuer, jwksURI)) }
}

// An issuer that does not have the one kind of metadata may have the other. One
// that is down has neither to be asked for.
func TestRemote_AsksForOtherMetadata(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		asked  []string
	}{
		{400, []string{openIDConfiguration, oauthServer, "/jwks"}},
		{403, []string{openIDConfiguration, oauthServer, "/jwks"}},
		{404, []string{openIDConfiguration, oauthServer, "/jwks"}},
		{410, []string{openIDConfiguration, oauthServer, "/jwks"}},
		{429, []string{openIDConfiguration}},
		{500, []string{openIDConfiguration}},
		{503, []string{openIDConfiguration}},
		{304, []string{openIDConfiguration}},
	} {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			t.Parallel()
			server := newServer(t, nil)
			var asked []string
			documents := pages{oauthServer: metadata(server.url, server.url+"/jwks"), "/jwks": withID("1", edKey())}
			server.now(func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.URL.Path)
				if r.URL.Path == openIDConfiguration {
					w.WriteHeader(tt.status)
					return
				}
				documents.answer(w, r)
			})
			remote, _ := server.remote()
			remote.URL = ""
			err := remote.Refresh(t.Context(), server.url)
			assert.Equal(t, len(tt.asked) < 3, err != nil, err)
			assert.Equal(t, tt.asked, asked)
		})
	}
	t.Run("neither", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, pages{}.answer)
		remote, _ := server.remote()
		remote.URL = ""
		err := remote.Refresh(t.Context(), server.url)
		assert.ErrorContains(t, err, openIDConfiguration+": status 404; ")
		assert.ErrorContains(t, err, oauthServer+": status 404")
	})
}

// An issuer with https does not send anybody to plain http, be it on the same
// machine, where something else may listen.
func TestRemote_MetadataDoesNotLeaveHTTPS(t *testing.T) {
	t.Parallel()
	plain := newServer(t, serves(withID("1", edKey())))
	var issuer string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(metadata(issuer, plain.url+"/jwks"))
	}))
	defer server.Close()
	issuer = server.URL
	remote := &keys.Remote{Client: server.Client()}
	assert.ErrorContains(t, remote.Refresh(t.Context(), issuer), "is plain http")
	assert.Zero(t, plain.fetches.Load())
	remote = &keys.Remote{Client: server.Client(), InsecureHTTP: true}
	assert.NoError(t, remote.Refresh(t.Context(), issuer))
}

// Nor does it by a redirect, which may name the same port.
func TestRemote_RedirectDoesNotLeaveHTTPS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+"/jwks", http.StatusFound)
	}))
	defer server.Close()
	remote := &keys.Remote{URL: server.URL, Client: server.Client()}
	assert.ErrorContains(t, remote.Refresh(t.Context(), ""), "another origin")
}

// A client of the user's own: a private CA, credentials, limits of its own on
// redirects. Without it the issuer is not trusted.
func TestRemote_Client(t *testing.T) {
	t.Parallel()
	var issuer string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer of the client" {
			w.WriteHeader(401)
			return
		}
		switch r.URL.Path {
		case openIDConfiguration:
			w.Write(metadata(issuer, issuer+"/moved"))
		case "/moved":
			http.Redirect(w, r, "/jwks", http.StatusMovedPermanently)
		case "/jwks":
			w.Write(withID("1", edKey()))
		}
	}))
	defer server.Close()
	issuer = server.URL
	with := func(h http.RoundTripper) *http.Client {
		return &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer of the client")
			return h.RoundTrip(r)
		})}
	}
	trusting := server.Client().Transport

	assert.NoError(t, (&keys.Remote{Client: with(trusting)}).Refresh(t.Context(), issuer))
	assert.ErrorContains(t, (&keys.Remote{Client: with(http.DefaultTransport)}).Refresh(t.Context(), issuer), "certificate")
	assert.ErrorContains(t, (&keys.Remote{}).Refresh(t.Context(), issuer), "certificate")
	assert.ErrorContains(t, (&keys.Remote{Client: server.Client()}).Refresh(t.Context(), issuer), "status 401")

	client := with(trusting)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	assert.ErrorContains(t, (&keys.Remote{Client: client}).Refresh(t.Context(), issuer), "/moved: status 301")
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return errors.New("no redirects here") }
	remote := &keys.Remote{Client: client}
	assert.ErrorContains(t, remote.Refresh(t.Context(), issuer), "no redirects here")
	client.CheckRedirect = nil
	assert.NoError(t, remote.Refresh(t.Context(), issuer))
	assert.Nil(t, client.CheckRedirect, "the client is not written to")
}

// The metadata is read with every fetch, so that keys may move.
func TestRemote_KeysMove(t *testing.T) {
	t.Parallel()
	server := newServer(t, nil)
	etag := func(set []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"1"`)
			if r.Header.Get("If-None-Match") == `"1"` {
				w.WriteHeader(304)
				return
			}
			w.Write(set)
		}
	}
	var where atomic.Value
	where.Store("/old")
	mux := http.NewServeMux()
	mux.HandleFunc(openIDConfiguration, func(w http.ResponseWriter, _ *http.Request) {
		w.Write(metadata(server.url, server.url+where.Load().(string)))
	})
	mux.HandleFunc("/old", etag(withID("1", edKey())))
	mux.HandleFunc("/new", etag(withID("2", otherEdKey())))
	server.now(mux.ServeHTTP)
	remote, _ := server.remote()
	remote.URL = ""
	require.NoError(t, remote.Refresh(t.Context(), server.url))
	require.Equal(t, []string{"1 EdDSA"}, names(t, remote, server.url, ""))
	where.Store("/new")
	assert.Equal(t, []string{"2 EdDSA"}, names(t, remote, server.url, "2"), "an etag is of one address only")
	assert.Empty(t, names(t, remote, server.url, "1"))
	assert.Equal(t, server.url+"/new", remote.Stats()[0].URL)
}

// A refresh that time brings asks whether the keys have changed, at their old address only.
func TestRemote_KeysMoveUnderOneEtag(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		moved := false
		server := newPipeServer(t, nil)
		server.now(func(w http.ResponseWriter, r *http.Request) {
			address, set := "/old", withID("1", edKey())
			if moved {
				address, set = "/new", withID("2", otherEdKey())
			}
			switch {
			case r.URL.Path == openIDConfiguration:
				w.Write(metadata(server.url, server.url+address))
			case r.Header.Get("If-None-Match") != "":
				w.WriteHeader(http.StatusNotModified)
			default:
				w.Header().Set("Etag", `"1"`)
				w.Write(set)
			}
		})
		remote, _ := server.remote()
		remote.URL = ""
		require.NoError(t, remote.Refresh(t.Context(), server.url))
		moved = true
		time.Sleep(8*time.Minute + time.Second)
		require.Equal(t, []string{"1 EdDSA"}, names(t, remote, server.url, "1")) // starts the refresh
		synctest.Wait()
		assert.Equal(t, []string{"2 EdDSA"}, names(t, remote, server.url, ""))
	})
}

// acceptance 24: what a token says of its key goes nowhere.
func TestRemote_KeyIDReachesNoURL(t *testing.T) {
	t.Parallel()
	server := newServer(t, nil)
	var mu sync.Mutex
	asked := map[string]bool{}
	documents := pages{openIDConfiguration: metadata(server.url, server.url+"/jwks"), "/jwks": withID("1", edKey())}
	server.now(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.RequestURI+" "+r.Header.Get("If-None-Match")] = true
		mu.Unlock()
		documents.answer(w, r)
	})
	remote, log := server.remote()
	remote.URL, remote.MinInterval = "", time.Nanosecond
	gate, err := jwtgate.New(jwtgate.Options{Keys: remote, Issuers: []string{server.url}, Audiences: []string{audience}})
	require.NoError(t, err)
	for _, kid := range []string{"../../admin", "?x=1", "#", "a b\r\nX: y", "http://127.0.0.1/x", "%2e%2e", strings.Repeat("k", 256)} {
		require.Equal(t, 401, statusOf(t, gate, signFor(t, server.url, jwt.SigningMethodEdDSA, otherEdKey(), kid)))
	}
	assert.Equal(t, int64(2*7), server.fetches.Load())
	assert.Equal(t, map[string]bool{openIDConfiguration + " ": true, "/jwks ": true}, asked)
	assert.Len(t, log.wait(t), 1)
}

// acceptance 32
func TestRemote_IssuersAreApart(t *testing.T) {
	t.Parallel()
	server := newServer(t, nil)
	a, b := server.url+"/a", server.url+"/b"
	server.now(pages{
		"/a" + openIDConfiguration: metadata(a, server.url+"/a/jwks"), "/a/jwks": withID("1", edKey()),
		"/b" + openIDConfiguration: metadata(b, server.url+"/b/jwks"), "/b/jwks": withID("1", otherEdKey()),
	}.answer)
	remote, _ := server.remote()
	remote.URL = ""
	for _, options := range []jwtgate.Options{
		{Keys: remote, Issuers: []string{a, b}},
		{Keys: remote, TrustIssuer: func(issuer string) bool { return issuer == a || issuer == b }},
		{Keys: keys.ByIssuer{a: remote, b: remote}, Issuers: []string{a, b}},
	} {
		options.Audiences = []string{audience}
		gate, err := jwtgate.New(options)
		require.NoError(t, err)
		require.NoError(t, gate.Ready(t.Context()))
		for _, tt := range []struct {
			issuer  string
			private ed25519.PrivateKey
			kid     string
			want    error
		}{
			{a, edKey(), "1", nil}, {b, otherEdKey(), "1", nil}, {a, edKey(), "", nil}, {b, otherEdKey(), "", nil},
			{a, otherEdKey(), "1", jwtgate.ErrSignature}, {b, edKey(), "1", jwtgate.ErrSignature},
			{a, otherEdKey(), "", jwtgate.ErrSignature}, {b, edKey(), "", jwtgate.ErrSignature},
			{server.url, edKey(), "1", jwtgate.ErrIssuer},
		} {
			_, err := gate.Verify(t.Context(), signFor(t, tt.issuer, jwt.SigningMethodEdDSA, tt.private, tt.kid))
			assert.ErrorIs(t, err, tt.want, tt.issuer)
		}
	}
	stats := remote.Stats()
	require.Len(t, stats, 2)
	assert.Equal(t, []string{a, b}, []string{stats[0].Issuer, stats[1].Issuer})
}

// One issuer that is down, or flooded, is not the others' business.
func TestRemote_IssuersHaveTheirOwnLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, nil)
		names := []string{"down", "hangs", "flooded", "good"}
		documents := pages{}
		var issuers []string
		for _, name := range names {
			issuers = append(issuers, server.url+"/"+name)
			documents["/"+name+openIDConfiguration] = metadata(server.url+"/"+name, server.url+"/"+name+"/jwks")
			documents["/"+name+"/jwks"] = withID("1", edKey())
		}
		var faults atomic.Bool
		server.now(func(w http.ResponseWriter, r *http.Request) {
			switch path := r.URL.Path; {
			case faults.Load() && strings.HasPrefix(path, "/down/"):
				w.WriteHeader(500)
			case faults.Load() && strings.HasPrefix(path, "/hangs/"):
				hangs(w, r)
			default:
				documents.answer(w, r)
			}
		})
		remote, _ := server.remote()
		remote.URL = ""
		gate, err := jwtgate.New(jwtgate.Options{Keys: remote, Issuers: issuers, Audiences: []string{audience}})
		require.NoError(t, err)
		require.NoError(t, gate.Ready(t.Context()))
		faults.Store(true)
		token := func(name, kid string, private ed25519.PrivateKey) string {
			return signFor(t, server.url+"/"+name, jwt.SigningMethodEdDSA, private, kid)
		}
		var hanging sync.WaitGroup
		hanging.Go(func() { requireUnavailable(t, answerTo(gate, t.Context(), token("hangs", "2", otherEdKey()))) })
		synctest.Wait()
		requireUnavailable(t, answerTo(gate, t.Context(), token("down", "2", otherEdKey())))
		for i := range 50 {
			require.Equal(t, 401, statusOf(t, gate, token("flooded", fmt.Sprint("random-", i), otherEdKey())))
		}

		documents["/good/jwks"] = withID("2", otherEdKey())
		start := time.Now()
		assert.Equal(t, 200, statusOf(t, gate, token("good", "2", otherEdKey())))
		for _, name := range names[:3] {
			assert.Equal(t, 200, statusOf(t, gate, token(name, "1", edKey())))
		}
		assert.Zero(t, time.Since(start))
		hanging.Wait()
	})
}

// tenants is an issuer with as many tenants as one likes, each with its own
// metadata and keys, but for those whose name starts with "no".
func tenants(url string, set []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		path, found := strings.CutSuffix(r.URL.Path, openIDConfiguration)
		switch {
		case strings.HasPrefix(path, "/no") || strings.HasPrefix(r.URL.Path, oauthServer):
			http.NotFound(w, r)
		case found:
			w.Write(metadata(url+path, url+path+"/jwks"))
		default:
			w.Write(set)
		}
	}
}

// Tenants come as they like, and all at once after a restart.
func TestRemote_ManyTenants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, nil)
		server.now(slowly(50*time.Millisecond, tenants(server.url, withID("1", edKey()))))
		remote, _ := server.remote()
		remote.URL = ""
		tenant := func(i int) string { return fmt.Sprintf("%s/tenant-%d", server.url, i) }
		ask := func(i int) error {
			_, err := remote.Keys(t.Context(), tenant(i), "1")
			return err
		}
		together(100, func(i int) { assert.NoError(t, ask(i)) })
		for i := range 900 {
			require.NoError(t, ask(i+100))
		}
		assert.Len(t, remote.Stats(), 1000)

		// All are in use. There is no room until one has not been for a while.
		var e *jwtgate.Error
		require.ErrorAs(t, ask(1000), &e)
		assert.Equal(t, 503, e.Status)
		assert.ErrorContains(t, e, "keys of 1000 issuers")
		time.Sleep(8*time.Minute + time.Second)
		for i := range 999 {
			require.NoError(t, ask(i)) // but not number 999
		}
		synctest.Wait()
		time.Sleep(time.Second)
		require.NoError(t, ask(1000))
		stats := remote.Stats()
		require.Len(t, stats, 1000)
		for _, s := range stats {
			assert.NotEqual(t, tenant(999), s.Issuer)
		}
		require.Error(t, ask(999))
	})
}

// acceptance 56: issuers that a TrustIssuer lets through, and that are none.
func TestRemote_FloodOfIssuers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, nil)
		server.now(tenants(server.url, withID("1", edKey())))
		remote, _ := server.remote()
		remote.URL = ""
		gate, err := jwtgate.New(jwtgate.Options{
			Keys: remote, Audiences: []string{audience},
			TrustIssuer: func(issuer string) bool { return strings.HasPrefix(issuer, server.url+"/") },
		})
		require.NoError(t, err)
		token := func(tenant string) string {
			return signFor(t, server.url+"/"+tenant, jwt.SigningMethodEdDSA, edKey(), "1")
		}
		require.Equal(t, 200, statusOf(t, gate, token("known")))
		require.NoError(t, remote.Refresh(t.Context(), server.url+"/named"), "what the operator names does not count")
		server.fetches.Store(0)
		for i := range 2000 {
			requireUnavailable(t, answerTo(gate, t.Context(), token(fmt.Sprint("nobody-", i))))
		}
		assert.Equal(t, int64(2*100), server.fetches.Load(), "two pages each")
		assert.Len(t, remote.Stats(), 102)
		assert.Equal(t, 200, statusOf(t, gate, token("known")))
		assert.Equal(t, 200, statusOf(t, gate, token("named")))
		w := answerTo(gate, t.Context(), token("new"))
		assert.Equal(t, 1, requireUnavailable(t, w))

		// A turn each second, for whoever comes first.
		for range 20 {
			time.Sleep(time.Second)
			assert.Equal(t, 200, statusOf(t, gate, token(fmt.Sprint("new-", time.Now().Unix()))))
		}
		for i := range 100 {
			requireUnavailable(t, answerTo(gate, t.Context(), token(fmt.Sprint("nobody-again-", i))))
			assert.Equal(t, 200, statusOf(t, gate, token("known")))
		}
	})
}

// acceptance 56
func TestRemote_MemoryIsBounded(t *testing.T) { // alone: it measures
	nowhere := roundTripper(func(r *http.Request) (*http.Response, error) { return nil, errors.New("nobody there") })
	server := newServer(t, serves(withID("1", edKey())))
	for _, tt := range []struct {
		name   string
		remote *keys.Remote
		ask    func(r *keys.Remote, i int)
	}{
		{"issuers", &keys.Remote{Client: &http.Client{Transport: nowhere}, MinInterval: time.Millisecond}, func(r *keys.Remote, i int) {
			_, err := r.Keys(t.Context(), fmt.Sprintf("https://tenant-%d.example", i), "1")
			assert.Error(t, err)
		}},
		{"key IDs", &keys.Remote{URL: server.url}, func(r *keys.Remote, i int) {
			ks, err := r.Keys(t.Context(), issuer, fmt.Sprint("random-", i))
			assert.NoError(t, err)
			assert.Empty(t, ks)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i := range 10_000 {
				tt.ask(tt.remote, -i)
			}
			before := heapInUse()
			for i := range 1_000_000 {
				tt.ask(tt.remote, i)
			}
			assert.Less(t, heapInUse(), before+2<<20)
			assert.LessOrEqual(t, len(tt.remote.Stats()), 1000)
			runtime.KeepAlive(tt.remote)
		})
	}
}

// Issuers that are listed are never forgotten for others.
func TestRemote_ListedIssuers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, nil)
		server.now(tenants(server.url, withID("1", edKey())))
		remote, _ := server.remote()
		remote.URL = ""
		issuers := func(n int) (all []string) {
			for i := range n {
				all = append(all, fmt.Sprintf("%s/nobody-%d", server.url, i))
			}
			return all
		}
		require.NoError(t, remote.CheckIssuers(issuers(1000)))
		require.NoError(t, remote.CheckIssuers(issuers(10)), "twice is no harm")
		assert.ErrorContains(t, remote.CheckIssuers(issuers(1001)), "keys of 1000 issuers")
		for _, issuer := range issuers(200) { // more than the burst of those who are not
			_, err := remote.Keys(t.Context(), issuer, "1")
			require.ErrorContains(t, err, "status 404")
		}
		time.Sleep(time.Hour)
		_, err := remote.Keys(t.Context(), server.url+"/other", "1")
		assert.ErrorContains(t, err, "keys of 1000 issuers")
		assert.Len(t, remote.Stats(), 1000)

		remote, _ = server.remote()
		remote.URL = ""
		for _, issuer := range issuers(100) {
			_, err := remote.Keys(t.Context(), issuer, "1")
			require.ErrorContains(t, err, "status 404")
		}
		other := server.url + "/other"
		_, err = remote.Keys(t.Context(), other, "1")
		require.ErrorContains(t, err, "wait for its turn")
		require.NoError(t, remote.CheckIssuers([]string{other}))
		assert.Equal(t, []string{"1 EdDSA"}, names(t, remote, other, "1"))

		// Those that are refreshed are not held to the limit, but give way.
		remote, _ = server.remote()
		remote.URL = ""
		for _, issuer := range issuers(1000) {
			require.ErrorContains(t, remote.Refresh(t.Context(), issuer), "status 404")
		}
		assert.Equal(t, []string{"1 EdDSA"}, names(t, remote, other, "1"))
		assert.Len(t, remote.Stats(), 1000)
		assert.ErrorContains(t, remote.Refresh(t.Context(), "no URL"), "does not start with https://")

		// Once listed, they stay.
		remote, _ = server.remote()
		remote.URL = ""
		for _, issuer := range issuers(1000) {
			require.Error(t, remote.Refresh(t.Context(), issuer))
		}
		require.NoError(t, remote.CheckIssuers(issuers(1000)))
		_, err = remote.Keys(t.Context(), other, "1")
		assert.ErrorContains(t, err, "keys of 1000 issuers")
	})
}

// Those who make up issuers push out one another, and none that has keys.
func TestRemote_WhoGivesWay(t *testing.T) {
	t.Parallel()
	for _, outage := range []bool{false, true} {
		t.Run(fmt.Sprintf("outage=%t", outage), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, nil)
				server.now(tenants(server.url, withID("1", edKey())))
				remote, _ := server.remote()
				remote.URL = ""
				ask := func(name string, i int) error {
					_, err := remote.Keys(t.Context(), fmt.Sprintf("%s/%s-%d", server.url, name, i), "1")
					return err
				}
				for i := range 1000 {
					require.NoError(t, ask("tenant", i))
				}
				if outage {
					server.now(fails(503))
				}
				for range 3 {
					time.Sleep(9 * time.Minute) // all are due
					if outage {
						for i := range 1000 {
							require.NoError(t, ask("tenant", i))
						}
						synctest.Wait()
						time.Sleep(time.Minute) // and due again, after they have failed
					}
					for i := range 100 {
						require.Error(t, ask("nobody", i))
					}
				}
				lost := 1 // to make room for the first
				if outage {
					lost = 0
				}
				held := 0
				for _, s := range remote.Stats() {
					if s.Keys > 0 {
						held++
					}
				}
				assert.Equal(t, 1000-lost, held)
			})
		})
	}
}

// Issuers that have turned out to be none are asked again within the limit for
// all of them. Those that were down when they were new get their turn, and then
// do not count any more.
func TestRemote_RetriesOfNewcomers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, nil)
		good := tenants(server.url, withID("1", edKey()))
		server.now(fails(500)) // one request each
		remote, _ := server.remote()
		remote.URL = ""
		ask := func(i int) error {
			_, err := remote.Keys(t.Context(), fmt.Sprintf("%s/tenant-%d", server.url, i), "1")
			return err
		}
		for range 600 {
			for i := range 300 {
				require.Error(t, ask(i))
			}
			time.Sleep(time.Second)
		}
		assert.InDelta(t, 100+600, server.fetches.Load(), 5)

		server.now(good)
		waiting := map[int]bool{}
		for i := range 300 {
			waiting[i] = true
		}
		start := time.Now()
		for len(waiting) > 0 {
			for i := range waiting {
				if ask(i) == nil {
					delete(waiting, i)
				}
			}
			require.Less(t, time.Since(start), time.Minute)
			time.Sleep(time.Second)
		}

		// What they gave back was no more than they had taken.
		time.Sleep(9 * time.Minute)
		for i := range 300 {
			require.NoError(t, ask(i)) // and refreshed
		}
		synctest.Wait()
		server.fetches.Store(0)
		server.now(fails(500))
		for i := range 500 {
			require.Error(t, ask(1000+i))
		}
		assert.Equal(t, int64(100), server.fetches.Load())
	})
}

// FuzzRemote has an issuer say whatever it likes. Nothing it says is asked for
// without https, and its keys are used only if the metadata is its own and the
// set is one that JWKS reads too; for no less than a minute, and not for longer
// than FreshFor without asking again.
func FuzzRemote(f *testing.F) {
	const issuer = "https://auth.example.com/tenant"
	good := metadata(issuer, "https://keys.example.com/jwks")
	f.Add(good, withID("1", edKey()), 200, "max-age=300", "7")
	f.Add(good, withID("1", edKey()), 200, `no-store, MAX-AGE="60`, "-1")
	f.Add(good, document(jwkOf(public(edKey())), 1, "x"), 200, "max-age=99999999999999999999", "99999999999999999999")
	f.Add(good, document(), 404, "", "")
	f.Add(metadata(issuer, "http://keys.example.com/jwks"), withID("1", edKey()), 200, "", "")
	f.Add(metadata(issuer+"/", "https://keys.example.com/jwks"), withID("1", edKey()), 304, "", "")
	f.Add([]byte(`{"issuer":"`+issuer+`","issuer":1,"jwks_uri":"//[::1]:0?#"}`), []byte(`{"keys":[{}],"keys":[]}`), 200, ",,=", "")
	f.Fuzz(func(t *testing.T, metadata, set []byte, status int, cacheControl, age string) {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int32
			remote := &keys.Remote{Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				assert.Equal(t, "https", r.URL.Scheme)
				w := httptest.NewRecorder()
				if r.URL.String() == issuer+openIDConfiguration {
					w.Write(metadata)
					return w.Result(), nil
				}
				asked.Add(1)
				w.Header()["Cache-Control"], w.Header()["Age"] = []string{cacheControl}, []string{age}
				if status < 200 || status > 999 {
					return nil, errors.New("no such status")
				}
				w.WriteHeader(status)
				w.Write(set)
				return w.Result(), nil
			})}}
			if remote.Refresh(t.Context(), issuer) != nil {
				_, err := remote.Keys(t.Context(), issuer, "")
				assert.Error(t, err)
				return
			}
			var members map[string]any
			require.NoError(t, json.Unmarshal(metadata, &members))
			assert.Equal(t, issuer, members["issuer"])
			assert.Equal(t, members["jwks_uri"], remote.Stats()[0].URL)
			assert.Equal(t, 200, status)
			assert.Equal(t, names(t, keys.JWKS(set), issuer, ""), names(t, remote, issuer, ""))

			require.Equal(t, int32(1), asked.Load())
			time.Sleep(47 * time.Second)
			names(t, remote, issuer, "")
			synctest.Wait()
			assert.Equal(t, int32(1), asked.Load(), "asked again too early")
			time.Sleep(8 * time.Minute)
			names(t, remote, issuer, "")
			synctest.Wait()
			assert.Equal(t, int32(2), asked.Load())
		})
	})
}
