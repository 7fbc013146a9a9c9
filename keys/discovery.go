package keys

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/internal/logtext"
)

// maxURLBytes is the length of the longest jwks_uri that is used.
const maxURLBytes = 2048

// metadataAddresses returns where the metadata of an issuer may be, in the order in
// which discover asks. Two specifications put a well-known name at different places of
// an issuer's path:
//
//  1. OpenID Connect Discovery 1.0 section 4.1 appends openid-configuration to the path.
//     RFC 8414 section 5 would ask here last, but nearly all providers answer here, and
//     few answer elsewhere.
//  2. RFC 8414 section 3.1 inserts oauth-authorization-server before the path.
//  3. RFC 8414 section 5 inserts openid-configuration before the path. Without a path
//     this is the first address again.
//
// The first address is below the issuer's own path. The others are below /.well-known,
// which the owner of the host controls (RFC 8615 section 4.1). So a tenant of a shared
// host who controls only a path of its own controls no address of another tenant.
func metadataAddresses(issuer *url.URL) []string {
	path := strings.TrimSuffix(issuer.EscapedPath(), "/")
	origin := issuer.Scheme + "://" + issuer.Host
	addresses := []string{
		origin + path + "/.well-known/openid-configuration",
		origin + "/.well-known/oauth-authorization-server" + path,
	}
	if path != "" {
		addresses = append(addresses, origin+"/.well-known/openid-configuration"+path)
	}
	return addresses
}

// discover returns the address of an issuer's JWK Set. It asks the metadataAddresses of
// the issuer in order, until one has acceptable metadata. Any failure leads to the next
// address: if the issuer does not serve an address, a web server or a gateway in front of
// it may answer there, with a sign-in page, a redirect or any status. A status of 429 or
// 5xx may also be an outage at the only address that the issuer serves. Then the requests
// to the other addresses are in vain, and discover fails.
//
// If an address does not answer, discover asks the next one after three fifths of the
// time that ctx leaves, or that is left until c.discoverBy. It does not cancel the request
// that has no answer yet, because the issuer may be slow and serve that address only.
func (c client) discover(ctx context.Context, issuer string) (address string, err error) {
	id, err := c.parseIssuer(issuer)
	if err != nil {
		return "", err
	}
	type answer struct {
		form            int // index in addresses
		outcome[string]     // the jwks_uri
	}
	addresses := metadataAddresses(id)
	failures := make([]error, 0, len(addresses))
	answers := make(chan answer)
	pending := 0
	ctx, cancel := context.WithCancel(ctx)
	// No request outlasts discover, so that the requests of an issuer's fetches cannot
	// add up if a client ignores its context.
	defer func() {
		cancel()
		for ; pending > 0; pending-- {
			<-answers
		}
	}()
	var impatience <-chan time.Time
	ask := func() {
		form := len(failures)
		failures = append(failures, nil)
		pending++
		impatience = nil
		if end, ok := ctx.Deadline(); ok && len(failures) < len(addresses) {
			impatience = time.After(time.Until(earlier(end, c.discoverBy)) / 5 * 3)
		}
		// Without keys to fetch, no request follows that would close the connection. An
		// issuer without metadata must not leave one to Remote.Client at each fetch.
		last := c.alone || form == len(addresses)-1 && !c.known
		inBackground(
			func() (string, error) { return c.readMetadata(ctx, id, issuer, addresses[form], last) },
			func(o outcome[string]) { answers <- answer{form, o} })
	}
	for ask(); pending > 0; {
		select {
		case a := <-answers:
			pending--
			if a.err == nil {
				return a.value, nil
			}
			failures[a.form] = a.err
			if a.form < len(failures)-1 {
				continue // the next address is being asked
			}
		case <-impatience:
		}
		if len(failures) < len(addresses) && ctx.Err() == nil {
			ask()
		}
	}
	return "", newDiscoveryError(addresses, failures)
}

// parseIssuer parses an issuer identifier whose metadata is to be fetched: a URL
// without query and fragment (RFC 8414 section 2).
func (c client) parseIssuer(issuer string) (*url.URL, error) {
	u, err := c.parseURL(issuer)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(issuer, "?#") {
		return nil, errors.New("it has a query or a fragment")
	}
	// A server resolves dot segments. The metadata would then come from a path that
	// Options.TrustIssuer has not checked.
	for _, segment := range strings.FieldsFunc(u.Path, func(c rune) bool { return c == '/' || c == '\\' }) {
		if segment == "." || segment == ".." {
			return nil, errors.New("it has a dot segment")
		}
	}
	return u, nil
}

// readMetadata returns the jwks_uri of the metadata of issuer at address. id is the parsed
// issuer. With last, no request will use the connection.
func (c client) readMetadata(ctx context.Context, id *url.URL, issuer, address string, last bool) (jwksURI string, err error) {
	target, err := c.parseURL(address)
	if err != nil {
		return "", err
	}
	r, err := c.get(ctx, request{target: target, accept: "application/json", last: last})
	if err != nil {
		return "", err
	}
	if r.status != http.StatusOK {
		return "", newStatusError(address, r)
	}
	// A map compares the names of members exactly, which a struct would not.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(r.body, []byte("\ufeff")), &members); err != nil {
		err = notDocument(r.body, r.header, "a discovery document", errors.New("it is not a JSON object"))
		return "", fmt.Errorf("GET %s: %w", address, err)
	}
	if _, ok := members["issuer"]; !ok {
		return "", fmt.Errorf("GET %s: it has no issuer, so it is not a discovery document", address)
	}
	var named string
	if err := json.Unmarshal(members["issuer"], &named); err != nil || named != issuer {
		// RFC 8414 section 3.3, OpenID Connect Discovery 1.0 section 4.3.
		return "", fmt.Errorf("GET %s: its issuer is %.100q, and the trusted one is %.100q; the two must be identical", address, named, issuer)
	}
	if err := json.Unmarshal(members["jwks_uri"], &jwksURI); err != nil || jwksURI == "" {
		return "", fmt.Errorf("GET %s: jwks_uri is missing or not a string", address)
	}
	if len(jwksURI) > maxURLBytes {
		return "", fmt.Errorf("GET %s: jwks_uri has more than %d bytes", address, maxURLBytes)
	}
	if _, err := c.parseKeysURL(id, jwksURI); err != nil {
		return "", fmt.Errorf("GET %s: jwks_uri %s is not accepted: %w", address, logtext.Quote(logtext.URL(jwksURI)), err)
	}
	return jwksURI, nil
}

// parseKeysURL parses the jwks_uri of an issuer, and returns an error if it must not be
// fetched.
func (c client) parseKeysURL(issuer *url.URL, jwksURI string) (*url.URL, error) {
	u, err := c.parseURL(jwksURI)
	if err == nil && u.Scheme == "http" && issuer.Scheme != "http" && !c.insecureHTTP {
		// parseURL allows plain http to loopback, but an issuer on https must not
		// name an http server on this machine, which need not be the issuer's.
		return nil, errors.New("it is plain http, and the issuer is not")
	}
	return u, err
}

// A discovery is the last successful discovery of an issuer. The zero value is that there
// was none.
type discovery struct {
	jwksURI string
	at      time.Time
	// fetchNext is set if the keys did not come in time after the discovery. The next fetch
	// then asks for them at once, since one that discovers first would end like that too.
	fetchNext bool
	// beside is set if the keys were requested while discovery was in flight, and so over
	// another connection.
	beside bool
}

// earlier returns the earlier one of two times. The zero time counts as none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

const (
	// maxDiscoveryText is the length of the longest text of a discoveryError. A gate
	// logs 512 bytes of an error, and some of them are for what the error is about.
	maxDiscoveryText = 450
	maxFormText      = 250 // the most of it that is about one address
	// maxRepeatedReason is the length of the longest reason that is repeated for the next
	// address if it is the same there.
	maxRepeatedReason = 40
)

// A discoveryError says for each address that was asked for an issuer's metadata what is
// wrong with the answer. Its text is fit for one line of a log.
type discoveryError struct {
	text   string
	causes []error

	addresses []string // those that were asked
	failures  []error  // why that failed
}

func (e *discoveryError) Error() string   { return e.text }
func (e *discoveryError) Unwrap() []error { return e.causes }

// with returns the error for a fetch that has also failed at the address of an earlier
// discovery.
func (e *discoveryError) with(address string, err error) *discoveryError {
	return newDiscoveryError(append(slices.Clone(e.addresses), logtext.URL(address)), append(slices.Clone(e.failures), err))
}

// newDiscoveryError returns the error for the failures of the addresses, in order. Only
// the addresses that have a failure were asked. The error wraps a status of 4xx, such as
// 404, only if each failure is one: otherwise it is not certain that the issuer has no
// metadata.
func newDiscoveryError(addresses []string, failures []error) *discoveryError {
	e := &discoveryError{addresses: addresses[:len(failures)], failures: failures}
	for _, missing := range []bool{false, true} {
		for _, err := range failures {
			if isMissing(err) == missing {
				e.causes = append(e.causes, logtext.Error(err))
			}
		}
		if len(e.causes) > 0 {
			break
		}
	}

	type part struct{ get, reason string }
	parts := make([]part, len(failures))
	shortestFirst := make([]*part, len(failures))
	last := ""
	for i, err := range failures {
		get := "GET " + addresses[i] + ": "
		reason := logtext.Printable(strings.TrimPrefix(err.Error(), get))
		parts[i] = part{get, reason}
		if reason == last && len(reason) > maxRepeatedReason {
			parts[i].reason = "the same"
		}
		last = reason
		shortestFirst[i] = &parts[i]
	}
	slices.SortStableFunc(shortestFirst, func(p, q *part) int {
		return cmp.Compare(len(p.get)+len(p.reason), len(q.get)+len(q.reason))
	})
	// What the short texts leave of their share is for the longer ones.
	room := maxDiscoveryText - len("; ")*(len(parts)-1)
	for i, p := range shortestFirst {
		limit := min(room/(len(parts)-i), maxFormText)
		p.get = logtext.CutMiddle(p.get, max(limit-len(p.reason), limit/3))
		p.reason = logtext.CutMiddle(p.reason, limit-len(p.get))
		room -= len(p.get) + len(p.reason)
	}
	var text strings.Builder
	for i, p := range parts {
		if i > 0 {
			text.WriteString("; ")
		}
		text.WriteString(p.get)
		text.WriteString(p.reason)
	}
	e.text = text.String()
	return e
}

// isMissing reports whether err is an answer by which there is no such document.
func isMissing(err error) bool {
	var s *statusError
	return errors.As(err, &s) && s.status >= 400 && s.status < 500 && s.status != http.StatusTooManyRequests
}
