package dpop

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/jwtgate/jwtgate/internal/logtext"
	"github.com/jwtgate/jwtgate/internal/loopback"
)

// parseURL returns one of Verifier.URLs in normal form, without a slash at its end.
func parseURL(address string) (normal string, err error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || !hasURLCharacters(address):
		return "", errors.New("is not a URL of ASCII characters; write a host name with other characters in its form with xn--")
	case u.Scheme == "http" && !loopback.Is(u.Hostname()):
		return "", errors.New("is plain http, which is allowed on this machine only; use https, as the clients do")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("does not start with https://")
	case u.Hostname() == "":
		return "", errors.New("has no host")
	case u.User != nil:
		return "", errors.New("has credentials in it; remove them")
	case strings.ContainsAny(address, "?#"):
		return "", errors.New("has a query or a fragment, and proofs are compared without them; remove it")
	case strings.ContainsAny(address, "{}"):
		return "", errors.New("has a brace; was a placeholder not replaced?")
	}
	origin, path, ok := normalHTU(address)
	if !ok {
		return "", errors.New("is not a URL")
	}
	return origin + strings.TrimSuffix(path, "/"), nil
}

// requestPath returns the path of the request line as the client wrote it, without the
// query. A mux or http.StripPrefix may have changed r.URL since. ok is false if the
// request has no path, as CONNECT and OPTIONS * have none.
func requestPath(r *http.Request) (path string, ok bool) {
	uri := r.RequestURI
	if uri == "" && r.URL != nil { // the request did not come from a server
		uri = r.URL.EscapedPath()
		if uri == "" && r.URL.Host != "" {
			uri = "/"
		}
	}
	if _, rest, found := strings.Cut(uri, "://"); found && !strings.HasPrefix(uri, "/") {
		// The request line has a whole URL (RFC 9112 section 3.2.2).
		i := strings.IndexAny(rest, "/?")
		if i < 0 || rest[i] == '?' {
			return "/", true
		}
		uri = rest[i:]
	}
	path, _, _ = strings.Cut(uri, "?")
	return path, strings.HasPrefix(path, "/") && r.Method != http.MethodConnect
}

// checkHTU checks that htu is one of urls followed by path, after normalisation and
// without query and fragment (RFC 9449 section 4.3).
func checkHTU(urls []string, path, htu string) error {
	for _, u := range urls {
		if len(htu) == len(u)+len(path) && htu[:len(u)] == u && htu[len(u):] == path {
			return nil // the usual case
		}
	}
	wanted := normalPath(path)
	if origin, normal, ok := normalHTU(htu); ok {
		for _, u := range urls {
			rest, found := strings.CutPrefix(origin+normal, u)
			// A proxy that takes the path of u off passes "/" on for u itself too.
			if found && (rest == wanted || rest == "" && wanted == "/") {
				return nil
			}
		}
	}
	return refused(func() string {
		all := make([]string, len(urls))
		for i, u := range urls {
			all[i] = u + wanted
		}
		return "htu is " + logtext.QuoteUpTo(htu, 80) + ", wanted is " + logtext.List(all, 80)
	})
}

// normalHTU splits an http or https URL into its origin and its path, each in normal form
// (RFC 3986 sections 6.2.2 and 6.2.3), and drops query and fragment. ok is false for
// anything else, for a URL with userinfo, and for characters that no URL has: browsers read
// a backslash as a slash and leave out a tab.
func normalHTU(htu string) (origin, path string, ok bool) {
	if i := strings.IndexAny(htu, "?#"); i >= 0 {
		htu = htu[:i]
	}
	scheme, rest, found := strings.Cut(htu, "://")
	if !found || !hasURLCharacters(htu) {
		return "", "", false
	}
	host, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	scheme, host = lower(scheme), lower(host)
	switch scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return "", "", false
	}
	host = strings.TrimSuffix(host, ":") // an empty port is the default port
	if host == "" || strings.ContainsRune(host, '@') {
		return "", "", false
	}
	return scheme + "://" + host, normalPath(path), true
}

// hasURLCharacters reports whether s is printable ASCII without spaces and backslashes, in
// which two hexadecimal digits follow each percent sign.
func hasURLCharacters(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ' || c > '~' || c == '\\':
			return false
		case c == '%':
			if i+2 >= len(s) || !isDigit(s[i+1]) || !isDigit(s[i+2]) {
				return false
			}
		}
	}
	return true
}

// lower returns s with its ASCII letters in lower case. Other characters have no lower
// case here: Unicode would turn the Kelvin sign into a k.
func lower(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}, s)
}

// normalPath returns a path in normal form. It decodes percent-encoded characters that
// need no encoding, once, writes other percent-encodings in upper case, and then removes
// the segments "." and "..". The path never gets above its start: "/../x" is "/x".
func normalPath(path string) string {
	if strings.IndexByte(path, '%') >= 0 {
		path = normalEncoding(path)
	}
	if !strings.Contains(path, "/.") {
		if path == "" {
			return "/"
		}
		return path
	}
	// RFC 3986 section 5.2.4
	var segments []string
	all := strings.Split(path, "/")[1:] // what is before the first slash is empty
	for i, segment := range all {
		last := i == len(all)-1
		switch segment {
		case ".":
		case "..":
			segments = segments[:max(0, len(segments)-1)]
		default:
			segments = append(segments, segment)
			continue
		}
		if last {
			segments = append(segments, "")
		}
	}
	return "/" + strings.Join(segments, "/")
}

// normalEncoding is the part of normalPath about percent-encoding (RFC 3986 sections
// 6.2.2.1 and 6.2.2.2). It does not change a percent sign without two hexadecimal digits.
func normalEncoding(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) || !isDigit(path[i+1]) || !isDigit(path[i+2]) {
			b.WriteByte(path[i])
			continue
		}
		encoded := strings.ToUpper(path[i : i+3])
		if c, err := url.PathUnescape(encoded); err == nil && isUnreserved(c[0]) {
			encoded = c
		}
		b.WriteString(encoded)
		i += 2
	}
	return b.String()
}

// isDigit reports whether c is a hexadecimal digit.
func isDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f'
}

// isUnreserved reports whether c means the same with and without percent-encoding (RFC
// 3986 section 2.3).
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}
