package jwtgate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/internal/logtext"
)

// ErrNoToken: the request has no credentials, or credentials of another scheme.
// Status 401 without error code, reason no_token.
//
// In the log: no token: wanted is the scheme Bearer, and the Authorization header has
// "Basic"
//
// What to do: nothing, if the client only has to be asked for a token. If the
// client says that it sent a token, look for a proxy that drops or empties the header,
// and for a header value without the word Bearer.
var ErrNoToken = errors.New("no token")

// ErrRequest: the request has credentials in a form that is not allowed, such as
// two Authorization lines or a second word after the token. Status 400, reason
// request.
//
// In the log: bad request: more than one line of header "Authorization"
//
// What to do: fix the client, or the proxy that adds a header where it should
// replace one. A gate does not guess which of two tokens counts. If the text speaks of
// an adapter, some code between the server and the gate has filled the header map
// without [http.Header.Set] or [http.Header.Add]; fix that code.
var ErrRequest = errors.New("bad request")

// ErrMalformed: the token does not have the one form that is accepted (RFC 7515,
// RFC 7519), or is longer than Options.MaxTokenBytes. Status 401, reason
// malformed.
//
// In the log: malformed token: it has 1 segment, and a token has 3, separated by dots:
// an opaque token is no JWT. Some issuers make signed JWTs only if the client names an
// audience
//
// What to do: look at what the client sends. It may be an opaque token, or the
// word undefined. If it is a token of the issuer, the issuer has to be fixed: the
// text names the rule that the token breaks, and a member that occurs twice.
var ErrMalformed = errors.New("malformed token")

// ErrAlgorithm: alg is missing, unsupported, not in Options.Algorithms, or not
// the algorithm of the key. Status 401, reason algorithm.
//
// In the log: algorithm not accepted: the token is signed with RS512, the keys of this
// issuer are for HS256
//
// What to do: if the issuer signs with that algorithm, add a key for it: with
// [NewKey] and keys.Static, or by naming it in Remote.Algorithms for a JWK Set
// whose keys have no alg. Otherwise it is probably an attack; change nothing.
var ErrAlgorithm = errors.New("algorithm not accepted")

// ErrUnknownKey: the issuer has no key with the ID that kid names. Status 401,
// reason unknown_key.
//
// In the log: unknown key: kid is "2026-01", and this issuer has no key with that ID:
// the token is of another environment, or its key was withdrawn
//
// What to do: compare kid with the key IDs that the issuer publishes. If the key
// is new, a keys.Remote finds it within MinInterval. If the issuer never had the
// key, the token comes from elsewhere, such as a test environment.
var ErrUnknownKey = errors.New("unknown key")

// ErrSignature: none of the keys that were tried made the signature. Status 401,
// reason signature.
//
// In the log: bad signature: not made with the only key for kid "2026-01": the key is of
// another environment, or the token was changed
//
// What to do: if all tokens are refused, this service has the wrong key: one of
// another environment, a secret with a line break at its end, or a secret whose
// base64 has to be decoded first. If the issuer has just replaced a key under its old
// ID, a keys.Remote finds it within MinInterval. If a single token is refused, it was
// changed or forged; change nothing.
var ErrSignature = errors.New("bad signature")

// ErrExpired: exp has passed by more than Options.Leeway, or the token is older
// than Options.MaxAge. Status 401, reason expired. The description that the client
// gets says so; for all other reasons of invalid_token it is the same fixed text.
//
// In the log: token expired: exp was 2026-01-01T00:00:00Z, 30m ago; the leeway is 30s
//
// What to do: nothing; the client gets a new token from the issuer. If new tokens
// are refused too, compare the clocks of the issuer and this machine.
var ErrExpired = errors.New("token expired")

// ErrNotYetValid: nbf or iat is in the future by more than Options.Leeway. Status
// 401, reason not_yet_valid.
//
// In the log: token not yet valid: iat is 2026-01-01T01:00:00Z, 30m ahead of this
// machine's clock; the leeway is 30s
//
// What to do: set the clocks, first that of this machine. If the time is off by
// whole hours, the issuer probably writes local time instead of UTC.
var ErrNotYetValid = errors.New("token not yet valid")

// ErrIssuer: iss is missing or not trusted. Status 401, reason issuer.
//
// In the log: issuer not trusted: iss is "https://auth.example.com" and trusted is
// "https://auth.example.com/": they differ in the slash at the end
//
// What to do: if iss is your issuer, write it into Options.Issuers as the token has it,
// character by character. Otherwise the client has a token of another environment.
var ErrIssuer = errors.New("issuer not trusted")

// ErrAudience: the token is meant for another service: aud contains none of
// Options.Audiences. Status 401, reason audience.
//
// In the log: token for another audience: aud is "https://mail.example.com", this
// service is "https://api.example.com"
//
// What to do: if aud names this service, add the name to Audiences. Otherwise the
// client has to ask the issuer for a token for this service. If aud is a client
// ID, the client probably sent its ID token instead of its access token.
var ErrAudience = errors.New("token for another audience")

// ErrType: typ names another kind of token (RFC 8725 section 3.11), or, under
// Options.RFC9068, does not name an access token; or the token has the claim events,
// as security events and logout tokens have (RFC 8417 section 2). Status 401, reason
// type.
//
// In the log: token type not accepted: typ is "logout+jwt", accepted is "at+jwt", "jwt"
// or none
//
// What to do: let the client send its access token. If the issuer gives access
// tokens that typ, add it to Options.Types. To accept tokens with events, list their
// typ there too.
var ErrType = errors.New("token type not accepted")

// ErrClaim: a claim is missing or has the wrong form, or Options.Rules or
// Options.Confirm refused the token. Status 401, reason claim.
//
// In the log: claim not accepted: exp is missing, and Options.AllowNoExpiry is not set
//
// What to do: let the issuer set the claim, or set an option such as AllowNoExpiry,
// AllowNoSubject or SubjectClaim. If a rule refused the token, the log has what the
// rule says, such as: claim not accepted: claim "token_use" is "id", wanted "access".
// That error also wraps [ErrForbidden] if the rule's error does.
var ErrClaim = errors.New("claim not accepted")

// ErrRevoked is for Options.Validate to return: the token is no longer accepted.
// Status 401, reason revoked.
//
// In the log: token revoked: signed out on all devices
//
// What to do: nothing; the user has to sign in again. Wrap the error to log the
// cause, as in fmt.Errorf("%w: signed out on all devices", ErrRevoked).
var ErrRevoked = errors.New("token revoked")

// ErrAuthentication: the user has not signed in lately or strongly enough for a rule of
// [Authenticated]. Status 401 with the code insufficient_user_authentication, reason
// authentication.
//
// In the log: stronger authentication needed: acr is "pwd", wanted is "mfa"
//
// What to do: nothing, if the client sends its user to sign in again. If it does not, it
// does not know RFC 9470. If acr or auth_time is missing, let the issuer write it into
// access tokens.
var ErrAuthentication = errors.New("stronger authentication needed")

// ErrProof: the proof that the sender of a bound token holds its key is not accepted: a
// DPoP proof (RFC 9449 section 4.3), or the certificate of a TLS client (RFC 8705 section
// 3). Status 401, reason proof. For DPoP the code is invalid_dpop_proof or use_dpop_nonce,
// and otherwise invalid_token.
//
// In the log: proof not accepted: htu is "https://api.example.com/orders", wanted is
// "https://shop.example.com/orders"
//
// What to do: fix the client. If htu differs in the host or in the start of the path for
// all clients, list in dpop.Verifier.URLs how they call this service. If iat is off,
// compare the clocks. The code use_dpop_nonce is no fault: the client tries again with
// the nonce of the answer. If the certificate differs, the client has renewed it and needs
// a new token, or a proxy does not pass it on.
var ErrProof = errors.New("proof not accepted")

// ErrForbidden: the token is valid and does not grant what a rule of
// [Gate.Require] asks for. Status 403 with the scope that is needed, reason
// forbidden.
//
// In the log: not enough rights: lacks scope "orders:delete"; the token has
// "orders:read"
//
// What to do: grant the scope or role to the user or the client. If they have it
// already, compare its name with the claims of a token; a role may be nested, as in
// "/realm_access/roles".
var ErrForbidden = errors.New("not enough rights")

// ErrCanceled: the client went away while its token was checked, or the context of
// [Gate.Verify] was canceled. Status 503, which nobody receives, and reason canceled.
// A deadline that passes is not this error but ErrUnavailable.
//
// In the log: client went away: getting keys: context canceled
//
// What to do: nothing about a few. If many clients go away, look for what makes the check
// slow, such as a Validate that waits for a database. If it waits longer than the clients
// do, all requests of an outage have this reason and none has unavailable. Set a deadline
// in Validate that is shorter, so that the outage is one of ErrUnavailable.
var ErrCanceled = errors.New("client went away")

// ErrUnavailable: the token cannot be verified now, because keys are unavailable,
// Options.Validate failed, or a deadline passed. Status 503 with Retry-After, reason
// unavailable.
//
// In the log: getting keys: keys.Remote: GET
// https://auth.example.com/.well-known/openid-configuration: status 502; GET
// https://auth.example.com/.well-known/oauth-authorization-server: status 502
//
// What to do: alert on it; the fault is on the side of this service. The text
// names what failed. [Gate.Ready] also fails if keys are unavailable: call it in a
// readiness probe.
var ErrUnavailable = errors.New("cannot verify now")

// badTokens has the sentinels that mean 401 invalid_token, and for each the result of
// Error.Reason.
var badTokens = []struct {
	err    error
	reason string
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
	{ErrProof, "proof"},
	{ErrAuthentication, "authentication"},
}

// badToken returns the first sentinel of badTokens that err wraps, and its reason. Both
// results are zero if err wraps none of them.
func badToken(err error) (reason string, sentinel error) {
	for _, b := range badTokens {
		if errors.Is(err, b.err) {
			return b.reason, b.err
		}
	}
	return "", nil
}

// The error codes of RFC 6750 section 3.1.
const (
	codeInvalidRequest    = "invalid_request"
	codeInvalidToken      = "invalid_token"
	codeInsufficientScope = "insufficient_scope"
)

// An Error says why a request was refused, and how the client is answered. Each error
// of [Gate.Check] and [Gate.Verify] is an *Error, and matches one of the sentinels
// with [errors.Is]: [ErrNoToken], [ErrRequest], [ErrMalformed],
// [ErrAlgorithm], [ErrUnknownKey], [ErrSignature], [ErrExpired], [ErrNotYetValid],
// [ErrIssuer], [ErrAudience], [ErrType], [ErrClaim], [ErrRevoked], [ErrProof],
// [ErrAuthentication], [ErrForbidden], [ErrCanceled] or [ErrUnavailable].
//
// A [Rule], an [Extractor], a [KeySource] and Options.Validate choose the answer by
// the error they return: a sentinel, an error that wraps one, or an *Error. See [Rule]
// for one exception. Construct an Error by field name; fields will be added.
type Error struct {
	_ struct{}

	// Status is 400, 401, 403 or 503. An Error with another status is treated like an
	// error that is not an *Error.
	Status int
	// Code is the error code of the challenge (RFC 6750 section 3.1). It is empty
	// if the request had no credentials, and with status 503.
	Code string
	// Scope lists the scopes that are needed, separated by spaces.
	Scope string
	// Params are further parameters of the challenge, such as acr_values and max_age (RFC
	// 9470 section 3). They cannot replace a parameter that the gate writes itself: realm,
	// scope, error, error_description, resource_metadata and those of a [SchemeConfirmer].
	// A name that is not a token, and a value with a control character or a character
	// beyond ASCII, are left out.
	Params map[string]string
	// RetryAfter is sent with status 503, rounded up to whole seconds. 0 means 5
	// seconds.
	RetryAfter time.Duration
	// Err is the reason, for logs. It is never sent to the client.
	Err error
}

// Error returns the reason and the status. The text contains no token and no key.
// Values from a token are escaped and cut.
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

// Is lets [errors.Is] match an Error by its status, whatever Err is:
//
//   - 400 matches ErrRequest
//   - 403 matches ErrForbidden
//   - 503 matches ErrUnavailable, unless Err wraps ErrCanceled
//   - 401 matches ErrClaim, if Err wraps no sentinel with status 401
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
		return target == ErrUnavailable && !errors.Is(e.Err, ErrCanceled)
	case http.StatusUnauthorized:
		return target == ErrClaim && e.Reason() == "claim"
	}
	return false
}

// Reason returns a label for metrics. It is one of: no_token, request, malformed,
// algorithm, unknown_key, signature, expired, not_yet_valid, issuer, audience,
// type, claim, revoked, proof, authentication, forbidden, canceled, unavailable.
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
		if isNoToken(e.Err) {
			return "no_token"
		}
		if reason, _ := badToken(e.Err); reason != "" {
			return reason
		}
		return "claim"
	case http.StatusServiceUnavailable:
		if errors.Is(e.Err, ErrCanceled) {
			return "canceled"
		}
	}
	return "unavailable"
}

// An errorOrigin is the part of a gate that returned an error. The answer depends on it
// for an error that wraps no sentinel, or that wraps ErrForbidden.
type errorOrigin int

const (
	fromGate     errorOrigin = iota // the gate itself, or the argument of Deny
	fromExtract                     // Options.Extract
	fromSource                      // Options.Keys
	fromOptions                     // Options.Rules and Options.Confirm
	fromRequire                     // the rules of Require
	fromValidate                    // Options.Validate
)

// toError returns the answer to err as an Error that the caller may change.
func toError(err error, from errorOrigin) *Error {
	if r, ok := err.(*refusal); ok { // the usual case, which needs no errors.Is
		return newError(err, r.sentinel, from)
	}
	var given *Error
	if errors.As(err, &given) && given != nil {
		switch given.Status {
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable:
			e := *given
			e.Params = maps.Clone(given.Params)
			if err != error(given) {
				e.Err = err
			}
			return &e
		}
	}
	e := newError(err, sentinelOf(err), from)
	var s *scopeError
	if errors.As(err, &s) {
		e.Scope = s.scope
	}
	return e
}

// wraps reports whether err wraps sentinel, as errors.Is does.
func wraps(err, sentinel error) bool {
	if r, ok := err.(*refusal); ok { // the usual case, which needs no errors.Is
		return r.sentinel == sentinel
	}
	return errors.Is(err, sentinel)
}

// canceled returns e, which may be nil. If e means 503 and ctx has been canceled, the
// client went away, and the service has not failed. canceled then makes ErrCanceled the
// reason. It does so whatever the error is, because database drivers have their own
// errors for a context that ends.
func canceled(ctx context.Context, e *Error) *Error {
	if e != nil && e.Status == http.StatusServiceUnavailable && ctx.Err() == context.Canceled {
		e.Err = &canceledError{e.Err}
	}
	return e
}

// A canceledError is ErrCanceled with the error that the check ended with. It does not
// wrap that error, which may be ErrUnavailable.
type canceledError struct{ err error }

func (c *canceledError) Error() string { return fmt.Sprintf("%v: %v", ErrCanceled, c.err) }
func (c *canceledError) Is(target error) bool {
	return target == ErrCanceled || target == context.Canceled
}

// isNoToken reports whether err wraps ErrNoToken and joins it with nothing else. An
// extractor that joins it with another error does not know whether there is a token.
func isNoToken(err error) bool {
	switch e := err.(type) {
	case *refusal: // the usual case
		return e.sentinel == ErrNoToken
	case interface{ Unwrap() []error }:
		joined := e.Unwrap()
		for _, err := range joined {
			if !isNoToken(err) {
				return false
			}
		}
		return len(joined) > 0
	case interface{ Unwrap() error }:
		return isNoToken(e.Unwrap())
	}
	return errors.Is(err, ErrNoToken)
}

// sentinelOf returns the sentinel that decides the answer to err, or nil. If err
// wraps several, ErrUnavailable decides: an extractor that failed does not know
// whether there is a token. ErrNoToken counts only if there is nothing else.
func sentinelOf(err error) error {
	if errors.Is(err, ErrCanceled) {
		return ErrCanceled
	}
	if errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return ErrUnavailable
	}
	if isNoToken(err) {
		return ErrNoToken
	}
	for _, sentinel := range []error{ErrRequest, ErrForbidden} {
		if errors.Is(err, sentinel) {
			return sentinel
		}
	}
	_, sentinel := badToken(err)
	return sentinel
}

// newError returns the answer to err. sentinel is the result of sentinelOf(err).
func newError(err, sentinel error, from errorOrigin) *Error {
	e := &Error{Status: http.StatusUnauthorized, Code: codeInvalidToken, Err: err}
	switch {
	case sentinel == ErrUnavailable, sentinel == ErrCanceled:
		e.Status, e.Code = http.StatusServiceUnavailable, ""
	case sentinel == ErrNoToken:
		e.Code = ""
	case sentinel == ErrRequest:
		e.Status, e.Code = http.StatusBadRequest, codeInvalidRequest
	case sentinel == ErrForbidden && from == fromOptions:
		e.Err = &ruleRefusal{err} // 401 invalid_token
	case sentinel == ErrForbidden:
		e.Status, e.Code = http.StatusForbidden, codeInsufficientScope
	case sentinel != nil, from == fromOptions:
		// 401 invalid_token
	case from == fromRequire:
		e.Status, e.Code = http.StatusForbidden, codeInsufficientScope
	case from == fromExtract:
		e.Status, e.Code = http.StatusBadRequest, codeInvalidRequest
	default:
		e.Status, e.Code = http.StatusServiceUnavailable, ""
		if from == fromValidate {
			e.Err = fmt.Errorf("Options.Validate failed: %w; to refuse the token, wrap ErrRevoked or ErrForbidden", err)
		}
	}
	return e
}

// A refusal is a sentinel with details for the log. Its text is built only when
// somebody asks for it.
type refusal struct {
	sentinel error
	detail   string
	value    string        // untrusted, from the request or the token; quoted in the text
	absence  bool          // the request only lacks a header or cookie
	explain  func() string // not nil: returns the details instead of detail and value
}

// refuse returns a refusal. value is "" if there is none to log.
func refuse(sentinel error, detail, value string) error {
	return &refusal{sentinel: sentinel, detail: detail, value: value}
}

// refuseWith returns a refusal whose details explain returns. Use it where the details
// take time to write. explain may be called at any time, by several goroutines at
// once, so it must not keep memory that is used for another token. It must quote
// untrusted text with logtext.Quote.
func refuseWith(sentinel error, explain func() string) error {
	return &refusal{sentinel: sentinel, explain: explain}
}

func (r *refusal) Error() string { return r.sentinel.Error() + ": " + r.details() }

// details returns the text without the sentinel.
func (r *refusal) details() string {
	if r.explain != nil {
		return r.explain()
	}
	if r.value == "" {
		return r.detail
	}
	return r.detail + " " + logtext.Quote(r.value)
}

func (r *refusal) Unwrap() error { return r.sentinel }

// A scopeError is the error of a Scope rule. It is not an Error, because the status
// depends on where the rule is used: 401 in Options.Rules, 403 in Gate.Require.
type scopeError struct {
	scope   string   // all scopes of the rule
	missing string   // the first one that the token lacks
	granted []string // the first scopes of the token
	more    int      // how many scopes the token has beside granted
}

func (e *scopeError) Error() string { return ErrForbidden.Error() + ": " + e.details() }

// details returns the text without the sentinel.
func (e *scopeError) details() string {
	text := "lacks scope " + logtext.Quote(e.missing)
	if len(e.granted) == 0 {
		return text + "; the token has no scope and no scp; a Claim rule checks roles and permissions"
	}
	text += "; the token has " + logtext.QuoteUpTo(strings.Join(e.granted, " "), 80)
	if e.more > 0 {
		text += fmt.Sprintf(" and %d more", e.more)
	}
	for _, g := range e.granted {
		if slices.Contains(strings.FieldsFunc(g, separatesNames), e.missing) {
			text += "; scopes must be separated by spaces"
			break
		}
	}
	return text
}

func (e *scopeError) Unwrap() error { return ErrForbidden }

// A ruleRefusal is an error of Options.Rules or Options.Confirm that wraps ErrForbidden.
// It is answered with 401, so its text says that a claim is not accepted, in place of
// "not enough rights".
type ruleRefusal struct{ err error }

func (r *ruleRefusal) Error() string { return ErrClaim.Error() + ": " + detailsOf(r.err) }

func (r *ruleRefusal) Unwrap() error { return r.err }

// detailsOf returns the text of the error of a rule without that of ErrForbidden.
func detailsOf(err error) string {
	if e, ok := err.(interface{ details() string }); ok {
		return e.details()
	}
	return strings.TrimPrefix(err.Error(), ErrForbidden.Error()+": ")
}
