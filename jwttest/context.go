package jwttest

import (
	"context"
	"net/http"
	"testing"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Context returns a copy of ctx with a verified token, like the context that a gate
// passes to a handler. Use Context to test a handler without a gate:
//
//	r := httptest.NewRequest("GET", "/me", nil)
//	r = r.WithContext(jwttest.Context(t, r.Context(), map[string]any{"email": "alice@example.com"}))
//	handler.ServeHTTP(w, r)
//
// [jwtgate.Subject], [jwtgate.FromContext] and [jwtgate.Decode] work as behind a
// gate. Context does not use the network.
//
// Do not use Context for a handler behind a gate: gates ignore the token in the
// context. Send a token of an [Issuer] instead.
//
// If [jwtgate.Options].SubjectClaim of the service names another claim than sub, use
// [ContextWithSubjectClaim].
//
// claims changes the default claims, as in [Issuer.Token]. By default iss is
// "https://auth.example.com/", aud is "https://api.example.com", sub is "alice",
// iat is now, exp is in an hour, and jti is different in each token. iss and aud
// may have any value, and each default claim may be removed. The subject is the sub
// claim. Claims that every gate refuses, such as an exp in the past or a sub that is
// a number, end the test with t.Fatalf.
//
// Context is safe for concurrent use.
func Context(t testing.TB, ctx context.Context, claims map[string]any) context.Context {
	t.Helper()
	return ContextWithSubjectClaim(t, ctx, "", claims)
}

// ContextWithSubjectClaim is [Context] for a service whose [jwtgate.Options].SubjectClaim
// is subjectClaim, such as "oid" or "email". The subject is the value of that claim, which
// may be an integer as behind a gate. By default both that claim and sub are "alice":
//
//	alice := jwttest.ContextWithSubjectClaim(t, t.Context(), "oid", nil)
//	bob := jwttest.ContextWithSubjectClaim(t, t.Context(), "oid", map[string]any{"oid": "bob"})
//
// An empty subjectClaim means sub.
//
// ContextWithSubjectClaim is safe for concurrent use.
func ContextWithSubjectClaim(t testing.TB, ctx context.Context, subjectClaim string, claims map[string]any) context.Context {
	t.Helper()
	all := defaultClaims(contextIssuer, defaultAudience)
	if subjectClaim != "" {
		all[subjectClaim] = all["sub"]
	}
	token, err := verifiedToken(ctx, subjectClaim, withChanges(all, claims))
	if err != nil {
		t.Fatalf("jwttest: no handler would see a token with these claims: %v", err)
	}
	return jwtgate.NewContext(ctx, token)
}

// contextIssuer is the iss of the tokens of Context.
const contextIssuer = "https://auth.example.com/"

// verifiedToken signs a token with these claims, and returns it as verified by a
// gate that checks as few claims as possible.
func verifiedToken(ctx context.Context, subjectClaim string, claims map[string]any) (*jwtgate.Token, error) {
	k, err := newSigningKey("key-1", "HS256")
	if err != nil {
		return nil, err
	}
	token, err := k.sign(k.private, nil, claims)
	if err != nil {
		return nil, err
	}
	var confirmers []jwtgate.Confirmer
	if cnf, ok := claims["cnf"].(map[string]any); ok {
		for method := range cnf {
			confirmers = append(confirmers, anyKey(method))
		}
	}
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:           keys.HS256(k.private.([]byte)),
		AnyIssuer:      true,
		AnyAudience:    true,
		SubjectClaim:   subjectClaim,
		AllowNoSubject: true,
		AllowNoExpiry:  true,
		MaxTokenBytes:  1 << 20,
		Confirm:        confirmers,
		AllowUnbound:   len(confirmers) > 0,
	})
	if err != nil {
		return nil, err
	}
	return gate.Verify(ctx, token)
}

// anyKey is a Confirmer for a member of cnf that takes each sender for the holder of the
// key.
type anyKey string

func (k anyKey) Method() string { return string(k) }

func (anyKey) Confirm(*http.Request, *jwtgate.Token, string) error { return nil }
