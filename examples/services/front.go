package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/sync/singleflight"
)

const (
	frontAudience = "https://shop.example.com"
	frontClient   = "front" // front's client ID
	maxAnswer     = 1 << 20 // in bytes; a longer answer of back is an error
)

// front is the service that users call.
type front struct {
	issuer string
	secret string // front's client secret
	back   string // the URL of back
	// patience is how long front waits for a token, and then how long it waits for
	// back.
	patience time.Duration
	logger   *slog.Logger
}

// handler returns the service.
func (f front) handler() (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{f.issuer},
		Audiences: []string{frontAudience},
	})
	if err != nil {
		return nil, err
	}
	client := &http.Client{
		Timeout: f.patience,
		// Do not follow redirects: they could send front's token or secret to another
		// server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	back := &backClient{url: f.back, http: client, token: newClientToken(f.issuer, f.secret, client)}

	mux := http.NewServeMux()
	mux.Handle("GET /orders", gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Pass on the context of the user's request: if the user disconnects, the request to
		// back ends too. The subject alone names the user, because front trusts one issuer.
		// With several issuers, pass on both results of jwtgate.Identity.
		orders, err := back.orders(r.Context(), jwtgate.Subject(r.Context()))
		if err != nil {
			f.logger.ErrorContext(r.Context(), "cannot get the orders", "error", err)
			apologise(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(orders); err != nil {
			f.logger.InfoContext(r.Context(), "the user has disconnected", "error", err)
		}
	})))
	return mux, nil
}

// errBadAnswer means that back has answered, but not with the orders.
var errBadAnswer = errors.New("no good answer")

// apologise answers the user if front cannot get the orders. It never forwards a 401 of
// back or of the issuer. Such a 401 is about front's credentials. The user's token is
// good, but the user's application would make the user sign in again, which does not
// help.
func apologise(w http.ResponseWriter, err error) {
	if errors.Is(err, errBadAnswer) {
		http.Error(w, "something is wrong with the orders", http.StatusBadGateway)
		return
	}
	w.Header().Set("Retry-After", "5")
	http.Error(w, "the orders are unavailable at the moment", http.StatusServiceUnavailable)
}

// A backClient sends requests to back with front's token.
type backClient struct {
	url   string
	http  *http.Client
	token *clientToken
}

// orders returns the orders of a user, as JSON.
//
// The request to back is a new one. Only the user's ID comes from the user's request.
// The user's token is not forwarded: its audience is front, so back refuses it. If back
// accepted such tokens, back could use them to act as the users, for example at front.
// A userHeader sent by the user is not forwarded either. A reverse proxy copies
// headers, so a proxy must remove Authorization, Cookie and userHeader first.
//
// Back trusts front to name the right user. To let back verify the user itself,
// exchange the user's token for a token that is for back and names both the user and
// front (token exchange, RFC 8693).
func (b *backClient) orders(ctx context.Context, user string) ([]byte, error) {
	token, err := b.token.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("getting a token for back: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/orders", nil)
	if err != nil {
		return nil, err
	}
	token.SetAuthHeader(request)
	// Escape the ID, because it may contain any character. Headers lose spaces at the
	// ends, which would turn one user into another, and cannot contain line breaks.
	request.Header.Set(userHeader, url.QueryEscape(user))
	response, err := b.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w of back: %s", errBadAnswer, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of back: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("%w of back: it is too long", errBadAnswer)
	}
	return body, nil
}

// A clientToken is front's token for back. On first use, front gets the token from the
// issuer with its client credentials. From 10 seconds before the token expires, the
// next use renews it. A refusal by back does not renew the token, so have the issuer
// give it a short lifetime.
//
// Its methods are safe for concurrent use.
type clientToken struct {
	source oauth2.TokenSource
	fetch  singleflight.Group
}

func newClientToken(issuer, secret string, client *http.Client) *clientToken {
	config := clientcredentials.Config{
		ClientID:     frontClient,
		ClientSecret: secret,
		TokenURL:     issuer + "/token",
		Scopes:       []string{ordersAny},
		// The service that the token is for (RFC 8707). Some issuers call this parameter
		// audience.
		EndpointParams: url.Values{"resource": {backAudience}},
		// Until a request succeeds, the default (AuthStyleAutoDetect) repeats each failed
		// request with the secret in the body.
		AuthStyle: oauth2.AuthStyleInHeader,
	}
	// The source keeps this context for all its fetches, so it must not be the context
	// of a request, which ends with the request. It must contain the client: the default
	// is http.DefaultClient, which has no timeout.
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, client)
	return &clientToken{source: config.TokenSource(ctx)}
}

// get returns the token. It returns an error if the fetch fails or ctx ends first.
// Concurrent callers share one fetch. The fetch continues after its callers have left.
//
// get does not call source.Token directly, because Token ignores contexts and makes its
// callers queue: if the issuer hangs, each caller waits for the fetches of all callers
// before it and then for its own.
func (t *clientToken) get(ctx context.Context) (*oauth2.Token, error) {
	fetched := t.fetch.DoChan("", func() (any, error) { return t.source.Token() })
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-fetched:
		if result.Err != nil {
			return nil, result.Err
		}
		token := result.Val.(*oauth2.Token)
		if token.Expiry.IsZero() {
			return nil, errors.New("the issuer does not say when the token expires (expires_in), so oauth2 would never renew it")
		}
		return token, nil
	}
}
