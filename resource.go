package jwtgate

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"strings"

	"github.com/jwtgate/jwtgate/internal/loopback"
)

// Metadata returns the metadata of the service as a handler, and the pattern to register it
// with (RFC 9728 section 3):
//
//	mux := http.NewServeMux()
//	mux.Handle(gate.Metadata())
//	mux.Handle("/", gate.Handler(orders))
//
// Clients, such as those of MCP, find the issuer there. The pattern is
// /.well-known/oauth-protected-resource and the path of Options.Resource, for all hosts
// and methods. The document follows from Options and never from a request, so caches may keep it
// for an hour, and pages of all origins may read it. Do not guard the handler: a client
// asks for the metadata before it has a token.
//
// Behind a proxy, let the proxy pass on that path too. It is below the host of
// Resource, not below its path.
//
// Metadata panics if Options.Resource is empty.
func (g *Gate) Metadata() (pattern string, handler http.Handler) {
	if e := g.unusable(); e != nil {
		panic("jwtgate: Metadata of a gate that New did not make; check the error of New first")
	}
	if g.settings.resource == nil {
		panic("jwtgate: Metadata of a gate without Options.Resource; set it to the URL of this service")
	}
	return g.settings.resource.pattern, g.settings.resource
}

// A resource serves the metadata of the protected resource.
type resource struct {
	url      *url.URL // of the metadata
	pattern  string
	document []byte
}

const wellKnownResource = "/.well-known/oauth-protected-resource"

// metadataURL returns the address of the metadata, or "" if there is none.
func (s *resource) metadataURL() string {
	if s == nil {
		return ""
	}
	return s.url.String()
}

// ServeHTTP answers GET and HEAD with the metadata, and preflight requests.
func (s *resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	if r.URL.RawQuery != s.url.RawQuery {
		http.NotFound(w, r) // the query of Resource is a part of the address
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		header.Set("Content-Type", "application/json")
		header.Set("Cache-Control", "public, max-age=3600")
		header.Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(s.document)
	case http.MethodOptions:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		header.Set("Access-Control-Allow-Methods", "GET, HEAD")
		header.Set("Access-Control-Allow-Headers", "*")
		if names := r.Header.Get("Access-Control-Request-Headers"); names != "" {
			// Some browsers do not know the wildcard.
			header.Set("Access-Control-Allow-Headers", names)
			header.Add("Vary", "Access-Control-Request-Headers")
		}
		header.Set("Access-Control-Max-Age", "3600")
		w.WriteHeader(http.StatusNoContent)
	default:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		http.Error(w, "the metadata is read with GET", http.StatusMethodNotAllowed)
	}
}

// resource returns the metadata that o describes, or nil if there is none.
func (p *problems) resource(o Options, b *bindings) *resource {
	if o.Resource == "" {
		if len(o.Metadata) > 0 {
			p.add("Metadata: Resource is empty, so there is no metadata; set it, or leave Metadata out")
		}
		return nil
	}
	u, err := parseResource(o.Resource)
	if err != nil {
		p.add("Resource: %q %w", o.Resource, err)
		return nil
	}
	members := map[string]any{}
	if len(o.Issuers) > 0 {
		members["authorization_servers"] = o.Issuers
	}
	for name, value := range o.Metadata {
		switch name {
		case "resource", "dpop_signing_alg_values_supported", "dpop_bound_access_tokens_required", "tls_client_certificate_bound_access_tokens":
			p.add("Metadata: the gate writes %q itself; remove it", name)
			continue
		case "bearer_methods_supported":
			if o.Extract == nil {
				p.add("Metadata: the gate writes %q itself; remove it", name)
				continue
			}
		}
		members[name] = value
	}
	for name, value := range members {
		if isEmptyMember(value) && name != "bearer_methods_supported" {
			delete(members, name) // RFC 9728 section 3.2
		}
	}
	members["resource"] = o.Resource
	if o.Extract == nil {
		methods := []string{}
		if b.bearer {
			methods = append(methods, "header")
		}
		members["bearer_methods_supported"] = methods
	}
	for _, n := range b.all {
		switch {
		case n.method == dpopMethod && n.scheme != nil:
			members["dpop_bound_access_tokens_required"] = !b.bearer
			if algorithms := strings.Fields(n.scheme.Challenge()["algs"]); len(algorithms) > 0 {
				members["dpop_signing_alg_values_supported"] = algorithms
			}
		case n.method == certificateMethod:
			members["tls_client_certificate_bound_access_tokens"] = true
		}
	}
	document, err := json.Marshal(members)
	if err != nil {
		p.add("Metadata: it cannot be written as JSON: %w; use strings, lists and maps", err)
		return nil
	}
	return newResource(u, document)
}

// newResource returns the resource whose URL is u.
func newResource(u *url.URL, document []byte) *resource {
	// RFC 9728 section 3.1 puts the well-known name before the path. A slash after a bare
	// host is not a path.
	decoded, escaped := u.Path, u.EscapedPath()
	if decoded == "/" {
		decoded, escaped = "", ""
	}
	metadata := &url.URL{
		Scheme: u.Scheme, Host: u.Host, RawQuery: u.RawQuery,
		Path: wellKnownResource + decoded, RawPath: wellKnownResource + escaped,
	}
	pattern := metadata.EscapedPath()
	if strings.HasSuffix(pattern, "/") {
		pattern += "{$}" // without it, the pattern would be for all paths below too
	}
	return &resource{url: metadata, pattern: pattern, document: document}
}

// parseResource parses the URL of a protected resource (RFC 9728 section 1.2).
func parseResource(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || strings.TrimSpace(address) != address:
		return nil, errors.New("is not a URL; write one such as https://api.example.com, without white space around it")
	case u.Scheme == "http" && !loopback.Is(u.Hostname()):
		return nil, errors.New("is plain http, which is allowed on this machine only; use https")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("does not start with https://; write the whole URL by which clients call this service")
	case u.Hostname() == "":
		return nil, errors.New("has no host; write the whole URL by which clients call this service")
	case u.User != nil:
		return nil, errors.New("has credentials in it, which everybody could read; remove them")
	case strings.Contains(address, "#"):
		return nil, errors.New("has a fragment; remove it")
	case strings.ContainsFunc(address, func(c rune) bool { return c > '~' }):
		return nil, errors.New("has characters beyond ASCII; write them percent-encoded, and a host in its ASCII form (xn--)")
	case strings.ContainsAny(address, "{}"):
		return nil, errors.New("has a brace; was a placeholder not replaced? Otherwise percent-encode it")
	case u.Path != "" && path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") && u.Path != "/":
		return nil, errors.New("has a dot segment or an empty segment in its path, which a mux redirects; remove it")
	}
	return u, nil
}

// isEmptyMember reports whether value is nil, an empty string, or an empty list or map.
func isEmptyMember(value any) bool {
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.String, reflect.Slice, reflect.Map, reflect.Array:
		return v.Len() == 0
	case reflect.Pointer, reflect.Interface:
		return v.IsNil()
	}
	return false
}
