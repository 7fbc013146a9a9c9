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
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jwtgate/jwtgate/internal/logtext"
)

// A client makes the requests of a Remote. It decides which URLs may be fetched,
// and bounds what a server can send.
type client struct {
	http         *http.Client // Remote.Client, which may be nil
	insecureHTTP bool         // Remote.InsecureHTTP
	pastCaches   bool         // caches on the way must ask the server
}

const (
	maxDocumentBytes = 1 << 20
	maxRedirects     = 3
	maxHeaderBytes   = 64 << 10
)

// A response is an HTTP response whose body has been read. body is empty if
// status is not 200.
type response struct {
	status int
	header http.Header
	body   []byte
}

// get makes one GET request. If etag is not empty, the server may answer 304 if the
// document still has that etag (RFC 9110 section 13.1.2).
func (c client) get(ctx context.Context, target *url.URL, accept, etag string) (*response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("User-Agent", "jwtgate")
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	if c.pastCaches {
		request.Header.Set("Cache-Control", "no-cache") // RFC 9111 section 5.2.1.4
	}
	request.Close = true // the next request is minutes away
	caller := http.Client{Transport: defaultTransport()}
	if c.http != nil {
		caller = *c.http
	}
	caller.CheckRedirect = sameOrigin(caller.CheckRedirect)
	got, err := caller.Do(request)
	if err != nil {
		return nil, &requestError{target.Redacted(), ctx.Err() != nil, err}
	}
	defer got.Body.Close()
	r := &response{status: got.StatusCode, header: got.Header}
	if r.status != http.StatusOK {
		return r, nil
	}
	if got.ContentLength <= maxDocumentBytes {
		var body bytes.Buffer
		body.Grow(33 << 10) // doubled five times, the buffer holds maxDocumentBytes
		limited := io.LimitReader(&contextReader{ctx, got.Body}, maxDocumentBytes+1)
		if _, err := body.ReadFrom(limited); err != nil {
			return nil, fmt.Errorf("GET %s: %w", target.Redacted(), err)
		}
		r.body = body.Bytes()
	}
	if got.ContentLength > maxDocumentBytes || len(r.body) > maxDocumentBytes {
		return nil, fmt.Errorf("GET %s: the answer has more than %d bytes", target.Redacted(), maxDocumentBytes)
	}
	return r, nil
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
	case u.Scheme == "http" && !c.insecureHTTP && !isLoopback(u.Hostname()):
		return nil, errors.New("it is plain http, so that anybody on the network path could choose the keys; " +
			"use https, or set InsecureHTTP in a network that is trusted as a whole")
	}
	return u, nil
}

// A requestError is a request that got no response.
type requestError struct {
	address string
	late    bool // no response came before the context ended
	err     error
}

func (r *requestError) Error() string {
	reason := r.err
	// A url.Error names the address once more, or that of a redirect instead.
	if of := new(url.Error); errors.As(reason, &of) {
		reason = of.Err
	}
	if unknown := new(x509.UnknownAuthorityError); errors.As(reason, unknown) {
		return fmt.Sprintf("GET %s: %v; let Remote.Client trust a private CA", r.address, reason)
	}
	if r.late {
		return fmt.Sprintf("GET %s: the answer did not come in time: %v", r.address, reason)
	}
	return fmt.Sprintf("GET %s: %v", r.address, reason)
}

func (r *requestError) Unwrap() error { return r.err }

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

// defaultTransport returns the transport for a Remote without Client. It is a
// copy of http.DefaultTransport that limits the size of response headers, which
// by default may have 10 MB. If http.DefaultTransport is of another type, it is
// used itself, without that limit.
var defaultTransport = sync.OnceValue(func() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxResponseHeaderBytes = maxHeaderBytes
	return t
})

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

// isLoopback reports whether host is this machine: an IP address of loopback, or
// localhost. Names below .localhost (RFC 6761 section 6.3) do not count, because
// some machines ask a resolver for them.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
