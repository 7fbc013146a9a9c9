// Sharedsecret guards a service whose tokens are signed with a secret that it
// shares with their issuer, and name the user in the claim "id". This is what
// countless Node services do:
//
//	jwt.sign({ id: user.id }, process.env.JWT_SECRET, { expiresIn: "1h" })
//
// To try it, start it with a secret and ask it for a token, which it signs as
// that line would:
//
//	export JWT_SECRET=$(openssl rand -hex 32)
//	go run ./examples/sharedsecret &
//	TOKEN=$(go run ./examples/sharedsecret -sign 42)
//	curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/me
//	curl -i http://127.0.0.1:8080/me
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// secretFrom returns the secret that a setting holds. Settings pick up a line
// break or a space at the end easily, so white space around it does not count;
// see to it that the issuer reads it in the same way.
func secretFrom(setting string) ([]byte, error) {
	secret := strings.TrimSpace(setting)
	if secret == "" {
		return nil, errors.New("JWT_SECRET is not set; give it the secret that the issuer signs with, " +
			"or, to try this out, a new one: export JWT_SECRET=$(openssl rand -hex 32)")
	}
	return []byte(secret), nil
}

// newHandler returns the service, for tokens signed with secret.
func newHandler(secret []byte) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys: keys.HS256(secret), // refuses one of less than 32 bytes, which could be guessed

		// These tokens say neither who issued them nor for whom. Without the
		// two checks, the secret is all that tells them from others: a token
		// that any holder of the secret signed, for whatever purpose (another
		// service, a password reset), opens this service too. Give each
		// service and each purpose a secret of its own. Better still, have
		// the issuer set iss and aud, and list them in Issuers and Audiences.
		AnyIssuer:   true,
		AnyAudience: true,

		// The user is in "id", be it a string or, from a database, a number.
		SubjectClaim: "id",

		// Tokens that were signed without expiresIn have no exp and are
		// refused: a stolen one would be good until the secret changes. Where
		// such tokens are already out, AllowNoExpiry accepts them; set MaxAge
		// with it, which goes by the iat that jwt.sign adds by itself.
	})
	if err != nil {
		return nil, fmt.Errorf("JWT_SECRET: %w", err)
	}

	mux := http.NewServeMux()
	mux.Handle("GET /me", gate.Handler(http.HandlerFunc(me)))
	return mux, nil
}

func me(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "You are user", jwtgate.Subject(r.Context()))
}

// sign returns a token as the issuer makes them.
func sign(secret []byte, claims jwt.MapClaims) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	id := flag.Int("sign", 0, "print a token for the user with this `id`, and exit")
	flag.Parse()

	secret, err := secretFrom(os.Getenv("JWT_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(secret)
	if err != nil {
		log.Fatal(err)
	}
	if *id != 0 {
		now := time.Now()
		token, err := sign(secret, jwt.MapClaims{"id": *id, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token)
		return
	}

	log.Printf("listening on http://%s", *addr)
	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
