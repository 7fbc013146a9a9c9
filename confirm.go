package jwtgate

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
	"github.com/jwtgate/jwtgate/internal/logtext"
	"github.com/jwtgate/jwtgate/internal/typednil"
)

// A Confirmer checks that the sender of a token holds the key that the claim cnf binds
// the token to (RFC 7800 section 3.1). The Verifiers of package dpop and package mtls are
// Confirmers. A Confirmer must be safe for concurrent use.
type Confirmer interface {
	// Method returns the member of cnf that the Confirmer checks, such as "jkt" or
	// "x5t#S256". It always returns the same name.
	Method() string
	// Confirm returns nil if the sender of r holds the key, and otherwise the reason.
	// value is the value of the member Method of cnf, which is the only member and a
	// string. The answer to an error is the same as for a [Rule] in Options.Rules: 401,
	// unless the error chooses another answer. An error that wraps [ErrUnavailable] is
	// answered with 503.
	//
	// Confirm is called for each request, remembered tokens included, after the rules of
	// Options. Under [Gate.Verify] the method, the URL and the header of r are empty, so a
	// Confirmer that needs them must refuse.
	Confirm(r *http.Request, t *Token, value string) error
}

// A SchemeConfirmer is a [Confirmer] whose tokens come under an authentication scheme of
// their own, such as DPoP. A token that its method binds is refused under any other
// scheme, and a token that it does not bind is refused under its scheme.
type SchemeConfirmer interface {
	Confirmer
	// Scheme returns the name of the scheme, such as "DPoP". It is a token (RFC 9110
	// section 11.1) and always the same. The gate reads the Authorization header for it as
	// strictly as [Bearer] does.
	Scheme() string
	// Challenge returns further parameters of the challenge for the scheme, such as algs.
	// The gate calls it once, in New.
	Challenge() map[string]string
	// SetHeader sets headers that each answer to r needs, such as DPoP-Nonce. The gate
	// calls it before the handler, and for each refusal. It must not remove headers.
	SetHeader(h http.Header, r *http.Request)
}

// A ConfirmerChecker is a [Confirmer] that reports mistakes in its own configuration to
// [New].
type ConfirmerChecker interface {
	Confirmer
	// CheckConfirmer returns why the Confirmer cannot be used, or nil. New calls it once
	// and reports its error.
	CheckConfirmer() error
}

// bindings says which tokens a gate accepts by their cnf, and under which scheme. It is
// immutable.
type bindings struct {
	all          []*binding
	schemes      []*binding // those of all that have a scheme of their own
	allowUnbound bool       // tokens without cnf are accepted; true if all is empty
	bearer       bool       // some tokens are accepted under the scheme Bearer
}

// A binding is one of Options.Confirm.
type binding struct {
	Confirmer
	method string
	scheme SchemeConfirmer // the same Confirmer; nil if its tokens come under Bearer
	name   string          // of the scheme; "" if scheme is nil
}

const (
	dpopMethod        = "jkt"      // RFC 9449 section 6.1
	certificateMethod = "x5t#S256" // RFC 8705 section 3.1
)

// anyScheme is the scheme of a token that did not come with a request.
var anyScheme = &binding{}

// bindings returns what o.Confirm and o.AllowUnbound mean.
func (p *problems) bindings(o Options) *bindings {
	b := &bindings{allowUnbound: o.AllowUnbound || len(o.Confirm) == 0}
	b.bearer = b.allowUnbound
	if o.AllowUnbound && len(o.Confirm) == 0 {
		p.add("AllowUnbound: Confirm is not set, so tokens that are not bound are accepted anyway; remove AllowUnbound, or set Confirm")
	}
	for i, confirmer := range o.Confirm {
		if typednil.Is(confirmer) {
			p.add("Confirm: Confirmer %d is nil; remove it", i+1)
			continue
		}
		n := &binding{Confirmer: confirmer, method: confirmer.Method()}
		if n.method == "" {
			p.add("Confirm: the Method of the %T is empty; it must be a member of cnf", confirmer)
		}
		if slices.ContainsFunc(b.all, func(other *binding) bool { return other.method == n.method }) {
			p.add("Confirm: two Confirmers check the member %q of cnf; keep one", n.method)
		}
		if n.scheme, _ = confirmer.(SchemeConfirmer); n.scheme != nil {
			p.scheme(b, n)
			b.schemes = append(b.schemes, n)
		} else {
			b.bearer = true
		}
		if checker, ok := confirmer.(ConfirmerChecker); ok {
			if err := checker.CheckConfirmer(); err != nil {
				p.add("Confirm: %w", err)
			}
		}
		b.all = append(b.all, n)
	}
	if len(b.schemes) > 0 && o.Extract != nil {
		p.add("Extract: the Confirmer for the scheme %s takes tokens from the Authorization header; leave Extract out", b.schemes[0].name)
	}
	return b
}

// scheme sets the name of the scheme of n, and checks it. b has the Confirmers before n.
func (p *problems) scheme(b *bindings, n *binding) {
	n.name = n.scheme.Scheme()
	switch {
	case !isToken(n.name):
		p.add("Confirm: the Scheme %q of the %T is not the name of an authentication scheme, such as DPoP; return one word", n.name, n.Confirmer)
	case strings.EqualFold(n.name, bearer):
		p.add("Confirm: the Scheme of the %T is Bearer, under which anybody can send a token; leave out the method Scheme", n.Confirmer)
	}
	for _, other := range b.schemes {
		if strings.EqualFold(other.name, n.name) {
			p.add("Confirm: two Confirmers have the scheme %s; keep one", n.name)
		}
	}
}

// names returns the schemes that the gate accepts, for a log.
func (b *bindings) names() string {
	var names []string
	for _, n := range b.schemes {
		names = append(names, n.name)
	}
	if b.bearer {
		names = append(names, bearer)
	}
	return strings.Join(names, " or ")
}

// under returns the binding whose scheme is called name, in any letter case, or nil.
func (b *bindings) under(name string) *binding {
	for _, n := range b.schemes {
		if strings.EqualFold(n.name, name) {
			return n
		}
	}
	return nil
}

// extract takes the token out of the Authorization header. under has the scheme that the
// token came under. It is nil for the scheme Bearer.
func (b *bindings) extract(r *http.Request) (token string, under *binding, err error) {
	value, err := authorization.read(r)
	if err != nil {
		return "", nil, err
	}
	word, credential, found := strings.Cut(value, " ")
	under = b.under(word)
	isBearer := strings.EqualFold(word, bearer)
	switch {
	case under == nil && !isBearer:
		return "", nil, otherScheme(word, found, b.names())
	case isBearer && !b.bearer:
		// This is not a scheme that the gate knows nothing of: Optional must not take the
		// request for an anonymous one.
		return "", nil, refuse(ErrClaim, "the token came under the scheme Bearer, and this service accepts only tokens that are bound to a key, under", b.names())
	}
	name := bearer
	if under != nil {
		name = under.name
	}
	if credential = strings.TrimLeft(credential, " "); credential == "" {
		return "", nil, refuse(ErrRequest, "nothing follows "+name+" in the Authorization header", "")
	}
	if !isToken68(credential) {
		return "", nil, notToken68(credential, name)
	}
	return credential, under, nil
}

// A confirmation is what cnf says about the key that a token is bound to.
type confirmation struct {
	binding *binding // who checks it
	value   string   // of the member binding.method of cnf
}

// readConfirmation reads cnf. raw is its JSON value. It returns a refusal if no Confirmer
// checks all that cnf says.
func (b *bindings) readConfirmation(raw string) (*confirmation, error) {
	if len(b.all) == 0 {
		// A key-bound token that is accepted from anybody is no longer bound (RFC 7800
		// section 3.1).
		return nil, refuse(ErrClaim, "the token is bound to a key by cnf, and Options.Confirm is not set", "")
	}
	members, err := jsonobj.Parse(raw, nil)
	if err != nil {
		return nil, refuseWith(ErrClaim, func() string { return "cnf is " + describeJSON(raw) + "; it must be an object" })
	}
	if len(members) != 1 {
		// A Confirmer checks one member, and the others would go unchecked.
		return nil, refuseWith(ErrClaim, func() string { return fmt.Sprintf("cnf has %d members; it must have one", len(members)) })
	}
	name, value := members[0].Name, members[0].Value
	for _, n := range b.all {
		if n.method != name {
			continue
		}
		text, ok := jsonobj.String(value)
		if !ok {
			return nil, refuseWith(ErrClaim, func() string {
				return "the member " + logtext.QuoteUpTo(name, 48) + " of cnf is " + describeJSON(value) + "; it must be a string"
			})
		}
		return &confirmation{n, text}, nil
	}
	return nil, refuseWith(ErrClaim, func() string {
		var methods []string
		for _, n := range b.all {
			methods = append(methods, n.method)
		}
		return "the token is bound to a key by the member " + logtext.QuoteUpTo(name, 48) + " of cnf, and Options.Confirm checks " + logtext.List(methods, 80)
	})
}

// checkScheme checks that a token may come under a scheme. c is nil if the token is not
// bound to a key. under is nil for Bearer.
func (b *bindings) checkScheme(c *confirmation, under *binding) error {
	var wanted *binding
	if c != nil && c.binding.scheme != nil {
		wanted = c.binding
	}
	switch {
	case wanted == under || under == anyScheme:
		return nil
	case wanted != nil:
		// RFC 9449 section 7.2 for DPoP.
		return refuse(ErrClaim, "the token is bound to a key by "+wanted.method+", so it must come under the scheme "+wanted.name, "")
	default:
		return refuse(ErrClaim, "the token came under the scheme "+under.name+", and it is not bound to a key by "+under.method, "")
	}
}

// setHeaders lets each SchemeConfirmer set the headers that every answer needs.
func (b *bindings) setHeaders(h http.Header, r *http.Request) {
	if r == nil {
		return
	}
	for _, n := range b.schemes {
		n.scheme.SetHeader(h, r)
	}
}
