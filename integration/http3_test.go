package integration_test

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/witness"
	"github.com/jwtgate/jwtgate/jwttest"
)

// startHTTP3 returns a witness.Start of HTTP/3 servers of quic-go.
func startHTTP3(t *testing.T) witness.Start {
	return func(handler http.Handler) (string, http.RoundTripper, func()) {
		https := httptest.NewTLSServer(nil) // has a certificate
		https.Close()
		roots := x509.NewCertPool()
		roots.AddCert(https.Certificate())

		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		require.NoError(t, err)
		server := &http3.Server{
			Handler:   handler,
			TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: https.TLS.Certificates}),
			Logger:    slog.New(slog.DiscardHandler), // panics
		}
		served := make(chan error, 1)
		go func() { served <- server.Serve(conn) }()
		transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		return "https://" + conn.LocalAddr().String(), transport, func() {
			// Shutdown would wait 30 seconds for a connection on which a handler has panicked.
			// Close does not wait for handlers: witness has seen the handler return.
			assert.NoError(t, transport.Close())
			assert.NoError(t, server.Close())
			assert.ErrorIs(t, <-served, http.ErrServerClosed)
			assert.NoError(t, conn.Close())
		}
	}
}

// The client, the handler and middleware outside see the same with and without a gate over HTTP/3,
// except trailers of requests. acceptance 46, 58, 59
func TestGateIsInvisibleOverHTTP3(t *testing.T) {
	issuer := jwttest.NewIssuer(t)
	gate, err := jwtgate.New(issuer.Options())
	require.NoError(t, err)
	good := http.Header{"Authorization": {"Bearer " + issuer.Token(nil)}}
	run := func(t *testing.T, c *witness.Case, middleware func(http.Handler) http.Handler) witness.Record {
		t.Helper()
		for _, name := range []string{"TMPDIR", "TMP", "TEMP"} { // Unix, Windows
			// Each run has its own, because quic-go does not delete the files of uploads.
			t.Setenv(name, t.TempDir())
		}
		record, err := c.Run(startHTTP3(t), middleware, good)
		require.NoError(t, err)
		return record
	}
	for _, c := range witness.Cases() {
		if c.HTTP1 {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			want := run(t, c, func(next http.Handler) http.Handler { return next })
			got := run(t, c, gate.Handler)
			if c.RequestTrailers {
				// If this fails because quic-go has changed: mend the doc of Gate.Handler.
				const line = `trailer X-Announced=["1"] X-Unannounced=["2"] `
				assert.True(t, slices.Contains(want.Handler, line), "without a gate the handler sees the trailers")
				assert.False(t, slices.Contains(got.Handler, line), "with a gate the handler does not see the trailers")
				assert.Contains(t, strings.Join(got.Outside, "\n"), line, "middleware outside sees the trailers")
				want.Handler, got.Handler = nil, nil
			}
			assert.Equal(t, want, got)
		})
	}
}
