package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gofiber/fiber/v3"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/suite"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serve starts an app on loopback and returns its URL.
func serve(t *testing.T, app *fiber.App) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- app.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true}) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		assert.NoError(t, app.Shutdown())
		assert.NoError(t, <-ended)
	})
	return "http://" + listener.Addr().String()
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	suite.Test(t, func(t *testing.T, source jwtgate.KeySource) string {
		app, err := newApp(source)
		require.NoError(t, err)
		return serve(t, app)
	})
}

// TestAttack sends its requests through net/http, which refuses some of them before
// fasthttp sees them.
func TestAttack(t *testing.T) {
	t.Parallel()
	suite.Attack(t, func(source jwtgate.KeySource) (http.Handler, error) {
		app, err := newApp(source)
		if err != nil {
			return nil, err
		}
		target, err := url.Parse(serve(t, app))
		return &httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
			// fasthttp closes the connection if a header is too long. Do not answer 502 for it.
			ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		}, err
	})
}

// TestRememberedTokens tests that a gate copies the strings it remembers: a string of
// fiber changes when fasthttp reads another request into the same memory.
func TestRememberedTokens(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	options := issuer.Options()
	options.CacheSize = 4 // fewer than there are users
	gate, err := jwtgate.New(options)
	require.NoError(t, err)
	app := fiber.New(fiber.Config{ReadBufferSize: 32 << 10})
	var calls atomic.Int64
	app.Get("/", guard(gate), func(c fiber.Ctx) error {
		calls.Add(1)
		return hello(c)
	})
	at := serve(t, app)

	var users sync.WaitGroup
	for i := range 8 {
		name := fmt.Sprintf("user-%d", i) // all of the same length
		good, forged := issuer.Token(map[string]any{"sub": name}), issuer.Forge(nil, map[string]any{"sub": name})
		users.Go(func() {
			for range 50 {
				got, _ := suite.Send(t, "GET", at, "Bearer "+good)
				assert.Equal(t, suite.Subject(name), got)
				got, _ = suite.Send(t, "GET", at, "Bearer "+forged)
				assert.Equal(t, http.StatusUnauthorized, got.Status)
			}
		})
	}
	users.Wait()
	assert.EqualValues(t, 8*50, calls.Load(), "the handler is called for good tokens only")
}
