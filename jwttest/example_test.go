package jwttest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
)

// whoami is the handler that the examples test. It greets the subject.
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "hello %s", jwtgate.Subject(r.Context()))
})

// call sends a request with the token and returns the body of the answer, or the
// text of a status other than 200.
func call(service http.Handler, token string) string {
	r := httptest.NewRequest("GET", "/me", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	service.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Body)
	if w.Code != http.StatusOK {
		return http.StatusText(w.Code)
	}
	return string(body)
}

// A service behind its gate gets good and bad tokens. In your test, t is the parameter
// of the test function.
func ExampleNewIssuer() {
	t := &exampleT{}
	defer t.end()

	issuer := jwttest.NewIssuer(t)
	gate, err := jwtgate.New(issuer.Options())
	if err != nil {
		log.Fatal(err) // t.Fatal(err)
	}
	service := gate.Require(jwtgate.Scope("me:read")).Handler(whoami)

	fmt.Println(call(service, issuer.Token(map[string]any{"scope": "me:read"})))
	fmt.Println(call(service, issuer.Token(map[string]any{"scope": "me:read", "sub": "bob"})))
	fmt.Println(call(service, issuer.Token(nil)))
	fmt.Println(call(service, issuer.Token(map[string]any{"scope": "me:read", "exp": 1}))) // long ago
	fmt.Println(call(service, issuer.Forge(nil, map[string]any{"scope": "me:read"})))
	// Output:
	// hello alice
	// hello bob
	// Forbidden
	// Unauthorized
	// Unauthorized
}

// A gate with changed options accepts tokens of the issuer.
func ExampleIssuer_Options() {
	t := &exampleT{}
	defer t.end()

	issuer := jwttest.NewIssuer(t)
	options := issuer.Options()
	options.SubjectClaim = "email"
	options.Rules = []jwtgate.Rule{jwtgate.Claim("token_use", "access")}
	gate, err := jwtgate.New(options)
	if err != nil {
		log.Fatal(err)
	}
	service := gate.Handler(whoami)

	fmt.Println(call(service, issuer.Token(map[string]any{"email": "alice@example.com", "token_use": "access"})))
	fmt.Println(call(service, issuer.Token(map[string]any{"email": "alice@example.com", "token_use": "id"})))
	// Output:
	// hello alice@example.com
	// Unauthorized
}

// Each bad token takes one line.
func ExampleIssuer_Token() {
	t := &exampleT{}
	defer t.end()

	issuer := jwttest.NewIssuer(t)
	gate, err := jwtgate.New(issuer.Options())
	if err != nil {
		log.Fatal(err)
	}
	for _, changes := range []map[string]any{
		nil,
		{"exp": time.Now().Add(-time.Hour)},
		{"aud": "https://other.example"},
		{"sub": nil}, // without
	} {
		_, err := gate.Verify(context.Background(), issuer.Token(changes))
		var refusal *jwtgate.Error
		if errors.As(err, &refusal) {
			fmt.Println("refused:", refusal.Reason())
			continue
		}
		fmt.Println("accepted")
	}
	// Output:
	// accepted
	// refused: expired
	// refused: audience
	// refused: claim
}

// Only the signature of a forged token is wrong, so the test proves that the gate
// checks it.
func ExampleIssuer_Forge() {
	t := &exampleT{}
	defer t.end()

	issuer := jwttest.NewIssuer(t)
	gate, err := jwtgate.New(issuer.Options())
	if err != nil {
		log.Fatal(err)
	}
	_, err = gate.Verify(context.Background(), issuer.Forge(nil, map[string]any{"sub": "admin"}))
	fmt.Println(errors.Is(err, jwtgate.ErrSignature))
	// Output: true
}

// An issuer with an HS algorithm publishes no keys: the options contain the secret. Call
// SetAlgorithm before Options.
func ExampleIssuer_SetAlgorithm() {
	t := &exampleT{}
	defer t.end()

	issuer := jwttest.NewIssuer(t)
	issuer.SetAlgorithm("HS256")
	gate, err := jwtgate.New(issuer.Options())
	if err != nil {
		log.Fatal(err)
	}
	token, err := gate.Verify(context.Background(), issuer.Token(nil))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Subject, token.Algorithm)
	// Output: alice HS256
}

// The service accepts only access tokens with the profile of RFC 9068, whose typ is
// at+jwt. The issuer signs them with PS256.
func ExampleIssuer_Sign() {
	t := &exampleT{}
	defer t.end()

	issuer := jwttest.NewIssuer(t)
	issuer.SetAlgorithm("PS256")
	options := issuer.Options()
	options.RFC9068 = true
	gate, err := jwtgate.New(options)
	if err != nil {
		log.Fatal(err)
	}
	service := gate.Handler(whoami)

	accessToken := map[string]any{"typ": "at+jwt"}
	fmt.Println(call(service, issuer.Sign(accessToken, map[string]any{"client_id": "app"})))
	fmt.Println(call(service, issuer.Token(map[string]any{"client_id": "app"})))
	// Output:
	// hello alice
	// Unauthorized
}

// A test calls a handler without its gate.
func ExampleContext() {
	t := &exampleT{}
	defer t.end()

	type claims struct {
		Email string `json:"email"`
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		me, err := jwtgate.Decode[claims](r.Context())
		fmt.Fprintln(w, jwtgate.Subject(r.Context()), me.Email, err)
	}

	r := httptest.NewRequest("GET", "/me", nil)
	r = r.WithContext(jwttest.Context(t, r.Context(), map[string]any{"email": "alice@example.com"}))
	w := httptest.NewRecorder()
	handler(w, r)
	fmt.Print(w.Body)
	// Output: alice alice@example.com <nil>
}

// The service finds its users by oid: Options.SubjectClaim of its gate is "oid".
func ExampleContextWithSubjectClaim() {
	t := &exampleT{}
	defer t.end()

	for _, claims := range []map[string]any{nil, {"oid": "00000000-0000-0000-66f3-3332eca7ea81"}} {
		r := httptest.NewRequest("GET", "/me", nil)
		r = r.WithContext(jwttest.ContextWithSubjectClaim(t, r.Context(), "oid", claims))
		w := httptest.NewRecorder()
		whoami(w, r)
		fmt.Println(w.Body)
	}
	// Output:
	// hello alice
	// hello 00000000-0000-0000-66f3-3332eca7ea81
}

// During an outage a service that has fetched the keys accepts tokens. A service that
// has not answers 503, and recovers when the issuer is up.
func ExampleIssuer_Down() {
	t := &exampleT{}
	defer t.end()

	issuer := jwttest.NewIssuer(t)
	token := issuer.Token(nil)
	running, err := jwtgate.New(issuer.Options())
	if err != nil {
		log.Fatal(err)
	}
	started, err := jwtgate.New(issuer.Options())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("before: ", call(running.Handler(whoami), token))

	issuer.Down(http.StatusServiceUnavailable)
	fmt.Println("running:", call(running.Handler(whoami), token))
	fmt.Println("started:", call(started.Handler(whoami), token))

	issuer.Up()
	fmt.Println("after:  ", call(started.Handler(whoami), token))
	// Output:
	// before:  hello alice
	// running: hello alice
	// started: Service Unavailable
	// after:   hello alice
}

// The issuer is slow. A request that does not wait gets an error, and the fetch of the
// keys goes on for other requests.
func ExampleIssuer_Hold() {
	t := &exampleT{}
	defer t.end()

	issuer := jwttest.NewIssuer(t)
	gate, err := jwtgate.New(issuer.Options())
	if err != nil {
		log.Fatal(err)
	}
	release := issuer.Hold()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = gate.Verify(ctx, issuer.Token(nil))
	fmt.Println(errors.Is(err, jwtgate.ErrUnavailable))

	release()
	_, err = gate.Verify(context.Background(), issuer.Token(nil))
	fmt.Println(err, "after", issuer.Fetches(), "fetch")
	// Output:
	// true
	// <nil> after 1 fetch
}

// A thousand requests cause one fetch of the keys.
func ExampleIssuer_Fetches() {
	t := &exampleT{}
	defer t.end()

	issuer := jwttest.NewIssuer(t)
	gate, err := jwtgate.New(issuer.Options())
	if err != nil {
		log.Fatal(err)
	}
	service := gate.Handler(whoami)
	for range 1000 {
		call(service, issuer.Token(nil))
	}
	fmt.Println(issuer.Fetches())
	// Output: 1
}

// A key has leaked, and the issuer withdraws it at once. The service fetches the keys
// when it sees the first token of the new key.
func ExampleIssuer_Withdraw() {
	t := &exampleT{}
	defer t.end()

	issuer := jwttest.NewIssuer(t)
	gate, err := jwtgate.New(issuer.Options())
	if err != nil {
		log.Fatal(err)
	}
	service := gate.Handler(whoami)
	leaked := issuer.Token(map[string]any{"sub": "mallory"})
	fmt.Println(call(service, leaked))

	issuer.Rotate()
	issuer.Withdraw()
	fmt.Println(call(service, issuer.Token(nil)))
	fmt.Println(call(service, leaked))
	// Output:
	// hello mallory
	// hello alice
	// Unauthorized
}

// The issuer rotates its key. Old tokens remain good until the issuer withdraws the
// old key, here after the next rotation.
func ExampleIssuer_Rotate() {
	t := &exampleT{}
	defer t.end()

	issuer := jwttest.NewIssuer(t)
	gate, err := jwtgate.New(issuer.Options())
	if err != nil {
		log.Fatal(err)
	}
	service := gate.Handler(whoami)
	old := issuer.Token(nil)
	fmt.Println("old:", call(service, old))

	issuer.Rotate()
	fmt.Println("new:", call(service, issuer.Token(nil)))
	fmt.Println("old:", call(service, old))

	issuer.Rotate()
	issuer.Withdraw()
	fmt.Println("new:", call(service, issuer.Token(nil)))
	fmt.Println("old:", call(service, old))
	// Output:
	// old: hello alice
	// new: hello alice
	// old: hello alice
	// new: hello alice
	// old: Unauthorized
}

// The service is made as in production, but trusts a key of the test, with which Attack
// signs tokens.
func ExampleAttack() {
	var t *testing.T // the parameter of your test function

	secret := []byte("a secret of this test, 32 bytes.")
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256(secret),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	jwttest.Attack(t, gate.Handler(whoami), jwttest.Target{
		Key:       secret,
		Algorithm: "HS256",
		Issuer:    "https://auth.example.com/",
		Audience:  "https://api.example.com",
		Routes:    []jwttest.Route{{Path: "/me"}},
		Strict:    true, // the service is behind a gate, which is stricter than the RFCs
	})
}

// The service accepts only tokens that are bound to a DPoP key. The Prover is a client
// with such a key, and its URL is one of those of the Verifier.
func ExampleAttack_dPoP() {
	var t *testing.T // the parameter of your test function

	secret := []byte("a secret of this test, 32 bytes.")
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256(secret),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		Confirm:   []jwtgate.Confirmer{&dpop.Verifier{URLs: []string{"https://api.example.com"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	prover := jwttest.NewProver(t)
	prover.URL = "https://api.example.com"
	jwttest.Attack(t, gate.Handler(whoami), jwttest.Target{
		Key:       secret,
		Algorithm: "HS256",
		Issuer:    "https://auth.example.com/",
		Audience:  "https://api.example.com",
		Routes:    []jwttest.Route{{Path: "/me"}},
		Prover:    prover,
		Strict:    true,
	})
}

// A GraphQL service answers every request with 200. A request gets in if the answer has
// data.
func ExampleAttack_graphQL() {
	var t *testing.T // the parameter of your test function

	secret := []byte("a secret of this test, 32 bytes.")
	service := newGraphQLService(keys.HS256(secret))
	jwttest.Attack(t, service, jwttest.Target{
		Key:       secret,
		Algorithm: "HS256",
		Issuer:    "https://auth.example.com/",
		Audience:  "https://api.example.com",
		Routes: []jwttest.Route{{
			Method: "POST",
			Path:   "/graphql",
			Header: http.Header{"Content-Type": {"application/json"}},
			Body:   `{"query": "{me {name}}"}`,
		}},
		GotIn: func(r *http.Response) bool {
			var answer struct{ Data any }
			return json.NewDecoder(r.Body).Decode(&answer) == nil && answer.Data != nil
		},
	})
}

// The handler also serves anonymous requests. A request gets in if the handler greets a
// subject. Hostile tokens have other subjects too, so GotIn does not compare with one
// name.
func ExampleAttack_optional() {
	var t *testing.T // the parameter of your test function

	secret := []byte("a secret of this test, 32 bytes.")
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256(secret),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	jwttest.Attack(t, gate.Optional(whoami), jwttest.Target{
		Key:       secret,
		Algorithm: "HS256",
		Issuer:    "https://auth.example.com/",
		Audience:  "https://api.example.com",
		Strict:    true,
		GotIn: func(r *http.Response) bool {
			body, _ := io.ReadAll(r.Body)
			return r.StatusCode == http.StatusOK && len(body) > len("hello ")
		},
	})
}

// A gate relies on the promises that TestKeySource tests. Test every key source that
// you write.
func ExampleTestKeySource() {
	var t *testing.T // the parameter of your test function

	key, err := jwtgate.NewKey("key-1", "HS256", []byte("a secret of this test, 32 bytes."))
	if err != nil {
		t.Fatal(err)
	}
	source := jwtgate.KeySourceFunc(func(_ context.Context, _, kid string) ([]*jwtgate.Key, error) {
		if kid != "" && kid != key.ID() {
			return nil, nil
		}
		return []*jwtgate.Key{key}, nil
	})
	jwttest.TestKeySource(t, keys.ByIssuer{"https://auth.example.com/": source})
}

// newGraphQLService returns a service that answers refusals with 200.
func newGraphQLService(source jwtgate.KeySource) http.Handler {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      source,
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		OnDeny: func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
			w.WriteHeader(http.StatusOK)
			fmt.Fprint(w, `{"errors": [{"message": "not signed in"}]}`)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	return gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"data": {"me": {"name": %q}}}`, jwtgate.Subject(r.Context()))
	}))
}

// exampleT is a testing.TB for an example.
type exampleT struct{ fakeT }

func (t *exampleT) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
