// Fiber guards routes of a fiber app with jwtgate.
//
//	go run ./fiber
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

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
)

// guard adapts a gate to fiber.
func guard(gate *jwtgate.Gate) fiber.Handler {
	return func(c fiber.Ctx) error {
		r, err := adaptor.ConvertRequest(c, true)
		if err != nil {
			return fiber.ErrBadRequest
		}
		r.Header = c.GetReqHeaders() // ConvertRequest keeps only one of several Authorization lines
		token, err := gate.Check(r.WithContext(c.Context()))
		if err != nil {
			return adaptor.HTTPHandlerFunc(func(w http.ResponseWriter, r *http.Request) { gate.Deny(w, r, err) })(c)
		}
		c.SetContext(jwtgate.NewContext(c.Context(), token))
		return c.Next()
	}
}

// newApp returns the service. It verifies tokens with keys from source.
func newApp(source jwtgate.KeySource) (*fiber.App, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      source,
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		return nil, err
	}
	signedIn, writers := guard(gate), guard(gate.Require(jwtgate.Scope("orders:write")))

	app := fiber.New(fiber.Config{
		ReadBufferSize: 32 << 10,         // must hold all headers; many tokens exceed the default of 4 KiB
		ReadTimeout:    10 * time.Second, // also limits how long a connection may be idle
	})
	app.Get("/", hello) // public
	app.Get("/me", signedIn, hello)
	app.Post("/orders", writers, hello)
	return app, nil
}

// hello takes the place of your handlers.
func hello(c fiber.Ctx) error {
	return c.SendString(fmt.Sprintf("subject: %q\n", jwtgate.Subject(c.Context())))
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()

	// In production pass &keys.Remote{}, which discovers the issuer's keys.
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	app, err := newApp(keys.HS256(secret))
	if err != nil {
		log.Fatal(err)
	}
	demo.PrintCurl("http://"+*addr, secret)
	log.Fatal(app.Listen(*addr, fiber.ListenConfig{DisableStartupMessage: true}))
}
