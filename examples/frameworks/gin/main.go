// Gin guards routes of a gin engine with jwtgate.
//
//	go run ./gin
//
// prints curl lines with tokens.
package main

import (
	"crypto/rand"
	"flag"
	"log"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
)

// guard adapts a gate to gin.
func guard(gate *jwtgate.Gate) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		gate.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r // with the token in its context
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort() // otherwise gin calls the handlers after this one
		}
	}
}

// newHandler returns the service. It verifies tokens with keys from source.
func newHandler(source jwtgate.KeySource) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      source,
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		return nil, err
	}

	r := gin.New()
	r.Use(gin.Recovery())
	r.GET("/", hello) // public
	guarded := r.Group("/", guard(gate))
	guarded.GET("/me", hello)
	guarded.POST("/orders", guard(gate.Require(jwtgate.Scope("orders:write"))), hello)
	return r, nil
}

// hello takes the place of your handlers.
func hello(c *gin.Context) {
	c.String(http.StatusOK, "subject: %q\n", jwtgate.Subject(c.Request.Context()))
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()
	gin.SetMode(gin.ReleaseMode)

	// In production pass &keys.Remote{}, which discovers the issuer's keys.
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	handler, err := newHandler(keys.HS256(secret))
	if err != nil {
		log.Fatal(err)
	}
	demo.PrintCurl("http://"+*addr, secret)
	server := &http.Server{Addr: *addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
