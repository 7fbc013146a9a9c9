package jwtgate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jwtgate/jwtgate/internal/cache"
	"github.com/jwtgate/jwtgate/internal/logtext"
	"github.com/jwtgate/jwtgate/internal/typednil"
)

// A Gate lets a request through if its token meets the [Options], and refuses all
// other requests. Make a Gate with [New]; the zero Gate refuses everything. A Gate is
// immutable and safe for concurrent use.
type Gate struct {
	settings *settings // nil in the zero Gate
	rules    []Rule    // of Require
	scopes   []string  // of all Scope rules, for challenges
}

// settings are what the gates derived from one New share.
type settings struct {
	verifier *verifier
	answerer answerer

	extract  Extractor
	bearer   bool // extract is cutBearer, which does not check for a token68
	rules    []Rule
	bindings *bindings
	resource *resource // nil if Options.Resource is empty
	validate func(context.Context, *Token) error
	observe  func(context.Context, Event)
	now      func() time.Time

	startIsCurrent bool // see currentTime
}

// Handler returns a handler that calls next for each request that passes, with the
// token in the request's context. It answers other requests as [Gate.Deny] does.
// next gets the ResponseWriter unchanged. Handler panics if next is nil.
//
// Convert a function f with http.HandlerFunc(f). Where a router takes middleware, a
// func(http.Handler) http.Handler, pass g.Handler itself.
//
// next gets a shallow copy of the request. When next returns or panics, Handler sets
// in the request that it was given what differs in the copy: Pattern, Form, PostForm
// and MultipartForm. So middleware outside the gate sees the route, and the server
// deletes the temporary files of an upload. If Pattern was empty before, Handler also
// sets the path values of the wildcards in Pattern. Other changes are lost. A goroutine
// that outlives next must not parse the form of the request.
//
// Handler makes one more change to the request that it was given: if the body is
// chunked and no trailer is announced, Trailer becomes an empty map instead of nil, so
// that next sees unannounced trailers. Two guarded handlers may serve one request at
// once if neither routes it, parses its form or has a chunked body to read. If
// middleware calls SetPathValue and then makes copies of the request, the copies share
// the path values: handlers that route these copies must not serve them at once.
//
// Over HTTP/3 next does not see trailers of the request: the server of quic-go stores
// them in its own request only, in a new map. Middleware outside the gate sees them.
//
// The preflight requests of CORS (OPTIONS without credentials) are refused like
// other requests without a token. Put CORS middleware outside the gate: there it
// answers preflight requests itself, and lets pages of other origins read refusals.
//
// Gates may be nested. If a gate gets a request with the context of another gate
// derived from the same New, and with the same token, it does not verify the signature
// again. It makes the checks again whose results may have changed:
//
//   - the key and the times of the token
//   - Options.Rules and its own rules
//   - Options.Confirm. A DPoP proof may be used only once, so Confirm is not asked again
//     about a proof if method, host, RequestURI and URL are the same too
//   - Options.Validate, unless the context is the very one that the other gate made. A
//     change inside of a value that is in the context already does not count: chi, for
//     example, adds the parameters of the route to such a value
//
// [http.StripPrefix] changes the URL. Put it outside both gates if tokens are bound to
// DPoP proofs.
//
// A request with other credentials, such as one that a batch handler makes with its own
// context, is verified anew.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return g.handler("Handler", next, byHandler)
}

// Optional is like Handler, but also calls next for requests without credentials or
// with credentials of another scheme, with no token in the context. A request with a
// bad token is refused. The rules of [Gate.Require] are checked only for requests with a
// token.
//
// If a cacheable response depends on the caller, next must set the Vary header.
func (g *Gate) Optional(next http.Handler) http.Handler {
	return g.handler("Optional", next, byOptional)
}

func (g *Gate) handler(method string, next http.Handler, by caller) http.Handler {
	if g == nil {
		panic("jwtgate: " + method + " of a nil *Gate; check the error of New first")
	}
	if typednil.Is(next) {
		panic("jwtgate: " + method + " of a nil handler; pass the handler to guard")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, e := g.decide(r, by)
		if e != nil {
			g.answer().deny(w, r, e)
			return
		}
		if b := g.settings.bindings; len(b.schemes) > 0 {
			b.setHeaders(w.Header(), r)
		}
		if d.reused || d.tokenContext == nil && !hasToken(r) {
			next.ServeHTTP(w, r) // the context needs no change
			return
		}
		var ctx context.Context
		if d.tokenContext != nil {
			d.tokenContext.Context = r.Context()
			d.tokenContext.passage.record(w)
			ctx = d.tokenContext
		} else {
			// The context has a token, and the request has no credentials: a handler
			// made the request with the context of another request. Hide its token.
			ctx = NewContext(r.Context(), nil)
		}
		copied := copyRequest(r, ctx)
		defer handBack(r, copied) // after a panic too
		next.ServeHTTP(w, copied)
	})
}

// copyRequest returns a shallow copy of r with the context ctx.
func copyRequest(r *http.Request, ctx context.Context) *http.Request {
	if r.Trailer == nil && r.ContentLength < 0 && r.ProtoMajor == 1 {
		// The body is chunked. An HTTP/1.1 server adds trailers that the client did not
		// announce to its own request. The copy shares the map only if it exists before
		// the copy is made. HTTP/2 servers drop such trailers.
		r.Trailer = http.Header{}
	}
	return r.WithContext(ctx)
}

// handBack sets in r what net/http has set in copied, a copy that a handler got instead
// of r: middleware that has r, and the server, look for it there. The server deletes the
// temporary files of an upload if its own request has the MultipartForm. handBack
// writes only what differs, because handlers may share a request.
func handBack(r, copied *http.Request) {
	if r.MultipartForm != copied.MultipartForm {
		r.MultipartForm = copied.MultipartForm
	}
	if !sameMap(r.Form, copied.Form) {
		r.Form = copied.Form
	}
	if !sameMap(r.PostForm, copied.PostForm) {
		r.PostForm = copied.PostForm
	}
	if r.Pattern == copied.Pattern {
		return
	}
	first := r.Pattern == ""
	r.Pattern = copied.Pattern
	if !first {
		// A router outside the gate has set path values. SetPathValue would write them
		// into memory that r shares with all its copies.
		return
	}
	for name := range wildcards(copied.Pattern) {
		if value := copied.PathValue(name); value != r.PathValue(name) {
			r.SetPathValue(name, value)
		}
	}
}

// sameMap reports whether a and b are one map.
func sameMap(a, b url.Values) bool {
	return a == nil && b == nil || reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer()
}

// wildcards returns the names of the wildcards in a pattern of [http.ServeMux]: id and
// path in "GET /users/{id}/{path...}".
func wildcards(pattern string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			_, rest, found := strings.Cut(pattern, "{")
			if !found {
				return
			}
			var name string
			name, pattern, _ = strings.Cut(rest, "}")
			name = strings.TrimSuffix(name, "...")
			if name != "$" && !yield(name) { // {$} is the end of the path
				return
			}
		}
	}
}

func hasToken(r *http.Request) bool {
	_, ok := FromContext(r.Context())
	return ok
}

// Require returns a gate that also requires all of rules, such as [Scope] for scopes and
// [Claim] for roles. Guard a route with Handler of the new gate. A request whose token
// fails a rule is answered with 403 insufficient_scope, the only code that RFC 6750
// has for this, unless the rule's error chooses another answer.
//
// The new gate shares the settings and remembered tokens of g, which does not
// change. Require panics if there are no rules, and for a nil rule.
func (g *Gate) Require(rules ...Rule) *Gate {
	if g == nil {
		panic("jwtgate: Require of a nil *Gate; check the error of New first")
	}
	if len(rules) == 0 {
		panic("jwtgate: Require without rules; pass at least one, or use the gate itself")
	}
	mustRules("jwtgate: Require", rules)
	return &Gate{
		settings: g.settings,
		rules:    slices.Concat(g.rules, rules),
		scopes:   slices.Concat(g.scopes, scopesOf(rules)),
	}
}

// Check decides about a request and writes nothing. It is for frameworks with their
// own handlers: put the token into their context with [NewContext], or answer the
// error with [Gate.Deny]. The error is always an [*Error]. If the request has no
// credentials, or credentials of another scheme, the error wraps [ErrNoToken].
//
// For a request that has passed a gate of the same New, Check decides again: a stream
// that calls Check each minute ends soon after its token has expired or been revoked,
// or after the key has been withdrawn. See [Gate.Handler] for what is not checked again.
//
// Prefer [Gate.Handler] where you can wrap an [http.Handler]. If you replace the
// request's context yourself, net/http does not delete the temporary files of an
// upload, the handler may miss trailers, and middleware outside does not see Pattern. The
// answer of the handler lacks the headers of a [SchemeConfirmer], such as a new DPoP-Nonce.
// Clients then get it with the next refusal.
func (g *Gate) Check(r *http.Request) (*Token, error) {
	d, e := g.decide(r, byCheck)
	if e != nil {
		return nil, e
	}
	if d.reused {
		t, _ := FromContext(r.Context())
		return t, nil
	}
	return d.tokenContext.token(), nil
}

// Verify verifies one token, passed without its scheme. It is for tokens that do
// not come with an HTTP request: in gRPC metadata, or in a message of a queue.
// examples/frameworks/grpc has interceptors. [NewContext] passes the Token on to handlers.
//
// Verify applies all [Options] and the rules of [Gate.Require]. Rules see a request
// with ctx whose method, URL and header are empty. ctx limits the wait for keys and is
// passed to Validate. The error is always an [*Error].
func (g *Gate) Verify(ctx context.Context, token string) (*Token, error) {
	if e := g.unusable(); e != nil {
		return nil, e
	}
	start := g.settings.startTime()
	r := (&http.Request{URL: &url.URL{}, Header: http.Header{}}).WithContext(ctx)
	c, cached, e := g.authorize(r, start, token, anyScheme, outerToken{})
	e = canceled(ctx, e)
	if g.settings.observe != nil { // creating the Token is not free
		g.settings.report(ctx, nil, start, c.token(), cached, e)
	}
	if e != nil {
		return nil, e
	}
	return c.token(), nil
}

// Deny refuses a request with the status that err means (see [Error]). With 400, 401 and
// 403 it sends a challenge for each scheme under which the gate accepts tokens: Bearer (RFC
// 6750 section 3), and those of [Options.Confirm]. With 503 it sends Retry-After. The short
// JSON body tells the client no more than the error code does.
// Options.OnDeny may replace the body. Deny keeps a WWW-Authenticate header that is
// set already, beside its own challenge. It removes Content-Length, ETag and
// Last-Modified, which belong to another body.
//
// Deny keeps a Content-Encoding that was set before [Gate.Handler] or [Gate.Optional]
// called the handler, because it belongs to middleware that compresses the body. It
// removes a Content-Encoding that the handler has set since. For a request without a
// token, for a caller of [Gate.Check], and if w is not the ResponseWriter that the gate
// passed on, it cannot know who has set the header. Then it keeps Content-Encoding, as
// [http.Error] does: remove the header yourself if you have set it.
//
// Deny is for callers of [Gate.Check], and for handlers that refuse a request
// later. If err wraps neither an [*Error] nor a sentinel of this package, the status
// is 503. It is 503 for a nil err too: Deny never lets a request through.
func (g *Gate) Deny(w http.ResponseWriter, r *http.Request, err error) {
	e := toError(err, fromGate)
	if err == nil {
		e.Err = refuse(ErrUnavailable, "Deny was called without an error", "")
	}
	g.answer().deny(w, r, e)
}

// answer returns the answerer of g, also if New did not make g.
func (g *Gate) answer() *answerer {
	if g.unusable() == nil {
		return &g.settings.answerer
	}
	return &answerer{challenges: newChallenges(defaultRealm, "", nil)}
}

// Ready returns nil if there are keys for every issuer in Options.Issuers, and
// otherwise an error that names each issuer without keys. It fetches keys if
// necessary. Call it at start-up or in a readiness probe. It asks for the keys of all
// issuers at once, so if ctx ends, the error names only the issuers that did not answer.
//
// One issuer that is down makes Ready fail. If the service can do without some of its
// issuers, call [Gate.ReadyFor] or [Gate.ReadyForAny].
//
// Under [Options.TrustIssuer] the issuers are not known, and Ready returns nil.
func (g *Gate) Ready(ctx context.Context) error {
	if e := g.unusable(); e != nil {
		return e
	}
	v := g.settings.verifier
	return errors.Join(v.checkKeysOf(ctx, v.knownIssuers(), func() {})...)
}

// ReadyFor is like [Gate.Ready] for one issuer, which must be trusted. It also works under
// [Options.TrustIssuer]. Under [Options.AnyIssuer] it ignores issuer.
func (g *Gate) ReadyFor(ctx context.Context, issuer string) error {
	if e := g.unusable(); e != nil {
		return e
	}
	v := g.settings.verifier
	if v.anyIssuer {
		issuer = ""
	} else if _, ok := v.trustedIssuer([]byte(issuer)); !ok {
		return fmt.Errorf("jwtgate: keys of issuer %s: %w", logtext.Quote(issuer), v.issuerRefused(issuer))
	}
	return v.checkKeys(ctx, issuer)
}

// ReadyForAny is like [Gate.Ready], but returns nil as soon as there are keys for one
// issuer.
func (g *Gate) ReadyForAny(ctx context.Context) error {
	if e := g.unusable(); e != nil {
		return e
	}
	v := g.settings.verifier
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	issuers := v.knownIssuers()
	errs := v.checkKeysOf(ctx, issuers, cancel)
	if len(errs) < len(issuers) {
		return nil
	}
	return errors.Join(errs...)
}

// knownIssuers returns the issuers that the source is asked about. It returns none under
// TrustIssuer.
func (v *verifier) knownIssuers() []string {
	if v.anyIssuer {
		return []string{""}
	}
	return v.issuers
}

// checkKeysOf calls checkKeys for all issuers at once, and found when one of the calls
// has returned nil. It returns the errors. Its goroutines have ended when it returns.
func (v *verifier) checkKeysOf(ctx context.Context, issuers []string, found func()) []error {
	results := make([]error, len(issuers))
	panics := make([]any, len(issuers))
	var calls sync.WaitGroup
	for i, issuer := range issuers {
		calls.Go(func() {
			// The panic of a source must not end the program: it is passed on to the caller.
			defer func() { panics[i] = recover() }()
			if results[i] = v.checkKeys(ctx, issuer); results[i] == nil {
				found()
			}
		})
	}
	calls.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
	return slices.DeleteFunc(results, func(err error) bool { return err == nil })
}

// checkKeys returns nil if the source has a key of issuer for an accepted algorithm.
func (v *verifier) checkKeys(ctx context.Context, issuer string) error {
	keys, err := v.allKeys(ctx, issuer)
	if err == nil && !slices.ContainsFunc(keys, func(k *Key) bool { return k != nil && v.algorithms[k.algorithm] }) {
		err = errors.New("there is none for an accepted algorithm")
	}
	if err != nil {
		return fmt.Errorf("jwtgate: keys of issuer %s: %w", logtext.Quote(issuer), err)
	}
	return nil
}

// unusable returns the error of a gate that New did not make.
func (g *Gate) unusable() *Error {
	if g != nil && g.settings != nil {
		return nil
	}
	return toError(refuse(ErrUnavailable, "the gate was not made by jwtgate.New", ""), fromGate)
}

// A caller is the method that asks for a decision.
type caller int

const (
	byCheck caller = iota
	byHandler
	byOptional
)

// A decision says how a request passed:
//
//   - with tokenContext set: with the token that decide verified, which is not yet in
//     the request's context;
//   - with reused set: with the token that is in the request's context;
//   - with neither: as an anonymous request.
type decision struct {
	tokenContext *tokenContext
	reused       bool
}

// decide takes the token out of a request, decides whether the request passes, and
// reports the decision to Options.Observe. A request without a token passes only
// byOptional.
func (g *Gate) decide(r *http.Request, by caller) (decision, *Error) {
	if e := g.unusable(); e != nil {
		return decision{}, e
	}
	s := g.settings
	start := s.startTime()

	credential, under, err := s.credential(r)
	if err == nil && credential == "" {
		err = refuse(ErrNoToken, "the request has none", "")
	}
	if err != nil {
		if absent, ok := err.(*refusal); ok && absent.absence && isPreflight(r) {
			err = errPreflight
		}
		e := canceled(r.Context(), g.addScopes(toError(err, fromExtract)))
		if by == byOptional && meansNoToken(err) {
			e = nil
		}
		s.report(r.Context(), r, start, nil, false, e)
		return decision{}, e
	}

	outer := g.outerTokenOf(r, credential, by)
	c, cached, e := g.authorize(r, start, credential, under, outer)
	e = canceled(r.Context(), e)
	if e != nil && s.bearer && wraps(e.Err, ErrMalformed) && !isToken68(credential) {
		// cutBearer leaves the check for a token68 to this place, where it costs valid
		// tokens nothing: a credential that is not a token68 is a malformed token. It
		// is answered with 400, and other malformed tokens with 401.
		e = g.addScopes(toError(notToken68(credential, bearer), fromExtract))
	}
	if e == nil && c == outer.context {
		return decision{reused: true}, nil
	}
	if e == nil {
		c.setRequest(r)
	}
	if s.observe != nil { // creating the Token is not free
		s.report(r.Context(), r, start, c.token(), cached, e)
	}
	if e != nil {
		return decision{}, e
	}
	return decision{tokenContext: c}, nil
}

// credential takes the token out of r. under has the scheme that the token came under. It
// is nil for Bearer, and for an Extractor of Options.
func (s *settings) credential(r *http.Request) (token string, under *binding, err error) {
	if len(s.bindings.schemes) > 0 {
		return s.bindings.extract(r)
	}
	token, err = s.extract(r)
	return token, nil, err
}

var errPreflight = refuse(ErrNoToken, "this is a CORS preflight request, to which browsers add no token; put the CORS middleware outside the gate", "")

// isPreflight reports whether r is a CORS preflight request (Fetch standard section
// 3.3.2).
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// An outerToken is a token in the request's context that a gate of the same family
// verified, from a credential equal to the one of the request. In the zero value, there
// is none.
type outerToken struct {
	context     *tokenContext
	sameRequest bool // the outer gate let the same request through
	sameProof   bool // Confirm accepted the proof that the request has, which must not be used twice
	validated   bool // Validate has accepted the token for this very context
}

// outerTokenOf returns the outerToken of r.
//
// Credentials are compared by their hashes. A client that found two tokens with the same
// hash would gain nothing: the second would be taken for the first, which is a valid token
// of that client.
func (g *Gate) outerTokenOf(r *http.Request, credential string, by caller) (outer outerToken) {
	c := verifiedIn(r.Context())
	if c == nil || c.verified.family != g.settings.verifier.family || c.verified.credentialHash != cache.Hash(credential) {
		return outer
	}
	outer.context = c
	outer.sameRequest = c.request.matches(r)
	outer.sameProof = c.request.proves(r)
	// A handler that changes something for Validate, such as the tenant, must put it into
	// a new context. A caller of Check may hold the context of the outer gate for hours.
	current, ok := r.Context().(*tokenContext)
	outer.validated = ok && current == c && by != byCheck
	return outer
}

// authorize verifies a credential that came under a scheme, and checks the token against
// Options and the rules of g. If the token is verified and then refused, authorize returns
// both c and e.
//
// If there is an outer token, authorize checks its key, its times, and all that depends
// on the request, and does not parse the credential. If c is the context of outer, the
// context of the request needs no change.
func (g *Gate) authorize(r *http.Request, start time.Time, credential string, under *binding, outer outerToken) (c *tokenContext, cached bool, e *Error) {
	s := g.settings
	ctx := r.Context()
	if credential == "" {
		return nil, false, g.addScopes(toError(refuse(ErrNoToken, "the credential is empty", ""), fromGate))
	}
	var known *verifiedToken
	if outer.context != nil {
		known = outer.context.verified
	}
	verified, cached, err := s.verifier.verifyToken(ctx, credential, known, s.currentTime(start))
	if err != nil {
		return nil, false, toError(err, fromGate)
	}
	if verified != known { // there is none, or its key has been replaced
		outer = outerToken{}
	}
	confirm := verified.cnf != nil && !outer.sameProof
	if outer.sameRequest && !(confirm && verified.isBoundByProof()) {
		c = outer.context
	} else {
		c = &tokenContext{verified: verified}
	}
	if err := s.bindings.checkScheme(verified.cnf, under); err != nil {
		return c, cached, toError(err, fromGate)
	}
	if len(s.rules) > 0 {
		if e := g.checkRules(r, c.token(), s.rules, fromOptions); e != nil {
			return c, cached, e
		}
	}
	if confirm {
		if err := verified.cnf.binding.Confirm(r, c.token(), verified.cnf.value); err != nil {
			return c, cached, toError(err, fromOptions)
		}
	}
	if s.validate != nil && !outer.validated {
		if err := s.validate(ctx, c.token()); err != nil {
			return c, cached, toError(err, fromValidate)
		}
	}
	if len(g.rules) > 0 {
		e = g.checkRules(r, c.token(), g.rules, fromRequire)
	}
	return c, cached, e
}

// checkRules returns the answer to the first of rules that refuses t. If that is a rule
// about scopes, and a later one wants the user to sign in again, the answer is that of
// the later one, with the scopes, so that the client need not go to the issuer twice.
func (g *Gate) checkRules(r *http.Request, t *Token, rules []Rule, from errorOrigin) *Error {
	for i, rule := range rules {
		err := rule.Check(r, t)
		if err == nil {
			continue
		}
		e := toError(err, from)
		switch {
		case e.Code == codeInsufficientAuthentication:
			if scopeRule(g.scopes).Check(r, t) != nil {
				e.Scope = strings.Join(g.scopes, " ")
			}
		case e.Scope != "" && e.Status == http.StatusForbidden:
			if err := authenticatedOf(rules[i:]).Check(r, t); err != nil {
				scope := e.Scope
				e = toError(err, from)
				e.Scope = scope
			}
		}
		return g.addScopes(e)
	}
	return nil
}

// addScopes adds the scopes of all rules of g to e if e is about a missing scope or
// a missing token, so that the client can ask for all of them at once.
func (g *Gate) addScopes(e *Error) *Error {
	if e.Scope != "" || isNoToken(e.Err) {
		e.Scope = mergeScopes(g.scopes, e.Scope)
	}
	return e
}

// startTime returns the current time, or the zero time if Options.Observe is nil.
func (s *settings) startTime() (start time.Time) {
	if s.observe != nil {
		start = time.Now()
	}
	return start
}

// currentTime returns the time at which to check a token. start is the result of
// startTime. currentTime returns it if the clock of Options cannot differ from it: reading
// the clock takes a tenth of the time of a request with a remembered token.
func (s *settings) currentTime(start time.Time) time.Time {
	if s.startIsCurrent && !start.IsZero() {
		return start
	}
	return s.now()
}

// report tells Options.Observe about a decision.
func (s *settings) report(ctx context.Context, r *http.Request, start time.Time, t *Token, cached bool, e *Error) {
	if s.observe == nil {
		return
	}
	event := Event{Request: r, Token: t, Cached: cached, Duration: time.Since(start)}
	if e != nil { // a nil *Error in Err would not equal nil
		event.Err = e
	}
	s.observe(ctx, event)
}
