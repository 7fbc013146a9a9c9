package dpop_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/dpop"
)

// acceptance 74, 75 and 76
func TestURLs(t *testing.T) {
	t.Parallel()
	api := []string{"https://api.example.com"}
	shop := []string{"https://example.com/shop"}
	for _, tt := range []struct {
		name   string
		urls   []string
		target string // of the request line
		htu    string
		ok     bool
	}{
		{"the same", api, "/a/b", "https://api.example.com/a/b", true},
		{"request with a query", api, "/a?b=/c", "https://api.example.com/a", true},
		{"both with a query", api, "/a?b", "https://api.example.com/a?c", true},
		{"htu with a fragment", api, "/a", "https://api.example.com/a#b", true},
		{"htu with a query in a fragment", api, "/a", "https://api.example.com/a#b?c", true},
		{"htu with an empty query", api, "/a", "https://api.example.com/a?", true},
		{"upper-case scheme and host", api, "/a", "HTTPS://API.EXAMPLE.COM/a", true},
		{"default port", api, "/a", "https://api.example.com:443/a", true},
		{"empty port", api, "/a", "https://api.example.com:/a", true},
		{"default port of http", api, "/a", "https://api.example.com:80/a", false},
		{"port with zeros", api, "/a", "https://api.example.com:0443/a", false},
		{"dot segments", api, "/b", "https://api.example.com/a/./../b", true},
		{"dot segments at the end", api, "/a/", "https://api.example.com/a/b/..", true},
		{"one dot at the end", api, "/a/", "https://api.example.com/a/.", true},
		{"more dots than segments", api, "/a", "https://api.example.com/../../a", true},
		{"encoded dot segments", api, "/b", "https://api.example.com/a/%2e%2E/b", true},
		{"dots that are a name", api, "/...", "https://api.example.com/...", true},
		{"dot segments in the request", api, "/a/../b", "https://api.example.com/b", true},
		{"encoded unreserved characters", api, "/a/~u-._9", "https://api.example.com/%61/%7Eu%2D%2e%5f%39", true},
		{"encoded unreserved characters in the request", api, "/%61", "https://api.example.com/a", true},
		{"hexadecimal digits in lower case", api, "/a%2Fb", "https://api.example.com/a%2fb", true},
		{"no path", api, "/", "https://api.example.com", true},
		{"no path and a query", api, "/", "https://api.example.com?a", true},
		{"characters beyond ASCII", api, "/%C3%BC", "https://api.example.com/%c3%bc", true},
		{"a URL with a slash at its end", []string{"https://api.example.com/"}, "/a", "https://api.example.com/a", true},
		{"a URL in upper case with its port", []string{"HTTPS://API.example.com:443"}, "/a", "https://api.example.com/a", true},
		{"the second URL", append([]string{"https://other.example"}, api...), "/a", "https://api.example.com/a", true},
		{"IPv6", []string{"https://[2001:DB8::1]:8443"}, "/a", "https://[2001:db8::1]:8443/a", true},
		{"this machine", []string{"http://localhost:8080"}, "/a", "http://localhost:8080/a", true},
		{"default port of this machine", []string{"http://127.0.0.1"}, "/a", "http://127.0.0.1:80/a", true},
		{"whole URL in the request line", api, "https://evil.example/a?b", "https://api.example.com/a", true},
		{"whole URL without a path", api, "https://evil.example", "https://api.example.com/", true},

		{"encoded slash for a slash", api, "/a/b", "https://api.example.com/a%2Fb", false},
		{"slash for an encoded slash", api, "/a%2Fb", "https://api.example.com/a/b", false},
		{"two slashes for one", api, "/a/b", "https://api.example.com/a//b", false},
		{"one slash for two", api, "/a//b", "https://api.example.com/a/b", false},
		{"two slashes", api, "/a//b", "https://api.example.com/a//b", true},
		{"two slashes at the start", api, "//evil.example/a", "https://api.example.com//evil.example/a", true},
		{"two slashes at the start are no host", api, "//evil.example/a", "https://evil.example/a", false},
		{"path in another letter case", api, "/a", "https://api.example.com/A", false},
		{"a slash more at the end", api, "/a", "https://api.example.com/a/", false},
		{"a slash less at the end", api, "/a/", "https://api.example.com/a", false},
		{"double encoding", api, "/a", "https://api.example.com/%2561", false},
		{"double encoding in the request", api, "/%2561", "https://api.example.com/%61", false},
		{"encoded question mark", api, "/a", "https://api.example.com/a%3Fb", false},
		{"encoded end of string", api, "/a", "https://api.example.com/a%00", false},
		{"backslash", api, "/a/b", `https://api.example.com/a\b`, false},
		{"backslash after the host", api, "/a", `https://api.example.com\/a`, false},
		{"tab", api, "/ab", "https://api.example.com/a\tb", false},
		{"space at the end", api, "/a", "https://api.example.com/a ", false},
		{"space at the start", api, "/a", " https://api.example.com/a", false},
		{"userinfo", api, "/a", "https://me@api.example.com/a", false},
		{"our host as userinfo", api, "/a", "https://api.example.com@evil.example/a", false},
		{"longer host", api, "/a", "https://api.example.com.evil.example/a", false},
		{"longer host that continues as the path", api, "/a", "https://api.example.comm/a", false},
		{"dot after the host", api, "/a", "https://api.example.com./a", false},
		{"encoded host", api, "/a", "https://%61pi.example.com/a", false},
		{"Kelvin sign in the host", []string{"https://kiosk.example"}, "/a", "https://\u212aiosk.example/a", false},
		{"other form of IPv6", []string{"https://[::1]"}, "/a", "https://[0:0:0:0:0:0:0:1]/a", false},
		{"one slash after the scheme", api, "/a", "https:/api.example.com/a", false},
		{"no scheme", api, "/a", "//api.example.com/a", false},
		{"another scheme", api, "/a", "wss://api.example.com/a", false},
		{"half of a percent-encoding", api, "/a", "https://api.example.com/a%", false},
		{"no hexadecimal digits", api, "/a", "https://api.example.com/%zz", false},
		{"a segment with a backslash that dots remove", api, "/a", `https://api.example.com/b\c/../a`, false},
		{"a segment with a space that dots remove", api, "/a", "https://api.example.com/b c/../a", false},
		{"a segment with half an encoding that dots remove", api, "/a", "https://api.example.com/%a/../a", false},
		{"a segment beyond ASCII that dots remove", api, "/a", "https://api.example.com/\u00fc/../a", false},
		{"host of the request line", api, "https://evil.example/a", "https://evil.example/a", false},

		{"behind a prefix", shop, "/orders", "https://example.com/shop/orders", true},
		{"the prefix itself", shop, "/", "https://example.com/shop", true},
		{"the prefix with a slash", shop, "/", "https://example.com/shop/", true},
		{"the prefix itself with a query", shop, "/", "https://EXAMPLE.com/shop?a", true},
		{"without the prefix", shop, "/orders", "https://example.com/orders", false},
		{"longer prefix", shop, "/orders", "https://example.com/shopping/orders", false},
		{"longer prefix that continues as the path", shop, "/s", "https://example.com/shops", false},
		{"out of the prefix by dots in htu", shop, "/orders", "https://example.com/shop/../orders", false},
		{"out of the prefix by dots in the request", shop, "/../orders", "https://example.com/orders", false},
		{"the prefix itself for another path", shop, "/orders", "https://example.com/shop", false},
		{"nothing but the prefix for no prefix", api, "/shop", "https://api.example.com", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, &dpop.Verifier{URLs: tt.urls})
			token := p256Client.token()
			d := p256Client.draft("GET", tt.htu, token)
			// As a server reads it from the connection.
			lines := "GET " + tt.target + " HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: http\r\n" +
				"X-Forwarded-Prefix: /evil\r\nForwarded: host=evil.example\r\nAuthorization: DPoP " + token + "\r\nDPoP: " + d.sign() + "\r\n\r\n"
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(lines)))
			require.NoError(t, err)
			w := send(gate, r)
			if tt.ok {
				assert.NoError(t, w.err)
				return
			}
			assert.Equal(t, invalidProof, w.code())
			assert.ErrorContains(t, w.err, "htu is ")
		})
	}
}

// acceptance 76: what a mux or http.StripPrefix does to the URL of the request does not
// matter, nor do the headers that say how the client has called.
func TestURLsInsideOfMuxes(t *testing.T) {
	t.Parallel()
	gate := newGate(t, &dpop.Verifier{})
	token := p256Client.token()
	mux := http.NewServeMux()
	mux.Handle("/api/", http.StripPrefix("/api", gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))))
	for htu, want := range map[string]int{"https://api.example.com/api/orders": 204, "https://api.example.com/orders": 401} {
		r := newRequest("GET", "/api/orders", "Authorization: DPoP "+token, "DPoP: "+p256Client.draft("GET", htu, token).sign())
		assert.Equal(t, want, serve(mux, r).Code, htu)
	}
}

// Requests that no server has read, and those without a path.
func TestPathOfTheRequest(t *testing.T) {
	t.Parallel()
	gate := newGate(t, &dpop.Verifier{})
	token := p256Client.token()
	for _, tt := range []struct {
		name   string
		method string
		change func(*http.Request)
		htu    string
		reason string
	}{
		{"without RequestURI", "GET", func(r *http.Request) { r.RequestURI = "" }, "https://api.example.com/a%2Fb", ""},
		{"without RequestURI and path", "GET", func(r *http.Request) { r.RequestURI, r.URL.Path, r.URL.RawPath, r.URL.Host = "", "", "", "x" }, "https://api.example.com/", ""},
		{"without anything", "GET", func(r *http.Request) { r.RequestURI, r.URL = "", nil }, "https://api.example.com/", "no path"},
		{"asterisk", "OPTIONS", func(r *http.Request) { r.RequestURI, r.URL.Path = "*", "*" }, "https://api.example.com", "no path"},
		{"CONNECT", "CONNECT", func(r *http.Request) { r.RequestURI = "api.example.com:443" }, "https://api.example.com", "no path"},
		{"CONNECT with a path", "CONNECT", func(r *http.Request) { r.RequestURI = "/a" }, "https://api.example.com/a", "no path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRequest("GET", "/a%2Fb", "Authorization: DPoP "+token, "DPoP: "+p256Client.draft(tt.method, tt.htu, token).sign())
			r.Method = tt.method
			tt.change(r)
			_, err := gate.Check(r)
			if tt.reason == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, tt.reason)
			}
		})
	}
}
