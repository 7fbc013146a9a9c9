package main

import (
	"net/http"
	"net/url"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

const (
	backAudience = "https://orders.example.internal"
	// userHeader is the header in which front names the user whose orders it wants. The
	// header is plain data, like a query parameter, and proves nothing.
	userHeader = "X-User"
	ordersAny  = "orders:any" // the scope of services that may read the orders of all users
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

	// Only front passes this gate, so the handler may trust userHeader. client_id alone is
	// not enough: tokens of users who sign in through front also have front's client ID.
	// So sub is checked too. In a token that front got by client credentials, sub
	// identifies front (RFC 9068 section 2.2). Check that your issuer sets sub to the
	// client ID too.
	front := gate.Require(
		jwtgate.Claim("client_id", frontClient),
		jwtgate.Claim("sub", frontClient),
		jwtgate.Scope(ordersAny),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /orders", front.Handler(http.HandlerFunc(ordersOfUser)))
	return mux, nil
}

// orders takes the place of a database.
var orders = map[string][]string{
	"alice": {"teapot", "lamp"},
	"bob":   {"book"},
}

// ordersOfUser answers requests of front. Here jwtgate.Subject returns front's ID, not
// the user's.
func ordersOfUser(w http.ResponseWriter, r *http.Request) {
	values := r.Header.Values(userHeader)
	if len(values) != 1 || values[0] == "" {
		http.Error(w, "one "+userHeader+" header is needed", http.StatusBadRequest)
		return
	}
	user, err := url.QueryUnescape(values[0])
	if err != nil {
		http.Error(w, userHeader+" is not escaped correctly", http.StatusBadRequest)
		return
	}
	answer(w, http.StatusOK, map[string]any{"user": user, "orders": orders[user]})
}
