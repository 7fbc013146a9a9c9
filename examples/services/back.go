package main

import (
	"net/http"
	"net/url"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	backAudience = "https://orders.example.internal"
	// userHeader is where front says for which user it asks. It is data, like a
	// parameter of the query, and proves nothing.
	userHeader = "X-User"
	ordersAny  = "orders:any" // the scope of services that may read everybody's orders
)

// newBack returns the service that has the orders.
func newBack(issuer string) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{issuer},
		Audiences: []string{backAudience},
		RFC9068:   true,
	})
	if err != nil {
		return nil, err
	}

	// Whoever gets past this gate is front, and userHeader is believed for that
	// reason alone. The sub says that the token is front's own, as client
	// credentials give it (RFC 9068 section 2.2; look at a token of your issuer).
	// The client_id by itself does not: tokens that users get by signing in through
	// front have it too.
	front := gate.Require(
		jwtgate.Claim("client_id", frontClient),
		jwtgate.Claim("sub", frontClient),
		jwtgate.Scope(ordersAny),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /orders", front.Handler(http.HandlerFunc(ordersOfUser)))
	return mux, nil
}

// orders stands for a database.
var orders = map[string][]string{
	"alice": {"teapot", "lamp"},
	"bob":   {"book"},
}

// ordersOfUser is for requests of front. jwtgate.Subject is front here, and not
// the user.
func ordersOfUser(w http.ResponseWriter, r *http.Request) {
	values := r.Header.Values(userHeader)
	if len(values) != 1 || values[0] == "" {
		http.Error(w, "one "+userHeader+" header is needed", http.StatusBadRequest)
		return
	}
	user, err := url.QueryUnescape(values[0])
	if err != nil {
		http.Error(w, userHeader+" is not escaped as it should be", http.StatusBadRequest)
		return
	}
	answer(w, http.StatusOK, map[string]any{"user": user, "orders": orders[user]})
}
