package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate"
)

const (
	// bearerPrefix starts the subprotocol that carries the token. The characters of a token
	// may all occur in the name of a subprotocol (RFC 6455 section 4.1).
	bearerPrefix = "bearer."
	// ticketName is the name of the cookie that opens streams. The prefix __Host- keeps
	// other hosts of the domain from setting it.
	ticketName = "__Host-stream"
	// ticketLifetime is how long the cookie lives: long enough to open a stream, and to open
	// it again after a short failure of the network.
	ticketLifetime = time.Minute
)

// subprotocol is a [jwtgate.Extractor] for the token among the subprotocols that the client
// of a WebSocket offers.
func subprotocol(r *http.Request) (string, error) {
	token, found := "", false
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			rest, ok := strings.CutPrefix(strings.Trim(name, " \t"), bearerPrefix)
			switch {
			case !ok:
			case found:
				return "", fmt.Errorf("%w: two subprotocols start with %s", jwtgate.ErrRequest, bearerPrefix)
			case rest == "":
				return "", fmt.Errorf("%w: the subprotocol %s has no token", jwtgate.ErrRequest, bearerPrefix)
			default:
				token, found = rest, true
			}
		}
	}
	return token, nil
}

// ticket answers with a cookie that holds the token of the request for a minute. A browser
// stores at most 4,096 bytes for a cookie: if your tokens are longer, store them here and
// put a random ID into the cookie.
func ticket(w http.ResponseWriter, r *http.Request) {
	token, err := jwtgate.Bearer(r)
	if err != nil || token == "" {
		http.Error(w, "no gate in front of this handler", http.StatusInternalServerError)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name:     ticketName,
		Value:    token,
		MaxAge:   int(ticketLifetime.Seconds()),
		Path:     "/",  // the prefix __Host- requires this, Secure and no Domain
		Secure:   true, // sent only over TLS
		HttpOnly: true,
		SameSite: http.SameSiteStrictMode, // not sent with requests that other sites cause
	})
	w.WriteHeader(http.StatusNoContent)
}
