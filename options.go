package jwtgate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/internal/cache"
	"github.com/jwtgate/jwtgate/internal/charset"
	"github.com/jwtgate/jwtgate/internal/jws"
	"github.com/jwtgate/jwtgate/internal/logtext"
	"github.com/jwtgate/jwtgate/internal/typednil"
)

// Options say which tokens a gate accepts. [New] refuses the zero value: Keys, a
// choice of trusted issuers and a choice of audiences are required. To leave out a
// check, set a field whose name begins with Any or Allow.
//
// No field lists public paths or allows requests without a token: leave the handler of
// a public route without a gate, or wrap it with [Gate.Optional].
type Options struct {
	_ struct{} // keyed literals only: fields will be added

	// Keys has the keys that tokens are verified with. Required. See package keys.
	Keys KeySource

	// Issuers lists the trusted values of iss: []string{issuer} if there is one. They
	// are compared character by character: a slash at the end matters, and a star is
	// not a wildcard.
	//
	// If Keys returns one key for two issuers, as keys.Static does, each of them can
	// sign tokens in the name of the other. keys.ByIssuer, and a keys.Remote that
	// discovers its keys, keep the keys of different issuers apart.
	//
	// Two issuers may give the same subject to two people. With several Issuers,
	// handlers must store users under both results of [Identity], not under [Subject]
	// alone.
	//
	// One of Issuers, TrustIssuer and AnyIssuer is required.
	Issuers []string
	// TrustIssuer reports whether an issuer is trusted. Use it instead of Issuers if
	// the tenants are known only at run time. It must be safe for concurrent use.
	//
	// Two tenants may give the same subject to two people. Handlers must store users
	// under both results of [Identity], not under [Subject] alone.
	//
	// TrustIssuer is called with an unverified string. It must only compare: no
	// I/O, and nothing stored under that string. Compare with a list of tenants rather
	// than a pattern. Another goroutine can load the list and store it as a map in an
	// atomic.Pointer. keys.Remote asks each new issuer for its keys, so an attacker who can
	// invent names that match the pattern delays new tenants.
	TrustIssuer func(issuer string) bool
	// AnyIssuer turns the check of iss off, for tokens without iss. Keys is then
	// asked for the keys of the issuer "".
	AnyIssuer bool

	// Audiences lists the names of this service: []string{audience} if there is one. aud
	// must contain one of them, character by character. Required unless AnyAudience is
	// set.
	//
	// Some issuers make ID tokens like access tokens, with the same typ, and perhaps
	// with the same aud. If the ID tokens of your issuer have at_hash, add
	// NoClaim("at_hash") to Rules to keep them out (see [NoClaim]).
	Audiences []string
	// AnyAudience turns the check of aud off, for issuers that do not set aud. The
	// gate then also accepts tokens that are meant for other services. Add a rule
	// that tells them apart, such as Claim("client_id", ...).
	AnyAudience bool

	// Rules check whether a token is meant for this service, by client_id,
	// token_use or azp for example. A token that fails a rule is refused with 401.
	// Use [Gate.Require] for permissions, which are refused with 403.
	Rules []Rule

	// Algorithms lists the accepted algorithms. nil accepts the algorithm of each
	// key. A key verifies only its own algorithm, whatever the token says, so most
	// services need no list. New refuses a list that the keys do not fit, if Keys has
	// them in memory (see [AlgorithmChecker]).
	Algorithms []string
	// Types lists the accepted values of typ, with "" for an absent typ. nil accepts
	// an absent typ, "JWT" and "at+jwt". Issuers sign tokens of other kinds with the
	// same keys (RFC 8725 section 3.11). Letter case and a leading "application/"
	// are ignored (RFC 7515 section 4.1.9).
	//
	// A token with the claim events is a security event (RFC 8417 section 2), such as a
	// logout token, whose typ issuers may leave out. A gate refuses it unless Types
	// lists another type than these three.
	Types []string
	// RFC9068 requires access tokens of the JWT profile in RFC 9068: typ at+jwt,
	// and the claims iss, exp, aud, sub, client_id, iat and jti. It keeps out ID
	// tokens. Many issuers do not follow the profile. client_id and jti may not be
	// null, and sub is a non-empty string even if SubjectClaim names another claim.
	RFC9068 bool
	// SubjectClaim is the name of the claim that has the user's ID. "" means "sub",
	// which must be a string. If SubjectClaim is set, even to "sub", the claim may also
	// be a non-negative integer. Its digits are then the subject.
	SubjectClaim string
	// AllowNoSubject accepts tokens without a subject, which some issuers give to
	// machines. [Subject] then returns "". A claim that is null or the empty string
	// counts as no subject.
	AllowNoSubject bool
	// AllowNoExpiry accepts tokens without exp. Such a token never expires, unless
	// MaxAge is set.
	AllowNoExpiry bool
	// Leeway is the clock skew allowed when checking exp, nbf and iat. Expired
	// tokens are accepted for this long. 0 means 30 seconds, a negative value means
	// none, the minimum is a millisecond, and the maximum is 5 minutes.
	Leeway time.Duration
	// MaxAge limits the age of tokens, for issuers whose tokens live too long. A token
	// is refused if it has no iat, or if its iat is longer ago than MaxAge plus Leeway.
	// 0 means no limit, and the minimum is a second.
	MaxAge time.Duration
	// MaxTokenBytes is the maximum length of a token as sent, in bytes. 0 means 16
	// KiB, and the maximum is 1 MiB. Longer tokens are rejected before they are
	// decoded.
	MaxTokenBytes int

	// Extract takes the token out of the request. nil means [Bearer].
	Extract Extractor
	// Confirm checks tokens that are bound to a key by the claim cnf (RFC 7800): that the
	// sender of the request holds that key. See package dpop and package mtls. Each
	// Confirmer checks one member of cnf. A cnf with another member, with several members
	// or with none is refused.
	//
	// With Confirm, tokens without cnf are refused, unless AllowUnbound is set. Without
	// Confirm, tokens with cnf are refused. With nested gates, each gate calls the
	// Confirmer, except for a DPoP proof that it has already accepted (see [Gate.Handler]).
	Confirm []Confirmer
	// AllowUnbound also accepts tokens without cnf, as bearer tokens, while clients are
	// moved to bound tokens. It needs Confirm. A token that is bound is never accepted
	// without its key.
	AllowUnbound bool
	// Validate is called for each token, remembered tokens included, after all other
	// checks of Options and before the rules of [Gate.Require]. Use it for revocation
	// and tenancy. Its context is that of the request. It may do I/O and must be safe
	// for concurrent use. With nested gates, a gate calls Validate again if the context
	// of the request is another one, and [Gate.Check] always calls Validate. A value in
	// the context that has changed, such as the route of chi, does not make it another
	// context: use one gate, inside of what changes the value.
	//
	// To refuse a token, return an error that wraps [ErrRevoked] (401) or
	// [ErrForbidden] (403). An error that wraps no sentinel of this package and no
	// [*Error] is answered with 503, so that a broken database does not sign everybody
	// out.
	Validate func(context.Context, *Token) error
	// CacheSize is how many verified tokens are remembered. The signature of a
	// remembered token is not verified again. 0 means none, and the maximum is
	// 1,048,576.
	//
	// Everything else is checked for each request: times, key, rules, Confirm and
	// Validate. A remembered token is refused once its key has left the source.
	//
	// The cache saves time if clients send the same token often, and most with slow
	// algorithms. It costs a little time if each token is sent once. It needs about
	// three times the memory of the tokens. The tokens stay in memory, where a heap
	// dump shows them. The cache is set-associative: a client with many valid tokens
	// can evict those of others, and each then needs one more signature check.
	CacheSize int

	// Resource is the URL by which clients know this service (RFC 9728 section 1.2): https,
	// or http on this machine, without fragment and credentials. Each challenge then
	// has the address of the metadata that [Gate.Metadata] serves. "" means no metadata.
	//
	// Clients compare Resource with the URL that they call, character by character. It is
	// configured, and never taken from the Host header, which clients choose. Audiences
	// is independent of it: list Resource there if the issuer writes it into aud.
	Resource string
	// Metadata has further members of the metadata, such as scopes_supported and
	// resource_name (RFC 9728 section 2). authorization_servers is Issuers unless Metadata
	// has it. Members without values are left out. New refuses members that the gate knows
	// itself: resource, and those about bearer tokens, DPoP and certificates.
	Metadata map[string]any

	// Realm is the realm in each challenge (RFC 9110 section 11.5): printable
	// ASCII. "" means "api".
	Realm string
	// OnDeny writes the body of a refusal: a page, a redirect, or a format that
	// clients expect. nil writes the JSON body of [Gate.Deny].
	//
	// When OnDeny is called, Cache-Control and the challenge or Retry-After are set,
	// and the status is not sent yet. A body written without WriteHeader goes out
	// with the status of the Error. If OnDeny writes nothing, the JSON body is sent.
	//
	// OnDeny may choose another error status or a redirect. The statuses 101, 2xx and
	// 304 are replaced by the status of the Error, because they do not refuse: a proxy
	// that asks this service for permission, such as nginx with auth_request, lets
	// requests pass with 2xx, and a browser shows its stored page with 304. So OnDeny may
	// serve a page with [http.ServeFile]. The request that it gets lacks the headers
	// Range, If-Range, If-Match, If-None-Match, If-Modified-Since and
	// If-Unmodified-Since: the client sent them for another page. If OnDeny removes
	// Cache-Control or Content-Encoding, as http.ServeFile does for a page that does not
	// exist, the gate sets it again. OnDeny may replace both.
	//
	// The status 200 is sent if the Content-Type is one of gRPC, gRPC-Web or a Connect
	// stream. These protocols send errors with 200. Do not let a proxy decide by the
	// status of such answers.
	//
	// OnDeny must not call [Gate.Deny], and must not show Error.Err to the client.
	OnDeny func(http.ResponseWriter, *http.Request, *Error)
	// Observe is called with every decision, for logs ([AuditLog]), metrics and
	// traces. Set at least AuditLog(nil): clients get fixed texts, so without Observe the
	// reason of a refusal is lost, unless OnDeny logs it.
	//
	// A nested gate that gets the request of the outer gate reports only refusals.
	// Observe runs on the request's goroutine and must be safe for concurrent use.
	Observe func(context.Context, Event)
	// Now returns the current time, for tests. nil means [time.Now].
	Now func() time.Time
}

const (
	defaultLeeway        = 30 * time.Second
	minLeeway            = time.Millisecond // a shorter one is a number whose unit was forgotten
	maxLeeway            = 5 * time.Minute
	minMaxAge            = time.Second // a shorter one is a number whose unit was forgotten
	defaultMaxTokenBytes = 16 << 10
	maxMaxTokenBytes     = 1 << 20
	maxCacheSize         = 1 << 20
	headerCacheSize      = 64
)

// New returns a gate that accepts the tokens that o describes. It copies the slices
// of o.
//
// New refuses options that check less than they seem to, and values that cannot be
// meant, such as a Duration without its unit. Its error joins all problems that it
// found. Each problem names the field and the fix.
func New(o Options) (*Gate, error) {
	s, err := newSettings(o)
	if err != nil {
		return nil, fmt.Errorf("jwtgate.New: %w", err)
	}
	return &Gate{settings: s, scopes: scopesOf(s.rules)}, nil
}

func newSettings(o Options) (*settings, error) {
	var p problems
	v := &verifier{
		family:        new(family),
		source:        o.Keys,
		algorithms:    p.algorithms(o.Algorithms),
		types:         p.types(o),
		issuers:       slices.Clone(o.Issuers),
		trustIssuer:   o.TrustIssuer,
		anyIssuer:     o.AnyIssuer,
		maxTokenBytes: cmp.Or(o.MaxTokenBytes, defaultMaxTokenBytes),
		claims: claimChecker{
			anyIssuer:      o.AnyIssuer,
			audiences:      slices.Clone(o.Audiences),
			anyAudience:    o.AnyAudience,
			rfc9068:        o.RFC9068,
			subjectClaim:   cmp.Or(o.SubjectClaim, defaultSubjectClaim),
			integerSubject: o.SubjectClaim != "",
			allowNoSubject: o.AllowNoSubject,
			allowNoExpiry:  o.AllowNoExpiry,
			leeway:         p.leeway(o.Leeway),
			maxAge:         o.MaxAge,
			bindings:       p.bindings(o),
		},
	}
	*v.family = family{now: o.Now, leeway: v.claims.leeway, confirms: len(o.Confirm) > 0}
	v.byAlgorithm, _ = o.Keys.(AlgorithmSource)
	v.rechecker, _ = o.Keys.(Rechecker)
	v.claims.types = slices.Sorted(maps.Keys(v.types))
	v.claims.allowEvents = slices.ContainsFunc(v.claims.types, func(mediaType string) bool {
		return mediaType != "" && mediaType != "application/jwt" && mediaType != "application/at+jwt"
	})
	s := &settings{
		verifier: v,
		answerer: answerer{bindings: v.claims.bindings, onDeny: o.OnDeny},
		extract:  o.Extract,
		rules:    slices.Clone(o.Rules),
		bindings: v.claims.bindings,
		validate: o.Validate,
		observe:  o.Observe,
		now:      o.Now,
	}
	if s.extract == nil {
		s.extract, s.bearer = cutBearer, true
	}
	if s.now == nil {
		s.now, v.family.now = time.Now, time.Now
		s.startIsCurrent = o.Extract == nil // an Extractor may take long
	}
	s.resource = p.resource(o, s.bindings)
	s.answerer.challenges = newChallenges(cmp.Or(o.Realm, defaultRealm), s.resource.metadataURL(), s.bindings)

	p.check(o)
	if len(p) > 0 {
		return nil, errors.Join(p...)
	}
	v.headers = cache.New[header](headerCacheSize)
	v.tokens = cache.New[rememberedToken](o.CacheSize)
	v.scratch.New = func() any { return new(scratch) }
	return s, nil
}

// problems has one error for each mistake in Options.
type problems []error

func (p *problems) add(format string, args ...any) {
	*p = append(*p, fmt.Errorf("Options."+format, args...))
}

// check adds the mistakes in o. newSettings has already added those in Algorithms,
// Types and Leeway.
func (p *problems) check(o Options) {
	p.checkIssuers(o)
	p.checkAudiences(o)
	p.checkRFC9068(o)
	if o.SubjectClaim != "" {
		p.checkValue("SubjectClaim", o.SubjectClaim)
	}
	if strings.HasPrefix(o.SubjectClaim, "/") {
		p.add("SubjectClaim: %q is a path into a claim, which is not followed; name a claim of the top level, such as \"id\"", o.SubjectClaim)
	}
	switch {
	case o.MaxAge < 0:
		p.add("MaxAge: %v is negative; use 0 for no limit", o.MaxAge)
	case o.MaxAge > 0 && o.MaxAge < minMaxAge:
		p.add("MaxAge: %s", logtext.TooShort(o.MaxAge, minMaxAge))
	}
	if o.MaxTokenBytes < 0 || o.MaxTokenBytes > maxMaxTokenBytes {
		p.add("MaxTokenBytes: %d is out of range; use up to %d, or 0 for %d", o.MaxTokenBytes, maxMaxTokenBytes, defaultMaxTokenBytes)
	}
	if o.CacheSize < 0 || o.CacheSize > maxCacheSize {
		p.add("CacheSize: %d is out of range; use up to %d, or 0 to remember no token", o.CacheSize, maxCacheSize)
	}
	for i, rule := range o.Rules {
		if typednil.Is(rule) {
			p.add("Rules: rule %d is nil; remove it", i+1)
		}
	}
	if strings.ContainsFunc(o.Realm, func(c rune) bool { return c < ' ' || c > '~' }) {
		p.add("Realm: %q has control characters or characters beyond ASCII, which a challenge cannot contain; remove them", o.Realm)
	}
	p.checkKeys(o)
}

func (p *problems) checkIssuers(o Options) {
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
		p.add("Issuers: no issuer is trusted; list the iss values to trust, or set AnyIssuer if the tokens have no iss")
	case ways > 1:
		p.add("Issuers: %s are set, and only one of them can decide; keep one", strings.Join(set, " and "))
	case o.Issuers != nil && len(o.Issuers) == 0:
		p.add("Issuers: the list is empty; list the iss values to trust, or set AnyIssuer if the tokens have no iss")
	}
	for _, issuer := range o.Issuers {
		p.checkValue("Issuers", issuer)
		if len(issuer) > maxIssuerBytes {
			p.add("Issuers: %s is longer than %d bytes, the longest iss that is accepted; list the iss of the tokens", logtext.Quote(issuer), maxIssuerBytes)
		}
	}
}

func (p *problems) checkAudiences(o Options) {
	switch {
	case len(o.Audiences) > 0 && o.AnyAudience:
		p.add("Audiences: AnyAudience is set too, which turns the check of aud off; keep one of the two")
	case len(o.Audiences) == 0 && !o.AnyAudience:
		p.add("Audiences: no audience is accepted; list the aud values that name this service, or set AnyAudience if the tokens have no aud")
	}
	for _, audience := range o.Audiences {
		p.checkValue("Audiences", audience)
	}
}

// checkValue checks a string that names a claim or that claims are compared with.
func (p *problems) checkValue(field, s string) {
	if s == "" {
		p.add("%s: one value is the empty string, which would match an empty claim; was a setting not loaded? Otherwise remove the value", field)
	} else if strings.TrimSpace(s) != s {
		p.add("%s: %q has white space around it, and no claim would match it; trim it", field, s)
	}
}

// algorithms returns the accepted algorithms. A nil names means all.
func (p *problems) algorithms(names []string) map[*algorithm]bool {
	accepted := map[*algorithm]bool{}
	if names == nil {
		for _, a := range algorithms {
			accepted[a] = true
		}
		return accepted
	}
	if len(names) == 0 {
		p.add("Algorithms: the list is empty; leave the field out to accept the algorithms of the keys")
	}
	for _, name := range names {
		a := algorithms[name]
		if a == nil {
			p.add("Algorithms: %q is not supported; choose from %s", name, algorithmNames)
			continue
		}
		accepted[a] = true
	}
	return accepted
}

// types returns the accepted media types of typ, with "" for an absent typ.
func (p *problems) types(o Options) map[string]bool {
	names := o.Types
	switch {
	case o.RFC9068:
		if names != nil {
			p.add("Types: RFC9068 accepts only at+jwt; leave Types out")
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
		if strings.TrimSpace(name) != name || !charset.Challenge.Only(name) {
			p.add("Types: %q is not a media type, such as \"at+jwt\"; remove white space, quotes and characters beyond ASCII", name)
		}
		accepted[jws.MediaType(name)] = true
	}
	return accepted
}

// checkRFC9068 refuses options that waive a claim which RFC9068 requires.
func (p *problems) checkRFC9068(o Options) {
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
			p.add("%s: RFC9068 requires %s, which this option waives; remove one of the two", c.field, c.claim)
		}
	}
}

// leeway returns the clock skew that the value d of Options.Leeway means.
func (p *problems) leeway(d time.Duration) time.Duration {
	switch {
	case d == 0:
		return defaultLeeway
	case d > 0 && d < minLeeway:
		p.add("Leeway: %s", logtext.TooShort(d, minLeeway))
	case d > maxLeeway:
		p.add("Leeway: %v is more than %v; use less, and set the clocks", d, maxLeeway)
	}
	return max(d, 0)
}

// checkKeys lets the source report its own problems.
func (p *problems) checkKeys(o Options) {
	if typednil.Is(o.Keys) {
		p.add("Keys: there is no key source; use one of package keys, such as &keys.Remote{}, keys.HS256 or keys.PEM")
		return
	}
	if source, ok := o.Keys.(IssuerChecker); ok {
		issuers := slices.Clone(o.Issuers)
		if o.AnyIssuer {
			issuers = []string{""}
		}
		if err := source.CheckIssuers(issuers); err != nil {
			p.add("Keys: %w", err)
			return
		}
	}
	if source, ok := o.Keys.(AlgorithmChecker); ok {
		p.checkAlgorithms(source, o.Algorithms)
	}
}

// checkAlgorithms lets the source report those of names that none of its keys is for.
func (p *problems) checkAlgorithms(source AlgorithmChecker, names []string) {
	var known []string // the others are already reported
	for _, name := range names {
		if a := algorithms[name]; a != nil && !slices.Contains(known, a.name) {
			known = append(known, a.name)
		}
	}
	if len(known) == 0 {
		return
	}
	if err := source.CheckAlgorithms(known); err != nil {
		p.add("Algorithms: %w", err)
	}
}
