// Echo guards routes of an echo instance with jwtgate. The adapter is echo's own
// WrapMiddleware.
//
//	go run ./echo
//
// prints curl lines with tokens.
package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"
)

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

	e := echo.New()
	e.Use(middleware.Recover())
	e.GET("/", hello) // public
	guarded := e.Group("", echo.WrapMiddleware(gate.Handler))
	guarded.GET("/me", hello)
	guarded.POST("/orders", hello, echo.WrapMiddleware(gate.Require(jwtgate.Scope("orders:write")).Handler))
	return e, nil
}

// hello takes the place of your handlers.
func hello(c *echo.Context) error {
	return c.String(http.StatusOK, fmt.Sprintf("subject: %q\n", jwtgate.Subject(c.Request().Context())))
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()

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
