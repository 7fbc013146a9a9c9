package keys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	mostDocumentBytes = 1 << 20
	mostRedirects     = 3
	mostEtagBytes     = 1024
	mostURLBytes      = 2048
	mostHeaderBytes   = 64 << 10
	// mostErrorBytes bounds what an upstream can put into a log through an
	// error, such as the target of a redirect.
	mostErrorBytes = 250
)

// fetch gets the current keys from where they are. last is what is known of them.
func (u *upstream) fetch(ctx context.Context, last document) (d document, err error) {
	defer func() {
		// The client may be somebody else's, and no request's goroutine runs it.
		if r := recover(); r != nil {
			d, err = document{}, fmt.Errorf("fetching panicked: %v", r)
		}
		if err != nil {
			err = printable(err)
		}
	}()
	address := u.remote.URL
	if address == "" {
		if address, err = u.remote.discover(ctx, u.issuer); err != nil {
			return document{}, err
		}
	}
	return u.remote.fetchKeys(ctx, address, last)
}

// printable returns err if its text is fit for one line of a log, whatever an
// upstream has put into it. What it returns otherwise does not keep err, which
// may be large, but for a few errors of which a caller may want to know.
func printable(err error) error {
	text, cut := err.Error(), false
	if len(text) > mostErrorBytes {
		text, cut = text[:mostErrorBytes], true
	}
	clean := strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, text)
	if clean == text && !cut {
		return err
	}
	if cut {
		clean += "..."
	}
	for _, cause := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, cause) {
			return fmt.Errorf("%s (%w)", clean, cause)
		}
	}
	return errors.New(clean)
}

// fetchKeys gets a document with keys. last is the one that is known.
func (r *Remote) fetchKeys(ctx context.Context, address string, last document) (document, error) {
	target, err := r.parseURL(address)
	if err != nil {
		return document{}, fmt.Errorf("the address %q of the keys is not accepted: %w", redacted(address), err)
	}
	etag := ""
	if last.url == address {
		etag = last.etag
	}
	a, err := r.get(ctx, target, "application/jwk-set+json, application/json", etag)
	if err != nil {
		return document{}, err
	}
	d := document{url: address, etag: a.header.Get("Etag"), freshFor: r.freshness(a.header), sum: sha256.Sum256(a.body)}
	if len(d.etag) > mostEtagBytes {
		d.etag = "" // not worth its memory
	}
	switch {
	case a.status == http.StatusNotModified && etag != "":
		// What it does not repeat still holds (RFC 9110 section 15.4.5).
		d.set, d.skipped, d.sum = last.set, last.skipped, last.sum
		if d.etag == "" {
			d.etag = last.etag
		}
		if a.header.Get("Cache-Control") == "" {
			d.freshFor = last.freshFor
		}
		return d, nil
	case a.status != http.StatusOK:
		return document{}, &statusError{target.Redacted(), a.status}
	case last.set != nil && d.sum == last.sum:
		d.set, d.skipped = last.set, last.skipped
		return d, nil
	case r.Parse != nil:
		if d.set, err = parseWith(r.Parse, a.body); err == nil && len(d.set.all) > mostKeys {
			err = fmt.Errorf("it has %d keys, more than the %d that are used", len(d.set.all), mostKeys)
		}
	default:
		d.set, d.skipped, err = parseJWKS(a.body, r.Algorithms)
	}
	if err != nil {
		return document{}, fmt.Errorf("GET %s: %w", target.Redacted(), err)
	}
	return d, nil
}

// discover returns the address of an issuer's JWK Set: by OpenID Connect
// Discovery 1.0 section 4, and if the issuer does not have that, by RFC 8414
// section 3.
func (r *Remote) discover(ctx context.Context, issuer string) (address string, err error) {
	id, err := r.parseIssuer(issuer)
	if err != nil {
		return "", err
	}
	path := strings.TrimSuffix(id.EscapedPath(), "/")
	origin := id.Scheme + "://" + id.Host
	address, err = r.readMetadata(ctx, issuer, origin+path+"/.well-known/openid-configuration")
	var status *statusError
	if errors.As(err, &status) && status.status >= 400 && status.status < 500 && status.status != http.StatusTooManyRequests {
		var other error
		if address, other = r.readMetadata(ctx, issuer, origin+"/.well-known/oauth-authorization-server"+path); other != nil {
			return "", fmt.Errorf("%w; %w", err, other)
		}
		err = nil
	}
	if err != nil {
		return "", err
	}
	// Somebody else's http server on this machine is not the issuer's to name.
	if target, err := url.Parse(address); err == nil && target.Scheme == "http" && id.Scheme != "http" && !r.InsecureHTTP {
		return "", fmt.Errorf("jwks_uri %q is plain http", redacted(address))
	}
	return address, nil
}

// readMetadata returns the jwks_uri of an issuer's metadata.
func (r *Remote) readMetadata(ctx context.Context, issuer, address string) (string, error) {
	target, err := r.parseURL(address)
	if err != nil {
		return "", err
	}
	a, err := r.get(ctx, target, "application/json", "")
	if err != nil {
		return "", err
	}
	if a.status != http.StatusOK {
		return "", &statusError{address, a.status}
	}
	// A map keeps the case of names, which a struct would not.
	var members map[string]json.RawMessage
	var named, jwksURI string
	if err := json.Unmarshal(a.body, &members); err != nil {
		return "", fmt.Errorf("GET %s: it is not a JSON object: %w", address, err)
	}
	if err := json.Unmarshal(members["issuer"], &named); err != nil || named != issuer {
		// RFC 8414 section 3.3, OpenID Connect Discovery 1.0 section 4.3.
		return "", fmt.Errorf("GET %s: its issuer is %.100q instead; the two have to be the same to the letter", address, named)
	}
	if err := json.Unmarshal(members["jwks_uri"], &jwksURI); err != nil || jwksURI == "" {
		return "", fmt.Errorf("GET %s: jwks_uri is missing", address)
	}
	if len(jwksURI) > mostURLBytes {
		return "", fmt.Errorf("GET %s: jwks_uri has more than %d bytes", address, mostURLBytes)
	}
	return jwksURI, nil
}

// A statusError tells of an answer that is none of what was asked for.
type statusError struct {
	address string
	status  int
}

func (s *statusError) Error() string { return fmt.Sprintf("GET %s: status %d", s.address, s.status) }

// An answer is an HTTP response whose body has been read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get makes one request. With an etag it asks for what is not that (RFC 9110
// section 13.1.2).
func (r *Remote) get(ctx context.Context, target *url.URL, accept, etag string) (*answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("User-Agent", "jwtgate")
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	request.Close = true // it is minutes until the next one
	client := http.Client{Transport: plainTransport()}
	if r.Client != nil {
		client = *r.Client
	}
	client.CheckRedirect = sameOrigin(client.CheckRedirect)
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	a := &answer{status: response.StatusCode, header: response.Header}
	if a.status != http.StatusOK {
		return a, nil // what it says besides is not read
	}
	if response.ContentLength <= mostDocumentBytes {
		var body bytes.Buffer
		body.Grow(33 << 10) // doubled five times it has room for all that is read
		limited := io.LimitReader(&endingReader{ctx, response.Body}, mostDocumentBytes+1)
		if _, err := body.ReadFrom(limited); err != nil {
			return nil, fmt.Errorf("GET %s: %w", target.Redacted(), err)
		}
		a.body = body.Bytes()
	}
	if response.ContentLength > mostDocumentBytes || len(a.body) > mostDocumentBytes {
		return nil, fmt.Errorf("GET %s: the answer has more than %d bytes", target.Redacted(), mostDocumentBytes)
	}
	return a, nil
}

// plainTransport is for a Remote without Client: the default one, with a bound on
// the header of an answer, which otherwise may have 10 MB.
var plainTransport = sync.OnceValue(func() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxResponseHeaderBytes = mostHeaderBytes
	return t
})

// An endingReader reads until a context ends, even from a body that then goes on
// to return nothing.
type endingReader struct {
	ctx  context.Context
	body io.Reader
}

func (r *endingReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.body.Read(p)
}

// sameOrigin returns a check of redirects that refuses those to another origin,
// which may be neither as well protected nor the issuer's, and credentials that
// a client adds are not for it. It asks theirs too, if that is not nil.
func sameOrigin(theirs func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(request *http.Request, via []*http.Request) error {
		if len(via) > mostRedirects {
			return fmt.Errorf("more than %d redirects", mostRedirects)
		}
		if origin(request.URL) != origin(via[0].URL) {
			return errors.New("a redirect to another origin is not followed")
		}
		if theirs != nil {
			return theirs(request, via)
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

// parseIssuer reads an issuer identifier that metadata is to be asked of: a URL
// without query and fragment (RFC 8414 section 2).
func (r *Remote) parseIssuer(issuer string) (*url.URL, error) {
	u, err := r.parseURL(issuer)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(issuer, "?#") {
		return nil, errors.New("it has a query or a fragment")
	}
	// Servers resolve these, so that the metadata of another path would be asked
	// for than the one that Options.TrustIssuer may have looked at.
	for _, segment := range strings.FieldsFunc(u.Path, func(c rune) bool { return c == '/' || c == '\\' }) {
		if segment == "." || segment == ".." {
			return nil, errors.New("it has a dot segment")
		}
	}
	return u, nil
}

// parseURL reads a URL that may be fetched from.
func (r *Remote) parseURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("it does not start with https://")
	case u.Hostname() == "":
		return nil, errors.New("it has no host")
	case u.User != nil:
		return nil, errors.New("it has credentials in it; leave them to Client")
	case u.Scheme == "http" && !r.InsecureHTTP && !isLoopback(u.Hostname()):
		return nil, errors.New("it is plain http, so that whoever is on the path would choose the keys; " +
			"use https, or set InsecureHTTP in a network that is trusted as a whole")
	}
	return u, nil
}

// isLoopback tells whether a host is this machine. Of the names that RFC 6761
// section 6.3 reserves for it only the one counts that every machine knows
// without asking a resolver.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// freshness returns how long an answer may be used by its headers and FreshFor
// (RFC 9111 sections 4.2 and 5.2.2).
func (r *Remote) freshness(header http.Header) time.Duration {
	limit := r.freshFor()
	age, ok := maxAge(header)
	if !ok {
		return limit
	}
	return min(limit, max(age, time.Minute), 24*time.Hour)
}

// maxAge returns what is left of the max-age in header, if it has one. What must
// not be stored has none left.
func maxAge(header http.Header) (time.Duration, bool) {
	directives := strings.Split(strings.ToLower(strings.Join(header.Values("Cache-Control"), ",")), ",")
	for i := range directives {
		directives[i] = strings.TrimSpace(directives[i])
	}
	if slices.Contains(directives, "no-store") || slices.Contains(directives, "no-cache") {
		return 0, true
	}
	for _, directive := range directives {
		value, found := strings.CutPrefix(directive, "max-age=")
		if !found {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, true // RFC 9111 section 4.2.1: what is malformed is stale
		}
		seconds = min(seconds, 1<<31) // RFC 9111 section 1.2.2
		age, _ := strconv.ParseUint(header.Get("Age"), 10, 31)
		return time.Duration(seconds-min(age, seconds)) * time.Second, true
	}
	return 0, false
}
