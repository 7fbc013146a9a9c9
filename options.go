package jwtgate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/internal/jws"
)

// Options is what a gate asks of a token. The zero value is refused by [New]:
// whose tokens are trusted, for which audience, and with which keys has to be
// said. Where a check is to be left out, a field with Any or Allow in its name
// says so.
type Options struct {
	_ struct{} // keyed literals only: fields will be added

	// Keys has the keys that tokens are verified with. Required.
	Keys KeySource

	// Issuers lists the trusted values of iss, compared character by character:
	// a slash at the end matters. If there are several, each may sign with any
	// key that Keys has for it; keys.ByIssuer, and a keys.Remote that discovers
	// them, keep their keys apart. One of Issuers, TrustIssuer and AnyIssuer is
	// required.
	Issuers []string
	// TrustIssuer decides instead of Issuers where the tenants are known only
	// at run time. It is called with an unverified string and must do nothing
	// but compare: no I/O, no caching by that string. Compare with a list of
	// tenants where there is one: keys.Remote asks each new issuer for its keys, so
	// names that anybody can make up hold up those of new tenants. It must be safe
	// for concurrent use.
	TrustIssuer func(issuer string) bool
	// AnyIssuer leaves iss unchecked, for tokens that have none. The key source
	// is then asked for the keys of the issuer "".
	AnyIssuer bool

	// Audiences lists the names of this service; aud must hold one of them.
	// Required unless AnyAudience is set.
	Audiences []string
	// AnyAudience leaves aud unchecked, for issuers that do not set it. Tokens
	// meant for other services are then accepted too, so add what tells them
	// apart as a rule, such as Claim("client_id", ...).
	AnyAudience bool

	// Rules tell whether a token is one of ours: client_id, token_use, azp. A
	// token that fails one is answered with 401, unlike with [Gate.Require]. nil:
	// none.
	Rules []Rule

	// Algorithms lists the accepted algorithms. nil accepts each algorithm that
	// a trusted key is pinned to; a token never chooses one for a key.
	Algorithms []string
	// Types lists the accepted values of typ, "" meaning that it is absent. nil
	// accepts an absent one, "JWT" and "at+jwt", and nothing else, since issuers
	// sign tokens of other kinds with the same keys (RFC 8725 section 3.11). Letter
	// case and a leading "application/" do not matter (RFC 7515 section 4.1.9).
	Types []string
	// RFC9068 asks for an access token by the JWT profile of RFC 9068: typ
	// at+jwt, and iss, exp, aud, sub, client_id, iat and jti. It keeps ID tokens
	// out where the issuer follows the profile; many do not.
	RFC9068 bool
	// SubjectClaim names the claim that holds the user's ID; "" means "sub".
	// With another one, a non-negative integer counts as its digits.
	SubjectClaim string
	// AllowNoSubject accepts tokens without subject, such as some issuers give
	// to machines. Subject is then empty in the handlers.
	AllowNoSubject bool
	// AllowNoExpiry accepts tokens without exp, which are good for ever unless
	// MaxAge is set too.
	AllowNoExpiry bool
	// Leeway is the clock skew allowed for exp, nbf and iat, since the clocks of
	// two machines differ: 0 means 30 seconds, a negative value none, at most 5
	// minutes. For so long an expired token is still good.
	Leeway time.Duration
	// MaxAge is the longest time since iat, which is then required, for issuers
	// whose tokens live longer than they should. Leeway is added. 0: no limit.
	MaxAge time.Duration
	// MaxTokenBytes is the longest token that is read, in bytes as it was sent: 0
	// means 16 KiB, at most 1 MiB. What is longer costs no more than to see that.
	MaxTokenBytes int

	// Extract takes the token out of the request. nil means [Bearer].
	Extract Extractor
	// Confirm checks that the sender of a token with a cnf claim holds the key
	// it is bound to (RFC 7800). It is called for each request with such a
	// token, and for no other: tokens without cnf pass unless one of Rules
	// refuses them. nil refuses those with cnf.
	Confirm Rule
	// Validate is asked last about each token, remembered ones included:
	// revocation, tenancy. It may do I/O within the request's context. Its
	// errors are answered with 503, unless they wrap [ErrRevoked] or another
	// sentinel: a broken database is not a mass logout. It must be safe for
	// concurrent use. nil: nobody is asked.
	Validate func(context.Context, *Token) error
	// CacheSize is how many verified tokens are remembered, so that their
	// signatures are not checked again; 0: none, at most 1,048,576. Times, key,
	// rules, Confirm and Validate are checked each time all the same, and a token
	// is no longer good once its key has left the source.
	//
	// It pays where clients send the same token often, the more so the slower the
	// algorithm, and costs a little where each comes once. In exchange tokens lie in
	// memory as they came, where a dump finds them, about three times as many bytes
	// as they have. A new one takes the place of another when its few places are
	// taken: whoever gets many tokens of a trusted issuer can have others' forgotten,
	// which costs a signature check and nothing else.
	CacheSize int

	// Realm stands in each challenge and names what the token is for (RFC 9110
	// section 11.5): printable ASCII. "" means "api", since there must be one.
	Realm string
	// OnDeny writes the body of a refusal: a page, a redirect, or what clients
	// expect. nil: the JSON of [Gate.Deny]. It finds Cache-Control and the
	// challenge or Retry-After set and the status not yet sent: what it writes
	// without WriteHeader goes out with the status of the Error, and if it
	// writes nothing, the standard answer is sent. It must not call
	// [Gate.Deny], and must not tell the client what Error.Err says.
	OnDeny func(http.ResponseWriter, *http.Request, *Error)
	// Observe is called with every decision: metrics, traces, [AuditLog]. A gate
	// inside another of its family reports only its refusals. It runs on the
	// request's goroutine and must be safe for concurrent use. nil: nobody is told.
	Observe func(context.Context, Event)
	// Now tells the time, for tests. nil means [time.Now].
	Now func() time.Time
}

const (
	defaultLeeway        = 30 * time.Second
	maxLeeway            = 5 * time.Minute
	defaultMaxTokenBytes = 16 << 10
	maxMaxTokenBytes     = 1 << 20
	maxCacheSize         = 1 << 20
	rememberedHeaders    = 64
)

// New returns a gate for tokens as o asks for. It copies o's slices.
//
// Its error joins every problem found, each naming the field and the fix. It
// refuses a combination that would check less than it seems to.
func New(o Options) (*Gate, error) {
	v, err := newVerifier(o)
	if err != nil {
		return nil, fmt.Errorf("jwtgate.New: %w", err)
	}
	return &Gate{verifier: v, scopes: scopesOf(v.rules)}, nil
}

// problems collects what New has to say.
type problems []error

func (p *problems) add(format string, args ...any) {
	*p = append(*p, fmt.Errorf("Options."+format, args...))
}

func newVerifier(o Options) (*verifier, error) {
	var p problems
	v := &verifier{
		source:         o.Keys,
		issuers:        slices.Clone(o.Issuers),
		trustIssuer:    o.TrustIssuer,
		anyIssuer:      o.AnyIssuer,
		audiences:      slices.Clone(o.Audiences),
		anyAudience:    o.AnyAudience,
		algorithms:     p.algorithms(o.Algorithms),
		types:          p.types(o),
		profile:        o.RFC9068,
		subjectClaim:   or(o.SubjectClaim, defaultSubjectClaim),
		allowNoSubject: o.AllowNoSubject,
		allowNoExpiry:  o.AllowNoExpiry,
		leeway:         p.leeway(o.Leeway),
		maxAge:         o.MaxAge,
		maxTokenBytes:  o.MaxTokenBytes,
		extract:        o.Extract,
		rules:          slices.Clone(o.Rules),
		confirm:        o.Confirm,
		validate:       o.Validate,
		observe:        o.Observe,
		onDeny:         o.OnDeny,
		realm:          or(o.Realm, defaultRealm),
		now:            o.Now,
	}

	p.issuers(o)
	p.audiences(o)
	p.profile(o)
	if o.SubjectClaim != "" {
		p.value("SubjectClaim", o.SubjectClaim)
	}
	if strings.HasPrefix(o.SubjectClaim, "/") {
		p.add("SubjectClaim: %q is a path into a claim, which is not followed; name a claim of the top level, such as \"id\"", o.SubjectClaim)
	}
	if o.MaxAge < 0 {
		p.add("MaxAge: %v is negative; use 0 for no limit", o.MaxAge)
	}
	if o.MaxTokenBytes < 0 || o.MaxTokenBytes > maxMaxTokenBytes {
		p.add("MaxTokenBytes: %d is out of range; use up to %d, or 0 for %d", o.MaxTokenBytes, maxMaxTokenBytes, defaultMaxTokenBytes)
	}
	if o.MaxTokenBytes == 0 {
		v.maxTokenBytes = defaultMaxTokenBytes
	}
	if o.CacheSize < 0 || o.CacheSize > maxCacheSize {
		p.add("CacheSize: %d is out of range; use up to %d, or 0 to remember no token", o.CacheSize, maxCacheSize)
	}
	for i, rule := range o.Rules {
		if isNil(rule) {
			p.add("Rules: rule %d is nil; remove it", i+1)
		}
	}
	if o.Confirm != nil && isNil(o.Confirm) {
		p.add("Confirm: the rule is a nil %T; leave the field out to refuse key-bound tokens", o.Confirm)
	}
	if strings.ContainsFunc(o.Realm, func(c rune) bool { return c < ' ' || c > '~' }) {
		p.add("Realm: %q has control characters or characters beyond ASCII, which a challenge cannot hold; remove them", o.Realm)
	}
	if v.extract == nil {
		v.extract, v.bearer = cutBearer, true
	}
	if v.now == nil {
		v.now = time.Now
	}
	p.keys(o)
	if len(p) > 0 {
		return nil, errors.Join(p...)
	}
	v.headers = newSlots[header](rememberedHeaders)
	v.tokens = newSlots[remembered](o.CacheSize)
	v.scratch.New = func() any { return new(scratch) }
	return v, nil
}

func (p *problems) issuers(o Options) {
	var set []string
	for _, way := range []struct {
		field string
		set   bool
	}{
		{"Issuers", o.Issuers != nil},
		{"TrustIssuer", o.TrustIssuer != nil},
		{"AnyIssuer", o.AnyIssuer},
	} {
		if way.set {
			set = append(set, way.field)
		}
	}
	switch ways := len(set); {
	case ways == 0:
		p.add("Issuers: none; list the iss values to trust, or set AnyIssuer if the tokens have none")
	case ways > 1:
		p.add("Issuers: %s are set, and only one can decide; keep one", strings.Join(set, " and "))
	case o.Issuers != nil && len(o.Issuers) == 0:
		p.add("Issuers: the list is empty; list the iss values to trust, or set AnyIssuer if the tokens have none")
	}
	for _, issuer := range o.Issuers {
		p.value("Issuers", issuer)
		if len(issuer) > maxIssuer {
			p.add("Issuers: %s is longer than %d bytes, and no such iss is accepted; list the one that the tokens have", quote(issuer), maxIssuer)
		}
	}
}

func (p *problems) audiences(o Options) {
	switch {
	case len(o.Audiences) > 0 && o.AnyAudience:
		p.add("Audiences: AnyAudience is set too, which would leave them unchecked; keep one of the two")
	case len(o.Audiences) == 0 && !o.AnyAudience:
		p.add("Audiences: none; list the aud values that mean this service, or set AnyAudience if the tokens have none")
	}
	for _, audience := range o.Audiences {
		p.value("Audiences", audience)
	}
}

// value checks a string that a claim is compared with.
func (p *problems) value(field, s string) {
	if s == "" {
		p.add("%s: the empty string is in it, which would match an empty claim; was a setting not loaded? Otherwise remove it", field)
	} else if strings.TrimSpace(s) != s {
		p.add("%s: %q has white space around it, and no claim would match it; trim it", field, s)
	}
}

// algorithms returns the accepted algorithms.
func (p *problems) algorithms(names []string) map[*algorithm]bool {
	accepted := map[*algorithm]bool{}
	if names == nil {
		for _, a := range algorithms {
			accepted[a] = true
		}
		return accepted
	}
	if len(names) == 0 {
		p.add("Algorithms: the list is empty; leave the field out to accept what the keys are pinned to")
	}
	for _, name := range names {
		a := algorithms[name]
		if a == nil {
			p.add("Algorithms: %q is not supported; use some of %s", name, algorithmNames)
			continue
		}
		accepted[a] = true
	}
	return accepted
}

// types returns the accepted media types of typ.
func (p *problems) types(o Options) map[string]bool {
	names := o.Types
	switch {
	case o.RFC9068:
		if names != nil {
			p.add("Types: RFC9068 asks for at+jwt and nothing else; leave Types out")
		}
		names = []string{"at+jwt"}
	case names == nil:
		names = []string{"", "JWT", "at+jwt"}
	case len(names) == 0:
		p.add("Types: the list is empty; leave the field out for the default, or list the typ values to accept")
	}
	accepted := map[string]bool{}
	for _, name := range names {
		if name == "" {
			accepted[""] = true
			continue
		}
		if strings.TrimSpace(name) != name || ascii(name) != name {
			p.add("Types: %q is not a media type, such as \"at+jwt\"; remove white space, quotes and what is not ASCII from it", name)
		}
		accepted[jws.MediaType(name)] = true
	}
	return accepted
}

// profile refuses what would undo RFC9068.
func (p *problems) profile(o Options) {
	if !o.RFC9068 {
		return
	}
	for _, c := range []struct {
		field, claim string
		set          bool
	}{
		{"AnyIssuer", "iss", o.AnyIssuer},
		{"AnyAudience", "aud", o.AnyAudience},
		{"AllowNoSubject", "sub", o.AllowNoSubject},
		{"AllowNoExpiry", "exp", o.AllowNoExpiry},
	} {
		if c.set {
			p.add("%s: RFC9068 asks for %s, which this waives; remove one of the two", c.field, c.claim)
		}
	}
}

// leeway returns the clock skew to allow.
func (p *problems) leeway(d time.Duration) time.Duration {
	switch {
	case d == 0:
		return defaultLeeway
	case d > maxLeeway:
		p.add("Leeway: %v is more than %v; use less, and set the clocks", d, maxLeeway)
	}
	return max(d, 0)
}

// keys asks the source what it has to say about the issuers.
func (p *problems) keys(o Options) {
	if isNil(o.Keys) {
		p.add("Keys: none; use one of package keys, such as &keys.Remote{}, keys.HS256 or keys.PEM")
		return
	}
	source, ok := o.Keys.(interface{ CheckIssuers([]string) error })
	if !ok {
		return
	}
	issuers := slices.Clone(o.Issuers)
	if o.AnyIssuer {
		issuers = []string{""}
	}
	if err := source.CheckIssuers(issuers); err != nil {
		p.add("Keys: %w", err)
	}
}

// isNil tells whether an interface holds nothing, or a nil of some type, which
// comparing with nil does not show.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch value := reflect.ValueOf(v); value.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Interface, reflect.Chan:
		return value.IsNil()
	}
	return false
}
