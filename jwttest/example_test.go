package jwttest_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/jwttest"
)

// The handler that the examples test says who has called it.
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "hello %s", jwtgate.Subject(r.Context()))
})

// call sends a request with a token, as a client of a service does.
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

// A service behind its gate, asked with tokens good and bad. In a test, t is the
// one that its function has.
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

// The issuer signs with PS256, and the service takes access tokens of RFC 9068
// alone, which say so in their header.
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

// A handler alone, with a token as a gate puts it into the context.
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

// The issuer is down. A service that has its keys goes on; one that has not says
// that it cannot tell, and recovers.
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

// The issuer gets a new key. Its old tokens remain good until it withdraws the
// old one, here with the next rotation.
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

// exampleT stands for the testing.TB that an example does not have.
type exampleT struct{ fakeT }

func (t *exampleT) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
