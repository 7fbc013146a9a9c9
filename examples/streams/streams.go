package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"github.com/jwtgate/jwtgate"
)

// streams has the handlers of connections that stay open. They are behind gate.
type streams struct{ gate *jwtgate.Gate }

var errExpired = errors.New("the token has expired")

// watch returns a context that ends with the token of r: when the token expires, or within
// recheck after the gate no longer accepts it because it was revoked, its key was withdrawn
// or its issuer is no longer trusted. context.Cause then says why. The caller must call
// stop, which waits until r is not used any more.
func (s *streams) watch(r *http.Request) (ctx context.Context, stop func(), err error) {
	token, ok := jwtgate.FromContext(r.Context())
	if !ok {
		return nil, nil, errors.New("no gate in front of this handler")
	}
	// Without AllowNoExpiry each token has exp. The gate accepts the token until leeway
	// after it.
	ctx, release := context.WithDeadlineCause(r.Context(), token.Expires.Add(leeway), errExpired)
	ctx, end := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(recheck)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				// During an outage, such as of a deny-list, the error is a 503. The stream ends
				// then too: nobody knows whether the token is still good.
				if _, err := s.gate.Check(r.WithContext(ctx)); err != nil {
					end(err)
					return
				}
			}
		}
	}()
	return ctx, func() {
		end(nil)
		release()
		<-stopped
	}, nil
}

// farewell is what a client is told about the end of its stream. It says no more than the
// gate would: fixed texts.
func farewell(cause error) (websocket.StatusCode, string) {
	switch {
	case errors.Is(cause, errExpired), errors.Is(cause, jwtgate.ErrExpired):
		return websocket.StatusPolicyViolation, "token expired"
	case errors.Is(cause, jwtgate.ErrUnavailable):
		return websocket.StatusTryAgainLater, "try again later"
	default:
		return websocket.StatusPolicyViolation, "token not accepted"
	}
}

// webSocket sends the feed over a WebSocket.
func (s *streams) webSocket(w http.ResponseWriter, r *http.Request) {
	ctx, stop, err := s.watch(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer stop()
	// A subprotocol with a token is never the one that is chosen, so the token is not in the
	// answer. Accept refuses pages of other origins: a browser lets them open a WebSocket with
	// the user's cookie.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"feed.v1"}})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	reading := conn.CloseRead(context.WithoutCancel(ctx)) // ends when the client goes away

	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			_ = conn.Close(farewell(context.Cause(ctx)))
			return
		case <-reading.Done():
			return
		case <-ticker.C:
			// Without the deadline a client that does not read would keep its stream.
			writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
			err := conn.Write(writing, websocket.MessageText, []byte(news(ctx)))
			cancel()
			if err != nil {
				return
			}
		}
	}
}

// events sends the feed as server-sent events.
func (s *streams) events(w http.ResponseWriter, r *http.Request) {
	ctx, stop, err := s.watch(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	controller := http.NewResponseController(w)
	send := func(format string, a ...any) error {
		// Without the deadline a client that does not read would keep its stream.
		if err := controller.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, format, a...); err != nil {
			return err
		}
		return controller.Flush()
	}
	if send(": welcome\n\n") != nil { // a comment, so that the client gets the header at once
		return
	}

	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			// EventSource opens a closed stream again, with the old cookie. At this event the
			// page should close it and get a new ticket.
			_, text := farewell(context.Cause(ctx))
			_ = send("event: end\ndata: %s\n\n", text)
			return
		case <-ticker.C:
			if send("data: %s\n\n", news(ctx)) != nil {
				return
			}
		}
	}
}

func news(ctx context.Context) string { return "news for " + jwtgate.Subject(ctx) }
