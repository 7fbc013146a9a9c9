package jwtgate

import (
	"cmp"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/internal/charset"
)

// An answerer writes the answers to refused requests.
type answerer struct {
	realm  string
	onDeny func(http.ResponseWriter, *http.Request, *Error) // nil: the standard body
}

// defaultRealm is the realm of challenges if Options.Realm is empty: a challenge
// needs at least one parameter (RFC 6750 section 3).
const defaultRealm = "api"

// deny writes the answer that e describes. r may be nil.
func (a *answerer) deny(w http.ResponseWriter, r *http.Request, e *Error) {
	header := w.Header()
	dropBodyHeaders(header)
	values := [4]string{"no-store"} // one allocation for the values of all headers
	header["Cache-Control"] = values[0:1:1]
	if e.Status == http.StatusServiceUnavailable {
		values[1] = retryAfter(e.RetryAfter)
		header["Retry-After"] = values[1:2:2]
	} else {
		values[1] = challenge(a.realm, e)
		header["Www-Authenticate"] = values[1:2:2]
	}
	if a.onDeny != nil {
		d := &denialWriter{ResponseWriter: w, status: e.Status}
		shown := *e // OnDeny may change its copy
		a.onDeny(d, r, &shown)
		if d.wroteHeader {
			return
		}
		dropBodyHeaders(header)
	}
	values[2], values[3] = "application/json", "nosniff"
	header["Content-Type"] = values[2:3:3]
	header["X-Content-Type-Options"] = values[3:4:4]
	w.WriteHeader(e.Status)
	if r == nil || r.Method != http.MethodHead {
		// JSON does not need to escape any character of these two texts.
		code, description := describe(e)
		_, _ = w.Write([]byte(`{"error":"` + code + `","error_description":"` + description + `"}` + "\n"))
	}
}

// dropBodyHeaders removes headers that describe another body than the one of the
// refusal. A handler or OnDeny may have set them.
func dropBodyHeaders(header http.Header) {
	for _, name := range [...]string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified"} {
		delete(header, name)
	}
}

// describe returns the error code and the description that the client gets. The
// descriptions are fixed, so that they reveal no detail of the token or the service.
func describe(e *Error) (code, description string) {
	code = charset.Challenge.Filter(e.Code)
	switch e.Status {
	case http.StatusBadRequest:
		description = "The request does not carry its access token in the form this service expects."
		code = cmp.Or(code, codeInvalidRequest)
	case http.StatusForbidden:
		description = "The access token does not grant what this request needs."
		code = cmp.Or(code, codeInsufficientScope)
	case http.StatusServiceUnavailable:
		description = "The access token cannot be verified at the moment. Try again later."
		code = cmp.Or(code, "temporarily_unavailable")
	default:
		description = "The access token is not valid."
		switch {
		case errors.Is(e.Err, ErrExpired):
			// A forger learns nothing: exp is checked after the signature.
			description = "The access token has expired."
		case code == "":
			code, description = "unauthorized", "This request needs an access token."
		}
	}
	return code, description
}

// challenge returns the value of WWW-Authenticate (RFC 6750 section 3).
func challenge(realm string, e *Error) string {
	var scope, code, description string
	if allowed := charset.Challenge.Filter(e.Scope); allowed != "" {
		scope = `, scope="` + allowed + `"`
	}
	if e.Code != "" {
		code, description = describe(e)
		code, description = `, error="`+code, `", error_description="`+description+`"`
	}
	return `Bearer realm="` + quotedString.Replace(realm) + `"` + scope + code + description
}

// quotedString escapes the content of a quoted-string (RFC 9110 section 5.6.4).
var quotedString = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// retryAfter returns d in whole seconds, rounded up, and at least 1 (RFC 9110
// section 10.2.3).
func retryAfter(d time.Duration) string {
	if d == 0 {
		d = 5 * time.Second
	}
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}

// A denialWriter is the ResponseWriter of OnDeny. A body that is written without
// WriteHeader goes out with the status of the denial instead of 200.
type denialWriter struct {
	http.ResponseWriter // for Header

	status      int
	wroteHeader bool
}

func (d *denialWriter) WriteHeader(status int) {
	// An informational response is not yet the answer.
	if status >= 200 || status == http.StatusSwitchingProtocols {
		d.wroteHeader = true
	}
	d.ResponseWriter.WriteHeader(status)
}

func (d *denialWriter) Write(p []byte) (int, error) {
	if !d.wroteHeader {
		d.WriteHeader(d.status)
	}
	return d.ResponseWriter.Write(p)
}

// Flush sends the status of the denial first, because the underlying writer would
// send 200.
func (d *denialWriter) Flush() {
	if !d.wroteHeader {
		d.WriteHeader(d.status)
	}
	// A writer that cannot flush sends everything when the handler returns.
	_ = http.NewResponseController(d.ResponseWriter).Flush()
}
