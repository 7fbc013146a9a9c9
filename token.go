package jwtgate

import (
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"log/slog"
	"net/http"
	"slices"
	"strings"
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

	verified *verified
}

// verified is what a gate knows of a Token beyond its fields.
type verified struct {
	token   *Token    // whose this is: a copy of the Token does not have its own
	by      *verifier // of the family of gates that verified it
	payload string    // the claims, as signed
	bound   bool      // the claims have cnf
	request fingerprint
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
	d := json.NewDecoder(strings.NewReader(t.verified.payload))
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

// belongs tells whether a gate of v's family verified this very Token.
func (t *Token) belongs(v *verifier) bool {
	return t != nil && t.verified != nil && t.verified.token == t && t.verified.by == v
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
	t, _ = ctx.Value(contextKey{}).(*Token)
	return t, t != nil
}

// Subject returns the subject of the token in ctx: the user's ID. It is empty
// where there is no token, and for a token without subject, which
// [Options.AllowNoSubject] has to permit.
func Subject(ctx context.Context) string {
	if t, ok := FromContext(ctx); ok {
		return t.Subject
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

// A fingerprint tells the requests that a verified token stands for from all
// others. It has hashes where it would otherwise keep credentials.
type fingerprint struct {
	credential [2]uint64
	proofs     [2]uint64
	method     string
	host       string
	uri        string
}

// The seeds are random and known to nobody outside the process. Whoever found
// two credentials with the same hashes all the same would gain nothing: the
// one that was verified is his own.
var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func fingerprintOf(r *http.Request, credential string) fingerprint {
	f := fingerprint{method: r.Method, host: r.Host, uri: r.RequestURI}
	if f.uri == "" && r.URL != nil { // not from a server
		f.uri = r.URL.String()
	}
	for i, seed := range seeds {
		f.credential[i] = maphash.String(seed, credential)
	}
	// A proof of possession (RFC 9449) was checked for the request as it was.
	if proofs := r.Header["Dpop"]; len(proofs) > 0 {
		for i, seed := range seeds {
			var h maphash.Hash
			h.SetSeed(seed)
			for _, proof := range proofs {
				h.WriteString(proof)
				h.WriteByte('\n') // a header value has none
			}
			f.proofs[i] = h.Sum64()
		}
	}
	return f
}

// clone returns a copy that shares no slice with t and is not verified.
func (t *Token) clone() *Token {
	c := *t
	c.Audience = slices.Clone(t.Audience)
	c.Scopes = slices.Clone(t.Scopes)
	c.verified = nil
	return &c
}
