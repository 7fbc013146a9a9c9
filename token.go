package jwtgate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
	"github.com/jwtgate/jwtgate/internal/jws"
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// Who points to whom:
//
//   family           one for all gates derived from one New
//      ^
//   verifiedToken    the content of a verified token; immutable; requests with the
//      ^             same remembered token share it
//   tokenContext     one for each request that passes; the context that next gets
//      |
//      v             created when somebody asks for the Token
//   requestToken     one for each request; contains the Token
//
// requestToken.verified points to the verifiedToken too. The field origin of a Token
// points to the requestToken that contains the Token. It is nil in a Token made by hand.
// In a copy it points to a requestToken that contains another Token.

// A Token is an access token that a gate verified. Each request has its own Token:
// changing its fields or slices does not affect other requests. Do not change them
// between nested gates: if the inner gate gets a request with the same method, host and
// RequestURI, its rules see the changed Token. Copies of a request, as a batch handler
// makes them, share one Token in that case.
//
// For the user's ID alone, call [Subject], or [Identity] if several issuers are
// trusted. For the fields of Token, call [FromContext]. For other claims, such as
// roles or email, call [Decode] or [Token.Decode]. A Token does not have the text that
// the client sent: the [Extractor] of the gate, such as [Bearer], returns it.
//
// A test of a handler can make a Token by hand and put it into a context with
// [NewContext]. Gates trust neither hand-made Tokens nor copies.
type Token struct {
	Issuer   string   // iss
	Subject  string   // sub, or the claim that Options.SubjectClaim names; unique for one Issuer only
	ID       string   // jti
	ClientID string   // client_id, or azp if there is no client_id
	Audience []string // aud

	// Scopes has the values of scope and scp, each a space-separated string or an array.
	// To look for one, call slices.Contains(t.Scopes, "orders:write"), or give the rule
	// [Scope] to [Gate.Require].
	Scopes []string

	// The times are zero if the token lacks the claim.
	Expires   time.Time // exp
	NotBefore time.Time // nbf
	IssuedAt  time.Time // iat

	Type      string // typ of the header, unchanged
	Algorithm string // alg of the header
	KeyID     string // kid of the header

	// Actor acts for the subject: sub of act (RFC 8693 section 4.1). It is "" if the
	// subject acts itself. Earlier actors, in an act inside act, are history and are not
	// read.
	Actor string

	origin *requestToken // see requestToken; nil for a Token made by hand
}

// Decode stores all claims of the token in the value that v points to, like
// [json.Unmarshal]. A number that is stored in an interface value becomes a
// [json.Number] with all its digits.
//
// encoding/json ignores letter case when it matches field names: a field tagged
// "role" is filled from a claim called "Role" if there is no claim "role". A gate
// accepts no token that has both as claims. Inside a claim, names may differ only in
// letter case, as client IDs do. If Decode would have to store two of them in one field
// of a struct, it returns an error. A map has an entry for each name, and a type with a
// method UnmarshalJSON decides for itself. The rule of [Claim] compares names exactly.
//
// Decode returns an error for a Token that was made by hand, which has no claims.
func (t *Token) Decode(v any) error {
	if t == nil || t.origin == nil {
		return errors.New("jwtgate: the token was made by hand and has no claims to decode")
	}
	claims := t.origin.verified.claims
	if err := checkFolding(claims, v); err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(claims))
	d.UseNumber()
	return d.Decode(v)
}

// LogValue returns the issuer, the subject and the token ID, escaped and cut. It also
// returns the actor as act, if there is one. If the gate has Options.Confirm, it returns
// as bound what the token is bound to: dpop, mtls, another member of cnf, or none.
func (t *Token) LogValue() slog.Value {
	if t == nil {
		return slog.Value{}
	}
	return t.logValue(t.Subject, t.Actor)
}

// logValue is LogValue with another subject and another actor.
func (t *Token) logValue(subject, actor string) slog.Value {
	attrs := make([]slog.Attr, 0, 5)
	attrs = append(attrs,
		slog.String("iss", logtext.Value(t.Issuer)),
		slog.String("sub", logtext.Value(subject)),
		slog.String("jti", logtext.Value(t.ID)))
	if actor != "" {
		attrs = append(attrs, slog.String("act", logtext.Value(actor)))
	}
	if t.origin != nil && t.origin.verified.family.confirms {
		attrs = append(attrs, slog.String("bound", t.origin.verified.boundBy()))
	}
	return slog.GroupValue(attrs...)
}

// requestToken returns the requestToken that contains t, or nil for a Token made by
// hand and for a copy.
func (t *Token) requestToken() *requestToken {
	if t == nil || t.origin == nil || &t.origin.token != t {
		return nil
	}
	return t.origin
}

// Subject returns the subject of the token in ctx: the user's ID. It returns "" if
// ctx has no token, as in a handler without a gate, and for a token without a
// subject, which only [Options.AllowNoSubject] lets pass.
//
// Pass the context of the request, r.Context(). With gin that is c.Request.Context():
// a gin.Context is a context too, and usually has no token.
//
// Two issuers may give the same subject to two people. Use [Identity] if the gate
// trusts more than one issuer.
func Subject(ctx context.Context) string {
	_, subject := Identity(ctx)
	return subject
}

// Identity returns the issuer and the subject of the token in ctx. Together they
// identify the user. Both are "" if ctx has no token, as in a handler without a gate.
//
// An issuer makes sub unique among its own users only. The one identifier that is
// unique and stable is iss together with sub (OpenID Connect Core 1.0 section 5.7).
// Whether the subject alone is enough depends on the options of the gate:
//
//   - With one issuer in [Options.Issuers], the subject alone identifies the user.
//   - With several Issuers, or with [Options.TrustIssuer], two people may have the
//     same subject, by accident or because one issuer imitates another. Store users
//     under both results, as a struct or two columns. A text that joins the two may
//     be the same for two users.
//   - With [Options.AnyIssuer], the gate compares iss with nothing. The signature
//     covers iss, but everybody who can sign a token can write any issuer into it.
//     The issuer is "" if the token has no iss. If one issuer signs all tokens, use the
//     subject alone. Otherwise list the Issuers.
//
// If Keys returns one key for two issuers, each of them can sign tokens in the name of
// the other. The result then does not prove which issuer signed. See [Options.Issuers].
//
// Some issuers have two names, such as the two spellings of Google and the custom
// domain of an Auth0 tenant. A user has the same subject under both names. Replace one
// name by the other before you store the user.
//
// If [Options.SubjectClaim] is set, the subject is the value of that claim. Name a claim
// whose values are never given to a second user. An email address can pass to another
// person. With [Options.AllowNoSubject] the subject may be "", which identifies no user.
func Identity(ctx context.Context) (issuer, subject string) {
	switch value := ctx.Value(contextKey{}).(type) {
	case *tokenContext:
		return value.identity()
	case *Token:
		if value != nil {
			return value.Issuer, value.Subject
		}
	}
	return "", ""
}

// FromContext returns the token that a gate or [NewContext] put into ctx. ok is
// false if there is none. Pass the context of the request, r.Context().
func FromContext(ctx context.Context) (t *Token, ok bool) {
	switch value := ctx.Value(contextKey{}).(type) {
	case *tokenContext:
		t = value.token()
	case *Token:
		t = value
	}
	return t, t != nil
}

// Decode returns all claims of the token in ctx as a T, like [Token.Decode]. The
// error wraps [ErrNoToken] if ctx has no token.
func Decode[T any](ctx context.Context) (T, error) {
	var claims T
	t, ok := FromContext(ctx)
	if !ok {
		return claims, refuse(ErrNoToken, "the context has none to decode", "")
	}
	err := t.Decode(&claims)
	return claims, err
}

// NewContext returns a copy of ctx that carries t. It is for frameworks with their
// own handlers, which call [Gate.Check] or [Gate.Verify], and for tests of handlers. A
// nil t hides the token of ctx.
func NewContext(ctx context.Context, t *Token) context.Context {
	return context.WithValue(ctx, contextKey{}, t)
}

// contextKey is the key of the package's context values, each a *tokenContext or a
// *Token.
type contextKey struct{}

// A family identifies the gates derived from one New. Families are compared by address.
// It has what rules and logs need to know of the Options of these gates.
type family struct {
	now      func() time.Time
	leeway   time.Duration
	confirms bool // Options.Confirm is set
}

// A header is a token's header, with what the options of a family say about it.
type header struct {
	jws.Header
	algorithm    *algorithm
	typeAccepted bool // typ is one of Options.Types
}

// A verifiedToken is the content of a token that a gate of family verified. It is
// immutable. What only a Token needs is read when somebody asks for the Token.
type verifiedToken struct {
	family         *family
	key            *Key   // verified the signature
	credentialHash uint64 // of the whole token
	header         *header
	cnf            *confirmation // nil if the token has no cnf

	issuer    string
	subject   string
	actor     string // sub of act
	expires   time.Time
	notBefore time.Time
	issuedAt  time.Time

	// claims is the JSON object, as it was signed. The values of the other claims are
	// read from it. clientID is azp if there is no client_id.
	claims                             string
	id, clientID, audience, scope, scp jsonobj.Span
}

// readInto sets the fields of t. Its lists use the memory of space if that is large
// enough. There are no errors, because claimChecker.read has checked all types.
func (v *verifiedToken) readInto(t *Token, space []string) {
	t.Issuer, t.Subject, t.Actor = v.issuer, v.subject, v.actor
	t.ID, t.ClientID = v.text(v.id), v.text(v.clientID)
	t.Expires, t.NotBefore, t.IssuedAt = v.expires, v.notBefore, v.issuedAt
	t.Type, t.Algorithm, t.KeyID = v.header.Type, v.header.Algorithm, v.header.KeyID
	list := space[:0]
	if v.audience != 0 {
		list, _ = v.claim(v.audience).appendStrings(list, nil)
	}
	n := len(list)
	first, second := v.scope, v.scp // in the order of the token; an absent one comes first
	if second.Before(first) {
		first, second = second, first
	}
	for _, scopes := range [...]jsonobj.Span{first, second} {
		if scopes != 0 {
			list, _ = v.claim(scopes).appendScopes(list)
		}
	}
	if n > 0 {
		t.Audience = list[:n:n]
	}
	if len(list) > n {
		t.Scopes = list[n:]
	}
}

// claim returns the claim whose value is at the given place.
func (v *verifiedToken) claim(value jsonobj.Span) *claim {
	return &claim{payload: v.claims, value: value}
}

// text returns the string at the given place, or "" for the zero Span.
func (v *verifiedToken) text(value jsonobj.Span) string {
	if value == 0 {
		return ""
	}
	text, _ := jsonobj.Text(v.claims, value)
	return text
}

// boundBy returns for a log what the token is bound to.
func (v *verifiedToken) boundBy() string {
	switch {
	case v.cnf == nil:
		return "none"
	case v.cnf.binding.method == dpopMethod:
		return "dpop"
	case v.cnf.binding.method == certificateMethod:
		return "mtls"
	}
	return logtext.Value(v.cnf.binding.method)
}

// isBoundByProof reports whether the token is bound to the key of a DPoP proof (RFC 9449
// section 6.1).
func (v *verifiedToken) isBoundByProof() bool {
	return v.cnf != nil && v.cnf.binding.method == dpopMethod
}

// A requestToken contains the Token of one request, and says from which verified
// token and for which request it was made. It does not keep the request alive.
type requestToken struct {
	token     Token
	verified  *verifiedToken
	request   requestIdentity
	listSpace [4]string // memory for Audience and Scopes of token, if they are short
}

// A tokenContext is the context that a guarded handler gets. For a request with a
// remembered token, the gate allocates only the tokenContext and the copy of the
// request, and the Token if a handler asks for it. The verifiedToken is not a field by
// value: a Token points to it, and would keep the context alive.
type tokenContext struct {
	context.Context // of the request; nil until the request has passed

	verified *verifiedToken
	created  atomic.Pointer[Token] // by the method token; nil before the first call
	request  requestIdentity
	passage  passage
}

// token returns the Token of this request, creating it on first use. It returns nil
// if c is nil.
func (c *tokenContext) token() *Token {
	if c == nil {
		return nil
	}
	if t := c.created.Load(); t != nil {
		return t
	}
	rt := &requestToken{verified: c.verified, request: c.request}
	t := &rt.token
	t.origin = rt
	c.verified.readInto(t, rt.listSpace[:])
	if !c.created.CompareAndSwap(nil, t) {
		t = c.created.Load()
	}
	return t
}

// identity returns the issuer and the subject without creating the Token.
func (c *tokenContext) identity() (issuer, subject string) {
	if t := c.created.Load(); t != nil {
		return t.Issuer, t.Subject
	}
	return c.verified.issuer, c.verified.subject
}

// setRequest records that r passed with the token. Only then may a nested gate rely on
// the proof that r has.
func (c *tokenContext) setRequest(r *http.Request) {
	c.request.set(r)
	if c.verified.isBoundByProof() {
		c.request.proof = proofOf(r)
	}
	if rt := c.created.Load().requestToken(); rt != nil {
		rt.request = c.request
	}
}

// Value returns c itself for the key of the package's tokens.
func (c *tokenContext) Value(key any) any {
	if key == (contextKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// Format prints c like a context of package context: without its value.
func (c *tokenContext) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

func (c *tokenContext) String() string {
	parent, ok := c.Context.(fmt.Stringer)
	if !ok {
		return fmt.Sprintf("%T.WithValue(jwtgate.Token)", c.Context)
	}
	return parent.String() + ".WithValue(jwtgate.Token)"
}

// verifiedIn returns the tokenContext of the verified token in ctx. It returns nil if
// no gate verified the Token in ctx.
func verifiedIn(ctx context.Context) *tokenContext {
	switch value := ctx.Value(contextKey{}).(type) {
	case *tokenContext:
		// A handler may have overwritten its Token, as in *t = *other. Then origin
		// does not point to the requestToken that contains it.
		if t := value.created.Load(); t == nil || t.requestToken() != nil {
			return value
		}
	case *Token:
		if rt := value.requestToken(); rt != nil {
			c := &tokenContext{verified: rt.verified, request: rt.request}
			c.created.Store(value)
			return c
		}
	}
	return nil
}

// A requestIdentity recognises a request. The zero value is the identity of no
// request.
type requestIdentity struct {
	method string
	host   string
	uri    string         // "": matches no request
	proof  *provenRequest // nil unless Confirm accepted a proof that may be used only once
}

// set makes i the identity of r, without proof.
func (i *requestIdentity) set(r *http.Request) {
	i.method, i.host, i.uri, i.proof = r.Method, r.Host, r.RequestURI, nil
	if i.uri == "" && r.URL != nil { // not from a server
		i.uri = r.URL.String()
	}
}

// matches reports whether i is the identity of r, whatever the proofs are. Without a URI
// it is the identity of no request.
func (i *requestIdentity) matches(r *http.Request) bool {
	var current requestIdentity
	current.set(r)
	current.proof = i.proof
	return i.uri != "" && *i == current
}

// A provenRequest has what identifies a request with a DPoP proof (RFC 9449), beside
// the fields of requestIdentity. Such a proof is for one request, and may be used only
// once.
type provenRequest struct {
	url   string
	proof string
}

// proofOf returns the provenRequest of r. It is nil unless r has exactly one DPoP
// header.
func proofOf(r *http.Request) *provenRequest {
	proofs := r.Header["Dpop"]
	if len(proofs) != 1 || r.URL == nil {
		return nil
	}
	return &provenRequest{url: r.URL.String(), proof: proofs[0]}
}

// proves reports whether i is the identity of r, and has the proof that r has.
func (i *requestIdentity) proves(r *http.Request) bool {
	if i.proof == nil || !i.matches(r) {
		return false
	}
	current := proofOf(r)
	return current != nil && *current == *i.proof
}
