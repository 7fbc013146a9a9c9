package dpop_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/jwtgate/jwtgate/keys"
)

// exampleOptions has what a gate needs beside Confirm. Use &keys.Remote{} for Keys, and
// leave Now out.
func exampleOptions() jwtgate.Options {
	return jwtgate.Options{
		Keys:      keys.Public(&issuerKey.PublicKey),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
		Now:       func() time.Time { return now },
	}
}

// hello greets the user.
var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "hello %s", jwtgate.Subject(r.Context()))
})

// One server, which remembers used proofs by itself.
func Example() {
	o := exampleOptions()
	o.Confirm = []jwtgate.Confirmer{&dpop.Verifier{
		URLs: []string{"https://api.example.com"}, // as clients write it
		Now:  o.Now,                               // leave it out
	}}
	gate, err := jwtgate.New(o)
	if err != nil {
		panic(err)
	}
	handler := gate.Handler(hello)

	// The client has a key, a token that is bound to it, and a proof for this request.
	token := p256Client.token()
	proof := p256Client.draft("GET", "https://api.example.com/orders", token).sign()
	for range 2 {
		w := serve(handler, newRequest("GET", "/orders?page=2", "Authorization: DPoP "+token, "DPoP: "+proof))
		fmt.Println(w.Code, w.Header()["Www-Authenticate"])
	}
	// Output:
	// 200 []
	// 401 [DPoP realm="api", error="invalid_dpop_proof", error_description="The proof that the sender holds the key of the access token is not valid.", algs="ES256 EdDSA Ed25519 PS256"]
}

// A proxy takes /shop off the path. The service gets /orders for
// https://example.com/shop/orders. URLs has what the proxy takes off.
func Example_proxy() {
	o := exampleOptions()
	o.Confirm = []jwtgate.Confirmer{&dpop.Verifier{
		URLs: []string{"https://example.com/shop"},
		Now:  o.Now,
	}}
	gate, err := jwtgate.New(o)
	if err != nil {
		panic(err)
	}
	proxy := http.StripPrefix("/shop", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RequestURI = r.URL.RequestURI() // what the service reads from the connection
		gate.Handler(hello).ServeHTTP(w, r)
	}))

	token := p256Client.token()
	proof := p256Client.draft("GET", "https://example.com/shop/orders", token).sign()
	w := serve(proxy, newRequest("GET", "/shop/orders", "Authorization: DPoP "+token, "DPoP: "+proof))
	fmt.Println(w.Code, w.Body)
	// Output:
	// 200 hello alice
}

// A database is a Replays that all servers of a fleet share. With Redis, Use is the one
// command SET id 1 NX PX milliseconds.
type database struct {
	mu   sync.Mutex
	used map[[32]byte]time.Time
}

func (d *database) Use(_ context.Context, id [32]byte, until time.Time) (fresh bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, found := d.used[id]; found {
		return false, nil
	}
	d.used[id] = until // and forget it then
	return true, nil
}

// A fleet of two servers with nonces. The servers share the memory of used proofs and the
// keys that nonces are made with.
func Example_fleet() {
	shared := &database{used: map[[32]byte]time.Time{}}
	nonceKey := []byte("32 random bytes from the secrets") // openssl rand 32
	newServer := func() http.Handler {
		o := exampleOptions()
		o.Confirm = []jwtgate.Confirmer{&dpop.Verifier{
			URLs:      []string{"https://api.example.com"},
			NonceKeys: [][]byte{nonceKey},
			Replays:   shared,
			Now:       o.Now,
		}}
		gate, err := jwtgate.New(o)
		if err != nil {
			panic(err)
		}
		return gate.Handler(hello)
	}
	first, second := newServer(), newServer()

	// The client's first proof has no nonce. It tries again with the one of the answer.
	token := p256Client.token()
	draft := p256Client.draft("GET", "https://api.example.com/", token)
	w := serve(first, newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+draft.sign()))
	fmt.Println(w.Code, answer{w, jwtgate.ErrProof}.code())

	draft = p256Client.draft("GET", "https://api.example.com/", token)
	draft.claims["nonce"] = w.Header().Get("DPoP-Nonce")
	r := newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+draft.sign())
	w = serve(second, r)
	fmt.Println(w.Code, w.Body)

	// Whoever has seen that request cannot send it to the other server.
	fmt.Println(serve(first, r).Code)
	// Output:
	// 401 use_dpop_nonce
	// 200 hello alice
	// 401
}

// Wrong: the address of the service inside the cluster. Clients write the address that they
// call into their proofs, so every proof would be refused. Write that address.
func ExampleVerifier_URLs() {
	o := exampleOptions()
	o.Confirm = []jwtgate.Confirmer{&dpop.Verifier{URLs: []string{"http://orders.internal:8080"}}}
	_, err := jwtgate.New(o)
	fmt.Println(err)
	// Output:
	// jwtgate.New: Options.Confirm: dpop.Verifier.URLs: "http://orders.internal:8080" is plain http, which is allowed on this machine only; use https, as the clients do
}
