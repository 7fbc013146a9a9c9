// Cookie takes the token from a cookie, for a site whose browser application
// must not be able to read it, and from the Authorization header, for clients
// that are no browser.
//
//	go run ./examples/cookie
//
// prints a password. With it in $PASSWORD:
//
//	curl -i -c jar -d user=alice -d password=$PASSWORD http://127.0.0.1:8080/login
//	curl -i -b jar http://127.0.0.1:8080/account
//	curl -i -b jar -X POST http://127.0.0.1:8080/pay
//	curl -i -b jar -X POST -H "Origin: https://evil.example" http://127.0.0.1:8080/pay
//	curl -i -b jar -c jar -X POST http://127.0.0.1:8080/logout
//
// The fourth is refused: it is what a page of another site can make a browser
// send. The cookie is marked Secure; curl and most browsers send such ones to
// a loopback address without TLS too.
package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	// site is issuer and audience in one: it signs the tokens for itself.
	site = "https://shop.example.com"
	// cookieName starts with a prefix that makes browsers accept the cookie
	// from this very host over TLS only, so that no other host of the domain
	// can plant a session of its choice.
	cookieName = "__Host-session"
)

// newHandler returns the site. Its only user is alice.
func newHandler(secret []byte, password string) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256(secret),
		Issuers:   []string{site},
		Audiences: []string{site},
		// The order is the precedence. Authorization is set on purpose, while
		// a cookie comes along unasked, so where a request has both the header
		// counts: one that says whom it is from never acts as the user of the
		// cookie, not even if what the header says is refused.
		Extract: jwtgate.FirstOf(jwtgate.Bearer, jwtgate.Cookie(cookieName)),
	})
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("POST /login", login(secret, password))
	mux.Handle("GET /account", gate.Handler(say("account of")))
	mux.Handle("POST /pay", gate.Handler(say("paid by")))
	// No gate here: a session that has ended must not keep anybody from ending it.
	mux.HandleFunc("POST /logout", logout)

	// Browsers attach cookies to the requests of other sites' pages as well, so
	// those that change something are refused (CSRF). This stands outside the
	// gate, before anything is done with the cookie, and guards the login too.
	// It relies on GET changing nothing.
	return http.NewCrossOriginProtection().Handler(mux), nil
}

func say(what string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintln(w, what, jwtgate.Subject(r.Context()))
	})
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()

	// With a new secret at each start, all sessions end when the program does.
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	password := rand.Text()
	handler, err := newHandler(secret, password)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("curl -i -c jar -d user=alice -d password=%s http://%s/login\n", password, *addr)
	fmt.Printf("curl -i -b jar http://%s/account\n", *addr)

	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
