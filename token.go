package jwtgate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// A Token is an access token that a gate has verified. Each request has its
// own: changing it, or its slices, reaches no other.
//
// A Token that was made by hand, for the test of a handler say, can be put into
// a context with [NewContext] and read there; no gate takes it, or a copy of a
// verified one, for verified.
type Token struct {
	Issuer   string // iss
	Subject  string // sub, or the claim that Options.SubjectClaim names
	ID       string // jti
	ClientID string // client_id, else azp
	Audience []string
	Scopes   []string // of scope and scp, each a string or an array

	// The times are zero where the claim is absent.
	Expires   time.Time
	NotBefore time.Time
	IssuedAt  time.Time

	Type      string // the header's typ, as it stands there
	Algorithm string // the header's alg
	KeyID     string // the header's kid

	verified *verified // nil for one made by hand
}

// A record is what was read from a token that a gate verified. It does not
// change, and requests with the same token may share it.
type record struct {
	by         *verifier // of the family of gates that verified it
	credential uint64    // the hash of the token
	payload    string    // the claims, as signed
	header     *header
	token      Token     // what requests get copies of
	room       [4]string // for the lists of token, if they are short

	bound       bool // the claims have cnf
	hasIssuer   bool
	hasSubject  bool
	hasSub      bool // what RFC 9068 asks for, whatever claim the subject is in
	hasClientID bool
}

// verified is a Token that a request got, with what its gate knows of it beyond
// the fields. It keeps nothing of the request alive.
type verified struct {
	token   Token
	record  *record
	request fingerprint
	room    [4]string // for the lists of token, if they are short
}

// of returns the verified that t is the very Token of, or nil: a copy is not.
func (t *Token) of() *verified {
	if t == nil || t.verified == nil || &t.verified.token != t {
		return nil
	}
	return t.verified
}

// An admission is a record that one request was let in with. It is also the
// context that carries the token, so that what is the request's own is in one
// piece of memory, but for its Token, which few handlers ask for.
type admission struct {
	context.Context // the one that the token was added to; nil if it was not yet

	record  *record
	token   atomic.Pointer[Token] // of own
	request fingerprint
}

// own returns the request's own Token, the same each time, or nil if a is.
func (a *admission) own() *Token {
	if a == nil {
		return nil
	}
	if t := a.token.Load(); t != nil {
		return t
	}
	v := &verified{token: a.record.token, record: a.record, request: a.request}
	t := &v.token
	t.verified = v
	t.setLists(v.room[:], t.Audience, t.Scopes)
	if !a.token.CompareAndSwap(nil, t) {
		t = a.token.Load()
	}
	return t
}

// subject returns that of own.
func (a *admission) subject() string {
	if t := a.token.Load(); t != nil {
		return t.Subject
	}
	return a.record.token.Subject
}

// grant makes the admission one for r and the credential in it, and no other.
func (a *admission) grant(r *http.Request) {
	a.request.set(r)
	if v := a.token.Load().of(); v != nil {
		v.request = a.request
	}
}

// Value has the admission itself under the key of the package's tokens.
func (a *admission) Value(key any) any {
	if key == (contextKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// Format prints what package context prints of a context with a value, which
// is not the value.
func (a *admission) Format(f fmt.State, _ rune) { fmt.Fprint(f, a.String()) }

func (a *admission) String() string {
	parent, ok := a.Context.(fmt.Stringer)
	if !ok {
		return fmt.Sprintf("%T.WithValue(jwtgate.Token)", a.Context)
	}
	return parent.String() + ".WithValue(jwtgate.Token)"
}

// setLists gives t copies of its lists, which nobody else has. They stand in
// room, if that is enough.
func (t *Token) setLists(room, audience, scopes []string) {
	t.Audience, t.Scopes = nil, nil
	n := len(audience)
	if n+len(scopes) > len(room) {
		room = make([]string, n+len(scopes))
	}
	if n > 0 {
		t.Audience = append(room[:0:n], audience...)
	}
	if len(scopes) > 0 {
		t.Scopes = append(room[n:n:n+len(scopes)], scopes...)
	}
}

// Decode stores all claims of the token in the value v points to, by the rules
// of [encoding/json]. Numbers that land in an interface value become
// [json.Number], with every digit they have in the token.
//
// encoding/json matches field names without regard to letter case. No token
// has two claims that this could confuse, but a field tagged "role" is filled
// from a claim called "Role" if there is no other. A [Claim] rule compares
// exactly.
//
// Decode returns an error for a Token that no gate has verified, since such a
// one has no claims beyond its fields.
func (t *Token) Decode(v any) error {
	if t == nil || t.verified == nil {
		return errors.New("jwtgate: the token was made by hand and has no claims to decode")
	}
	d := json.NewDecoder(strings.NewReader(t.verified.record.payload))
	d.UseNumber()
	return d.Decode(v)
}

// LogValue returns the issuer, the subject and the token ID, escaped and cut.
func (t *Token) LogValue() slog.Value {
	if t == nil {
		return slog.Value{}
	}
	return slog.GroupValue(
		slog.String("iss", printable(t.Issuer)),
		slog.String("sub", printable(t.Subject)),
		slog.String("jti", printable(t.ID)),
	)
}

type contextKey struct{}

// NewContext returns a copy of ctx that carries t, for frameworks that keep
// their own handlers and call [Gate.Check], and for tests of handlers. A nil t
// hides the token of ctx.
func NewContext(ctx context.Context, t *Token) context.Context {
	return context.WithValue(ctx, contextKey{}, t)
}

// FromContext returns the token that a gate, or NewContext, put into ctx. ok is
// false if there is none.
func FromContext(ctx context.Context) (t *Token, ok bool) {
	switch held := ctx.Value(contextKey{}).(type) {
	case *admission:
		t = held.own()
	case *Token:
		t = held
	}
	return t, t != nil
}

// grantIn returns what the token in ctx was verified as, and the request that
// was for, if a gate verified that very Token.
func grantIn(ctx context.Context) (known *record, request *fingerprint) {
	switch held := ctx.Value(contextKey{}).(type) {
	case *admission:
		if t := held.token.Load(); t == nil || t.of() != nil { // else it was written over
			return held.record, &held.request
		}
	case *Token:
		if v := held.of(); v != nil {
			return v.record, &v.request
		}
	}
	return nil, nil
}

// Subject returns the subject of the token in ctx: the user's ID. It is empty
// where there is no token, and for a token without subject, which
// [Options.AllowNoSubject] has to permit.
func Subject(ctx context.Context) string {
	switch held := ctx.Value(contextKey{}).(type) {
	case *admission:
		return held.subject()
	case *Token:
		if held != nil {
			return held.Subject
		}
	}
	return ""
}

// Decode returns all claims of the token in ctx as a T; see [Token.Decode]. It
// returns an error wrapping [ErrNoToken] if there is no token.
func Decode[T any](ctx context.Context) (T, error) {
	var claims T
	t, ok := FromContext(ctx)
	if !ok {
		return claims, refuse(ErrNoToken, "the context has none to decode", "")
	}
	err := t.Decode(&claims)
	return claims, err
}

// A fingerprint tells the request that a verified token stands for from others
// with the same token. The zero value is of no request.
type fingerprint struct {
	ofRequest bool   // false in the zero value
	proofs    uint64 // a hash
	method    string
	host      string
	uri       string
}

// seed is random and known to nobody outside the process. Whoever found two
// credentials with the same hash all the same would gain nothing: the one that
// was verified is his own.
var seed = maphash.MakeSeed()

// set makes f that of r.
func (f *fingerprint) set(r *http.Request) {
	f.ofRequest, f.method, f.host, f.uri = true, r.Method, r.Host, r.RequestURI
	if f.uri == "" && r.URL != nil { // not from a server
		f.uri = r.URL.String()
	}
	// A proof of possession (RFC 9449) was checked for the request as it was.
	if proofs := r.Header["Dpop"]; len(proofs) > 0 {
		var h maphash.Hash
		h.SetSeed(seed)
		for _, proof := range proofs {
			h.WriteString(proof)
			h.WriteByte('\n') // a header value has none
		}
		f.proofs = h.Sum64()
	}
}

// standsFor tells whether what known was verified for, with the fingerprint f,
// is what r asks with this credential: that is the same, and so is all that a
// proof may cover.
func (known *record) standsFor(f *fingerprint, r *http.Request, credential string) bool {
	var now fingerprint
	now.set(r)
	return *f == now && known.credential == maphash.String(seed, credential)
}
