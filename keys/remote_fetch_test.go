package keys_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// acceptance 10, 55: whatever the server does wrong, the keys that are known stay in use. A token with an
// unknown key ID gets 503, because the fetch that would decide fails.
func TestRemote_ServerFaults(t *testing.T) {
	t.Parallel()
	good := oneKeySet("1", edKey())
	manyKeys := make([]any, 10_000)
	for i := range manyKeys {
		manyKeys[i] = jwk{"kty": "OKP", "kid": strconv.Itoa(i)}
	}
	justTooMany := make([]any, 1001)
	for i := range justTooMany {
		justTooMany[i] = jwkOf(public(edKey())).with("kid", strconv.Itoa(i))
	}
	redirects := func(target string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) }
	}
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		reason string
	}{
		{"500", fails(500), "status 500"},
		{"404", fails(404), "status 404"},
		{"401", fails(401), "status 401; if the server wants credentials, let Remote.Client send them"},
		{"429", fails(429), "status 429"},
		{"204", fails(204), "status 204"},
		{"500 with a good set", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); w.Write(good) }, "status 500"},
		{"304 without If-None-Match", fails(304), "status 304"},
		{"connection closed", closesConnection, "/jwks: EOF while waiting for the answer"},
		{"connection closed in the body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10000")
			w.Write(good)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "/jwks: unexpected EOF while reading the answer"},
		{"garbage", serves(bytes.Repeat([]byte("\x00\xff{["), 100)), "it is other binary data (application/octet-stream), not a JWK Set"},
		{"nothing", serves(nil), "it is empty, not a JWK Set"},
		{"HTML", servesWith("Content-Type", "text/html", []byte("<!doctype html><title>Maintenance</title>")), "/jwks: it is an HTML page (text/html), not a JWK Set"},
		{"cut short", serves(good[:len(good)-1]), "it is not a JWK Set"},
		{"an empty set", serves(jwkSet()), "it has no usable key"},
		{"an empty object", serves([]byte("{}")), "it is not a JWK Set: it has no member keys"},
		{"only unusable keys", serves(jwkSet(jwk{"kty": "oct", "k": "AAAA"}, 1)), "it has no usable key"},
		{"1,001 keys", serves(jwkSet(justTooMany...)), "more than the 1000 keys that are read"},
		{"10,000 keys", serves(jwkSet(manyKeys...)), "more than the 1000 keys that are read"},
		{"1 MiB and a byte", serves(append(good, bytes.Repeat([]byte(" "), 1<<20+1-len(good))...)), "more than 1048576 bytes"},
		{"100 MB", writes100MB, "more than 1048576 bytes"},
		{"100 MB announced", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(100<<20))
			writes100MB(w, r)
		}, "more than 1048576 bytes"},
		{"redirect to http elsewhere", redirects("http://keys.example/jwks"), "another origin"},
		{"redirect to another port", redirects("http://127.0.0.1:8080/jwks"), "another origin"},
		{"redirect to https", redirects("https://127.0.0.1/jwks"), "another origin"},
		{"redirect to a file", redirects("file:///etc/passwd"), "another origin"},
		{"redirect in a loop", redirects("/jwks"), "it redirects more than 3 times"},
		{"redirect to nowhere", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) }, "status 302"},
		{"redirect to a long address", redirects("https://" + strings.Repeat("a", 5000) + ".example/redirect"), "..."},
		{"no answer", neverAnswers, "/jwks: no answer in time while waiting for the answer"},
		{"a body without an end", func(w http.ResponseWriter, r *http.Request) {
			w.Write(good)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "/jwks: no answer in time while reading the answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, serves(good))
				remote, log := server.remote()
				gate := newGate(t, remote)
				known, unknown := signEdDSA(t, edKey(), "1"), signEdDSA(t, otherEdKey(), "2")
				require.Equal(t, 200, statusOf(t, gate, known))
				synctest.Wait()
				log.drain()

				server.respond(tt.answer)
				for range 20 {
					requireUnavailable(t, answerTo(gate, t.Context(), unknown))
					require.Equal(t, 200, statusOf(t, gate, known))
					time.Sleep(100 * time.Millisecond)
				}
				_, err := gate.Verify(t.Context(), unknown)
				require.ErrorIs(t, err, jwtgate.ErrUnavailable)
				assert.ErrorContains(t, err, tt.reason)
				if strings.Contains(tt.reason, "redirect") {
					var clientError *url.Error
					assert.ErrorAs(t, err, &clientError)
				}
				stats := remote.Stats()[0]
				assert.NotZero(t, stats.Failures)
				assert.Equal(t, 1, stats.Keys)
				assert.ErrorContains(t, stats.Err, tt.reason)
				assert.Zero(t, server.strayDials.Load(), "connections to other addresses")

				synctest.Wait()
				records := log.drain()
				require.Len(t, records, 1)
				message := "keys cannot be fetched, the old ones stay in use"
				switch tt.name {
				case "404", "only unusable keys":
					message = "the issuer publishes no usable key"
				case "an empty set":
					message = "the key set of the issuer is empty"
				}
				assert.Contains(t, records[0], `msg="jwtgate: `+message)
				// acceptance 33
				assert.Less(t, len(records[0]), 600)

				server.respond(serves(oneKeySet("2", otherEdKey())))
				time.Sleep(31 * time.Second) // the longest backoff is 30 seconds
				assert.Equal(t, 200, statusOf(t, gate, unknown))
				synctest.Wait()
				assert.Contains(t, strings.Join(log.drain(), "\n"), "keys fetched again")
				assert.NoError(t, remote.Stats()[0].Err)
			})
		})
	}
}

// The fetch runs on a goroutine of the Remote, where a panic of the client would end the program.
func TestRemote_BrokenClient(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		client roundTripperFunc
		reason string
	}{
		{"panics", func(*http.Request) (*http.Response, error) { panic("no client today") }, "no client today"},
		{"ends its goroutine", func(*http.Request) (*http.Response, error) { runtime.Goexit(); return nil, nil }, "the client or Parse stopped its goroutine"},
		{"fails with ErrSignature", func(*http.Request) (*http.Response, error) { return nil, jwtgate.ErrSignature }, "bad signature"},
		{"fails with an Error of status 401", func(*http.Request) (*http.Response, error) { return nil, &jwtgate.Error{Status: 401} }, "status 401"},
		{"fails with ErrNoToken", func(*http.Request) (*http.Response, error) { return nil, jwtgate.ErrNoToken }, "no token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				remote := &keys.Remote{URL: "https://auth.example.com/jwks", Client: &http.Client{Transport: tt.client}}
				gate := newGate(t, remote)
				for range 2 {
					requireUnavailable(t, answerTo(gate, t.Context(), signEdDSA(t, edKey(), "1")))
				}
				assert.ErrorContains(t, remote.Refresh(t.Context(), ""), tt.reason)
				assert.Equal(t, uint64(2), remote.Stats()[0].Failures)
				// acceptance 43: in an outage, Optional does not treat a request with a token as anonymous.
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("Authorization", "Bearer "+signEdDSA(t, edKey(), "1"))
				w := httptest.NewRecorder()
				gate.Optional(http.NotFoundHandler()).ServeHTTP(w, r)
				requireUnavailable(t, w)
			})
		})
	}
}

// acceptance 33: no fault in reading a body ends the program, outlasts Timeout, or puts control characters into
// an error.
func TestRemote_BrokenBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		body io.Reader
	}{
		{"panics", readerFunc(func([]byte) (int, error) { panic("no body today") })},
		{"returns no bytes for ever", readerFunc(func([]byte) (int, error) { time.Sleep(time.Millisecond); return 0, nil })},
		{"returns a negative count", readerFunc(func([]byte) (int, error) { return -5, nil })},
		{"returns a count beyond the buffer", readerFunc(func(p []byte) (int, error) { return len(p) + 1, nil })},
		{"fails", readerFunc(func([]byte) (int, error) { return 0, errors.New("line\nbreak\x1b[2J") })},
		{"fails with a deadline", readerFunc(func([]byte) (int, error) {
			return 0, fmt.Errorf("line\nbreak: %w", context.DeadlineExceeded)
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				remote := &keys.Remote{URL: "https://auth.example.com/", Timeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
				remote.Client = &http.Client{Transport: roundTripperFunc(func(*http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, ContentLength: -1, Body: io.NopCloser(tt.body)}, nil
				})}
				start := time.Now()
				require.Error(t, remote.Refresh(t.Context(), ""))
				assert.LessOrEqual(t, time.Since(start), 50*time.Millisecond)
				time.Sleep(time.Millisecond) // until the last Read returns
				synctest.Wait()
				assert.NotZero(t, remote.Stats()[0].Failures, "the fetch has ended")
				if tt.name == "fails with a deadline" {
					assert.ErrorIs(t, remote.Stats()[0].Err, context.DeadlineExceeded, "still found after the text is cleaned")
				}
				_, err := newGate(t, remote).Verify(t.Context(), signEdDSA(t, edKey(), "1"))
				assert.NotContains(t, err.Error(), "\n")
				assert.NotContains(t, err.Error(), "\x1b")
			})
		})
	}
}

// An Etag over 1 KiB is neither kept nor sent back.
func TestRemote_LongEtag(t *testing.T) {
	t.Parallel()
	server := newTCPServer(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Empty(t, r.Header.Get("If-None-Match"))
		servesWith("Etag", `"`+strings.Repeat("e", 100_000)+`"`, oneKeySet("1", edKey()))(w, r)
	})
	remote, _ := server.remote()
	for range 3 {
		require.NoError(t, remote.Refresh(t.Context(), ""))
	}
}

func TestRemote_CacheControl(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	for _, tt := range []struct {
		name     string
		header   string
		age      string
		freshFor time.Duration
		want     time.Duration // until the next fetch at the latest; at the earliest, three quarters of it
	}{
		{"no header", "", "", 0, 8 * minute},
		{"no header, FreshFor", "", "", minute, 48 * time.Second},
		{"other directives", "public, must-revalidate, s-maxage=5", "", 0, 8 * minute},
		{"max-age=0", "max-age=0", "", 0, 48 * time.Second},
		{"max-age=5", "max-age=5", "", 0, 48 * time.Second},
		{"max-age=300", "public, max-age=300", "", 0, 4 * minute},
		{"letter case", "Public,MAX-AGE=300", "", 0, 4 * minute},
		{"quoted", `max-age="300"`, "", 0, 4 * minute},
		{"with Age", "max-age=3600", "3300", 0, 4 * minute},
		{"with an Age beyond", "max-age=3600", "4000", 0, 48 * time.Second},
		{"max-age=1 year", "max-age=31536000", "", 0, 8 * minute},
		{"max-age=1 year, FreshFor", "max-age=31536000", "", 48 * time.Hour, 24 * time.Hour / 5 * 4},
		{"max-age beyond numbers", "max-age=99999999999999999999", "", 0, 8 * minute},
		{"malformed max-age", "max-age=soon", "", 0, 48 * time.Second},
		{"negative max-age", "max-age=-1", "", 0, 48 * time.Second},
		{"no-store", "no-store", "", 0, 48 * time.Second},
		{"no-cache beside max-age", "max-age=600, no-cache", "", 0, 48 * time.Second},
		{"in two lines", "public\nmax-age=300", "", 0, 4 * minute},
		{"max-age=0, short FreshFor", "max-age=0", "", 10 * time.Second, 8 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newPipeServer(t, func(w http.ResponseWriter, _ *http.Request) {
					if tt.header != "" {
						w.Header()["Cache-Control"] = strings.Split(tt.header, "\n")
					}
					if tt.age != "" {
						w.Header().Set("Age", tt.age)
					}
					w.Write(oneKeySet("1", edKey()))
				})
				remote, _ := server.remote()
				remote.FreshFor = tt.freshFor
				gate := newGateWithFixedClock(t, remote)
				token := signEdDSA(t, edKey(), "1")
				require.Equal(t, 200, statusOf(t, gate, token))
				for range 3 {
					before := server.fetches.Load()
					for range 100 {
						time.Sleep((tt.want/4*3 - time.Second) / 100)
						require.Equal(t, 200, statusOf(t, gate, token))
					}
					synctest.Wait()
					require.Equal(t, before, server.fetches.Load(), "never a fetch per request")
					time.Sleep(tt.want/4 + 2*time.Second)
					for range 100 {
						require.Equal(t, 200, statusOf(t, gate, token))
					}
					synctest.Wait()
					require.Equal(t, before+1, server.fetches.Load())
				}
			})
		})
	}
}

func TestRemote_Revalidation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var full, unchanged atomic.Int32
		etag, set := `"v1"`, oneKeySet("1", edKey())
		server := newPipeServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") == etag {
				if unchanged.Add(1)%2 == 0 { // a 304 need not repeat the header (RFC 9110 section 15.4.5)
					w.Header().Set("Etag", etag)
					w.Header().Set("Cache-Control", "max-age=300")
				}
				w.WriteHeader(http.StatusNotModified)
				return
			}
			w.Header().Set("Etag", etag)
			w.Header().Set("Cache-Control", "max-age=300")
			full.Add(1)
			w.Write(set)
		})
		remote, log := server.remote()
		gate := newGateWithFixedClock(t, remote)
		first, second := signEdDSA(t, edKey(), "1"), signEdDSA(t, otherEdKey(), "2")
		require.Equal(t, 200, statusOf(t, gate, first))
		synctest.Wait()
		log.drain()
		for i := range 5 {
			time.Sleep(241 * time.Second) // four fifths of max-age
			assert.Equal(t, 200, statusOf(t, gate, first))
			synctest.Wait()
			assert.Equal(t, int32(i+1), unchanged.Load())
			assert.Less(t, remote.Stats()[0].Age, time.Second, "a 304 counts like a new set")
		}
		assert.Equal(t, int32(1), full.Load())
		assert.Empty(t, log.drain(), "nothing has changed")

		etag, set = `"v2"`, oneKeySet("2", otherEdKey())
		assert.Equal(t, 200, statusOf(t, gate, second))
		assert.Equal(t, 401, statusOf(t, gate, first))
		assert.Equal(t, int32(3), full.Load(), "one for the new key, and one in search of the old key")
		synctest.Wait()
		assert.Contains(t, strings.Join(log.drain(), "\n"), "key set changed")
	})
}

// After a failure, and for an unknown key ID, the request has no If-None-Match: some servers fail on
// If-None-Match, and a cache on the way may still answer 304.
func TestRemote_RevalidationFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		etag := servesWith("Etag", `"v1"`, oneKeySet("1", edKey()))
		server := newPipeServer(t, etag)
		remote, _ := server.remote()
		gate := newGateWithFixedClock(t, remote)
		token := signEdDSA(t, edKey(), "1")
		require.Equal(t, 200, statusOf(t, gate, token))
		server.respond(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(500)
				return
			}
			etag(w, r)
		})
		time.Sleep(9 * time.Minute)
		for range 2 {
			require.Equal(t, 200, statusOf(t, gate, token))
			time.Sleep(time.Minute)
		}
		assert.NoError(t, remote.Stats()[0].Err)
		assert.Equal(t, uint64(1), remote.Stats()[0].Failures)
	})
	t.Run("a new key behind a cache", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			server := newPipeServer(t, servesWith("Etag", `"v1"`, oneKeySet("1", edKey())))
			remote, _ := server.remote()
			gate := newGate(t, remote)
			require.Equal(t, 200, statusOf(t, gate, signEdDSA(t, edKey(), "1")))
			server.respond(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("If-None-Match") != "" {
					w.WriteHeader(304)
					return
				}
				w.Write(oneKeySet("2", otherEdKey()))
			})
			assert.Equal(t, 200, statusOf(t, gate, signEdDSA(t, otherEdKey(), "2")))
		})
	})
}
