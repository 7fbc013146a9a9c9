package migration

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// echoJWTAfter uses the gate like any other net/http middleware.
func echoJWTAfter(secret []byte) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256(secret),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		return nil, err
	}

	e := echo.New()
	e.Use(echo.WrapMiddleware(gate.Handler))
	e.GET("/me", func(c echo.Context) error {
		return c.String(http.StatusOK, fmt.Sprintln("hello", jwtgate.Subject(c.Request().Context())))
	})
	return e, nil
}
