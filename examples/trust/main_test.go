package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A service is the service of the test with two issuers that it may trust.
type service struct {
	t           *testing.T
	list        *tenants
	server      *httptest.Server
	acme, other *jwttest.Issuer
}

func start(t *testing.T) *service {
	t.Helper()
	s := &service{t: t, list: new(tenants), acme: jwttest.NewIssuer(t), other: jwttest.NewIssuer(t)}
	s.acme.Audience, s.other.Audience = audience, audience
	handler, err := newHandler(&keys.Remote{Logger: slog.New(slog.DiscardHandler)}, s.list)
	require.NoError(t, err)
	s.server = httptest.NewServer(handler)
	t.Cleanup(s.server.Close)
	return s
}

// get returns the status and the body of the answer to a request with token.
func (s *service) get(token string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", s.server.URL+"/notes", nil)
	require.NoError(s.t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := s.server.Client().Do(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return response.StatusCode, string(body)
}

func TestTrustIsWithdrawn(t *testing.T) {
	t.Parallel()
	s := start(t)
	acme, other := s.acme.Token(nil), s.other.Token(nil)
	status := func(token string) int {
		t.Helper()
		status, _ := s.get(token)
		return status
	}

	assert.Equal(t, 401, status(acme), "before there is a list")
	assert.Zero(t, s.acme.Fetches(), "an issuer that is not trusted is not asked for keys")

	s.list.set([]string{s.acme.URL, s.other.URL})
	for range 2 { // the second time from the cache
		code, body := s.get(acme)
		assert.Equal(t, 200, code)
		assert.Equal(t, "notes of alice at "+s.acme.URL+"\n", body)
		assert.Equal(t, 200, status(other))
	}

	s.list.set([]string{s.other.URL})
	assert.Equal(t, 401, status(acme), "remembered by the gate")
	assert.Equal(t, 401, status(s.acme.Token(nil)), "new")
	assert.Equal(t, 200, status(other))

	// No tenant signs for another one.
	assert.Equal(t, 401, status(s.acme.Token(map[string]any{"iss": s.other.URL})))

	s.list.set([]string{s.acme.URL})
	assert.Equal(t, 200, status(acme))
	assert.Equal(t, 401, status(other))
}

// After set has returned, no request is decided by the old list, however many are served at
// once.
func TestWithdrawnUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t)
	both := []string{s.acme.URL, s.other.URL}
	s.list.set(both)
	acme, other := s.acme.Token(nil), s.other.Token(nil)
	var group sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				status, _ := s.get(other)
				assert.Equal(t, 200, status)
			}
		})
	}
	for range 30 {
		s.list.set(both)
		status, _ := s.get(acme)
		assert.Equal(t, 200, status)
		s.list.set(both[1:])
		status, _ = s.get(acme)
		assert.Equal(t, 401, status)
	}
	stop()
	group.Wait()
}

func TestFile(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text    string
		trusted []string
		err     string
	}{
		"issuers":            {"# tenants\nhttps://a.example/\n\n  https://b.example/t/1  \r\n", []string{"https://a.example/", "https://b.example/t/1"}, ""},
		"no last line break": {"https://a.example/", []string{"https://a.example/"}, ""},
		"empty":              {"", nil, "it has no issuers"},
		"only comments":      {"# https://a.example/\n", nil, "it has no issuers"},
		"name of a host":     {"https://a.example/\nb.example\n", nil, `"b.example" is not the URL of an issuer`},
		"half a line":        {"https://a.example/\nhttps://", nil, `"https://" is not the URL of an issuer`},
		"two on a line":      {"https://a.example/ https://b.example/\n", nil, `"https://a.example/ https://b.example/" is not the URL of an issuer`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "issuers.txt")
			require.NoError(t, os.WriteFile(path, []byte(test.text), 0o600))
			list := new(tenants)
			list.set([]string{"https://old.example/"})
			err := list.load(path)
			if test.err != "" {
				assert.ErrorContains(t, err, test.err)
				test.trusted = []string{"https://old.example/"}
			} else {
				require.NoError(t, err)
				assert.False(t, list.trusts("https://old.example/"))
			}
			for _, issuer := range test.trusted {
				assert.True(t, list.trusts(issuer), issuer)
			}
			for _, issuer := range []string{"", "#", "# tenants", "https://a.example", "https://a.example/x"} {
				assert.False(t, list.trusts(issuer), issuer)
			}
		})
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "issuers.txt")
	synctest.Test(t, func(t *testing.T) {
		write := func(text string) {
			require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
			require.NoError(t, os.Rename(path+".new", path))
		}
		wait := func() {
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		var logged bytes.Buffer
		list := new(tenants)
		go list.follow(t.Context(), path, 2*time.Second, slog.New(slog.NewTextHandler(&logged, nil)))

		wait()
		assert.Contains(t, logged.String(), "the list of issuers cannot be used")
		write("https://a.example/\nhttps://b.example/\n")
		wait()
		assert.True(t, list.trusts("https://a.example/"))
		write("https://b.example/\n")
		wait()
		assert.False(t, list.trusts("https://a.example/"))
		write("")
		wait()
		assert.True(t, list.trusts("https://b.example/"), "the old list stays")
		assert.Contains(t, logged.String(), "it has no issuers")
	})
}
