package jwttest

import (
	"context"
	"net/http"
	"testing"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// contextIssuer is the iss of the tokens of Context.
const contextIssuer = "https://auth.example.com/"

// Context returns a copy of ctx with the token that a gate would have put there,
// for the test of a handler alone:
//
//	r := httptest.NewRequest("GET", "/me", nil)
//	r = r.WithContext(jwttest.Context(t, r.Context(), map[string]any{"email": "alice@example.com"}))
//	handler.ServeHTTP(w, r)
//
// A gate has verified it, so [jwtgate.Token.Decode] works as well as
// [jwtgate.Subject]. That gate is in Context and there is no network. No other
// gate takes the token for its own: behind one, send a token of an [Issuer].
//
// claims change the default ones, as with [Issuer.Token]: iss is
// "https://auth.example.com/", aud "https://api.example.com", sub "alice", and
// so on. Any issuer and audience will do, and iss, aud, sub and exp may be
// dropped. The subject is that of sub. Claims that no handler would ever see end
// the test, such as an exp in the past or a sub that is a number.
//
// Context may be called from several goroutines at once.
func Context(t testing.TB, ctx context.Context, claims map[string]any) context.Context {
	t.Helper()
	token, err := verified(ctx, withChanges(defaultClaims(contextIssuer, defaultAudience), claims))
	if err != nil {
		t.Fatalf("jwttest: no handler would see a token with these claims: %v", err)
	}
	return jwtgate.NewContext(ctx, token)
}

// verified passes claims through a gate that asks as little as a gate can.
func verified(ctx context.Context, claims map[string]any) (*jwtgate.Token, error) {
	k, err := newSigningKey("key-1", "HS256")
	if err != nil {
		return nil, err
	}
	token, err := k.sign(k.private, nil, claims)
	if err != nil {
		return nil, err
	}
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:           keys.HS256(k.private.([]byte)),
		AnyIssuer:      true,
		AnyAudience:    true,
		AllowNoSubject: true,
		AllowNoExpiry:  true,
		MaxTokenBytes:  1 << 20,
		Confirm:        jwtgate.RuleFunc(func(*http.Request, *jwtgate.Token) error { return nil }),
	})
	if err != nil {
		return nil, err
	}
	return gate.Verify(ctx, token)
}
