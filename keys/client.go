package keys

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jwtgate/jwtgate/internal/logtext"
	"github.com/jwtgate/jwtgate/internal/loopback"
)

// A client makes the requests of a Remote. It decides which URLs may be fetched,
// and bounds what a server can send.
type client struct {
	http         *http.Client // Remote.Client, which may be nil
	insecureHTTP bool         // Remote.InsecureHTTP

	// These fields are those of a single fetch.
	transport  http.RoundTripper // for http == nil
	pastCaches bool              // caches on the way must ask the server
	discoverBy time.Time         // when discovery should be over; zero means the deadline of the fetch
	known      bool              // an earlier discovery of the issuer is known
	alone      bool              // the request for the keys will probably not use the connection of discovery
	ownsAll    bool              // the end of the fetch closes all connections
}

const (
	maxDocumentBytes = 1 << 20
	maxRedirects     = 3
	maxHeaderBytes   = 64 << 10

	// maxDrainedBytes and drainFor limit what is read of a response that is not used. If
	// its body was read to the end, HTTP/1.1 can use the connection for the next request.
	maxDrainedBytes = 64 << 10
	drainFor        = 200 * time.Millisecond
)

// A response is an HTTP response whose body has been read. body is empty if
// status is not 200.
type response struct {
	status         int
	header         http.Header
	body           []byte
	sent, received time.Time // around the time when the server has sent the header
}

// A request is what get asks for.
type request struct {
	target *url.URL
	accept string
	// etag is not sent if it is empty. Otherwise the server may answer 304 if the document
	// still has that etag (RFC 9110 section 13.1.2).
	etag string
	last bool // no request of the same fetch will use the connection
}

// get makes one GET request.
func (c client) get(ctx context.Context, of request) (*response, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var progress progress
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, progress.trace()), http.MethodGet, of.target.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", of.accept)
	r.Header.Set("User-Agent", "jwtgate")
	if of.etag != "" {
		r.Header.Set("If-None-Match", of.etag)
	}
	if c.pastCaches {
		r.Header.Set("Cache-Control", "no-cache") // RFC 9111 section 5.2.1.4
	}
	r.Close = of.last && !c.ownsAll // the next fetch is minutes away
	caller := http.Client{Transport: c.transport}
	if c.http != nil {
		caller = *c.http
	}
	caller.CheckRedirect = sameOrigin(caller.CheckRedirect)
	sent := time.Now()
	got, err := caller.Do(r)
	if err != nil {
		phase := ""
		if got == nil { // otherwise a redirect is not followed
			phase = progress.phase()
		}
		return nil, &requestError{of.target.Redacted(), ctx.Err() != nil, phase, err}
	}
	defer got.Body.Close()
	read := &response{status: got.StatusCode, header: got.Header, sent: sent, received: time.Now()}
	body := &contextReader{ctx, got.Body}
	if read.status != http.StatusOK {
		defer time.AfterFunc(drainFor, cancel).Stop()
		_, _ = io.CopyN(io.Discard, body, maxDrainedBytes)
		return read, nil
	}
	if got.ContentLength <= maxDocumentBytes {
		var b bytes.Buffer
		b.Grow(33 << 10) // doubled five times, the buffer holds maxDocumentBytes
		if _, err := b.ReadFrom(io.LimitReader(body, maxDocumentBytes+1)); err != nil {
			return nil, &requestError{of.target.Redacted(), ctx.Err() != nil, "while reading the answer", err}
		}
		read.body = b.Bytes()
	}
	if got.ContentLength > maxDocumentBytes || len(read.body) > maxDocumentBytes {
		return nil, fmt.Errorf("GET %s: the answer has more than %d bytes", of.target.Redacted(), maxDocumentBytes)
	}
	return read, nil
}

// parseURL parses a URL and returns an error if it must not be fetched.
func (c client) parseURL(address string) (*url.URL, error) {
	if strings.TrimSpace(address) != address {
		return nil, errors.New("it has white space around it; trim it")
	}
	// RFC 3986 section 2 has none of these characters. Package url accepts some of them.
	if i := strings.IndexAny(address, `"<>{}`); i >= 0 {
		return nil, fmt.Errorf("it has the character %q; was a placeholder not replaced?", address[i:i+1])
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("it does not start with https://")
	case u.Hostname() == "":
		return nil, errors.New("it has no host")
	case u.User != nil:
		return nil, errors.New("it has credentials in it, which logs would show; let Remote.Client send them")
	case u.Scheme == "http" && !c.insecureHTTP && !loopback.Is(u.Hostname()):
		return nil, errors.New("it is plain http, so that anybody on the network path could choose the keys; " +
			"use https, or set InsecureHTTP in a network that is trusted as a whole")
	}
	return u, nil
}

// A requestError is a request that got no response, or not all of it.
type requestError struct {
	address string
	late    bool   // no response came before the context ended
	phase   string // what the request was doing, such as "while connecting to 10.0.0.7:443", or ""
	err     error
}

func (r *requestError) Error() string {
	reason := r.err
	// A url.Error names the address once more, or that of a redirect instead.
	if of := new(url.Error); errors.As(reason, &of) {
		reason = of.Err
	}
	text := "GET " + r.address + ": "
	if unknown := new(x509.UnknownAuthorityError); errors.As(reason, unknown) {
		return fmt.Sprintf("%s%v; let Remote.Client trust a private CA", text, reason)
	}
	switch {
	case r.late && isContextError(reason):
		text += "no answer in time"
	case r.late:
		text += fmt.Sprintf("no answer in time: %v", reason)
	default:
		text += reason.Error()
	}
	if r.phase != "" && (r.late || needsPhase(reason)) {
		text += " " + r.phase
	}
	return text
}

func (r *requestError) Unwrap() error { return r.err }

func isContextError(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// needsPhase reports whether the text of err does not say what the request was doing. The
// errors of dialing and resolving say it, and those of TLS too.
func needsPhase(err error) bool {
	if dial := new(net.OpError); errors.As(err, &dial) && dial.Op == "dial" {
		return false
	}
	timeout := net.Error(nil)
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.As(err, &timeout) && timeout.Timeout()
}

// A progress follows a request. It is safe for concurrent use, since the transport may
// dial several addresses at once, and even after the request has ended.
type progress struct {
	mu      sync.Mutex
	now     string
	server  string   // the address of the last connection, or of the host
	dialing []string // addresses
}

// phase returns what the request is doing. It returns "" if the transport has not
// reported.
func (p *progress) phase() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.dialing) > 0 {
		return "while connecting to " + strings.Join(p.dialing, " and ")
	}
	return p.now
}

func (p *progress) trace() *httptrace.ClientTrace {
	locked := func(f func()) {
		p.mu.Lock()
		defer p.mu.Unlock()
		f()
	}
	return &httptrace.ClientTrace{
		GetConn: func(hostPort string) {
			locked(func() {
				p.server = logtext.Value(hostPort)
				p.now = "while waiting for a connection to " + p.server
			})
		},
		DNSStart: func(i httptrace.DNSStartInfo) {
			locked(func() { p.now = "while resolving the host " + logtext.Value(i.Host) })
		},
		ConnectStart: func(_, address string) { locked(func() { p.dialing = append(p.dialing, address) }) },
		ConnectDone: func(_, address string, _ error) {
			locked(func() {
				if i := slices.Index(p.dialing, address); i >= 0 {
					p.dialing = slices.Delete(p.dialing, i, i+1)
				}
				p.server, p.now = address, "while connecting to "+address
			})
		},
		TLSHandshakeStart:    func() { locked(func() { p.now = "during the TLS handshake with " + p.server }) },
		GotConn:              func(httptrace.GotConnInfo) { locked(func() { p.now, p.dialing = "while waiting for the answer", nil }) },
		GotFirstResponseByte: func() { locked(func() { p.now = "while reading the answer" }) },
	}
}

// A statusError is an HTTP response with an unexpected status.
type statusError struct {
	address    string
	status     int
	retryAfter time.Duration // 0 if the response does not say when to come again
}

// newStatusError returns the error for the response r to a request for address. It reads
// Retry-After of 429 and 503 (RFC 6585 section 4, RFC 9110 sections 10.2.3 and 15.6.4).
func newStatusError(address string, r *response) *statusError {
	err := &statusError{address: address, status: r.status}
	if r.status != http.StatusTooManyRequests && r.status != http.StatusServiceUnavailable {
		return err
	}
	value := strings.TrimSpace(r.header.Get("Retry-After"))
	if seconds, parseErr := strconv.ParseUint(value, 10, 31); parseErr == nil {
		err.retryAfter = time.Duration(seconds) * time.Second
	} else if date, parseErr := http.ParseTime(value); parseErr == nil {
		err.retryAfter = max(0, time.Until(date))
	}
	return err
}

func (s *statusError) Error() string {
	text := fmt.Sprintf("GET %s: status %d", s.address, s.status)
	if s.status == http.StatusUnauthorized || s.status == http.StatusForbidden {
		text += "; if the server wants credentials, let Remote.Client send them"
	}
	return text
}

// forFetch returns the client for a fetch whose requests have the context ctx. close must
// be called when the fetch has ended. Without Remote.Client, no connection is left then.
func (c client) forFetch(ctx context.Context) (of client, close func()) {
	if c.http != nil {
		return c, func() {}
	}
	base := defaultTransport()
	if base == nil {
		c.transport = http.DefaultTransport
		return c, func() {}
	}
	t, connections := base.Clone(), &fetchConnections{}
	dial := t.DialContext
	// The context of the transport does not end with the request. That of the fetch does,
	// but lacks the trace of the transport.
	t.DialContext = func(traced context.Context, network, address string) (net.Conn, error) {
		traced, cancel := context.WithTimeout(traced, dialTimeout)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		conn, err := dial(traced, network, address)
		if err != nil {
			return nil, err
		}
		return connections.add(conn)
	}
	c.transport, c.ownsAll = t, true
	return c, func() {
		t.CloseIdleConnections()
		connections.close()
	}
}

// dialTimeout is how long a connection of a Remote without Client may take, with the
// resolution of the name and all addresses of the host. The net package gives each
// address two seconds or more. If the first of two addresses drops packets, a fetch of five
// seconds can still use the second one.
const dialTimeout = 3 * time.Second

// defaultTransport returns the transport whose copies a Remote without Client uses. It is
// a copy of http.DefaultTransport that limits the size of response headers, which by
// default may have 10 MB. If http.DefaultTransport is of another type, defaultTransport
// returns nil.
var defaultTransport = sync.OnceValue(func() *http.Transport {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil
	}
	t = t.Clone()
	t.MaxResponseHeaderBytes = maxHeaderBytes
	//lint:ignore SA1019 a program may still set it
	dial := t.Dial
	switch {
	case t.DialContext != nil:
	case dial != nil:
		t.DialContext = func(_ context.Context, network, address string) (net.Conn, error) { return dial(network, address) }
	default:
		// A transport with a function for dialing uses HTTP/2 only if it is told to.
		t.ForceAttemptHTTP2 = t.ForceAttemptHTTP2 || t.TLSClientConfig == nil || slices.Contains(t.TLSClientConfig.NextProtos, "h2")
		t.DialContext = new(net.Dialer).DialContext
	}
	return t
})

// fetchConnections are the connections of a fetch. A transport keeps a connection that is
// ready only after its request was cancelled, and an HTTP/2 connection even after
// CloseIdleConnections, so they are closed here.
type fetchConnections struct {
	mu     sync.Mutex
	all    []net.Conn
	closed bool
}

// add records a new connection. It closes the connection if the fetch has ended.
func (f *fetchConnections) add(c net.Conn) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		c.Close()
		return nil, net.ErrClosed
	}
	f.all = append(f.all, c)
	return c, nil
}

func (f *fetchConnections) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, c := range f.all {
		c.Close()
	}
}

// A contextReader reads until a context ends, even from a body whose Read
// keeps returning 0, nil.
type contextReader struct {
	ctx  context.Context
	body io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.body.Read(p)
}

// sameOrigin returns a CheckRedirect function that refuses redirects to another
// origin: that origin may be less protected, need not belong to the issuer, and
// must not receive credentials that a user's client adds. The function also calls
// next, the user's own CheckRedirect, unless that is nil.
func sameOrigin(next func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(request *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("it redirects more than %d times", maxRedirects)
		}
		if origin(request.URL) != origin(via[0].URL) {
			return fmt.Errorf("it redirects to another origin, %s, which is not followed", logtext.Value(origin(request.URL)))
		}
		if next != nil {
			return next(request, via)
		}
		return nil
	}
}

// origin returns scheme, host and port (RFC 6454 section 4).
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
