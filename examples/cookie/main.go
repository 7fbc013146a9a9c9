// Cookie guards a site whose browser sessions are tokens in a cookie. Scripts in
// the browser cannot read the cookie. Clients other than browsers send their token
// in the Authorization header.
//
//	go run ./examples/cookie
//
// prints a password. Set PASSWORD to it and send:
//
//	curl -i -c jar -d user=alice -d password=$PASSWORD http://127.0.0.1:8080/login
//	curl -i -b jar http://127.0.0.1:8080/account
//	curl -i -b jar -X POST http://127.0.0.1:8080/pay
//	curl -i -b jar -X POST -H "Origin: https://evil.example" http://127.0.0.1:8080/pay
//	curl -i -b jar -c jar -X POST http://127.0.0.1:8080/logout
//
// The fourth request is refused: a page of another site can make a browser send
// it (CSRF). The cookie is marked Secure. curl and most browsers send Secure cookies
// to a loopback address even without TLS.
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
	// site is both the issuer and the audience: the site signs tokens for itself.
	site = "https://shop.example.com"
	// The prefix __Host- makes browsers accept the cookie only from this host and over
	// TLS. Another host of the domain cannot set the cookie, for example to an
	// attacker's session.
	cookieName = "__Host-session"
)

// newHandler returns the site. Its only user is alice.
func newHandler(secret []byte, password string) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256(secret),
		Issuers:   []string{site},
		Audiences: []string{site},
		// The first credential found counts. A client sets Authorization on purpose, but a
		// browser sends cookies with every request. So the header comes first: a request
		// with the header never acts as the user of the cookie, even if the token in the
		// header is refused.
		Extract: jwtgate.FirstOf(jwtgate.Bearer, jwtgate.Cookie(cookieName)),
	})
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("POST /login", login(secret, password))
	mux.Handle("GET /account", gate.Handler(say("account of")))
	mux.Handle("POST /pay", gate.Handler(say("paid by")))
	// No gate here: users must be able to log out after their token has expired.
	mux.HandleFunc("POST /logout", logout)

	// Browsers also attach cookies to requests that pages of other sites make
	// (CSRF). CrossOriginProtection refuses such requests unless the method is GET,
	// HEAD or OPTIONS, so handlers of GET must change nothing. It wraps the whole
	// mux and so protects the login too.
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

	// The secret is new at each start, so all sessions end with the program.
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
