// Sharedsecret guards a service that shares the signing secret with its issuer.
// Many Node services sign such tokens, with the user in the claim "id":
//
//	jwt.sign({ id: user.id }, process.env.JWT_SECRET, { expiresIn: "1h" })
//
// To try it, start the program with a secret. With -sign, the program signs a token
// in the same way and prints it:
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

// secretFrom returns the secret in setting, the value of JWT_SECRET. It removes
// white space at both ends, because a line break easily gets into an environment
// variable. Make sure that the issuer does the same.
func secretFrom(setting string) ([]byte, error) {
	secret := strings.TrimSpace(setting)
	if secret == "" {
		return nil, errors.New("JWT_SECRET is not set; set it to the secret that the issuer signs with, " +
			"or make one to try this program: export JWT_SECRET=$(openssl rand -hex 32)")
	}
	return []byte(secret), nil
}

// newHandler returns the service. It accepts tokens signed with secret.
func newHandler(secret []byte) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys: keys.HS256(secret), // New refuses secrets of less than 32 bytes: they can be guessed

		// These tokens have neither iss nor aud, so both checks are off. The gate
		// then accepts every token that is signed with the secret, including
		// tokens for another service or for a password reset. Use a different
		// secret for each service and each purpose. It is better to have the
		// issuer set iss and aud, and to list them in Issuers and Audiences.
		AnyIssuer:   true,
		AnyAudience: true,

		// The user ID is in the claim "id", as a string or an integer.
		SubjectClaim: "id",

		// Tokens signed without expiresIn have no exp. The gate refuses them, because a
		// stolen token without exp would be valid until the secret changes. If your issuer
		// signs such tokens, set AllowNoExpiry and also MaxAge. MaxAge limits the time
		// since iat, which jwt.sign adds by default.
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

// sign returns a token like those of the issuer.
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
