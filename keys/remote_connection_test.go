package keys_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/keys"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialers has the functions by which http.DefaultTransport, and so a Remote without Client, dials some addresses.
var dialers sync.Map

// authority signs the certificates of newTLSServer.
var authority = sync.OnceValue(func() *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, p256Key().Public(), p256Key()))))
})

// prepareDefaultTransport makes http.DefaultTransport, which a Remote without Client copies, trust the servers of
// newTLSServer and dial with the functions of dialers.
func prepareDefaultTransport() {
	transport := http.DefaultTransport.(*http.Transport)
	pool := x509.NewCertPool()
	pool.AddCert(authority())
	transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if other, ok := dialers.Load(address); ok {
			return other.(dialFunc)(ctx, network, address)
		}
		return dial(ctx, network, address)
	}
}

// protocols are those by which the tests of connections ask a server.
var protocols = []string{"HTTP", "HTTPS", "HTTP/2"}

// newConnectionServer returns a server on loopback, and a gauge of the connections that a Remote without Client, and
// the client that is returned, hold open to it.
func newConnectionServer(t *testing.T, protocol string, handler http.HandlerFunc) (server *httptest.Server, open *gauge, client *http.Client) {
	t.Helper()
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, map[bool]int{true: 2, false: 1}[protocol == "HTTP/2"], r.ProtoMajor)
		handler(w, r)
	}))
	server.EnableHTTP2 = protocol == "HTTP/2"
	if protocol == "HTTP" {
		server.Start()
	} else {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"auth.test"},
			NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		}
		der := must(x509.CreateCertificate(rand.Reader, template, authority(), p256Key().Public(), p256Key()))
		server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: p256Key()}}}
		server.StartTLS()
	}
	t.Cleanup(server.Close)
	open = &gauge{}
	address := server.Listener.Addr().String()
	dialers.Store(address, dialFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return countConn(c, open), nil
	}))
	t.Cleanup(func() { dialers.Delete(address) })
	return server, open, &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
}

// requireNothingLeft requires that no connection to a server is open, and that no goroutine works for one.
func requireNothingLeft(t *testing.T, server *httptest.Server, open *gauge) {
	t.Helper()
	waitUntil(t, func() bool { return open.now.Load() == 0 }, "the client closes its connections")
	waitUntil(t, func() bool {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return !bytes.Contains(stacks, []byte(server.Listener.Addr().String()))
	}, "no goroutine is left for the server's address")
}

// Discovery and the request for the keys share a connection, whatever discovery finds at the addresses before. After
// the fetch there is none.
func TestRemote_OneConnection(t *testing.T) {
	t.Parallel()
	padded := func(answer http.HandlerFunc) http.HandlerFunc { // with a body that is sent in chunks
		return func(w http.ResponseWriter, r *http.Request) {
			answer(w, r)
			for range 30 {
				io.WriteString(w, strings.Repeat("x", 1000))
				w.(http.Flusher).Flush()
			}
		}
	}
	for _, protocol := range protocols {
		for _, tt := range []struct {
			name          string
			before        http.HandlerFunc // answers at the addresses before form; nil means that there are none
			form          string           // where the metadata is
			first, second int64            // connections of the first fetch and of a later one, with Client; without Client always one
		}{
			{"first address", nil, "/a" + openIDConfiguration, 1, 1},
			{"second address", fails(404), oauthServer + "/a", 1, 1},
			{"second address, after long pages", padded(fails(404)), oauthServer + "/a", 1, 1},
			{"second address, after another document", serves([]byte("<html>")), oauthServer + "/a", 1, 1},
			{"last address", fails(404), openIDConfiguration + "/a", 2, 1},
		} {
			for _, withClient := range []bool{false, true} {
				name := protocol + ", " + tt.name
				if withClient {
					name += ", Client"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					var issuer string
					var connected sync.Map
					server, open, client := newConnectionServer(t, protocol, func(w http.ResponseWriter, r *http.Request) {
						connected.Store(r.RemoteAddr, true)
						switch r.URL.Path {
						case "/jwks":
							w.Write(oneKeySet("1", edKey()))
						case tt.form:
							w.Write(metadata(issuer, strings.TrimSuffix(issuer, "/a")+"/jwks"))
						default:
							tt.before(w, r)
						}
					})
					issuer = server.URL + "/a"
					remote := &keys.Remote{Timeout: hangLimit, Logger: slog.New(slog.DiscardHandler)}
					want := [2]int64{1, 1}
					if withClient {
						remote.Client, want = client, [2]int64{tt.first, tt.second}
					}
					for _, most := range want {
						connected.Clear()
						require.NoError(t, remote.Refresh(t.Context(), issuer))
						n := int64(0)
						connected.Range(func(any, any) bool { n++; return true })
						if protocol == "HTTP/2" && withClient && most == 2 {
							assert.LessOrEqual(t, n, most)
						} else {
							assert.Equal(t, most, n)
						}
						requireNothingLeft(t, server, open)
					}
				})
			}
		}
	}
}

// A fetch that fails leaves no connection behind: not one that hangs, and with Client not one of an issuer without
// metadata, or one to the issuer whose keys are elsewhere.
func TestRemote_LeavesNoConnectionAfterFailure(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short: waits for real timeouts")
	}
	for _, protocol := range protocols {
		for _, tt := range []struct {
			name   string
			answer http.HandlerFunc
		}{
			{"404", fails(404)},
			{"HTML", serves([]byte("<!doctype html>"))},
			{"no answer", neverAnswers},
			{"a body without an end", func(w http.ResponseWriter, r *http.Request) {
				w.Write([]byte("{"))
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}},
			{"an error page without an end", func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(500)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}},
		} {
			for _, withClient := range []bool{false, true} {
				name := protocol + ", " + tt.name
				if withClient {
					name += ", Client"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					server, open, client := newConnectionServer(t, protocol, tt.answer)
					remote := &keys.Remote{Timeout: time.Second, Logger: slog.New(slog.DiscardHandler)}
					if withClient {
						remote.Client = client
					}
					require.Error(t, remote.Refresh(t.Context(), server.URL+"/a"))
					requireNothingLeft(t, server, open)
				})
			}
		}
	}
}

// Once a Remote with Client knows that the keys are on another host, discovery leaves no connection.
func TestRemote_KeysOnAnotherHost(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		for _, withClient := range []bool{false, true} {
			t.Run(protocol+map[bool]string{true: ", Client"}[withClient], func(t *testing.T) {
				t.Parallel()
				var issuer, elsewhere string
				keyServer, keysOpen, _ := newConnectionServer(t, protocol, serves(oneKeySet("1", edKey())))
				server, open, client := newConnectionServer(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
					w.Write(metadata(issuer, elsewhere))
				})
				issuer, elsewhere = server.URL, keyServer.URL+"/jwks"
				remote := &keys.Remote{Timeout: hangLimit, Logger: slog.New(slog.DiscardHandler)}
				if withClient {
					remote.Client = client
				}
				require.NoError(t, remote.Refresh(t.Context(), issuer))
				requireNothingLeft(t, keyServer, keysOpen)
				if withClient {
					assert.Equal(t, int64(1), open.now.Load(), "the first discovery did not know where the keys are")
				}
				require.NoError(t, remote.Refresh(t.Context(), issuer))
				requireNothingLeft(t, server, open)
				requireNothingLeft(t, keyServer, keysOpen)
			})
		}
	}
}

// A connection that is ready only after its fetch has ended is closed.
func TestRemote_LateConnection(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			server, open, _ := newConnectionServer(t, protocol, serves(oneKeySet("1", edKey())))
			address := server.Listener.Addr().String()
			counted, _ := dialers.Load(address)
			fetchIsOver, dialed := make(chan struct{}), make(chan struct{})
			dialers.Store(address, dialFunc(func(_ context.Context, network, address string) (net.Conn, error) {
				<-fetchIsOver // whatever its context says
				defer close(dialed)
				return counted.(dialFunc)(context.Background(), network, address)
			}))
			remote := &keys.Remote{URL: server.URL, Timeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
			require.ErrorIs(t, remote.Refresh(t.Context(), ""), context.DeadlineExceeded)
			waitUntil(t, func() bool { return remote.Stats()[0].Failures == 1 }, "the fetch ends")
			close(fetchIsOver)
			<-dialed
			assert.Equal(t, int64(1), open.most.Load())
			requireNothingLeft(t, server, open)
		})
	}
}

// One of the two addresses of a host drops packets. The other one is asked early enough, although the dialer of
// http.DefaultTransport would wait for half of its 30 seconds. This test takes two seconds, because package net gives
// an address that long.
func TestRemote_AddressDropsPackets(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short: waits for real timeouts")
	}
	server := newTCPServer(t, nil)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(server.url, "http://"))
	issuer := "http://two-addresses.test:" + port
	server.respond(pages{openIDConfiguration: metadata(issuer, issuer+"/jwks"), "/jwks": oneKeySet("1", edKey())}.answer)
	dialer := &net.Dialer{
		Timeout:  30 * time.Second,
		Resolver: &net.Resolver{PreferGo: true, Dial: nameServer(net.IPv4(127, 0, 0, 9), net.IPv4(127, 0, 0, 1))},
		ControlContext: func(ctx context.Context, _, address string, _ syscall.RawConn) error {
			if strings.HasPrefix(address, "127.0.0.9:") {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		},
	}
	dialers.Store("two-addresses.test:"+port, dialFunc(dialer.DialContext))
	defer dialers.Delete("two-addresses.test:" + port)
	remote := &keys.Remote{InsecureHTTP: true, Timeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler)}
	require.NoError(t, remote.Refresh(t.Context(), issuer))
}

// A connection has three seconds, whatever Timeout is.
func TestRemote_DialTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const host = "hangs.test"
		var took atomic.Int64
		dialers.Store(host+":443", dialFunc(func(ctx context.Context, _, _ string) (net.Conn, error) {
			start := time.Now()
			<-ctx.Done()
			took.Store(int64(time.Since(start)))
			return nil, ctx.Err()
		}))
		defer dialers.Delete(host + ":443")
		remote := &keys.Remote{URL: "https://" + host, Timeout: time.Minute, Logger: slog.New(slog.DiscardHandler)}
		start := time.Now()
		require.Error(t, remote.Refresh(t.Context(), ""))
		assert.Equal(t, 3*time.Second, time.Since(start))
		assert.Equal(t, 3*time.Second, time.Duration(took.Load()))
		// A fetch that is shorter ends the attempt.
		remote = &keys.Remote{URL: "https://" + host, Timeout: time.Second, Logger: slog.New(slog.DiscardHandler)}
		require.Error(t, remote.Refresh(t.Context(), ""))
		synctest.Wait()
		assert.Equal(t, time.Second, time.Duration(took.Load()))
	})
}

// nameServer returns the Dial function of a resolver whose name server has IPv4 addresses for any name. It takes
// questions as over TCP (RFC 1035 section 4.2.2).
func nameServer(addresses ...net.IP) dialFunc {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for {
				var length uint16
				if binary.Read(server, binary.BigEndian, &length) != nil {
					return
				}
				question := make([]byte, length)
				if _, err := io.ReadFull(server, question); err != nil {
					return
				}
				end := 12 + bytes.IndexByte(question[12:], 0) + 5
				isA := binary.BigEndian.Uint16(question[end-4:]) == 1
				answer := append([]byte{question[0], question[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question[12:end]...)
				if isA {
					answer[7] = byte(len(addresses))
					for _, a := range addresses {
						answer = append(append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4), a.To4()...)
					}
				}
				server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			}
		}()
		return client, nil
	}
}

// The error of a request without an answer says what the request was doing.
func TestRemote_Phases(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short: waits for real timeouts")
	}
	silent := must(net.Listen("tcp", "127.0.0.1:0")) // takes connections and says nothing
	t.Cleanup(func() { silent.Close() })
	closing := must(net.Listen("tcp", "127.0.0.1:0")) // closes connections when something has come
	t.Cleanup(func() { closing.Close() })
	go func() {
		for {
			c, err := closing.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 1))
			c.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	never := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	hangingDialer := &net.Dialer{ControlContext: func(ctx context.Context, _, _ string, _ syscall.RawConn) error { return never(ctx) }}
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return nil, never(ctx) }}
	cases := []struct {
		name, url string
		dial      dialFunc // nil means that of http.DefaultTransport
		want      string
	}{
		{"resolving", "https://auth.test/", (&net.Dialer{Resolver: resolver}).DialContext, "no answer in time while resolving the host auth.test"},
		{"connecting", "https://192.0.2.1/", hangingDialer.DialContext, "no answer in time while connecting to 192.0.2.1:443"},
		{"connecting, both kinds of addresses", "https://auth.test/", (&net.Dialer{
			Resolver:       &net.Resolver{PreferGo: true, Dial: nameServer(net.IPv4(192, 0, 2, 7))},
			ControlContext: hangingDialer.ControlContext,
		}).DialContext, "no answer in time while connecting to 192.0.2.7:443"},
		{"dialing by a function that does not report", "https://auth.test/", func(ctx context.Context, _, _ string) (net.Conn, error) {
			return nil, never(ctx)
		}, "no answer in time while waiting for a connection to auth.test:443"},
		{"TLS", "https://" + silent.Addr().String() + "/", nil, "no answer in time during the TLS handshake with " + silent.Addr().String()},
		{"TLS, closed", "https://" + closing.Addr().String() + "/", nil, "EOF during the TLS handshake with " + closing.Addr().String()},
		{"waiting", "http://" + silent.Addr().String() + "/", nil, "no answer in time while waiting for the answer"},
		{"waiting, closed", "http://" + closing.Addr().String() + "/", nil, "EOF while waiting for the answer"},
		{"refused", "http://127.0.0.1:1/", nil, "dial tcp 127.0.0.1:1: connect: connection refused"},
	}
	// All of them wait at the same time.
	remotes, errs := make([]*keys.Remote, len(cases)), make([]error, len(cases))
	var waiting sync.WaitGroup
	for i, tt := range cases {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		if tt.dial != nil {
			transport.DialContext = tt.dial
		}
		remotes[i] = &keys.Remote{URL: tt.url, Timeout: hangLimit, Logger: slog.New(slog.DiscardHandler), Client: &http.Client{Transport: transport}}
		if strings.HasPrefix(tt.want, "no answer") {
			remotes[i].Timeout = 3 * time.Second
		}
		waiting.Go(func() { errs[i] = remotes[i].Refresh(t.Context(), "") })
	}
	waiting.Wait()
	for i, tt := range cases {
		if strings.HasPrefix(tt.want, "no answer") {
			assert.ErrorIs(t, errs[i], context.DeadlineExceeded, tt.name)
		}
		waitUntil(t, func() bool { return remotes[i].Stats()[0].Failures == 1 }, "the fetch ends")
		assert.EqualError(t, remotes[i].Stats()[0].Err, "keys.Remote: GET "+tt.url+": "+tt.want, tt.name)
	}
	t.Run("a transport that does not report", func(t *testing.T) {
		t.Parallel()
		for _, tt := range []struct {
			fail func(*http.Request) error
			want string
		}{
			{func(r *http.Request) error { return never(r.Context()) }, "no answer in time"},
			{func(r *http.Request) error { never(r.Context()); return errors.New("the proxy is gone") }, "no answer in time: the proxy is gone"},
			{func(*http.Request) error { return io.ErrUnexpectedEOF }, "unexpected EOF"},
		} {
			synctest.Test(t, func(t *testing.T) {
				remote := &keys.Remote{Client: &http.Client{Transport: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
					return nil, tt.fail(r)
				})}}
				require.Error(t, remote.Refresh(t.Context(), "https://auth.example.com"))
				synctest.Wait()
				assert.EqualError(t, remote.Stats()[0].Err, "keys.Remote: GET https://auth.example.com/.well-known/openid-configuration: "+tt.want+
					"; GET https://auth.example.com/.well-known/oauth-authorization-server: "+tt.want)
			})
		}
	})
	t.Run("a redirect that is not followed", func(t *testing.T) {
		t.Parallel()
		server := newTCPServer(t, redirectsTo("https://sso.example/"))
		remote, _ := server.remote()
		assert.EqualError(t, remote.Refresh(t.Context(), ""), "keys.Remote: GET "+server.url+
			"/jwks: it redirects to another origin, https://sso.example:443, which is not followed")
	})
}
