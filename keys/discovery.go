package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/jwtgate/jwtgate/internal/logtext"
)

// maxURLBytes is the length of the longest jwks_uri that is used.
const maxURLBytes = 2048

// discover returns the address of an issuer's JWK Set. It asks for the metadata
// of OpenID Connect Discovery 1.0 section 4 first. If the issuer answers that it
// has none, with a status of 4xx other than 429, discover asks for the metadata of
// RFC 8414 section 3.
func (c client) discover(ctx context.Context, issuer string) (address string, err error) {
	id, err := c.parseIssuer(issuer)
	if err != nil {
		return "", err
	}
	path := strings.TrimSuffix(id.EscapedPath(), "/")
	origin := id.Scheme + "://" + id.Host
	address, err = c.readMetadata(ctx, issuer, origin+path+"/.well-known/openid-configuration")
	var status *statusError
	if errors.As(err, &status) && status.status >= 400 && status.status < 500 && status.status != http.StatusTooManyRequests {
		var fallbackErr error
		if address, fallbackErr = c.readMetadata(ctx, issuer, origin+"/.well-known/oauth-authorization-server"+path); fallbackErr != nil {
			return "", fmt.Errorf("%w; %w", err, fallbackErr)
		}
		err = nil
	}
	if err != nil {
		return "", err
	}
	// parseURL allows plain http to loopback, but an issuer on https must not
	// name an http server on this machine, which need not be the issuer's.
	if target, err := url.Parse(address); err == nil && target.Scheme == "http" && id.Scheme != "http" && !c.insecureHTTP {
		return "", fmt.Errorf("jwks_uri %q is plain http", logtext.URL(address))
	}
	return address, nil
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

// readMetadata returns the jwks_uri of the metadata at address.
func (c client) readMetadata(ctx context.Context, issuer, address string) (jwksURI string, err error) {
	target, err := c.parseURL(address)
	if err != nil {
		return "", err
	}
	r, err := c.get(ctx, target, "application/json", "")
	if err != nil {
		return "", err
	}
	if r.status != http.StatusOK {
		return "", newStatusError(address, r)
	}
	// A map compares the names of members exactly, which a struct would not.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(r.body, &members); err != nil {
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
	return jwksURI, nil
}
