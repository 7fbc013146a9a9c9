package jwtgate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

func ExampleSubject() {
	gate, err := jwtgate.New(options())
	if err != nil {
		panic(err)
	}
	handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("orders of", jwtgate.Subject(r.Context()))
	}))
	serve(handler, request("GET", "Authorization: Bearer "+hs256Token(nil)))
	// Output:
	// orders of alice
}

// Two issuers have a user with the subject alice. They are two people, so the service stores its
// users under issuer and subject. A database has a column for each, and a unique index on both.
func ExampleIdentity() {
	const partner = "https://partner.example/"
	partnerSecret := []byte("the partner's own thirty-two bytes")
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.ByIssuer{issuer: keys.HS256(secret), partner: keys.HS256(partnerSecret)},
		Issuers:   []string{issuer, partner},
		Audiences: []string{audience},
		Now:       fixedClock(now),
	})
	if err != nil {
		panic(err)
	}

	type userID struct{ issuer, subject string }
	names := map[userID]string{
		{issuer, "alice"}:  "Alice Adams",
		{partner, "alice"}: "Alice Brown",
	}
	handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		issuer, subject := jwtgate.Identity(r.Context())
		fmt.Println(subject, "is", names[userID{issuer, subject}])
	}))
	serve(handler, request("GET", "Authorization: Bearer "+hs256Token(nil)))
	serve(handler, request("GET", "Authorization: Bearer "+
		sign("HS256", partnerSecret, `{"alg":"HS256"}`, claimsJSON(map[string]any{"iss": partner}))))
	// Output:
	// alice is Alice Adams
	// alice is Alice Brown
}

// The token in the context has more than the subject.
func ExampleFromContext() {
	gate, err := jwtgate.New(options())
	if err != nil {
		panic(err)
	}
	handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := jwtgate.FromContext(r.Context())
		if !ok { // no gate in front, or the request is anonymous
			return
		}
		fmt.Println(token.Subject, "until", token.Expires.Format(time.TimeOnly))
		fmt.Println("may delete:", slices.Contains(token.Scopes, "orders:delete"))
	}))
	serve(handler, request("GET", "Authorization: Bearer "+hs256Token(nil)))
	// Output:
	// alice until 01:30:00
	// may delete: false
}

func ExampleDecode() {
	type myClaims struct {
		Email string `json:"email"`
		Plan  string `json:"plan"`
	}
	gate, err := jwtgate.New(options())
	if err != nil {
		log.Fatal(err)
	}
	handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, err := jwtgate.Decode[myClaims](r.Context())
		fmt.Println(claims.Email, claims.Plan, err)
	}))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+hs256Token(map[string]any{"email": "alice@example.com", "plan": "gold"}))
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// alice@example.com gold <nil>
}

// Decode reads custom claims of a token that Verify returned.
func ExampleToken_Decode() {
	gate, err := jwtgate.New(options())
	if err != nil {
		panic(err)
	}
	token, err := gate.Verify(context.Background(), hs256Token(map[string]any{
		"email": "alice@example.com", "realm_access": map[string]any{"roles": []string{"user", "admin"}},
	}))
	if err != nil {
		panic(err)
	}
	var claims struct {
		Email       string `json:"email"`
		RealmAccess struct {
			Roles []string `json:"roles"`
		} `json:"realm_access"`
	}
	fmt.Println(token.Decode(&claims))
	fmt.Println(claims.Email, claims.RealmAccess.Roles)
	// Output:
	// <nil>
	// alice@example.com [user admin]
}

// A handler is tested without a gate, with a hand-made token.
func ExampleNewContext() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("hello", jwtgate.Subject(r.Context()))
	})
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(jwtgate.NewContext(r.Context(), &jwtgate.Token{Subject: "alice"}))
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// hello alice
}

// The log record has the issuer, the subject and the ID of the token.
func ExampleToken_LogValue() {
	gate, err := jwtgate.New(options())
	if err != nil {
		panic(err)
	}
	token, err := gate.Verify(context.Background(), hs256Token(nil))
	if err != nil {
		panic(err)
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // the time differs between runs
			}
			return a
		},
	}))
	logger.Info("order placed", "token", token)
	// Output:
	// level=INFO msg="order placed" token.iss=https://auth.example.com/ token.sub=alice token.jti=token-1
}

// Decode keeps numbers exact, and fails for a Token that no gate verified.
// acceptance 42
func TestDecode(t *testing.T) {
	t.Parallel()
	token, err := newGate(t).Verify(t.Context(), hs256Token(map[string]any{
		"big": json.RawMessage("12345678901234567890123"), "id": json.RawMessage("9007199254740993"), "rate": json.RawMessage("0.1000000000000000055"),
	}))
	require.NoError(t, err)

	var all map[string]any
	require.NoError(t, token.Decode(&all))
	assert.Equal(t, json.Number("12345678901234567890123"), all["big"])
	assert.Equal(t, json.Number("0.1000000000000000055"), all["rate"])
	assert.Equal(t, "alice", all["sub"])
	var typed struct {
		ID  int64
		Big json.Number
	}
	require.NoError(t, token.Decode(&typed))
	assert.EqualValues(t, int64(9007199254740993), typed.ID)
	assert.EqualValues(t, "12345678901234567890123", typed.Big)
	var wrong struct{ Sub int }
	require.Error(t, token.Decode(&wrong))
	require.Error(t, token.Decode(nil))

	ctx := jwtgate.NewContext(t.Context(), token)
	generic, err := jwtgate.Decode[struct{ Sub string }](ctx)
	require.NoError(t, err)
	assert.Equal(t, "alice", generic.Sub)
	_, err = jwtgate.Decode[struct{ Sub int }](ctx)
	require.Error(t, err)
	_, err = jwtgate.Decode[map[string]any](t.Context())
	require.ErrorIs(t, err, jwtgate.ErrNoToken)

	// A hand-made token has no claims to decode, and neither has a nil token.
	require.ErrorContains(t, (&jwtgate.Token{Subject: "alice"}).Decode(&all), "made by hand")
	var none *jwtgate.Token
	require.Error(t, none.Decode(&all))
}

type (
	access   struct{ Roles []string }
	embedded struct {
		*access
		Extra string
	}
	ownDecoder struct{ text string }
	endless    *endless
)

func (o *ownDecoder) UnmarshalJSON(data []byte) error {
	o.text = string(data)
	return nil
}

// Decode refuses to fill a struct from an object with two names that encoding/json would take for
// the same field. acceptance 16
func TestDecode_NamesThatDifferInCase(t *testing.T) {
	t.Parallel()
	token, err := newGate(t).Verify(t.Context(), hs256Token(map[string]any{
		"resource_access": json.RawMessage(`{"web":{"Roles":["a"]},"Web":{"roles":["b"]}}`),
		"realm_access":    json.RawMessage(`{"roles":["user"],"Roles":["admin"]}`),
		"list":            json.RawMessage(`[{"roles":["user"]}, [{"roles":["user"],"\u0052oles":["admin"]}]]`),
		"plain":           json.RawMessage(`{"Roles":["user"]}`),
	}))
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		into any
		ok   bool
	}{
		"map of any":                    {new(map[string]any), true},
		"map of raw messages":           {new(map[string]json.RawMessage), true},
		"any":                           {new(any), true},
		"claims of the top level":       {&struct{ Sub, Iss string }{}, true},
		"a map for the object":          {&struct{ Realm_access map[string][]string }{}, true},
		"any for the object":            {&struct{ Realm_access any }{}, true},
		"raw message for the object":    {&struct{ Realm_access json.RawMessage }{}, true},
		"a type that decodes itself":    {&struct{ Realm_access ownDecoder }{}, true},
		"a pointer to such a type":      {&struct{ Realm_access *ownDecoder }{}, true},
		"no JSON type for the object":   {&struct{ Realm_access *[]byte }{}, false}, // the error of encoding/json
		"a map of structs":              {&struct{ Resource_access map[string]access }{}, true},
		"a map of maps":                 {new(map[string]map[string]any), false}, // the error of encoding/json: sub is a string
		"a struct without such a field": {&struct{ Realm_access struct{ Groups []string } }{}, true},
		"a field that is skipped": {&struct {
			Realm_access struct {
				Roles []string `json:"-"`
			}
		}{}, true},
		"a field that is not exported": {&struct{ Realm_access struct{ roles []string } }{}, true},
		"another field by its tag": {&struct {
			Realm_access struct {
				Roles []string `json:"groups"`
			}
		}{}, true},
		"an object without such names":  {&struct{ Plain access }{}, true},
		"an element without such names": {&struct{ List [1]access }{}, true},
		"a struct":                      {&struct{ Realm_access access }{}, false},
		"a pointer to a struct":         {&struct{ Realm_access **access }{}, false},
		"a field by its tag": {&struct {
			Realm_access struct {
				Groups []string `json:"ROLES,omitempty"`
			}
		}{}, false},
		"a field of each spelling": {&struct {
			Realm_access struct {
				A any `json:"roles"`
				B any `json:"Roles"`
			}
		}{}, false},
		"an embedded struct":          {&struct{ Realm_access embedded }{}, false},
		"a struct in any":             {&struct{ Realm_access any }{&access{}}, false},
		"a struct behind the clients": {&struct{ Resource_access struct{ Web access } }{}, false},
		"a map with structs inside":   {new(map[string]access), false},
		"a slice of structs":          {&struct{ List []any }{[]any{nil, &[]access{}}}, false},
		"an array of structs":         {&struct{ List [2]any }{[2]any{nil, &[]access{}}}, false},
		"a slice beyond its length":   {&struct{ List []any }{[]any{nil, &[]access{}}[:0]}, false},
		"no end of pointers":          {&struct{ Realm_access endless }{}, false},
		"nil":                         {nil, false},
		"no pointer":                  {access{}, false},
	} {
		err := token.Decode(tt.into)
		assert.Equal(t, tt.ok, err == nil, "%s: %v", name, err)
	}

	var mapped struct {
		ResourceAccess map[string]access `json:"resource_access"`
	}
	require.NoError(t, token.Decode(&mapped))
	assert.Equal(t, map[string]access{"web": {[]string{"a"}}, "Web": {[]string{"b"}}}, mapped.ResourceAccess)
	ctx := jwtgate.NewContext(t.Context(), token)
	_, err = jwtgate.Decode[struct{ Realm_access access }](ctx)
	require.EqualError(t, err, `jwtgate: cannot decode the claims into a jwtgate_test.access: the members "Roles" and "roles" of one object differ only in letter case, `+
		`and encoding/json would store both in one field; use a map`)
	_, err = jwtgate.Decode[struct{ Sub string }](ctx)
	require.NoError(t, err, "other calls are not affected")
}

func TestContext(t *testing.T) {
	t.Parallel()
	_, ok := jwtgate.FromContext(t.Context())
	assert.False(t, ok)
	assert.Empty(t, jwtgate.Subject(t.Context()))

	token := &jwtgate.Token{Subject: "alice"}
	ctx := jwtgate.NewContext(t.Context(), token)
	got, ok := jwtgate.FromContext(ctx)
	assert.True(t, ok)
	assert.Same(t, token, got)
	assert.Equal(t, "alice", jwtgate.Subject(ctx))

	got, ok = jwtgate.FromContext(jwtgate.NewContext(ctx, nil))
	assert.False(t, ok)
	assert.Nil(t, got)
	assert.Empty(t, jwtgate.Subject(jwtgate.NewContext(ctx, nil)))

	type key struct{}
	assert.Equal(t, "alice", jwtgate.Subject(context.WithValue(ctx, key{}, 1)))
}

// Identity returns the issuer and the subject of the token in the context, and Subject the same
// subject.
func TestIdentity(t *testing.T) {
	t.Parallel()
	type otherKey struct{}
	handMade := &jwtgate.Token{Issuer: "https://a.example", Subject: "bob"}
	for name, tt := range map[string]struct {
		ctx             context.Context
		issuer, subject string
	}{
		"no token":            {t.Context(), "", ""},
		"hand-made":           {jwtgate.NewContext(t.Context(), handMade), "https://a.example", "bob"},
		"below a value":       {context.WithValue(jwtgate.NewContext(t.Context(), handMade), otherKey{}, 1), "https://a.example", "bob"},
		"nil":                 {jwtgate.NewContext(t.Context(), nil), "", ""},
		"hidden by nil":       {jwtgate.NewContext(jwtgate.NewContext(t.Context(), handMade), nil), "", ""},
		"hand-made, no claim": {jwtgate.NewContext(t.Context(), &jwtgate.Token{}), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gotIssuer, gotSubject := jwtgate.Identity(tt.ctx)
			assert.Equal(t, tt.issuer, gotIssuer)
			assert.Equal(t, tt.subject, gotSubject)
			assert.Equal(t, tt.subject, jwtgate.Subject(tt.ctx))
		})
	}

	anyIssuer := func(o *jwtgate.Options) { o.Issuers, o.AnyIssuer = nil, true }
	for name, tt := range map[string]struct {
		change          func(*jwtgate.Options)
		claims          map[string]any
		issuer, subject string
	}{
		"one issuer": {func(*jwtgate.Options) {}, nil, issuer, "alice"},
		"several issuers": {
			func(o *jwtgate.Options) { o.Issuers = append(o.Issuers, "https://b.example") },
			map[string]any{"iss": "https://b.example"}, "https://b.example", "alice",
		},
		"TrustIssuer": {
			func(o *jwtgate.Options) {
				o.Issuers, o.TrustIssuer = nil, func(issuer string) bool { return issuer == "https://c.example" }
			},
			map[string]any{"iss": "https://c.example"}, "https://c.example", "alice",
		},
		"AnyIssuer, any iss": {anyIssuer, map[string]any{"iss": "whatever the signer wrote"}, "whatever the signer wrote", "alice"},
		"AnyIssuer, no iss":  {anyIssuer, map[string]any{"iss": nil}, "", "alice"},
		"SubjectClaim":       {func(o *jwtgate.Options) { o.SubjectClaim = "uid" }, map[string]any{"uid": 42}, issuer, "42"},
		"AllowNoSubject":     {func(o *jwtgate.Options) { o.AllowNoSubject = true }, map[string]any{"sub": nil}, issuer, ""},
		"remembered":         {func(o *jwtgate.Options) { o.CacheSize = 16 }, nil, issuer, "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handled := 0
			gate := newGate(t, tt.change)
			handler := gate.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				handled++
				gotIssuer, gotSubject := jwtgate.Identity(r.Context())
				assert.Equal(t, tt.issuer, gotIssuer)
				assert.Equal(t, tt.subject, gotSubject)
				assert.Equal(t, tt.subject, jwtgate.Subject(r.Context()))

				token, ok := jwtgate.FromContext(r.Context())
				assert.True(t, ok)
				token.Issuer, token.Subject = "changed", "too"
				gotIssuer, gotSubject = jwtgate.Identity(r.Context())
				assert.Equal(t, "changed", gotIssuer, "a handler sees its own changes")
				assert.Equal(t, "too", gotSubject)
			}))
			for range 2 {
				serve(handler, request("GET", "Authorization: Bearer "+hs256Token(tt.claims)))
			}
			assert.Equal(t, 2, handled)
		})
	}
}

// Identity and Subject do not make the Token, which would cost an allocation for each request.
func TestIdentityAllocatesNothing(t *testing.T) {
	gate := newGate(t, func(o *jwtgate.Options) { o.CacheSize = 16 })
	r := request("GET", "Authorization: Bearer "+hs256Token(nil))
	w := httptest.NewRecorder()
	allocations := func(handle func(context.Context)) float64 {
		handler := gate.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { handle(r.Context()) }))
		return testing.AllocsPerRun(100, func() { handler.ServeHTTP(w, r) })
	}
	none := allocations(func(context.Context) {})
	assert.InDelta(t, none, allocations(func(ctx context.Context) { jwtgate.Identity(ctx) }), 0.1)
	assert.InDelta(t, none, allocations(func(ctx context.Context) { jwtgate.Subject(ctx) }), 0.1)
	assert.Greater(t, allocations(func(ctx context.Context) { jwtgate.FromContext(ctx) }), none, "the measurement sees the Token")
}

func TestTokenLogValue(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	raw := hs256Token(map[string]any{"sub": "al\nice", "jti": strings.Repeat("j", 1000)})
	token, err := newGate(t).Verify(t.Context(), raw)
	require.NoError(t, err)
	logger.Info("hello", "token", token)
	assert.Contains(t, log.String(), `token.iss=https://auth.example.com/`)
	assert.Contains(t, log.String(), `token.sub="\"al\\nice\""`)
	assert.Less(t, log.Len(), 512)
	assert.NotContains(t, log.String(), raw[:30])

	var none *jwtgate.Token
	logger.Info("hello", "token", none)
	logger.Info("hello", "token", &jwtgate.Token{Subject: "made by hand"})
	assert.Contains(t, log.String(), `token.sub="made by hand"`)
}

// The context that a handler gets behaves like a context made by package context.
func TestHandler_Context(t *testing.T) {
	t.Parallel()
	outer, cancel := context.WithCancelCause(context.Background())
	var inner context.Context
	serve(newGate(t).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inner = r.Context() })),
		request("GET", "Authorization: Bearer "+hs256Token(nil)).WithContext(outer))
	require.NotNil(t, inner)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.Equal(t, "context.Background.WithCancel.WithValue(jwtgate.Token)", fmt.Sprintf(verb, inner))
	}
	cancellable, cancelInner := context.WithCancel(inner)
	defer cancelInner()
	assert.Equal(t, "context.Background.WithCancel.WithValue(jwtgate.Token).WithCancel", fmt.Sprint(cancellable))
	derived, stop := context.WithTimeout(inner, time.Hour)
	defer stop()
	require.NoError(t, derived.Err())
	cancel(errors.New("gone"))
	<-derived.Done()
	assert.EqualError(t, context.Cause(derived), "gone")
	assert.ErrorIs(t, inner.Err(), context.Canceled)
	assert.Equal(t, "alice", jwtgate.Subject(derived))
}

// Printing the context does not print the fields of a context that it wraps.
func TestHandler_ContextPrintsNoFields(t *testing.T) {
	t.Parallel()
	type tenant struct {
		context.Context
		secret string
	}
	var inner context.Context
	serve(newGate(t).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inner = r.Context() })),
		request("GET", "Authorization: Bearer "+hs256Token(nil)).WithContext(&tenant{context.Background(), "s3cret"}))
	require.NotNil(t, inner)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.Equal(t, "*jwtgate_test.tenant.WithValue(jwtgate.Token)", fmt.Sprintf(verb, inner))
	}
}

// Every call of FromContext within one request returns the same Token, whether the gate remembers
// the token or not, and also if the first calls are concurrent.
func TestOneTokenPerRequest(t *testing.T) {
	type otherKey struct{}
	t.Parallel()
	for _, size := range []int{0, 16} {
		gate := newGate(t, func(o *jwtgate.Options) { o.CacheSize = size })
		handler := gate.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ctx := context.WithValue(r.Context(), otherKey{}, "value")
			assert.Equal(t, "alice", jwtgate.Subject(ctx))
			var asking sync.WaitGroup
			tokens := make([]*jwtgate.Token, 8)
			for i := range tokens {
				asking.Go(func() {
					assert.Equal(t, "alice", jwtgate.Subject(ctx))
					tokens[i], _ = jwtgate.FromContext(ctx)
				})
			}
			asking.Wait()
			for _, token := range tokens {
				assert.Same(t, tokens[0], token)
			}
			tokens[0].Subject = "changed"
			assert.Equal(t, "changed", jwtgate.Subject(ctx), "a handler sees its own changes")
			claims, err := jwtgate.Decode[map[string]any](ctx)
			assert.NoError(t, err)
			assert.Equal(t, "alice", claims["sub"])
			assert.Equal(t, "value", ctx.Value(otherKey{}))
			assert.Nil(t, r.Context().Value("no such key"))
		}))
		for range 3 {
			serve(handler, request("GET", "Authorization: Bearer "+hs256Token(nil)))
		}
	}
}

// Changing one Token does not change another Token of the same remembered token. acceptance 53
func TestTokensAreIndependent(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 16} {
		gate := newGate(t, func(o *jwtgate.Options) { o.CacheSize = size })
		token := hs256Token(map[string]any{"aud": []string{audience, "x"}})
		for range 3 {
			got, err := gate.Verify(t.Context(), token)
			require.NoError(t, err)
			assert.Equal(t, []string{audience, "x"}, got.Audience)
			assert.Equal(t, []string{"orders:read", "orders:write"}, got.Scopes)
			got.Audience[0], got.Scopes[0], got.Subject = "changed", "changed", "changed"
			_ = append(got.Scopes[:1], "changed")
		}
	}
}

// A kept Token does not keep its request in memory.
func TestTokenOutlivesItsRequest(t *testing.T) {
	for _, size := range []int{0, 16} {
		var kept []*jwtgate.Token
		gate := newGate(t, func(o *jwtgate.Options) {
			o.CacheSize = size
			o.Observe = func(_ context.Context, e jwtgate.Event) { kept = append(kept, e.Token) }
		})
		type key struct{}
		handle := func() weak.Pointer[[1 << 20]byte] {
			large := new([1 << 20]byte)
			serve(gate.Handler(writeSubject), request("GET", "Authorization: Bearer "+hs256Token(nil)).WithContext(context.WithValue(t.Context(), key{}, large)))
			return weak.Make(large)
		}
		for range 2 {
			large := handle()
			runtime.GC()
			runtime.GC()
			assert.Nil(t, large.Value())
		}
		assert.Len(t, kept, 2)
		runtime.KeepAlive(kept)
	}
}
