package main

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain keeps 32 MiB alive, about as much as a small service. With a smaller
// heap the garbage collector runs all the time and dominates the measurement.
func TestMain(m *testing.M) {
	service := make([]byte, 32<<20)
	m.Run()
	runtime.KeepAlive(service)
}

// Each replacement is as strict as the code it replaces: the tests of the
// readers pass with it.
func TestReplacements(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the tests of two packages for each replacement")
	}
	t.Parallel()
	library, err := libraryDir(t.Context())
	require.NoError(t, err)
	for _, r := range replacements {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			overlay := filepath.Join(t.TempDir(), "overlay.json")
			require.NoError(t, r.writeOverlay(overlay, library))
			// Vet would complain that go.mod is for a Go version without jsontext.
			tests := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-overlay", overlay, "./internal/...")
			tests.Dir, tests.Env = library, r.environment(t.Context())
			out, err := tests.CombinedOutput()
			assert.NoError(t, err, "%s", out)
		})
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	got := compare([]float64{100, 200, 100}, []float64{110, 210, 130})
	assert.InDelta(t, 100, got.own, 1e-9)
	assert.InDelta(t, 130, got.library, 1e-9)
	assert.InDelta(t, 1.1, got.ratio, 1e-9)
	assert.InDelta(t, 1.075, got.low, 1e-9)
	assert.InDelta(t, 1.2, got.high, 1e-9)
}

// BenchmarkMiddleware is one request with a good token: from the Authorization
// header, through every check, to the handler that reads the subject.
func BenchmarkMiddleware(b *testing.B) {
	secret := make([]byte, 32)
	rand.Read(secret)
	key, err := jwtgate.NewKey("key-1", "HS256", secret)
	require.NoError(b, err)
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.Static(key),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	require.NoError(b, err)
	handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if jwtgate.Subject(r.Context()) == "" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))

	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "https://auth.example.com/", "aud": "https://api.example.com", "sub": "auth0|64f0c1a2b3d4e5f6a7b8c9d0",
		"exp": now.Add(time.Hour).Unix(), "iat": now.Add(-time.Minute).Unix(),
		"jti": "8d1f2c3b4a59687f", "scope": "orders:read orders:write",
	})
	token.Header["kid"] = "key-1"
	signed, err := token.SignedString(secret)
	require.NoError(b, err)
	r := httptest.NewRequest(http.MethodGet, "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+signed)
	w := &response{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		if handler.ServeHTTP(w, r); w.status != http.StatusNoContent {
			b.Fatal(w.status)
		}
	}
}

// A response is an http.ResponseWriter that costs next to nothing.
type response struct {
	header http.Header
	status int
}

func (w *response) Header() http.Header         { return w.header }
func (w *response) WriteHeader(status int)      { w.status = status }
func (w *response) Write(p []byte) (int, error) { return len(p), nil }
