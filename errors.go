package jwtgate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrNoToken: the request has no credentials for this gate, but none at all, or
// those of another scheme. Status 401 without error code, reason no_token.
//
// In the log: no token: the Authorization header has another scheme "Basic"
//
// What to do: nothing, if the client is only to be asked for a token. If it says
// that it sent one, look for a proxy that drops the header, and for a token
// without the word Bearer before it.
var ErrNoToken = errors.New("no token")

// ErrRequest: there are credentials, but not in the form they must have, such as
// two Authorization lines or a second word after the token. Status 400, reason
// request.
//
// In the log: bad request: more than one line of header "Authorization"
//
// What to do: mend the client, or the proxy that adds a header where it should
// replace one. A gate does not guess which of two tokens counts.
var ErrRequest = errors.New("bad request")

// ErrMalformed: what was sent does not have the one form of a token that is
// accepted (RFC 7515, RFC 7519), or has more than Options.MaxTokenBytes. Status
// 401, reason malformed.
//
// In the log: malformed token: token: not three non-empty base64url segments
//
// What to do: look at what that client sends. It may be an opaque token, or the
// word undefined. If it is a token as the issuer makes them, the text names the
// rule that it breaks, which is for the issuer to mend.
var ErrMalformed = errors.New("malformed token")

// ErrAlgorithm: alg is missing, not supported, not one of Options.Algorithms, or
// not the one that the key is for. Status 401, reason algorithm.
//
// In the log: algorithm not accepted: the key is for another one than "RS512"
//
// What to do: if the issuer signs with that algorithm, have a key for it: one of
// [NewKey] in keys.Static, or the name in Remote.Algorithms for a JWK Set that
// does not tell. If it does not, somebody has tried something; leave it as it is.
var ErrAlgorithm = errors.New("algorithm not accepted")

// ErrUnknownKey: the issuer has no key that may have signed the token, because
// none has the ID that kid names. Status 401, reason unknown_key.
//
// In the log: unknown key: kid is "2026-01"
//
// What to do: compare with the key IDs that the issuer publishes. If it has just
// got that key, a keys.Remote finds it within its MinInterval. If it never had
// it, the token is from elsewhere, such as the test environment.
var ErrUnknownKey = errors.New("unknown key")

// ErrSignature: the signature is not that of any key tried. Status 401, reason
// signature.
//
// In the log: bad signature: of key "2026-01"
//
// What to do: if all tokens are refused so, the key is another one than the
// issuer's: of another environment, or a secret with a line break at its end, or
// one that had to be decoded from base64 first. If a single one is, it was
// changed or forged, and was refused rightly.
var ErrSignature = errors.New("bad signature")

// ErrExpired: exp has passed by more than Options.Leeway, or the token is older
// than Options.MaxAge. Status 401, reason expired. It is the one reason that the
// client is told.
//
// In the log: token expired: exp was 2026-01-01T00:00:00Z
//
// What to do: nothing, the client gets itself a new token. If new tokens are
// refused too, compare the clocks.
var ErrExpired = errors.New("token expired")

// ErrNotYetValid: nbf or iat lies in the future by more than Options.Leeway.
// Status 401, reason not_yet_valid.
//
// In the log: token not yet valid: iat is 2026-01-01T01:00:00Z
//
// What to do: set the clocks, that of this machine first. If it is off by whole
// hours, somebody has taken local time for UTC.
var ErrNotYetValid = errors.New("token not yet valid")

// ErrIssuer: iss is missing, or not trusted. Status 401, reason issuer.
//
// In the log: issuer not trusted: iss is "https://auth.example.com"
//
// What to do: compare with Options.Issuers character by character; mostly it is
// the slash at the end. If it is not your issuer at all, the client has taken
// the token of another environment.
var ErrIssuer = errors.New("issuer not trusted")

// ErrAudience: the token is good and meant for another service, since aud has
// none of Options.Audiences. Status 401, reason audience.
//
// In the log: token for another audience: aud is "https://mail.example.com"
//
// What to do: if that is a name of this service, list it in Audiences. If not,
// the client has to ask the issuer for a token for this service. Where it is a
// client ID, the client has sent its ID token instead of the access token.
var ErrAudience = errors.New("token for another audience")

// ErrType: typ says that this is another kind of token (RFC 8725 section 3.11),
// or under Options.RFC9068 that it is not an access token. Status 401, reason
// type.
//
// In the log: token type not accepted: typ is "logout+jwt"
//
// What to do: have the client send its access token. If the issuer marks access
// tokens so, list that in Options.Types.
var ErrType = errors.New("token type not accepted")

// ErrClaim: a claim is missing or has the wrong form, or one of Options.Rules, or
// Options.Confirm, found the token wanting. Status 401, reason claim.
//
// In the log: claim not accepted: exp is missing
//
// What to do: have the issuer set the claim, or waive it by name, as with
// AllowNoExpiry, AllowNoSubject or SubjectClaim. A rule that failed says so in
// its own words, such as: not enough rights: no claim "token_use".
var ErrClaim = errors.New("claim not accepted")

// ErrRevoked is for Options.Validate to return: the token is good no more. Status
// 401, reason revoked.
//
// In the log: token revoked: signed out on all devices
//
// What to do: nothing, the client has to sign in again. Wrap the error to tell
// the log why, as in fmt.Errorf("%w: signed out on all devices", ErrRevoked).
var ErrRevoked = errors.New("token revoked")

// ErrForbidden: the token is good and does not grant what the request needs, by a
// rule of [Gate.Require]. Status 403, with the scope that would be enough, reason
// forbidden.
//
// In the log: not enough rights: lacks scope "orders:delete"
//
// What to do: have the user or the client granted it. If they are, compare the
// name with a token; a role may be further inside, as in "/realm_access/roles".
var ErrForbidden = errors.New("not enough rights")

// ErrUnavailable: whether the token is good cannot be told now, because the keys
// cannot be had, Options.Validate failed, or the client did not wait. Status 503
// with Retry-After, reason unavailable.
//
// In the log: getting keys: keys.Remote: issuer "https://auth.example.com": GET
// https://auth.example.com/.well-known/openid-configuration: status 502
//
// What to do: this one is yours to mend, so alert on it. The text says what could
// not be reached. [Gate.Ready] tells the same about keys, for a probe. A text that
// ends in "context canceled" is a client that has gone.
var ErrUnavailable = errors.New("cannot verify now")

// The error codes of RFC 6750 section 3.1.
const (
	codeInvalidRequest    = "invalid_request"
	codeInvalidToken      = "invalid_token"
	codeInsufficientScope = "insufficient_scope"
)

// refusals has the sentinels that mean a bad token, with their labels.
var refusals = []struct {
	err   error
	label string
}{
	{ErrMalformed, "malformed"},
	{ErrAlgorithm, "algorithm"},
	{ErrUnknownKey, "unknown_key"},
	{ErrSignature, "signature"},
	{ErrExpired, "expired"},
	{ErrNotYetValid, "not_yet_valid"},
	{ErrIssuer, "issuer"},
	{ErrAudience, "audience"},
	{ErrType, "type"},
	{ErrClaim, "claim"},
	{ErrRevoked, "revoked"},
}

// refusalOf returns the label of the sentinel that err wraps, and the sentinel,
// if that is one of those that mean a bad token.
func refusalOf(err error) (label string, sentinel error) {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.label, r.err
		}
	}
	return "", nil
}

// An Error is why a request was refused, and the answer it gets. Every error of
// [Gate.Check] and [Gate.Verify] is one, and one of the sentinels by [errors.Is]:
// [ErrNoToken], [ErrRequest], [ErrMalformed], [ErrAlgorithm], [ErrUnknownKey],
// [ErrSignature], [ErrExpired], [ErrNotYetValid], [ErrIssuer], [ErrAudience],
// [ErrType], [ErrClaim], [ErrRevoked], [ErrForbidden] or [ErrUnavailable].
//
// A [Rule], [Extractor], [KeySource] or Options.Validate chooses the answer by
// returning a sentinel, or an error that wraps one, or an *Error for an answer of
// its own. Construct one by field name; fields will be added.
type Error struct {
	_ struct{}

	// Status is 400, 401, 403 or 503.
	Status int
	// Code is the error code of the challenge (RFC 6750 section 3.1). It is
	// empty where no credentials came and beside 503.
	Code string
	// Scope is the scope that would have been enough, as a space-separated
	// list.
	Scope string
	// RetryAfter is sent with 503, in whole seconds; 0 means 5 seconds.
	RetryAfter time.Duration
	// Err is the reason, for logs. It is never sent to the client.
	Err error
}

// Error returns the reason and the status. It holds no token and no key;
// values from the token are escaped and cut.
func (e *Error) Error() string {
	if e == nil {
		return "jwtgate: a nil *Error; return a plain nil where there is none"
	}
	if e.Err == nil {
		return fmt.Sprintf("jwtgate: status %d", e.Status)
	}
	return fmt.Sprintf("jwtgate: %v (status %d)", e.Err, e.Status)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Is tells that an Error with status 400, 403 or 503 is ErrRequest, ErrForbidden
// or ErrUnavailable, and one with 401 ErrClaim if it has no closer reason,
// whatever Err is. It is called by [errors.Is].
func (e *Error) Is(target error) bool {
	if e == nil {
		return false
	}
	switch e.Status {
	case http.StatusBadRequest:
		return target == ErrRequest
	case http.StatusForbidden:
		return target == ErrForbidden
	case http.StatusServiceUnavailable:
		return target == ErrUnavailable
	case http.StatusUnauthorized:
		return target == ErrClaim && e.Reason() == "claim"
	}
	return false
}

// Reason returns a label for metrics, one of a fixed set: no_token, request,
// malformed, algorithm, unknown_key, signature, expired, not_yet_valid,
// issuer, audience, type, claim, revoked, forbidden, unavailable.
func (e *Error) Reason() string {
	if e == nil {
		return "unavailable"
	}
	switch e.Status {
	case http.StatusBadRequest:
		return "request"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusUnauthorized:
		if errors.Is(e.Err, ErrNoToken) {
			return "no_token"
		}
		label, _ := refusalOf(e.Err)
		return or(label, "claim")
	default:
		return "unavailable"
	}
}

// origin is where an error came from. What an error means that is not one of
// ours depends on it.
type origin int

const (
	fromGate     origin = iota // our own errors, and what Deny is called with
	fromExtract                // Options.Extract
	fromSource                 // Options.Keys
	fromOptions                // Options.Rules and Options.Confirm
	fromRequire                // the rules of Require
	fromValidate               // Options.Validate
)

// toError turns err into the answer it stands for. It returns an Error of its
// own, which the caller may change.
func toError(err error, from origin) *Error {
	if r, ok := err.(*refusal); ok { // with nothing else inside
		return answer(err, r.err, from)
	}
	var given *Error
	if errors.As(err, &given) && given != nil { // a nil of its type is an error like any other
		switch given.Status {
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable:
			e := *given
			if err != error(given) {
				e.Err = err
			}
			return &e
		}
	}
	e := answer(err, sentinelOf(err), from)
	var s *scopeError
	if errors.As(err, &s) {
		e.Scope = s.scope
	}
	return e
}

// sentinelOf returns the sentinel that decides about err, or nil.
func sentinelOf(err error) error {
	if errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		// First of all: who could not look does not know that there is no token.
		return ErrUnavailable
	}
	for _, sentinel := range []error{ErrNoToken, ErrRequest, ErrForbidden} {
		if errors.Is(err, sentinel) {
			return sentinel
		}
	}
	_, sentinel := refusalOf(err)
	return sentinel
}

// answer returns the answer to err, given the sentinel that decides.
func answer(err, sentinel error, from origin) *Error {
	e := &Error{Status: http.StatusUnauthorized, Code: codeInvalidToken, Err: err}
	switch {
	case sentinel == ErrUnavailable:
		e.Status, e.Code = http.StatusServiceUnavailable, ""
	case sentinel == ErrNoToken:
		e.Code = ""
	case sentinel == ErrRequest:
		e.Status, e.Code = http.StatusBadRequest, codeInvalidRequest
	case sentinel == ErrForbidden && from != fromOptions:
		e.Status, e.Code = http.StatusForbidden, codeInsufficientScope
	case sentinel != nil, from == fromOptions:
	case from == fromRequire:
		e.Status, e.Code = http.StatusForbidden, codeInsufficientScope
	case from == fromExtract:
		e.Status, e.Code = http.StatusBadRequest, codeInvalidRequest
	default:
		e.Status, e.Code = http.StatusServiceUnavailable, ""
	}
	return e
}

// A refusal is one of the sentinels with the detail that a log needs. It is
// put into words only when somebody asks.
type refusal struct {
	err    error
	detail string
	value  string // from the token, and not to be trusted; "" for none
}

func refuse(err error, detail, value string) error {
	return &refusal{err: err, detail: detail, value: value}
}

// refuseValue refuses a token for a parameter or claim of it, which may be
// missing or empty.
func refuseValue(err error, name, value string) error {
	if value == "" {
		return refuse(err, name+" is missing or empty", "")
	}
	return refuse(err, name+" is", value)
}

func (r *refusal) Error() string {
	if r.value == "" {
		return r.err.Error() + ": " + r.detail
	}
	return r.err.Error() + ": " + r.detail + " " + quote(r.value)
}

func (r *refusal) Unwrap() error { return r.err }

// quote makes a string of anybody's fit for a line of a log: escaped, and cut
// well before 256 bytes.
func quote(s string) string {
	const most = 96
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	q := strconv.QuoteToASCII(s)
	if len(q) > most {
		q, cut = q[:most], true
	}
	if cut {
		q += "..."
	}
	return q
}

// Deny answers a request with what err stands for: the status, for 400, 401
// and 403 a Bearer challenge (RFC 6750 section 3), for 503 a Retry-After, and
// a short JSON body that tells the client no more than the error code does.
// Options.OnDeny may replace the body.
//
// It is for callers of [Gate.Check], and for handlers that find out later that
// a request must be refused. An err that is neither an [*Error] nor one of the
// package's sentinels is answered with 503, and so is nil: Deny never lets a
// request through.
func (g *Gate) Deny(w http.ResponseWriter, r *http.Request, err error) {
	e := toError(err, fromGate)
	if err == nil {
		e.Err = refuse(ErrUnavailable, "Deny was called without an error", "")
	}

	realm := defaultRealm
	var onDeny func(http.ResponseWriter, *http.Request, *Error)
	if g != nil && g.verifier != nil {
		realm, onDeny = g.verifier.realm, g.verifier.onDeny
	}

	header := w.Header()
	dropBodyHeaders(header)
	values := [4]string{"no-store"} // one piece of memory for all of them
	header["Cache-Control"] = values[0:1:1]
	if e.Status == http.StatusServiceUnavailable {
		values[1] = retryAfter(e.RetryAfter)
		header["Retry-After"] = values[1:2:2]
	} else {
		values[1] = challenge(realm, e)
		header["Www-Authenticate"] = values[1:2:2]
	}
	if onDeny != nil {
		d := &denialWriter{under: w, status: e.Status}
		shown := *e // what OnDeny makes of it does not change the answer
		onDeny(d, r, &shown)
		if d.wrote {
			return
		}
		dropBodyHeaders(header)
	}
	values[2], values[3] = "application/json", "nosniff"
	header["Content-Type"] = values[2:3:3]
	header["X-Content-Type-Options"] = values[3:4:4]
	w.WriteHeader(e.Status)
	if r == nil || r.Method != http.MethodHead {
		// Neither has a character that JSON would have escaped.
		code, description := explain(e)
		_, _ = w.Write([]byte(`{"error":"` + code + `","error_description":"` + description + `"}` + "\n"))
	}
}

// dropBodyHeaders removes what was said of a body that is not sent.
func dropBodyHeaders(header http.Header) {
	for _, name := range [...]string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified"} {
		delete(header, name)
	}
}

// defaultRealm stands in the challenge where Options.Realm is not set: RFC
// 6750 section 3 wants at least one parameter.
const defaultRealm = "api"

// explain returns the code and the text that a client is told. There is one
// text for each code, so that nothing of the token or of the service shows.
func explain(e *Error) (code, description string) {
	code = ascii(e.Code)
	switch e.Status {
	case http.StatusBadRequest:
		description = "The request does not carry its access token in the form this service expects."
		code = or(code, codeInvalidRequest)
	case http.StatusForbidden:
		description = "The access token does not grant what this request needs."
		code = or(code, codeInsufficientScope)
	case http.StatusServiceUnavailable:
		description = "The access token cannot be verified at the moment. Try again later."
		code = or(code, "temporarily_unavailable")
	default:
		description = "The access token is not valid."
		switch {
		case errors.Is(e.Err, ErrExpired):
			// Only a token with a good signature is found to be expired.
			description = "The access token has expired."
		case code == "":
			code, description = "unauthorized", "This request needs an access token."
		}
	}
	return code, description
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// challenge returns the value of WWW-Authenticate (RFC 6750 section 3).
func challenge(realm string, e *Error) string {
	var scope, code, description string
	if allowed := ascii(e.Scope); allowed != "" {
		scope = `, scope="` + allowed + `"`
	}
	if e.Code != "" {
		code, description = explain(e)
		code, description = `, error="`+code, `", error_description="`+description+`"`
	}
	return `Bearer realm="` + quotedPairs.Replace(realm) + `"` + scope + code + description
}

// quotedPairs escapes the inside of a quoted-string (RFC 9110 section 5.6.4).
var quotedPairs = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// ascii returns s without the characters that RFC 6750 section 3 keeps out of
// error, error_description and scope.
func ascii(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return -1
		}
		return c
	}, s)
}

// retryAfter returns d in whole seconds, rounded up, and at least one (RFC
// 9110 section 10.2.3).
func retryAfter(d time.Duration) string {
	if d == 0 {
		d = 5 * time.Second
	}
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}

// denialWriter is what OnDeny writes to. A body without WriteHeader goes out
// with the status of the denial instead of 200.
type denialWriter struct {
	under  http.ResponseWriter
	status int
	wrote  bool
}

func (d *denialWriter) Header() http.Header { return d.under.Header() }

func (d *denialWriter) WriteHeader(status int) {
	// Informational responses come before the answer and are none.
	if status >= 200 || status == http.StatusSwitchingProtocols {
		d.wrote = true
	}
	d.under.WriteHeader(status)
}

func (d *denialWriter) Write(p []byte) (int, error) {
	if !d.wrote {
		d.WriteHeader(d.status)
	}
	return d.under.Write(p)
}

// Flush sends the status too, since the one beneath would send 200.
func (d *denialWriter) Flush() {
	if !d.wrote {
		d.WriteHeader(d.status)
	}
	// A writer that cannot flush sends everything in the end.
	_ = http.NewResponseController(d.under).Flush()
}
