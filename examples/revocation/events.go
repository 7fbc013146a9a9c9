package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"

	"github.com/jwtgate/jwtgate"
)

const (
	// clientID is the ID of this application at the issuer: the aud of logout tokens.
	clientID = "news-web"
	// eventAudience is the aud of security events. The issuer knows it from the registration.
	eventAudience = "https://news.example.com/events"

	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
)

// revokingEvents are the security events after which the tokens of a user are revoked.
var revokingEvents = []string{
	"https://schemas.openid.net/secevent/caep/event-type/session-revoked",
	"https://schemas.openid.net/secevent/caep/event-type/credential-change",
	"https://schemas.openid.net/secevent/risc/event-type/account-disabled",
	"https://schemas.openid.net/secevent/risc/event-type/account-purged",
}

// notice is what the tokens of the issuer say beside the fields of jwtgate.Token.
type notice struct {
	Events map[string]json.RawMessage `json:"events"`
	// SubjectID is the user (RFC 9493 section 3.2.2).
	SubjectID struct {
		Format  string `json:"format"`
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
	} `json:"sub_id"`
}

// addNotices adds the routes by which the issuer says that a user's tokens are to be revoked.
// The issuer signs its messages: nobody else can sign users out. They are for the gates of
// these routes only. Their types keep access tokens out, and the gates of all other routes
// refuse tokens with events.
//
// A message that is sent again does no harm: it revokes the tokens that were issued up to the
// time of the message, and not those that the user has got since.
func addNotices(mux *http.ServeMux, o jwtgate.Options, list *denyList, logger *slog.Logger) error {
	o.Validate = nil
	o.CacheSize = 0
	o.MaxAge = 24 * time.Hour // also for retries after an outage; refuses messages without iat

	o.Audiences = []string{clientID}
	o.Types = []string{"logout+jwt"} // some issuers leave it out: then add "JWT" here
	// A logout token has no nonce, so that it cannot be taken for an ID token (OpenID Connect
	// Back-Channel Logout 1.0 section 2.4).
	o.Rules = []jwtgate.Rule{jwtgate.RuleFunc(hasID), jwtgate.NoClaim("nonce")}
	logouts, err := jwtgate.New(o)
	if err != nil {
		return err
	}

	o.Audiences = []string{eventAudience}
	o.Types = []string{"secevent+jwt"}
	o.Rules = []jwtgate.Rule{jwtgate.RuleFunc(hasID)}
	o.AllowNoExpiry = true  // security events have no exp (RFC 8417 section 2.2)
	o.AllowNoSubject = true // sub_id names the user
	events, err := jwtgate.New(o)
	if err != nil {
		return err
	}

	mux.Handle("POST /backchannel-logout", backChannelLogout(logouts, list, logger))
	mux.Handle("POST /events", securityEvents(events, list, logger))
	return nil
}

// backChannelLogout is the back-channel logout URI of this application (OpenID Connect
// Back-Channel Logout 1.0 section 2.5). The deny list knows no sessions: a user who signs out
// at the issuer is signed out everywhere. A logout token that names only a session is refused.
func backChannelLogout(gate *jwtgate.Gate, list *denyList, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, 32<<10)
		err := func() error {
			t, err := gate.Verify(r.Context(), r.PostFormValue("logout_token"))
			if err != nil {
				return err
			}
			var n notice
			if err := t.Decode(&n); err != nil {
				return err
			}
			if _, ok := n.Events[logoutEvent]; !ok {
				return errors.New("events has no " + logoutEvent)
			}
			return list.revokeUser(r.Context(), t.Issuer, t.Subject, t.IssuedAt)
		}()
		if err != nil {
			// Section 2.8 wants 400 if the token is bad and also if the logout fails.
			logger.ErrorContext(r.Context(), "no back-channel logout", "error", err)
			http.Error(w, "not logged out", http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
}

// securityEvents receives security events by push (RFC 8935).
func securityEvents(gate *jwtgate.Gate, list *denyList, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code, err := receiveEvent(w, r, gate, list)
		switch {
		case err == nil:
			w.WriteHeader(http.StatusAccepted)
		case code == "": // not the issuer's fault: let it send the event again
			logger.ErrorContext(r.Context(), "security event not processed", "error", err)
			w.Header().Set("Retry-After", "5")
			http.Error(w, "try again", http.StatusServiceUnavailable)
		default:
			logger.ErrorContext(r.Context(), "security event refused", "error", err)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Language", "en") // RFC 8935 section 2.3
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"err":%q,"description":"The event was not accepted."}`, code)
		}
	})
}

// receiveEvent revokes the tokens of the user of an event. For an event that is refused it
// returns the error code of RFC 8935 section 2.4.
func receiveEvent(w http.ResponseWriter, r *http.Request, gate *jwtgate.Gate, list *denyList) (code string, err error) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/secevent+jwt" {
		return "invalid_request", fmt.Errorf("Content-Type is %q, wanted is application/secevent+jwt", kind)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 32<<10))
	if err != nil {
		return "invalid_request", err
	}
	t, err := gate.Verify(r.Context(), string(body))
	if err != nil {
		return codeOf(err), err
	}
	var n notice
	if err := t.Decode(&n); err != nil {
		return "invalid_request", err
	}
	revokes := false
	for _, event := range revokingEvents {
		_, found := n.Events[event]
		revokes = revokes || found
	}
	if !revokes {
		return "", nil // an event that does not concern the tokens
	}
	// An event about a user who cannot be found must not look as if it had been obeyed.
	if n.SubjectID.Format != "iss_sub" || n.SubjectID.Subject == "" {
		return "invalid_request", fmt.Errorf("the format of sub_id is %q, wanted is iss_sub with a sub", n.SubjectID.Format)
	}
	if n.SubjectID.Issuer != t.Issuer { // no issuer revokes the tokens of another one
		return "access_denied", fmt.Errorf("sub_id is a user of %q, wanted is %q", n.SubjectID.Issuer, t.Issuer)
	}
	return "", list.revokeUser(r.Context(), t.Issuer, n.SubjectID.Subject, t.IssuedAt)
}

// codeOf returns the error code for an error of a gate, and "" for an outage.
func codeOf(err error) string {
	switch {
	case errors.Is(err, jwtgate.ErrUnavailable), errors.Is(err, jwtgate.ErrCanceled):
		return ""
	case errors.Is(err, jwtgate.ErrIssuer):
		return "invalid_issuer"
	case errors.Is(err, jwtgate.ErrAudience):
		return "invalid_audience"
	case errors.Is(err, jwtgate.ErrSignature), errors.Is(err, jwtgate.ErrUnknownKey), errors.Is(err, jwtgate.ErrAlgorithm):
		return "invalid_key"
	default:
		return "invalid_request"
	}
}
