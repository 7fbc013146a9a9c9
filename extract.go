package jwtgate

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/jwtgate/jwtgate/internal/charset"
)

// An Extractor takes the token out of a request. It must be safe for concurrent
// use. If the request has no token, it returns "" or an error that wraps
// [ErrNoToken]. If the request is ambiguous, it returns an error that wraps
// [ErrRequest].
//
// This package takes no tokens from the query or the body: there they end up in
// logs and browser histories (RFC 6750 section 5.3).
type Extractor func(*http.Request) (string, error)

// Bearer takes the token from the Authorization header (RFC 6750 section 2.1). The
// header must be a single line: the scheme Bearer in any letter case, one or more
// spaces, and one token68. Credentials of another scheme count as no token.
func Bearer(r *http.Request) (string, error) {
	credential, err := cutBearer(r)
	if err == nil && !isToken68(credential) {
		return "", errNotToken68
	}
	return credential, err
}

var errNotToken68 = refuse(ErrRequest, "what follows Bearer is not one token68", "")

// cutBearer is Bearer without the check that the credential is a token68.
func cutBearer(r *http.Request) (string, error) {
	value, err := singleLine(r, "Authorization")
	if err != nil {
		return "", err
	}
	if after, ok := strings.CutPrefix(value, "Bearer "); ok && after != "" && after[0] != ' ' {
		return after, nil // the usual case
	}
	scheme, credential, found := strings.Cut(value, " ")
	if !isToken(scheme) {
		return "", refuse(ErrRequest, "the Authorization header does not start with a scheme", "")
	}
	if !strings.EqualFold(scheme, "Bearer") {
		if !found || len(scheme) > 20 {
			scheme = "" // this may be a token without its scheme: keep it out of the log
		}
		return "", refuse(ErrNoToken, "the Authorization header has another scheme", scheme)
	}
	credential = strings.TrimLeft(credential, " ")
	if credential == "" {
		return "", errNotToken68
	}
	return credential, nil
}

// Header returns an extractor for a header whose whole value is the token. Some
// gateways set such a header. An empty value is a bad request, and so is a second line
// of the header.
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
	return func(r *http.Request) (string, error) {
		value, err := singleLine(r, canonical)
		if err == nil && value == "" {
			err = refuse(ErrRequest, "no value in header", canonical)
		}
		return value, err
	}
}

// Cookie returns an extractor for a cookie whose value is the token. An empty value
// counts as no token, because some sites empty the cookie when a user signs out. Two
// cookies of this name are a bad request: another site of the same domain may have
// set one of them.
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
	return func(r *http.Request) (string, error) {
		// http.Request.Cookies skips malformed cookies. Here they count, so that a
		// malformed second cookie of the name is noticed.
		token, found, pairs := "", false, 0
		for _, line := range r.Header["Cookie"] {
			for pair := range strings.SplitSeq(line, ";") {
				if pairs++; pairs > maxCookies {
					return "", refuse(ErrRequest, "too many cookies", "")
				}
				key, value, _ := strings.Cut(pair, "=")
				if textproto.TrimString(key) != name {
					continue
				}
				if found {
					return "", refuse(ErrRequest, "more than one cookie", name)
				}
				token, found = textproto.TrimString(value), true
			}
		}
		return token, nil
	}
}

// maxCookies is the default limit of net/http (GODEBUG httpcookiemaxnum).
const maxCookies = 3000

// FirstOf returns an extractor that calls extractors in their order and returns the
// first result that is a token or an error other than "no token". The order decides
// which token counts if a request has several. FirstOf panics if there are no
// extractors, and for a nil one.
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
		for _, extract := range extractors {
			token, err := extract(r)
			if token == "" && err == nil || meansNoToken(err) {
				continue
			}
			return token, err
		}
		return "", ErrNoToken
	}
}

// meansNoToken reports whether the error of an extractor means that the request has
// no token. An error that also wraps ErrUnavailable does not mean that: the extractor
// could not find out.
func meansNoToken(err error) bool {
	return errors.Is(err, ErrNoToken) && toError(err, fromExtract).Status == http.StatusUnauthorized
}

// singleLine returns the value of a header that may occur once.
func singleLine(r *http.Request, name string) (string, error) {
	switch values := r.Header[name]; len(values) {
	case 0:
		return "", ErrNoToken
	case 1:
		return values[0], nil
	default:
		return "", refuse(ErrRequest, "more than one line of header", name)
	}
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool { return s != "" && charset.Token.Only(s) }

// isToken68 reports whether s is a token68 (RFC 9110 section 11.2).
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && charset.Token68.Only(s)
}
