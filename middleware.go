// Package jwtgate guards net/http handlers with JSON Web Tokens.
//
// A [Gate] takes the token out of a request, finds the key in a pluggable
// [KeySource], verifies the token, and puts it into the request's context:
//
//	gate, err := jwtgate.New(jwtgate.Options{
//		Keys:      &keys.Remote{}, // found through the issuer
//		Issuers:   []string{"https://auth.example.com/"},
//		Audiences: []string{"https://api.example.com"},
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("POST /orders", gate.Require(jwtgate.Scope("orders:write")).Handler(create))
//	http.ListenAndServe(":8080", gate.Handler(mux))
//
// Handlers find the user's ID with [Subject], the token with [FromContext], and
// claims of their own with [Decode]. Package keys has the key sources.
//
// # What is checked
//
// A token is read in one way only: compact serialisation, canonical base64url,
// a JSON header and JSON claims without duplicate members at any depth (RFC
// 7515, RFC 7519). Its signature is verified, with a key that is pinned to one
// algorithm and belongs to the issuer, before any claim is used. The issuer
// alone is looked at earlier, to be compared with the trusted ones.
//
// Then exp, nbf, iat, iss, aud, the header's typ and the subject are checked,
// and the rules of [Options]. Where one of them is not wanted, a field with Any
// or Allow in its name says so. [New] refuses options that would check less
// than they seem to, and the zero Gate refuses everything.
//
// # What is answered
//
// No credentials, a bad request, a bad token, too few rights and "cannot tell
// now" are five different answers: 401 without error code, 400, 401, 403 and
// 503 (RFC 6750 section 3). Trouble of the service's own, such as keys that
// cannot be had, is never reported as the client's fault. Clients get fixed
// texts; the reason is in [Error] and in the [Event] that Options.Observe gets.
//
// # Threat model
//
// The attacker is a client, who sends any bytes, or who holds a good token that
// is meant for another service or was issued by somebody else. Trusted are the
// issuers listed, the key source, and the code of this process. jwtgate does
// not by itself revoke tokens, tell a stolen bearer token from its owner's,
// protect cookies against CSRF, or limit rates; Options.Validate,
// Options.Confirm and other middleware are for these.
//
// # Concurrency
//
// All exported functions, and the methods of a Gate, a Key and the sources of
// package keys, are safe for concurrent use. The functions in Options must be
// so too. The package starts no goroutine and makes no request of its own.
//
// # Backwards compatibility
//
// Struct types will gain fields, so construct them by field name. A stricter
// reading of a malformed or ambiguous token is a bug fix. The texts of errors
// may change; the sentinel values and [Error.Reason] do not.
package jwtgate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// A Gate lets requests through that carry a token as its [Options] ask for,
// with the token in their context, and refuses all others. Make one with [New];
// the zero Gate refuses everything. A Gate is immutable and safe for concurrent
// use.
type Gate struct {
	verifier *verifier // nil in the zero Gate
	rules    []Rule    // of Require
	scopes   []string  // what all the gate's Scope rules ask for
}

// Handler returns a handler that calls next for requests that pass, with the
// token in the request's context, and answers the others as [Gate.Deny] does.
// next gets the ResponseWriter it would have had without the gate. It panics
// if next is nil.
//
// Preflight requests of CORS (OPTIONS without credentials) are refused like any
// other without a token: put the CORS middleware outside the gate, where it also
// lets a page read the refusals.
//
// Gates may stand inside one another. A gate takes over what a gate of its
// family, those derived from one New, has verified for the same request, and
// applies its own rules; it never takes over an identity from a request with
// other credentials, such as one that a batch handler sends on its own context.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return g.handler("Handler", next, false)
}

// Optional is like Handler, but a request without credentials passes too, with
// no token in its context. One with credentials that are not good is refused,
// as with Handler. An answer that may be cached and differs by who asks needs a
// Vary header, which is next's to set.
func (g *Gate) Optional(next http.Handler) http.Handler {
	return g.handler("Optional", next, true)
}

func (g *Gate) handler(method string, next http.Handler, anonymousToo bool) http.Handler {
	if g == nil {
		panic("jwtgate: " + method + " of a nil *Gate; check the error of New first")
	}
	if isNil(next) {
		panic("jwtgate: " + method + " of a nil handler; pass the handler to guard")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, stands, err := g.check(r, anonymousToo)
		if err != nil {
			g.Deny(w, r, err)
			return
		}
		if stands || a == nil && !hasToken(r) {
			next.ServeHTTP(w, r) // the context is as it should be
			return
		}
		var ctx context.Context
		if a != nil {
			a.Context = r.Context()
			ctx = a
		} else {
			// Nobody is anonymous with somebody else's token in the context.
			ctx = NewContext(r.Context(), nil)
		}
		if r.Trailer == nil && r.ContentLength < 0 {
			// The server puts trailers that were not announced into its own
			// request, unless there is a map already, which both share.
			r.Trailer = http.Header{}
		}
		with := r.WithContext(ctx)
		next.ServeHTTP(w, with)
		if with.MultipartForm != nil {
			// The server removes the files of an upload, but knows its own
			// request only.
			r.MultipartForm = with.MultipartForm
		}
	})
}

func hasToken(r *http.Request) bool {
	_, ok := FromContext(r.Context())
	return ok
}

// Require returns a gate that also asks for all of rules. A token that fails
// one is answered with 403, unless the rule's error says otherwise; the code is
// insufficient_scope whatever the rule, since RFC 6750 has no other. The new
// gate shares what g has verified; g itself does not change. Require panics
// without rules, and for a nil one.
func (g *Gate) Require(rules ...Rule) *Gate {
	if g == nil {
		panic("jwtgate: Require of a nil *Gate; check the error of New first")
	}
	if len(rules) == 0 {
		panic("jwtgate: Require without rules; pass at least one, or use the gate itself")
	}
	mustRules("jwtgate: Require", rules)
	return &Gate{
		verifier: g.verifier,
		rules:    slices.Concat(g.rules, rules),
		scopes:   slices.Concat(g.scopes, scopesOf(rules)),
	}
}

// Check decides about a request and writes nothing, for frameworks with
// handlers of their own. Put the token into the context with [NewContext], or
// answer the error with [Gate.Deny]. The error is always an [*Error]; without
// credentials it wraps [ErrNoToken].
//
// Where there is an [http.Handler] to wrap, prefer [Gate.Handler]: it also sees to
// it that the server finds the files of an upload, which it removes, and the
// trailers of a request whose context was replaced.
func (g *Gate) Check(r *http.Request) (*Token, error) {
	a, stands, err := g.check(r, false)
	if err != nil {
		return nil, err
	}
	if stands {
		t, _ := FromContext(r.Context())
		return t, nil
	}
	return a.own(), nil
}

// check returns the admission of a request that passes, or tells that the
// token in its context stands for it. Neither, and no error, is the anonymous
// request of Optional.
func (g *Gate) check(r *http.Request, anonymousToo bool) (a *admission, stands bool, e *Error) {
	if e := g.unusable(); e != nil {
		return nil, false, e
	}
	v := g.verifier
	start := v.startObserving()

	credential, err := v.extract(r)
	if err == nil && credential == "" {
		err = refuse(ErrNoToken, "the request has none", "")
	}
	if err != nil {
		e := g.withScopes(toError(err, fromExtract))
		if anonymousToo && saysNoToken(err) {
			e = nil
		}
		v.observed(r.Context(), r, start, nil, false, e)
		return nil, false, e
	}

	if known, request := grantIn(r.Context()); known != nil && known.by == v && known.standsFor(request, r, credential) && v.checkTimes(&known.token, v.now()) == nil {
		t, _ := FromContext(r.Context())
		e := g.checkRules(r, t, v.rules, fromOptions)
		if e == nil {
			e = g.checkRules(r, t, g.rules, fromRequire)
		}
		if e != nil {
			v.observed(r.Context(), r, start, t, false, e)
		}
		return nil, e == nil, e
	}

	a, cached, e := g.decide(r, credential)
	if e != nil && v.bearer && errors.Is(e.Err, ErrMalformed) && !isToken68(credential) {
		// Nothing that is no token68 is a token, so which of the two it is
		// matters here only.
		e = g.withScopes(toError(errNoToken68, fromExtract))
	}
	if e == nil {
		a.grant(r)
	}
	if v.observe != nil { // which asks for the Token
		v.observed(r.Context(), r, start, a.own(), cached, e)
	}
	if e != nil {
		return nil, false, e
	}
	return a, false, nil
}

// unusable returns the refusal of a gate that New did not make.
func (g *Gate) unusable() *Error {
	if g != nil && g.verifier != nil {
		return nil
	}
	return toError(refuse(ErrUnavailable, "the gate was not made by jwtgate.New", ""), fromGate)
}

// startObserving returns when the decision began that observed will report.
func (v *verifier) startObserving() (start time.Time) {
	if v.observe != nil {
		start = time.Now()
	}
	return start
}

// observed reports a decision to Options.Observe.
func (v *verifier) observed(ctx context.Context, r *http.Request, start time.Time, t *Token, cached bool, e *Error) {
	if v.observe == nil {
		return
	}
	event := Event{Request: r, Token: t, Cached: cached, Duration: time.Since(start)}
	if e != nil { // a nil *Error in an error would not be nil
		event.Err = e
	}
	v.observe(ctx, event)
}

// Ready returns nil if the keys of every issuer in Options.Issuers can be had,
// fetching them if need be, and otherwise an error that tells of each that
// cannot. It is for start-up and for readiness probes. Under
// [Options.TrustIssuer] no issuer is known ahead, and Ready has nothing to ask
// for.
func (g *Gate) Ready(ctx context.Context) error {
	if e := g.unusable(); e != nil {
		return e
	}
	v := g.verifier
	issuers := v.issuers
	if v.anyIssuer {
		issuers = []string{""}
	}
	var errs []error
	for _, issuer := range issuers {
		keys, err := v.source.Keys(ctx, issuer, "")
		if err == nil && !slices.ContainsFunc(keys, func(k *Key) bool { return k != nil && v.algorithms[k.algorithm] }) {
			err = errors.New("there is none for an accepted algorithm")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("jwtgate: keys of issuer %s: %w", quote(issuer), err))
		}
	}
	return errors.Join(errs...)
}

// An Extractor takes the token out of a request. It returns "" or an error
// wrapping [ErrNoToken] if there is none, and an error wrapping [ErrRequest]
// if the request is ambiguous. It must be safe for concurrent use.
//
// Tokens in the query or the body are not supported: they end up in logs and
// histories (RFC 6750 section 5.3).
type Extractor func(*http.Request) (string, error)

// saysNoToken tells whether an extractor's error means that there is no token,
// and not also that it could not look.
func saysNoToken(err error) bool {
	return errors.Is(err, ErrNoToken) && toError(err, fromExtract).Status == http.StatusUnauthorized
}

// Bearer takes the token from the Authorization header, by the strict reading
// of RFC 6750 section 2.1: one line, the scheme Bearer in any letter case, one
// or more spaces, one token68. Credentials of another scheme are none.
func Bearer(r *http.Request) (string, error) {
	credential, err := cutBearer(r)
	if err == nil && !isToken68(credential) {
		return "", errNoToken68
	}
	return credential, err
}

var errNoToken68 = refuse(ErrRequest, "what follows Bearer is not one token68", "")

// cutBearer is Bearer but for the characters of the credential.
func cutBearer(r *http.Request) (string, error) {
	value, err := single(r, "Authorization")
	if err != nil {
		return "", err
	}
	if after, ok := strings.CutPrefix(value, "Bearer "); ok && after != "" && after[0] != ' ' {
		return after, nil // as nearly all requests have it
	}
	scheme, credential, found := strings.Cut(value, " ")
	if !isToken(scheme) {
		return "", refuse(ErrRequest, "the Authorization header does not start with a scheme", "")
	}
	if !strings.EqualFold(scheme, "Bearer") {
		if !found || len(scheme) > 20 {
			scheme = "" // perhaps a token without its scheme, which no log may show
		}
		return "", refuse(ErrNoToken, "the Authorization header has another scheme", scheme)
	}
	credential = strings.TrimLeft(credential, " ")
	if credential == "" {
		return "", errNoToken68
	}
	return credential, nil
}

// single returns the value of a header that may stand once.
func single(r *http.Request, name string) (string, error) {
	switch values := r.Header[name]; len(values) {
	case 0:
		return "", ErrNoToken
	case 1:
		return values[0], nil
	default:
		return "", refuse(ErrRequest, "more than one line of header", name)
	}
}

// The characters of a token (RFC 9110 section 5.6.2) and of a token68 (section
// 11.2), which may also end in equals signs.
var (
	inToken   = setOf("!#$%&'*+-.^_`|~")
	inToken68 = setOf("-._~+/")
)

// setOf returns a set of letters, digits and others.
func setOf(others string) (set [256]bool) {
	const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for _, c := range []byte(alphanumeric + others) {
		set[c] = true
	}
	return set
}

func isToken(s string) bool { return consistsOf(s, &inToken) }

func isToken68(s string) bool { return consistsOf(strings.TrimRight(s, "="), &inToken68) }

// consistsOf tells whether s is not empty and has no character outside set.
func consistsOf(s string, set *[256]bool) bool {
	return s != "" && span(s, set) == len(s)
}

// Header returns an extractor for a header whose whole value is the token, such
// as a gateway may set. An empty value or a second line is a bad request.
// Header panics for a name that is not one, and for Authorization, whose value
// is more than a token: that is [Bearer]'s.
func Header(name string) Extractor {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if !isToken(name) {
		panic(fmt.Sprintf("jwtgate.Header: %q is not the name of a header", name))
	}
	if canonical == "Authorization" {
		panic("jwtgate.Header: use jwtgate.Bearer for Authorization")
	}
	return func(r *http.Request) (string, error) {
		value, err := single(r, canonical)
		if err == nil && value == "" {
			err = refuse(ErrRequest, "no value in header", canonical)
		}
		return value, err
	}
}

// Cookie returns an extractor for a cookie whose value is the token. An empty
// value, which is left when a site signs its user out, is no token; two cookies
// of the name are a bad request, since either may be somebody else's.
//
// Browsers attach cookies unasked: requests that change something also need a
// protection against CSRF, such as [http.CrossOriginProtection], outside the
// gate. Let the cookie expire with its token, and leave the handler that signs
// out unguarded, or an old cookie locks its user out. Cookie panics for a name that no cookie can have.
func Cookie(name string) Extractor {
	if !isToken(name) {
		panic(fmt.Sprintf("jwtgate.Cookie: %q is not the name of a cookie", name))
	}
	return func(r *http.Request) (string, error) {
		// http.Request.Cookies leaves out cookies it finds malformed. Here they
		// count, or a second one could hide.
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

// maxCookies is also where http.Request.Cookies stops.
const maxCookies = 3000

// FirstOf returns an extractor that asks each of extractors in turn and takes
// the first answer that is not "no token". The order decides which token counts
// where a request has several; a bad request is not passed over. It panics
// without extractors, and for a nil one.
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
			if token == "" && err == nil || saysNoToken(err) {
				continue
			}
			return token, err
		}
		return "", ErrNoToken
	}
}
