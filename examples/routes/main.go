// Routes guards the routes of one service in different ways: some are public, some
// require a token, and some require a role or a scope. A route is guarded unless it is
// listed as public, so nobody can forget a gate. A browser application of another origin
// may call the service (CORS).
//
//	go run ./examples/routes
//
// prints a curl line with a token of an administrator. Set TOKEN to the token and
// send:
//
//	curl -i http://127.0.0.1:8080/
//	curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/me
//	curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/admin
//	curl -i -H "Authorization: Bearer $TOKEN" -X POST http://127.0.0.1:8080/reports
//
// The last request is refused with 403: the token has the role but not the scope.
//
// The parts to copy are newHandler, me, and what they use.
package main

import (
	"crypto"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	issuer   = "https://auth.example.com/realms/shop"
	audience = "https://reports.example.com"
	frontend = "https://app.example.com" // the origin of the browser application
)

// profile has the claims that this service reads in addition to the fields of
// jwtgate.Token. Keycloak sets these claims.
type profile struct {
	Name        string `json:"name"`
	RealmAccess struct {
		Roles []string `json:"roles"`
	} `json:"realm_access"`
}

// newHandler returns the service. It accepts tokens signed with the issuer's key.
func newHandler(issuerKey crypto.PublicKey) (http.Handler, error) {
	signedIn, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.Public(issuerKey),
		Issuers:   []string{issuer},
		Audiences: []string{audience},
	})
	if err != nil {
		return nil, err
	}

	// A name that starts with a slash is a path into nested claims. For a top-level
	// claim write jwtgate.Claim("roles", "admin").
	isAdmin := jwtgate.Claim("/realm_access/roles", "admin")
	admin := signedIn.Require(isAdmin)
	reader := signedIn.Require(jwtgate.AnyOf(jwtgate.Scope("reports:read"), isAdmin))
	writer := signedIn.Require(jwtgate.Scope("reports:write"))

	// All routes of guarded are behind signedIn. The gates inside verify no signature again.
	guarded := http.NewServeMux()
	guarded.HandleFunc("GET /me", me)
	guarded.Handle("GET /admin", admin.Handler(say("admin")))
	guarded.Handle("GET /reports", reader.Handler(say("reports")))
	guarded.Handle("POST /reports", writer.Handler(say("written")))

	// The public routes are beside them. The pattern "/" gets every other request: requests
	// for paths that do not exist, and other methods of the public paths, need a token too.
	// Do not compare paths with a list of public ones in a middleware instead: such a list
	// and the mux may disagree about a path like /health/../admin.
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", say("welcome"))
	mux.Handle("GET /health", say("healthy"))
	mux.Handle("/", signedIn.Handler(guarded))

	// The CORS middleware wraps the gates. Browsers send preflight requests without a
	// token, so a gate would refuse them. Browsers show a refusal to the application
	// only if the refusal has the CORS headers.
	return allowOrigin(frontend, mux), nil
}

func say(what string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s\n", what, jwtgate.Subject(r.Context()))
	})
}

func me(w http.ResponseWriter, r *http.Request) {
	claims, err := jwtgate.Decode[profile](r.Context())
	if err != nil {
		// The token is genuine, but a claim does not have the type that profile has for it.
		// That is not the client's fault, so the status is 500.
		log.Print(err)
		http.Error(w, "cannot read the profile", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "%q has the roles %q\n", claims.Name, claims.RealmAccess.Roles)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()

	signer := demo.NewSigner() // in production the identity provider signs the tokens
	handler, err := newHandler(signer.PublicKey())
	if err != nil {
		log.Fatal(err)
	}
	token := signer.Token(map[string]any{
		"iss": issuer, "aud": audience, "sub": "7d1c", "name": "Alice",
		"realm_access": map[string]any{"roles": []string{"admin"}},
	})
	fmt.Printf("curl -i -H \"Authorization: Bearer %s\" http://%s/me\n", token, *addr)

	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
