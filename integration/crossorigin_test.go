package integration_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/rs/cors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/jwtgate/jwtgate/jwttest"
)

// TestCrossOrigin reads the metadata and the challenges of a service in a page of another
// origin, as a client in the browser does. The metadata needs nothing for that. The answers
// of the service need a CORS middleware outside the gate.
// acceptance 65
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, `<!doctype html><title>page</title><link rel="icon" href="data:,">`)
	}))
	t.Cleanup(page.Close)
	b := startBrowser(t, page.URL)
	b.run(t, chromedp.Navigate(b.page))

	issuer := jwttest.NewIssuer(t)
	server := httptest.NewUnstartedServer(nil)
	base := "http://" + server.Listener.Addr().String()
	options := issuer.Options()
	options.Resource, options.Audiences = base+"/mcp", []string{base + "/mcp"}
	options.Confirm = []jwtgate.Confirmer{&dpop.Verifier{URLs: []string{base}, NonceKeys: [][]byte{[]byte("a secret of this test, of 32 bytes")}}}
	gate, err := jwtgate.New(options)
	require.NoError(t, err)
	service := gate.Handler(http.NotFoundHandler())
	crossOrigin := cors.New(cors.Options{
		AllowedOrigins: []string{page.URL},
		AllowedMethods: []string{"GET", "POST", "DELETE"},
		AllowedHeaders: []string{"Authorization", "Content-Type", "DPoP", "MCP-Protocol-Version"},
		ExposedHeaders: []string{"WWW-Authenticate", "DPoP-Nonce"},
	})
	mux := http.NewServeMux()
	mux.Handle(gate.Metadata())
	mux.Handle("/mcp", crossOrigin.Handler(service))
	mux.Handle("/inside", gate.Handler(crossOrigin.Handler(http.NotFoundHandler())))
	mux.Handle("/without", service)
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)

	type answer struct {
		Error            string // that of fetch
		Status           int
		Challenge, Nonce string
		Document         map[string]any
	}
	fetch := func(url, init string) (a answer) {
		t.Helper()
		script := fmt.Sprintf(`fetch(%q, %s).then(async (r) => ({
			status: r.status, challenge: r.headers.get("WWW-Authenticate") || "", nonce: r.headers.get("DPoP-Nonce") || "",
			document: r.ok ? await r.json() : null,
		}), (error) => ({error: error.name}))`, url, init)
		b.run(t, chromedp.Evaluate(script, &a, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		return a
	}
	const withVersion = `{headers: {"MCP-Protocol-Version": "2026-07-28"}}` // causes a preflight request

	metadata := base + "/.well-known/oauth-protected-resource/mcp"
	for _, init := range []string{`{}`, withVersion} {
		got := fetch(metadata, init)
		assert.Equal(t, http.StatusOK, got.Status, got.Error)
		assert.Equal(t, base+"/mcp", got.Document["resource"])
	}
	for name, init := range map[string]string{
		"no token":             withVersion,
		"bad token":            `{method: "POST", headers: {Authorization: "DPoP x.y.z", DPoP: "x.y.z", "MCP-Protocol-Version": "2026-07-28"}}`,
		"bad token, as Bearer": `{headers: {Authorization: "Bearer x.y.z"}}`,
	} {
		got := fetch(base+"/mcp", init)
		assert.Equal(t, http.StatusUnauthorized, got.Status, "%s: %s", name, got.Error)
		assert.Contains(t, got.Challenge, fmt.Sprintf("resource_metadata=%q", metadata), name)
		assert.NotEmpty(t, got.Nonce, name)
	}
	assert.Equal(t, answer{Error: "TypeError"}, fetch(base+"/without", withVersion), "no CORS middleware")
	assert.Equal(t, answer{Error: "TypeError"}, fetch(base+"/inside", withVersion), "the CORS middleware is inside the gate")
}
