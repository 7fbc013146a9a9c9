package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/jws"
)

// A step is one check on the path of a request.
type step struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	About  string `json:"about"`
	State  state  `json:"state"`
	Detail string `json:"detail"`
}

type state string

const (
	passed     state = "passed"
	refused    state = "refused"
	unsure     state = "cannot tell" // status 503
	unset      state = "not set"     // the options give the step nothing to check
	notReached state = "not reached"
)

// path has the steps in the order in which a gate takes them.
var path = []step{
	{ID: "request", Title: "Request", About: "net/http can parse it"},
	{ID: "extract", Title: "Extract", About: "exactly one credential, well formed"},
	{ID: "form", Title: "Form", About: "size, two dots, strict base64url"},
	{ID: "header", Title: "Header", About: "strict JSON, no crit, an accepted alg"},
	{ID: "issuer", Title: "Issuer", About: "strict JSON; iss (not yet verified) is trusted"},
	{ID: "keys", Title: "Keys", About: "the issuer has a key for this kid and alg"},
	{ID: "signature", Title: "Signature", About: "made with one of these keys"},
	{ID: "claims", Title: "Claims", About: "strict JSON: no duplicates, the right types"},
	{ID: "times", Title: "Times", About: "exp, nbf, iat"},
	{ID: "audience", Title: "Audience", About: "iss is the keys' issuer; aud names this service"},
	{ID: "type", Title: "Type", About: "typ is accepted"},
	{ID: "subject", Title: "Subject", About: "has a subject; cnf fits Confirm; RFC 9068"},
	{ID: "rules", Title: "Rules", About: "the rules for every token, else 401"},
	{ID: "confirm", Title: "Confirm", About: "a new proof, for this request, by the key in cnf"},
	{ID: "validate", Title: "Validate", About: "revocation, tenancy: may call a database"},
	{ID: "require", Title: "Require", About: "the rules of the route, else 403"},
	{ID: "handler", Title: "Handler", About: "called with the token in its context"},
}

// A trace records what the hooks of a gate see of one request.
type trace struct {
	reached    map[string]bool   // by step; only steps that begin with a hook
	details    map[string]string // by step
	credential string
	event      jwtgate.Event
	log        bytes.Buffer // the record of AuditLog
}

// begin makes t ready for a request.
func (t *trace) begin() {
	*t = trace{reached: map[string]bool{}, details: map[string]string{}}
}

func (t *trace) reach(id, detail string) { t.reached[id], t.details[id] = true, detail }

// steps returns the path with the state of each step. o has the form's options,
// without the hooks. status is the status of the answer.
func (t *trace) steps(o jwtgate.Options, required []jwtgate.Rule, status int) []step {
	end, final := "handler", passed
	if !t.reached["handler"] {
		end, final = t.refusedAt(o), refused
		if status == http.StatusServiceUnavailable {
			final = unsure
		}
	}
	t.describe(t.event.Token)
	bound := boundBy(t.event.Token)
	if bound != "" {
		t.details["confirm"] = "bound by " + bound
	}
	var e *jwtgate.Error
	if errors.As(t.event.Err, &e) {
		t.details[end] = e.Err.Error()
		for _, s := range sentinels { // their texts say what the title of the step says
			t.details[end] = strings.TrimPrefix(t.details[end], s.err.Error()+": ")
		}
	}
	nothingToCheck := map[string]bool{
		"issuer": o.AnyIssuer, "audience": o.AnyAudience,
		"rules": len(o.Rules) == 0, "confirm": o.Confirm == nil || bound == "none", "validate": o.Validate == nil, "require": len(required) == 0,
	}
	steps, next := slices.Clone(path), passed
	for i := range steps {
		s := &steps[i]
		s.State = next
		switch {
		case s.ID == end:
			s.State, next = final, notReached
		case next == passed && nothingToCheck[s.ID]:
			s.State = unset
		}
		if s.State != notReached {
			s.Detail = t.details[s.ID]
		}
	}
	return steps
}

// boundBy returns what a verified token is bound by, as AuditLog says it. It returns "" for
// a nil token.
func boundBy(token *jwtgate.Token) string {
	if token != nil {
		for _, a := range token.LogValue().Group() {
			if a.Key == "bound" {
				return a.Value.String()
			}
		}
	}
	return ""
}

// describe sets the details of the steps to the values in a verified token. A nil
// token has none.
func (t *trace) describe(token *jwtgate.Token) {
	if token == nil {
		return
	}
	var times []string
	for _, c := range []struct {
		name string
		time time.Time
	}{{"exp", token.Expires}, {"nbf", token.NotBefore}, {"iat", token.IssuedAt}} {
		if !c.time.IsZero() {
			times = append(times, c.name+" "+c.time.Format(time.RFC3339))
		}
	}
	t.details["header"] = fmt.Sprintf("alg %s, kid %q", token.Algorithm, token.KeyID)
	t.details["issuer"] = fmt.Sprintf("iss %q", token.Issuer)
	t.details["times"] = strings.Join(times, ", ")
	t.details["audience"] = fmt.Sprintf("aud %q", token.Audience)
	t.details["type"] = fmt.Sprintf("typ %q", token.Type)
	t.details["subject"] = fmt.Sprintf("subject %q", token.Subject)
}

// refusedAt returns the step that refused a request that did not reach the handler.
// The step is between the last hook that was reached and the next hook. The sentinel
// of the error identifies the step among the steps between these hooks. If several of
// them have the same sentinel, malformedAt and claimAt repeat the checks one by one.
func (t *trace) refusedAt(o jwtgate.Options) string {
	is := func(targets ...error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(t.event.Err, target) })
	}
	switch {
	case !t.reached["extract"]:
		t.details["request"] = "net/http refuses the request before the gate sees it"
		return "request"
	case t.credential == "", is(jwtgate.ErrNoToken, jwtgate.ErrRequest):
		return "extract"
	case !t.reached["keys"]:
		switch {
		case is(jwtgate.ErrClaim):
			return "extract" // the scheme is Bearer, and tokens must be bound
		case is(jwtgate.ErrAlgorithm):
			return "header"
		case is(jwtgate.ErrIssuer):
			return "issuer"
		}
		return t.malformedAt()
	case !t.reached["rules"]:
		switch {
		case is(jwtgate.ErrSignature):
			return "signature"
		case is(jwtgate.ErrMalformed):
			return t.malformedAt()
		case is(jwtgate.ErrExpired, jwtgate.ErrNotYetValid):
			return "times"
		case is(jwtgate.ErrType):
			return "type"
		case is(jwtgate.ErrIssuer, jwtgate.ErrAudience, jwtgate.ErrClaim):
			return claimAt(o, t.credential, is)
		}
		return "keys"
	case !t.reached["confirm"]:
		return "rules"
	case !t.reached["validate"]:
		return "confirm"
	case !t.reached["require"]:
		return "validate"
	}
	return "require"
}

// maxTokenBytes is the default of Options.MaxTokenBytes.
const maxTokenBytes = 16 << 10

// malformedAt returns the step that refuses a malformed token. It repeats the checks
// of the form and of the header.
func (t *trace) malformedAt() string {
	parts, err := jws.Split([]byte(t.credential))
	if err != nil || len(t.credential) > maxTokenBytes {
		return "form"
	}
	for _, segment := range [][]byte{parts.Header(), parts.Payload(), parts.Signature()} {
		if _, err := jws.AppendDecoded(nil, segment); err != nil {
			return "form"
		}
	}
	header, _ := jws.AppendDecoded(nil, parts.Header())
	if _, err := jws.ParseHeader(header); err != nil {
		return "header"
	}
	if !t.reached["keys"] {
		return "issuer" // iss cannot be read from the claims
	}
	return "claims"
}

// claimAt returns the step that refuses a claim of a token with a good signature. The
// sentinel is the same for claims of the wrong type, missing claims and claims with a
// wrong value. So claimAt verifies the token again with gates that check less: if such
// a gate refuses the token too, the step is among those it checks.
func claimAt(o jwtgate.Options, token string, is func(...error) bool) string {
	lenient := jwtgate.Options{
		Keys: o.Keys, Issuers: o.Issuers, AnyIssuer: o.AnyIssuer, Algorithms: o.Algorithms,
		SubjectClaim: o.SubjectClaim, Leeway: o.Leeway, Now: o.Now,
		AnyAudience: true, AllowNoSubject: true, AllowNoExpiry: true,
		Confirm: []jwtgate.Confirmer{anyKey("jkt"), anyKey("x5t#S256")}, AllowUnbound: true,
	}
	refuses := func(o jwtgate.Options, target error) bool {
		gate, err := jwtgate.New(o) // New has accepted stricter options before
		if err == nil {
			_, err = gate.Verify(context.Background(), token)
		}
		return errors.Is(err, target)
	}
	for _, target := range []error{jwtgate.ErrIssuer, jwtgate.ErrAudience, jwtgate.ErrClaim} {
		if is(target) && refuses(lenient, target) {
			return "claims"
		}
	}
	if !is(jwtgate.ErrClaim) {
		return "audience"
	}
	lenient.AllowNoExpiry, lenient.MaxAge = o.AllowNoExpiry, o.MaxAge
	if refuses(lenient, jwtgate.ErrClaim) {
		return "times"
	}
	return "subject"
}

// anyKey is a Confirmer for a member of cnf that takes each sender for the holder of the
// key.
type anyKey string

func (k anyKey) Method() string { return string(k) }

func (anyKey) Confirm(*http.Request, *jwtgate.Token, string) error { return nil }
