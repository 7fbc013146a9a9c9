package jwtgate

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jwtgate/jwtgate/internal/charset"
	"github.com/jwtgate/jwtgate/internal/headermap"
	"github.com/jwtgate/jwtgate/internal/jws"
)

// An Extractor takes the token out of a request. It must be safe for concurrent
// use. If the request has no token, it returns "" or an error that wraps
// [ErrNoToken]. If the request is ambiguous, it returns an error that wraps
// [ErrRequest].
//
// If an error joins ErrNoToken with another error, something else went wrong too. The
// request is then refused, even under [Gate.Optional].
//
// The extractors of this package look up the name of a header in its canonical form,
// which [http.Header.Set] and the server of net/http write. An adapter of another server
// may write a name such as "authorization" into the map. If the extractors overlooked it,
// the request would be anonymous, so they refuse the request with ErrRequest. If the map
// has the canonical name too, they notice only the spellings in lower case and in upper
// case beside it.
//
// This package takes no tokens from the query or the body: there they end up in
// logs and browser histories (RFC 6750 section 5.3). A page in a browser cannot set
// the Authorization header of a WebSocket or an EventSource: use [Cookie], or for a
// WebSocket an Extractor of your own that reads Sec-WebSocket-Protocol.
type Extractor func(*http.Request) (string, error)

// Bearer takes the token from the Authorization header (RFC 6750 section 2.1). The
// header must be a single line: the scheme Bearer in any letter case, one or more
// spaces, and one token68. Credentials of another scheme count as no token. So does a
// line whose value is empty or white space: clients and proxies clear a header by
// emptying it. The word Bearer with nothing after it is a bad request.
func Bearer(r *http.Request) (string, error) {
	credential, err := cutBearer(r)
	if err == nil && !isToken68(credential) {
		return "", notToken68(credential, bearer)
	}
	return credential, err
}

// notToken68 returns the refusal of a credential that is not one token68. The refusal has at most one character of credential.
func notToken68(credential, scheme string) error {
	trimmed := strings.TrimRight(credential, "=")
	switch i := charset.Token68.Prefix(trimmed); {
	case hasScheme(credential, scheme):
		return refuse(ErrRequest, "the word "+scheme+" comes twice before the token", "")
	case i < len(trimmed):
		return refuse(ErrRequest, "what follows "+scheme+" is not one token: it has the character", firstCharacter(trimmed[i:]))
	}
	return refuse(ErrRequest, "what follows "+scheme+" is not a token: it has only equals signs", "")
}

// firstCharacter returns the first character of s, which is not empty, for a log.
func firstCharacter(s string) string {
	character, _ := utf8.DecodeRuneInString(s)
	return string(character)
}

// hasScheme reports whether value starts with scheme, in any letter case, and a space.
func hasScheme(value, scheme string) bool {
	n := len(scheme)
	return len(value) > n && value[n] == ' ' && strings.EqualFold(value[:n], scheme)
}

// bearer is the name of the scheme of tokens that anybody can send (RFC 6750).
const bearer = "Bearer"

var (
	authorization = newHeaderReader("Authorization")

	errNothingFollows = refuse(ErrRequest, "nothing follows Bearer in the Authorization header", "")
	errSpaceFirst     = refuse(ErrRequest, "the Authorization header starts with a space", "")
	errNoSpace        = refuse(ErrNoToken, "the Authorization header has no space after Bearer", "")
	errBareToken      = refuse(ErrNoToken, `the Authorization header has a token without "Bearer " before it`, "")
	errOneWord        = refuse(ErrNoToken, `the Authorization header has one word, without "Bearer " before it`, "")
)

// cutBearer is Bearer without the check that the credential is a token68.
func cutBearer(r *http.Request) (string, error) {
	value, err := authorization.read(r)
	if err != nil {
		return "", err
	}
	if after, ok := strings.CutPrefix(value, "Bearer "); ok && after != "" && after[0] != ' ' {
		return after, nil // the usual case
	}
	scheme, credential, found := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, bearer) {
		return "", otherScheme(scheme, found, bearer)
	}
	credential = strings.TrimLeft(credential, " ")
	if credential == "" {
		return "", errNothingFollows
	}
	return credential, nil
}

// otherScheme returns the refusal of an Authorization header whose first word is not the
// name of a scheme that is accepted. found reports whether a space follows the word.
// wanted names those schemes.
func otherScheme(word string, found bool, wanted string) error {
	startsWithBearer := len(word) > len(bearer) && strings.EqualFold(word[:len(bearer)], bearer)
	if word == "" {
		return errSpaceFirst
	}
	if valid := charset.Token.Prefix(word); valid < len(word) {
		if startsWithBearer { // "Bearer:", or a tab instead of the space
			return refuse(ErrRequest, "the Authorization header has no space after Bearer but", firstCharacter(word[len(bearer):]))
		}
		return refuse(ErrRequest, `the Authorization header does not start with a scheme, such as "Bearer ": its first word has the character`,
			firstCharacter(word[valid:]))
	}
	// The word may be a token without its scheme. Keep it out of the log.
	if !found || len(word) > 20 {
		if startsWithBearer {
			return errNoSpace
		}
		if jws.LooksLikeToken(word) {
			return errBareToken
		}
		if !found {
			return errOneWord
		}
		return refuse(ErrNoToken, "the Authorization header has a scheme other than "+wanted, "")
	}
	return refuse(ErrNoToken, "wanted is the scheme "+wanted+", and the Authorization header has", word)
}

// Header returns an extractor for a header whose whole value is the token. Some
// gateways set such a header. A value that is empty or white space counts as no token.
// A second line of the header is a bad request.
//
// Header panics if name is not the name of a header. It also panics for
// Authorization, whose value is more than a token: use [Bearer].
func Header(name string) Extractor {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if !isToken(name) {
		panic(fmt.Sprintf("jwtgate.Header: %q is not the name of a header", name))
	}
	if canonical == "Authorization" {
		panic("jwtgate.Header: use jwtgate.Bearer for Authorization")
	}
	return newHeaderReader(canonical).read
}

// Cookie returns an extractor for a cookie whose value is the token. It removes double
// quotes around the value, as net/http does. An empty value counts as no token,
// because some sites empty the cookie when a user signs out. Two cookies of this name
// are a bad request: another site of the same domain may have set one of them.
//
// Browsers send cookies with requests that other sites cause. Protect handlers that
// change something against CSRF, for example by [http.CrossOriginProtection] outside
// the gate.
//
// Let the cookie expire with its token, and do not guard the handlers that sign users
// in and out: a gate refuses an expired token, even in [Gate.Optional], so a user with
// an old cookie reaches no guarded handler.
//
// Cookie panics if name is not the name of a cookie.
func Cookie(name string) Extractor {
	if !isToken(name) {
		panic(fmt.Sprintf("jwtgate.Cookie: %q is not the name of a cookie", name))
	}
	cookies := newHeaderReader("Cookie")
	errAbsent := absent("cookie", name)
	errEmpty := refuse(ErrNoToken, "no value in cookie", name)
	errTwo := refuse(ErrRequest, "more than one cookie", name)
	return func(r *http.Request) (string, error) {
		lines, err := cookies.lines(r)
		if err != nil {
			return "", err
		}
		// http.Request.Cookies skips malformed cookies. Here they count, so that a
		// malformed second cookie of the name is noticed.
		token, found, pairs := "", false, 0
		for _, line := range lines {
			for pair := range strings.SplitSeq(line, ";") {
				if pairs++; pairs > maxCookies {
					return "", errTooManyCookies
				}
				key, value, _ := strings.Cut(pair, "=")
				if textproto.TrimString(key) != name {
					continue
				}
				if found {
					return "", errTwo
				}
				token, found = cookieValue(value), true
			}
		}
		switch {
		case !found:
			return "", errAbsent
		case token == "":
			return "", errEmpty
		}
		return token, nil
	}
}

// maxCookies is the default limit of net/http (GODEBUG httpcookiemaxnum).
const maxCookies = 3000

var errTooManyCookies = refuse(ErrRequest, "more than 3000 cookies", "")

// cookieValue returns the value of a cookie. Like net/http, it removes a pair of double
// quotes that starts right after the equals sign, and nothing within.
func cookieValue(raw string) string {
	raw = strings.TrimRight(raw, whiteSpace)
	if n := len(raw); n > 1 && raw[0] == '"' && raw[n-1] == '"' {
		return raw[1 : n-1]
	}
	return strings.TrimLeft(raw, whiteSpace)
}

// whiteSpace has the characters that net/http trims from the values of headers and
// cookies.
const whiteSpace = " \t\r\n"

// FirstOf returns an extractor that calls extractors in their order and returns the
// first result that is a token or an error other than "no token". The order decides
// which token counts if a request has several. If there is no token, the error says
// what was found in its place, such as a header without a value, or else each header and
// cookie that is absent. FirstOf panics if there are no extractors, and for a nil one.
func FirstOf(extractors ...Extractor) Extractor {
	if len(extractors) == 0 {
		panic("jwtgate.FirstOf: pass at least one extractor")
	}
	for i, extract := range extractors {
		if extract == nil {
			panic(fmt.Sprintf("jwtgate.FirstOf: extractor %d is nil", i+1))
		}
	}
	extractors = slices.Clone(extractors)
	return func(r *http.Request) (string, error) {
		var noToken error
		for _, extract := range extractors {
			token, err := extract(r)
			if err == nil && token != "" || err != nil && !meansNoToken(err) {
				return token, err
			}
			switch {
			case err == nil:
			case noToken == nil, isAbsence(noToken) && !isAbsence(err):
				noToken = err
			case isAbsence(noToken):
				noToken = bothAbsent(noToken, err)
			}
		}
		if noToken == nil {
			noToken = ErrNoToken
		}
		return "", noToken
	}
}

// isAbsence reports whether err says only that the request lacks a header or cookie.
func isAbsence(err error) bool {
	r, ok := err.(*refusal)
	return !ok || r.absence
}

// bothAbsent returns an error that says what a and b say, for which isAbsence is true. If
// one of them is the error of another package's extractor, it returns a.
func bothAbsent(a, b error) error {
	first, okA := a.(*refusal)
	second, okB := b.(*refusal)
	if !okA || !okB {
		return a
	}
	return &refusal{sentinel: ErrNoToken, absence: true, explain: func() string {
		return first.details() + ", " + strings.TrimPrefix(second.details(), requestHas)
	}}
}

// absent returns the error of an extractor for a request without the header or cookie
// of this name.
func absent(kind, name string) error {
	return &refusal{sentinel: ErrNoToken, absence: true, detail: requestHas + "no " + kind, value: name}
}

const requestHas = "the request has "

// meansNoToken reports whether the error of an extractor means that the request has
// no token, and nothing else (see isNoToken). An *Error that wraps ErrNoToken and has
// another status than 401 does not mean that: the extractor could not find out.
func meansNoToken(err error) bool {
	return isNoToken(err) && toError(err, fromExtract).Status == http.StatusUnauthorized
}

// A headerReader reads a header that may occur once.
type headerReader struct {
	name         string // canonical
	lower, upper string // other spellings of name
	absent       error
	empty        error
	repeated     error
}

func newHeaderReader(name string) *headerReader {
	return &headerReader{
		name: name, lower: strings.ToLower(name), upper: strings.ToUpper(name),
		absent:   absent("header", name),
		empty:    refuse(ErrNoToken, "no value in header", name),
		repeated: refuse(ErrRequest, "more than one line of header", name),
	}
}

// read returns the value of the header.
func (h *headerReader) read(r *http.Request) (string, error) {
	lines, err := h.lines(r)
	switch {
	case err != nil:
		return "", err
	case len(lines) == 0:
		return "", h.absent
	case len(lines) > 1:
		return "", h.repeated
	case lines[0] == "" || lines[0][0] <= ' ' && strings.Trim(lines[0], whiteSpace) == "":
		return "", h.empty
	}
	return lines[0], nil
}

// lines returns the lines of the header. It refuses a request whose header map has the
// name in another spelling.
func (h *headerReader) lines(r *http.Request) ([]string, error) {
	lines := r.Header[h.name]
	if len(lines) == 0 {
		if key := headermap.Misspelled(r.Header, h.name); key != "" {
			return nil, h.misspelled(key)
		}
		return nil, nil
	}
	// Walking the map takes 5 % of the time of a request with HS256, and these two
	// lookups take less than 1 %.
	for _, key := range [...]string{h.lower, h.upper} {
		if _, ok := r.Header[key]; ok && key != h.name {
			return nil, h.misspelled(key)
		}
	}
	return lines, nil
}

func (h *headerReader) misspelled(key string) error {
	return refuse(ErrRequest, "the header map must have the key "+h.name+", as http.Header.Set writes it, but an adapter wrote", key)
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool { return s != "" && charset.Token.Only(s) }

// isToken68 reports whether s is a token68 (RFC 9110 section 11.2).
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && charset.Token68.Only(s)
}
