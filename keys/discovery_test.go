package keys_test

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

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

// pages holds a document for each request URI. Other URIs are answered with 404.
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
	set := oneKeySet("1", edKey())
	for _, tt := range []struct {
		name   string
		issuer string // without the URL of the server before it
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
		{"RFC 8414 with the name of OpenID Connect", "/a/b", []string{openIDConfiguration + "/a/b"}},
		{"RFC 8414 with that name and a slash", "/a/b/", []string{openIDConfiguration + "/a/b"}},
		{"RFC 8414 with that name and an escape", "/a%2Fb", []string{openIDConfiguration + "/a%2Fb"}},
		{"all", "/a", []string{"/a" + openIDConfiguration, oauthServer + "/a", openIDConfiguration + "/a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := newTCPServer(t, nil)
			issuer := server.url + tt.issuer
			documents := pages{"/the/keys?of=it": set}
			for _, page := range tt.pages {
				documents[page] = metadata(issuer, server.url+"/the/keys?of=it")
			}
			server.respond(documents.answer)
			remote, _ := server.discoveringRemote()
			gate, err := jwtgate.New(jwtgate.Options{Keys: remote, Issuers: []string{issuer}, Audiences: []string{audience}})
			require.NoError(t, err)
			require.NoError(t, gate.Ready(t.Context()))
			assert.Equal(t, 200, statusOf(t, gate, signFor(t, issuer, jwt.SigningMethodEdDSA, edKey(), "1")))
			assert.Equal(t, server.url+"/the/keys?of=it", remote.Stats()[0].URL)
			assert.Equal(t, issuer, remote.Stats()[0].Issuer)
		})
	}
}

// acceptance 31: metadata must name its issuer exactly, and an acceptable address of the keys, wherever they are.
func TestRemote_RefusesMetadata(t *testing.T) {
	t.Parallel()
	elsewhere := newTCPServer(t, serves(oneKeySet("1", edKey())))
	const path = "/tenants/One"
	for _, tt := range []struct {
		name     string
		document func(issuer string) string // the metadata; JWKS in it becomes the URL of the keys
		problem  string
	}{
		{"a slash more", metadataNaming(func(i string) string { return i + "/" }), ", and the trusted one is "},
		{"a letter in another case", metadataNaming(func(i string) string { return strings.Replace(i, "One", "one", 1) }), "its issuer is"},
		{"a letter more", metadataNaming(func(i string) string { return i + "e" }), "its issuer is"},
		{"a letter less", metadataNaming(func(i string) string { return i[:len(i)-1] }), "its issuer is"},
		{"an escape", metadataNaming(func(i string) string { return strings.Replace(i, "One", "%4Fne", 1) }), "its issuer is"},
		{"another host of the same meaning", metadataNaming(func(i string) string { return strings.Replace(i, "127.0.0.1", "localhost", 1) }), "its issuer is"},
		{"a template", metadataNaming(func(i string) string { return strings.Replace(i, "One", "{tenantid}", 1) }), "its issuer is"},
		{"empty", metadataNaming(func(string) string { return "" }), "its issuer is"},
		{"a list", func(i string) string { return fmt.Sprintf(`{"issuer":[%q],"jwks_uri":"JWKS"}`, i) }, "its issuer is"},
		{"null", func(string) string { return `{"issuer":null,"jwks_uri":"JWKS"}` }, "its issuer is"},
		{"without issuer", func(string) string { return `{"jwks_uri":"JWKS"}` }, "it has no issuer"},
		{"issuer in another case", func(i string) string { return fmt.Sprintf(`{"Issuer":%q,"jwks_uri":"JWKS"}`, i) }, "it has no issuer"},
		{"two issuers", func(i string) string {
			return fmt.Sprintf(`{"issuer":%q,"issuer":"https://x.example","jwks_uri":"JWKS"}`, i)
		}, "its issuer is"},
		{"without jwks_uri", func(i string) string { return fmt.Sprintf(`{"issuer":%q}`, i) }, "jwks_uri is missing"},
		{"jwks_uri in another case", func(i string) string { return fmt.Sprintf(`{"issuer":%q,"JWKS_URI":"JWKS"}`, i) }, "jwks_uri is missing"},
		{"jwks_uri a list", func(i string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":["JWKS"]}`, i) }, "jwks_uri is missing"},
		{"jwks_uri empty", metadataPointingTo(""), "jwks_uri is missing"},
		{"jwks_uri relative", metadataPointingTo("/jwks"), "does not start with https://"},
		{"jwks_uri with plain http", metadataPointingTo("http://keys.example/jwks"), "plain http"},
		{"jwks_uri with another scheme", metadataPointingTo("file:///etc/jwks"), "does not start with https://"},
		{"jwks_uri with credentials", metadataPointingTo("https://me:secret@127.0.0.1/"), "credentials"},
		{"jwks_uri that is no URL", metadataPointingTo("https://[::1"), "not a URL"},
		{"no JSON", func(string) string { return "<html>" }, "it is an HTML page (text/html; charset=utf-8), not a discovery document"},
		{"an array", func(string) string { return "[]" }, "not a JSON object"},
		{"two documents", func(i string) string { return string(metadata(i, "JWKS")) + "{}" }, "not a JSON object"},
		{"jwks_uri too long", func(i string) string { return string(metadata(i, "JWKS?"+strings.Repeat("a", 2048))) }, "jwks_uri has more than 2048 bytes"},
		{"a mebibyte", func(i string) string { return string(metadata(i, "JWKS")) + strings.Repeat(" ", 1<<20) }, "more than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := newTCPServer(t, nil)
			issuer := server.url + path
			bad := []byte(strings.ReplaceAll(tt.document(issuer), "JWKS", server.url+"/jwks"))
			good := metadata(issuer, elsewhere.url+"/jwks") // must not be asked for
			server.respond(pages{
				path + openIDConfiguration:       bad,
				oauthServer + path:               bad,
				openIDConfiguration + path:       bad,
				openIDConfiguration:              good,
				oauthServer:                      good,
				path + oauthServer:               good,
				"/tenants" + openIDConfiguration: good,
				oauthServer + "/tenants":         good,
				"/jwks":                          oneKeySet("1", edKey()),
			}.answer)
			remote, _ := server.discoveringRemote()
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

// metadataNaming returns metadata whose issuer is changed by name.
func metadataNaming(name func(issuer string) string) func(string) string {
	return func(issuer string) string { return string(metadata(name(issuer), "JWKS")) }
}

// metadataPointingTo returns metadata with a jwks_uri.
func metadataPointingTo(jwksURI string) func(string) string {
	return func(issuer string) string { return string(metadata(issuer, jwksURI)) }
}

// acceptance 95: whatever is wrong at one address leads to the next. The error names each address once, with what
// was wrong there.
func TestRemote_AsksForOtherMetadata(t *testing.T) {
	t.Parallel()
	const path = "/realms/one"
	forms := []string{path + openIDConfiguration, oauthServer + path, openIDConfiguration + path}
	for _, tt := range []struct {
		name    string
		answer  http.HandlerFunc
		problem string
	}{
		{"status 304", fails(304), "status 304"},
		{"status 400", fails(400), "status 400"},
		{"status 401", fails(401), "status 401"},
		{"status 403", fails(403), "status 403"},
		{"status 404", fails(404), "status 404"},
		{"status 410", fails(410), "status 410"},
		{"status 429", fails(429), "status 429"},
		{"status 500", fails(500), "status 500"},
		{"status 503", fails(503), "status 503"},
		{"status 204", fails(204), "status 204"},
		{"redirect to another origin", redirectsTo("https://sso.example/sign-in"), "it redirects to another origin, https://sso.example:443"},
		{"redirect to a sign-in page", redirectsTo("/sign-in"), "it is an HTML page"},
		{"redirect to itself", redirectsTo(""), "it redirects more than 3 times"},
		{"HTML", serves([]byte("<!DOCTYPE html><html>")), "it is an HTML page (text/html; charset=utf-8), not a discovery document"},
		{"empty", serves(nil), "it is empty, not a discovery document"},
		{"an array", serves([]byte("[]")), "it is not a JSON object"},
		{"another issuer", serves(metadata("http://127.0.0.1/realms/two", "http://127.0.0.1/jwks2")), `its issuer is "http://127.0.0.1/realms/two"`},
		{"the issuer of the host", serves(metadata("http://127.0.0.1", "http://127.0.0.1/jwks2")), `its issuer is "http://127.0.0.1"`},
		{"no issuer", serves([]byte(`{"jwks_uri":"http://127.0.0.1/jwks2"}`)), "it has no issuer"},
		{"no jwks_uri", serves([]byte(`{"issuer":"http://127.0.0.1/realms/one"}`)), "jwks_uri is missing"},
		{"bad jwks_uri", serves(metadata("http://127.0.0.1/realms/one", "http://keys.example/jwks2")), `jwks_uri "http://keys.example/jwks2" is not accepted: it is plain http`},
		{"too large", writes100MB, "more than 1048576 bytes"},
		{"closed connection", closesConnection, "EOF"},
		{"no answer", neverAnswers, "no answer in time while waiting for the answer"},
	} {
		for good := range len(forms) + 1 { // the address that has the metadata; 3 means none
			t.Run(fmt.Sprintf("%s at %d", tt.name, good), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					server := newPipeServer(t, nil)
					issuer := server.url + path
					want := forms
					documents := pages{
						"/jwks": oneKeySet("1", edKey()), "/jwks2": oneKeySet("1", otherEdKey()),
						"/sign-in": []byte("<!DOCTYPE html><title>Sign in</title>"),
					}
					if good < len(forms) {
						documents[forms[good]] = metadata(issuer, server.url+"/jwks")
						want = append(slices.Clone(forms[:good+1]), "/jwks")
					}
					var asked []string
					var mu sync.Mutex
					server.respond(func(w http.ResponseWriter, r *http.Request) {
						mu.Lock()
						if r.Header.Get("Referer") == "" { // no redirect
							asked = append(asked, r.URL.Path)
						}
						mu.Unlock()
						if slices.Contains(forms, r.URL.Path) && documents[r.URL.Path] == nil {
							tt.answer(w, r)
							return
						}
						documents.answer(w, r)
					})
					remote, _ := server.discoveringRemote()
					start := time.Now()
					err := remote.Refresh(t.Context(), issuer)
					assert.LessOrEqual(t, time.Since(start), 5*time.Second)
					synctest.Wait()
					assert.Equal(t, want, asked)
					assert.Zero(t, server.strayDials.Load())
					if good < len(forms) {
						require.NoError(t, err)
						assert.Equal(t, []string{"1 EdDSA"}, lookUp(t, remote, issuer, "1"))
						assert.Equal(t, server.url+"/jwks", remote.Stats()[0].URL)
						return
					}
					require.Error(t, err)
					text := remote.Stats()[0].Err.Error()
					for _, form := range forms {
						assert.Equal(t, 1, strings.Count(text, "GET "+server.url+form+": "), text)
					}
					assert.Equal(t, 3, strings.Count(text, tt.problem)+strings.Count(text, ": the same"), text)
					assert.LessOrEqual(t, len(text), 500)
					gate, err := jwtgate.New(jwtgate.Options{Keys: remote, Issuers: []string{issuer}, Audiences: []string{audience}})
					require.NoError(t, err)
					requireUnavailable(t, answerTo(gate, t.Context(), signFor(t, issuer, jwt.SigningMethodEdDSA, edKey(), "1")))
				})
			})
		}
	}
}

// redirectsTo answers with a redirect to another address, or to the same if target is empty.
func redirectsTo(target string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, cmp.Or(target, r.URL.Path), http.StatusFound)
	}
}

// The jwks_uri of an issuer with https must not be plain http, not even on loopback: another program may listen
// there.
func TestRemote_MetadataDoesNotLeaveHTTPS(t *testing.T) {
	t.Parallel()
	plain := newTCPServer(t, serves(oneKeySet("1", edKey())))
	var issuer string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(metadata(issuer, plain.url+"/jwks"))
	}))
	defer server.Close()
	issuer = server.URL
	remote := &keys.Remote{Timeout: hangLimit, Client: server.Client()}
	assert.ErrorContains(t, remote.Refresh(t.Context(), issuer), "is plain http")
	assert.Zero(t, plain.fetches.Load())
	remote = &keys.Remote{Timeout: hangLimit, Client: server.Client(), InsecureHTTP: true}
	assert.NoError(t, remote.Refresh(t.Context(), issuer))
}

// A redirect from https to plain http is refused, even to the same host and port.
func TestRemote_RedirectDoesNotLeaveHTTPS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+"/jwks", http.StatusFound)
	}))
	defer server.Close()
	remote := &keys.Remote{URL: server.URL, Timeout: hangLimit, Client: server.Client()}
	assert.ErrorContains(t, remote.Refresh(t.Context(), ""), "another origin")
}

// Remote.Client can trust a private CA, add credentials, and refuse more redirects.
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
			w.Write(oneKeySet("1", edKey()))
		}
	}))
	defer server.Close()
	issuer = server.URL
	with := func(h http.RoundTripper) *http.Client {
		return &http.Client{Transport: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer of the client")
			return h.RoundTrip(r)
		})}
	}
	trusting := server.Client().Transport

	assert.NoError(t, (&keys.Remote{Timeout: hangLimit, Client: with(trusting)}).Refresh(t.Context(), issuer))
	assert.ErrorContains(t, (&keys.Remote{Timeout: hangLimit, Client: with(http.DefaultTransport)}).Refresh(t.Context(), issuer), "certificate")
	assert.ErrorContains(t, (&keys.Remote{Timeout: hangLimit}).Refresh(t.Context(), issuer), "certificate")
	assert.ErrorContains(t, (&keys.Remote{Timeout: hangLimit, Client: server.Client()}).Refresh(t.Context(), issuer), "status 401")

	client := with(trusting)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	assert.ErrorContains(t, (&keys.Remote{Timeout: hangLimit, Client: client}).Refresh(t.Context(), issuer), "/moved: status 301")
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return errors.New("no redirects here") }
	remote := &keys.Remote{Timeout: hangLimit, Client: client}
	assert.ErrorContains(t, remote.Refresh(t.Context(), issuer), "no redirects here")
	client.CheckRedirect = nil
	assert.NoError(t, remote.Refresh(t.Context(), issuer))
	assert.Nil(t, client.CheckRedirect, "the caller's client is not changed")
}

// Each fetch reads the metadata again, so the keys may move to another address.
func TestRemote_KeysMove(t *testing.T) {
	t.Parallel()
	server := newTCPServer(t, nil)
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
	mux.HandleFunc("/old", etag(oneKeySet("1", edKey())))
	mux.HandleFunc("/new", etag(oneKeySet("2", otherEdKey())))
	server.respond(mux.ServeHTTP)
	remote, _ := server.discoveringRemote()
	require.NoError(t, remote.Refresh(t.Context(), server.url))
	require.Equal(t, []string{"1 EdDSA"}, lookUp(t, remote, server.url, ""))
	where.Store("/new")
	assert.Equal(t, []string{"2 EdDSA"}, lookUp(t, remote, server.url, "2"), "an Etag is for one address only")
	assert.Empty(t, lookUp(t, remote, server.url, "1"))
	assert.Equal(t, server.url+"/new", remote.Stats()[0].URL)
}

// A background refresh sends If-None-Match only to the address that the Etag came from.
func TestRemote_KeysMoveUnderOneEtag(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		moved := false
		server := newPipeServer(t, nil)
		server.respond(func(w http.ResponseWriter, r *http.Request) {
			address, set := "/old", oneKeySet("1", edKey())
			if moved {
				address, set = "/new", oneKeySet("2", otherEdKey())
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
		remote, _ := server.discoveringRemote()
		require.NoError(t, remote.Refresh(t.Context(), server.url))
		moved = true
		time.Sleep(8*time.Minute + time.Second)
		require.Equal(t, []string{"1 EdDSA"}, lookUp(t, remote, server.url, "1")) // starts the refresh
		synctest.Wait()
		assert.Equal(t, []string{"2 EdDSA"}, lookUp(t, remote, server.url, ""))
	})
}

// acceptance 24: the key ID of a token never becomes part of a URL, a header or the log.
func TestRemote_KeyIDReachesNoURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newPipeServer(t, nil)
		var mu sync.Mutex
		asked := map[string]bool{}
		documents := pages{openIDConfiguration: metadata(server.url, server.url+"/jwks"), "/jwks": oneKeySet("1", edKey())}
		server.respond(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked[r.RequestURI+" "+r.Header.Get("If-None-Match")] = true
			mu.Unlock()
			documents.answer(w, r)
		})
		remote, log := server.remote()
		remote.URL = ""
		gate, err := jwtgate.New(jwtgate.Options{Keys: remote, Issuers: []string{server.url}, Audiences: []string{audience}})
		require.NoError(t, err)
		for _, kid := range []string{"../../admin", "?x=1", "#", "a b\r\nX: y", "http://127.0.0.1/x", "%2e%2e", strings.Repeat("k", 256)} {
			require.Equal(t, 401, statusOf(t, gate, signFor(t, server.url, jwt.SigningMethodEdDSA, otherEdKey(), kid)))
			time.Sleep(5 * time.Second) // MinInterval
		}
		assert.Equal(t, int64(2*7), server.fetches.Load())
		assert.Equal(t, map[string]bool{openIDConfiguration + " ": true, "/jwks ": true}, asked)
		synctest.Wait()
		assert.Len(t, log.drain(), 1)
	})
}

// acceptance 32: the keys of one issuer never verify the tokens of another.
func TestRemote_IssuersAreApart(t *testing.T) {
	t.Parallel()
	server := newTCPServer(t, nil)
	a, b := server.url+"/a", server.url+"/b"
	server.respond(pages{
		"/a" + openIDConfiguration: metadata(a, server.url+"/a/jwks"), "/a/jwks": oneKeySet("1", edKey()),
		"/b" + openIDConfiguration: metadata(b, server.url+"/b/jwks"), "/b/jwks": oneKeySet("1", otherEdKey()),
	}.answer)
	remote, _ := server.discoveringRemote()
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

// An issuer that is slow, but answers at the first address, has the whole Timeout. An address that does not answer
// leaves time for the others.
func TestRemote_MetadataSlow(t *testing.T) {
	t.Parallel()
	never := time.Hour
	for _, tt := range []struct {
		name   string
		delays [3]time.Duration // until the three addresses answer
		good   [3]bool          // which of them have the metadata; the others answer 404
		took   time.Duration    // 0 if the fetch fails
		asked  int              // how many of the addresses
	}{
		{"at once", [3]time.Duration{0, 0, 0}, [3]bool{true, true, true}, time.Nanosecond, 1},
		{"first, slow", [3]time.Duration{2600 * time.Millisecond, 0, 0}, [3]bool{true, true, true}, 2600 * time.Millisecond, 1},
		{"first, very slow", [3]time.Duration{4500 * time.Millisecond, 0, 0}, [3]bool{true, false, false}, 4500 * time.Millisecond, 3},
		{"first, very slow, others slower", [3]time.Duration{4500 * time.Millisecond, never, never}, [3]bool{true, true, true}, 4500 * time.Millisecond, 3},
		{"second, after none from the first", [3]time.Duration{never, 0, 0}, [3]bool{true, true, true}, 3 * time.Second, 2},
		{"third, after none from the first", [3]time.Duration{never, 0, 0}, [3]bool{true, false, true}, 3 * time.Second, 3},
		{"third, after none from both", [3]time.Duration{never, never, 0}, [3]bool{true, true, true}, 4200 * time.Millisecond, 3},
		{"third, after 404 and none", [3]time.Duration{time.Second, never, 0}, [3]bool{false, true, true}, 3400 * time.Millisecond, 3},
		{"third, slow, each of them", [3]time.Duration{time.Second, time.Second, time.Second}, [3]bool{false, false, true}, 3 * time.Second, 3},
		{"none", [3]time.Duration{never, never, never}, [3]bool{true, true, true}, 0, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, nil)
				issuer := server.url + "/a"
				forms := []string{"/a" + openIDConfiguration, oauthServer + "/a", openIDConfiguration + "/a"}
				var asked atomic.Int64
				server.respond(func(w http.ResponseWriter, r *http.Request) {
					form := slices.Index(forms, r.URL.Path)
					if form < 0 {
						w.Write(oneKeySet("1", edKey()))
						return
					}
					asked.Add(1)
					select {
					case <-time.After(tt.delays[form]):
					case <-r.Context().Done():
						return
					}
					if !tt.good[form] {
						w.WriteHeader(404)
						return
					}
					w.Write(metadata(issuer, server.url+"/jwks"))
				})
				remote, _ := server.discoveringRemote()
				start := time.Now()
				err := remote.Refresh(t.Context(), issuer)
				took := time.Since(start)
				synctest.Wait()
				assert.Equal(t, int64(tt.asked), asked.Load())
				assert.Zero(t, server.inFlight.now.Load(), "requests that are no longer needed end")
				assert.Zero(t, server.connections.now.Load())
				if tt.took == 0 {
					require.Error(t, err)
					assert.Equal(t, 5*time.Second, took)
					assert.ErrorIs(t, remote.Stats()[0].Err, context.DeadlineExceeded)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, tt.took.Truncate(time.Millisecond), took)
			})
		})
	}
}

// acceptance 31: who controls one path of a host cannot answer for an issuer at another path of it, or at its root.
func TestRemote_MetadataOfSharedHost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		victim string
		forms  []string
	}{
		{"", []string{openIDConfiguration, oauthServer}},
		{"/", []string{openIDConfiguration, oauthServer}},
		{"/victim", []string{"/victim" + openIDConfiguration, oauthServer + "/victim", openIDConfiguration + "/victim"}},
		{"/victim/", []string{"/victim" + openIDConfiguration, oauthServer + "/victim", openIDConfiguration + "/victim"}},
		{"/victim//", []string{"/victim/" + openIDConfiguration, oauthServer + "/victim/", openIDConfiguration + "/victim/"}},
		{"/mallory-2", []string{"/mallory-2" + openIDConfiguration, oauthServer + "/mallory-2", openIDConfiguration + "/mallory-2"}},
		{"/Mallory", []string{"/Mallory" + openIDConfiguration, oauthServer + "/Mallory", openIDConfiguration + "/Mallory"}},
		{"/a%2Fb", []string{"/a%2Fb" + openIDConfiguration, oauthServer + "/a%2Fb", openIDConfiguration + "/a%2Fb"}},
		{"/a;b=c", []string{"/a;b=c" + openIDConfiguration, oauthServer + "/a;b=c", openIDConfiguration + "/a;b=c"}},
	} {
		t.Run(tt.victim, func(t *testing.T) {
			t.Parallel()
			server := newTCPServer(t, nil)
			victim := server.url + tt.victim
			var asked []string
			server.respond(func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.URL.EscapedPath())
				if strings.HasPrefix(r.URL.Path, "/mallory/") || r.URL.Path == oauthServer+"/mallory" || r.URL.Path == openIDConfiguration+"/mallory" {
					w.Write(metadata(victim, server.url+"/mallory/jwks"))
					return
				}
				w.WriteHeader(503)
			})
			remote, _ := server.discoveringRemote()
			require.ErrorContains(t, remote.Refresh(t.Context(), victim), "status 503")
			assert.Equal(t, tt.forms, asked)
			mallory := server.url + "/mallory"
			assert.ErrorContains(t, remote.Refresh(t.Context(), mallory), "its issuer is")
			assert.ErrorContains(t, remote.Refresh(t.Context(), mallory+"/../victim"), "dot segment")
			assert.ErrorContains(t, remote.Refresh(t.Context(), server.url+"/victim/%2e%2e/mallory"), "dot segment")
		})
	}
}

// What is wrong at each address fits into one line of the audit log, whatever the server sends.
func TestRemote_MetadataErrors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long-", 30)
	for _, tt := range []struct {
		name    string
		path    string
		answers [3]http.HandlerFunc
		want    []string // in this order
	}{
		{"short", "/a", [3]http.HandlerFunc{fails(404), fails(404), fails(502)}, []string{
			"GET URL/a/.well-known/openid-configuration: status 404; ",
			"GET URL/.well-known/oauth-authorization-server/a: status 404; ",
			"GET URL/.well-known/openid-configuration/a: status 502",
		}},
		{"no path", "", [3]http.HandlerFunc{fails(404), fails(502), fails(502)}, []string{
			"GET URL/.well-known/openid-configuration: status 404; ",
			"GET URL/.well-known/oauth-authorization-server: status 502",
		}},
		{"the same", "/a", [3]http.HandlerFunc{redirectsTo("https://sso.example/"), redirectsTo("https://sso.example/"), redirectsTo("https://sso.example/")}, []string{
			"openid-configuration: it redirects to another origin, https://sso.example:443, which is not followed; ",
			"oauth-authorization-server/a: the same; ",
			"openid-configuration/a: the same",
		}},
		{"the same, but not at once", "/a", [3]http.HandlerFunc{redirectsTo("https://sso.example/"), fails(404), redirectsTo("https://sso.example/")}, []string{
			"openid-configuration: it redirects to another origin, https://sso.example:443, which is not followed; ",
			"oauth-authorization-server/a: status 404; ",
			"openid-configuration/a: it redirects to another origin, https://sso.example:443, which is not followed",
		}},
		{"long issuer", "/" + long, [3]http.HandlerFunc{fails(404), fails(502), fails(503)}, []string{
			"GET URL/", ".well-known/openid-configuration: status 404; ",
			"GET URL/.well-known/oauth", "long-: status 502; ",
			"GET URL/.well-known/openid", "long-: status 503",
		}},
		{"long answers", "/a", [3]http.HandlerFunc{
			redirectsTo("https://" + long + "1.example/"), redirectsTo("https://" + long + "2.example/"), redirectsTo("https://" + long + "3.example/"),
		}, []string{"GET URL", "which is not followed; ", "GET URL", "which is not followed; ", "GET URL", "which is not followed"}},
		{"long and hostile answers", "/" + long, [3]http.HandlerFunc{
			serves([]byte(`{"issuer":"` + strings.Repeat(`\n\u2028é`, 1000) + `"}`)),
			servesWith("Content-Type", "text/html; \x1b[31m"+strings.Repeat("é", 1000), []byte("<html>")),
			servesWith("Location", "https://\u2028.example\u202e/", nil),
		}, []string{"GET URL", "the two must be identical; ", "GET URL", "not a discovery document; ", "GET URL", "not a discovery document"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newDirectServer(nil)
				issuer := server.url + tt.path
				forms := []string{tt.path + openIDConfiguration, oauthServer + tt.path, openIDConfiguration + tt.path}
				server.respond(func(w http.ResponseWriter, r *http.Request) { tt.answers[slices.Index(forms, r.URL.Path)](w, r) })
				var audit logBuffer
				remote, log := server.discoveringRemote()
				gate, err := jwtgate.New(jwtgate.Options{
					Keys: remote, Issuers: []string{issuer}, Audiences: []string{audience},
					Observe: jwtgate.AuditLog(slog.New(slog.NewJSONHandler(&audit, nil))),
				})
				require.NoError(t, err)
				requireUnavailable(t, answerTo(gate, t.Context(), signFor(t, issuer, jwt.SigningMethodEdDSA, edKey(), "1")))
				synctest.Wait()
				text := remote.Stats()[0].Err.Error()
				assert.True(t, utf8.ValidString(text))
				assert.Equal(t, -1, strings.IndexFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }), "%q", text)
				rest := text
				for _, want := range tt.want {
					_, after, ok := strings.Cut(rest, strings.ReplaceAll(want, "URL", server.url))
					require.True(t, ok, "%q is not in %q of %q", want, rest, text)
					rest = after
				}
				assert.Empty(t, rest, "the last text is at the end")
				assert.Len(t, log.drain(), 1)
				lines := audit.drain()
				require.Len(t, lines, 1)
				var record struct{ Error string }
				require.NoError(t, json.Unmarshal([]byte(lines[0]), &record))
				assert.Equal(t, "jwtgate: getting keys: "+text+" (status 503)", record.Error)
			})
		})
	}
}

// A panic in the client ends neither the program nor the search.
func TestRemote_MetadataClientPanics(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		fail    func()
		problem string
	}{
		{"panic", func() { panic("of the client") }, "fetching panicked: of the client"},
		{"Goexit", runtime.Goexit, "the client or Parse stopped its goroutine with runtime.Goexit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := newDirectServer(nil)
			server.respond(pages{oauthServer: metadata(server.url, server.url+"/jwks"), "/jwks": oneKeySet("1", edKey())}.answer)
			remote, _ := server.discoveringRemote()
			whole := false
			remote.Client = &http.Client{Transport: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				if whole || r.URL.Path == openIDConfiguration {
					tt.fail()
				}
				return server.client.Transport.RoundTrip(r)
			})}
			require.NoError(t, remote.Refresh(t.Context(), server.url))
			whole = true
			assert.ErrorContains(t, remote.Refresh(t.Context(), server.url), openIDConfiguration+": "+tt.problem)
		})
	}
}
