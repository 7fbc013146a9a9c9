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
	frontClient   = "front" // its client ID
	maxAnswer     = 1 << 20 // the longest answer of back that is read, in bytes
)

// front is the service that users call.
type front struct {
	issuer string
	secret string // front's own, for the issuer
	back   string // the URL of back
	// patience is how long front waits for back, and before that for its own
	// token if there is none.
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
		// A redirect could lead our token and our secret elsewhere. Services have
		// no use for it.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	back := &backClient{url: f.back, http: client, token: newOwnToken(f.issuer, f.secret, client)}

	mux := http.NewServeMux()
	mux.Handle("GET /orders", gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// With the user's context: if the user goes, so does the request to back.
		orders, err := back.orders(r.Context(), jwtgate.Subject(r.Context()))
		if err != nil {
			f.logger.ErrorContext(r.Context(), "cannot get the orders", "error", err)
			apologise(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(orders); err != nil {
			f.logger.InfoContext(r.Context(), "the user has gone", "error", err)
		}
	})))
	return mux, nil
}

// errBadAnswer means that back has answered, but not with what was asked for.
var errBadAnswer = errors.New("no good answer")

// apologise answers a user whose token is good and whose request cannot be
// carried out. A 401 of back, or of the issuer, is about front's token. Handed
// on, it would tell the user's application to sign in again, in vain.
func apologise(w http.ResponseWriter, err error) {
	if errors.Is(err, errBadAnswer) {
		http.Error(w, "something is wrong with the orders", http.StatusBadGateway)
		return
	}
	w.Header().Set("Retry-After", "5")
	http.Error(w, "the orders cannot be had at the moment", http.StatusServiceUnavailable)
}

// A backClient calls back with front's own token.
type backClient struct {
	url   string
	http  *http.Client
	token *ownToken
}

// orders returns the orders of a user, as JSON.
//
// The request is made anew, with nothing of the user's request in it but who
// the user is. Above all not with the user's token: it is for front's audience,
// back refuses it, and a back that took it could act as the user wherever front
// can. For the same reason nothing goes through that came from outside under the
// name of userHeader. A reverse proxy, which copies headers, would have to remove
// Authorization, Cookie and userHeader first.
//
// Back believes front as to who asks. Where it should not have to, front would
// exchange the user's token for one that is meant for back and names both (RFC
// 8693, token exchange).
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
	// The ID may hold any character, and headers lose some: spaces at the ends,
	// which would make one user another, and line breaks, which are not sent.
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

// An ownToken is front's token for back, which it gets with its client
// credentials. It is fetched when it is first needed, and renewed from 10
// seconds before it expires. Until then it is used even if back refuses it: let
// the issuer give it a short life.
type ownToken struct {
	source oauth2.TokenSource
	fetch  singleflight.Group
}

func newOwnToken(issuer, secret string, client *http.Client) *ownToken {
	config := clientcredentials.Config{
		ClientID:     frontClient,
		ClientSecret: secret,
		TokenURL:     issuer + "/token",
		Scopes:       []string{ordersAny},
		// Whom the token is for (RFC 8707). Some issuers call it audience.
		EndpointParams: url.Values{"resource": {backAudience}},
		// If this is not said, oauth2 tries one way and then, if that fails for
		// whatever reason, the other.
		AuthStyle: oauth2.AuthStyleInHeader,
	}
	// The source keeps this context for all its fetches, so that of a request
	// would not do: it ends with the request. And without a client in it,
	// http.DefaultClient would fetch, which waits for ever.
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, client)
	return &ownToken{source: config.TokenSource(ctx)}
}

// get returns the token, or an error once ctx ends. However many wait, there is
// one fetch for them all, which goes on if they leave.
//
// The source alone would not do. It makes its callers queue up, whether their
// contexts have ended or not, and if the issuer hangs, each has to wait for the
// fetches of those before it and then for one of its own.
func (t *ownToken) get(ctx context.Context) (*oauth2.Token, error) {
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
			return nil, errors.New("the issuer does not say when the token expires (expires_in), and oauth2 would never renew it")
		}
		return token, nil
	}
}
