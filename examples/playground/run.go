package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate"
)

// A result is what the page shows.
type result struct {
	Problems []string `json:"problems"` // why there is no outcome, such as what New said
	Token    string   `json:"token"`    // as the request has it
	Header   string   `json:"header"`   // of the token, as far as they can be decoded
	Claims   string   `json:"claims"`

	Steps   []step   `json:"steps"`
	Status  int      `json:"status"`
	Summary string   `json:"summary"`
	Answer  string   `json:"answer"` // as it goes over the wire
	Err     string   `json:"err"`    // what Options.Observe was told
	Reason  string   `json:"reason"` // Error.Reason
	Is      []string `json:"is"`     // the sentinels that errors.Is finds

	Code        string `json:"code"`
	CodeProblem string `json:"codeProblem"` // what New says to it, where it is not what was tried
}

// try sends the form's request through a gate that has the form's options.
func (i *issuer) try(f form, now time.Time) *result {
	r := &result{Token: strings.TrimSpace(f.Token), Steps: slices.Clone(path)}
	for i := range r.Steps {
		r.Steps[i].State = notReached
	}
	if err := r.fill(i, f, now); err != nil {
		r.Problems = messages(err)
	}
	return r
}

func (r *result) fill(i *issuer, f form, now time.Time) (err error) {
	if f.Mode == "mint" {
		if r.Token, err = i.mint(f); err != nil {
			return err
		}
	}
	r.Header, r.Claims = decoded(r.Token)
	source, err := i.source(f)
	if err != nil {
		return err
	}
	options, grants, err := f.options(source, now)
	if err != nil {
		return err
	}
	if r.Code, err = code(f); err != nil {
		return err
	}

	t := &trace{reached: map[string]bool{}, details: map[string]string{}}
	handler, err := t.guard(options, grants)
	if err != nil {
		return err
	}
	r.CodeProblem = codeProblem(f, options)
	if r.Answer, err = exchange(handler, strings.ReplaceAll(f.Request, "{token}", r.Token)); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(strings.NewReader(r.Answer)), nil)
	if err != nil {
		return fmt.Errorf("the request gets no answer: %w", err)
	}
	r.Status = answer.StatusCode
	r.Steps = t.steps(options, grants, r.Status)
	r.Summary = answer.Status + ": " + summary(r.Steps)
	var e *jwtgate.Error
	if errors.As(t.event.Err, &e) {
		r.Err, r.Reason = e.Err.Error(), e.Reason()
		for _, s := range sentinels {
			if errors.Is(e, s.err) {
				r.Is = append(r.Is, s.name)
			}
		}
	}
	return nil
}

func summary(steps []step) string {
	for _, s := range steps {
		switch s.State {
		case refused, unsure:
			return string(s.State) + " at " + s.Title
		}
	}
	return "every step passed"
}

var sentinels = []struct {
	name string
	err  error
}{
	{"ErrNoToken", jwtgate.ErrNoToken},
	{"ErrRequest", jwtgate.ErrRequest},
	{"ErrMalformed", jwtgate.ErrMalformed},
	{"ErrAlgorithm", jwtgate.ErrAlgorithm},
	{"ErrUnknownKey", jwtgate.ErrUnknownKey},
	{"ErrSignature", jwtgate.ErrSignature},
	{"ErrExpired", jwtgate.ErrExpired},
	{"ErrNotYetValid", jwtgate.ErrNotYetValid},
	{"ErrIssuer", jwtgate.ErrIssuer},
	{"ErrAudience", jwtgate.ErrAudience},
	{"ErrType", jwtgate.ErrType},
	{"ErrClaim", jwtgate.ErrClaim},
	{"ErrRevoked", jwtgate.ErrRevoked},
	{"ErrForbidden", jwtgate.ErrForbidden},
	{"ErrUnavailable", jwtgate.ErrUnavailable},
}

// messages returns those of the errors that errors.Join has put together.
func messages(err error) (all []string) {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if joined, ok := e.(interface{ Unwrap() []error }); ok {
			for _, one := range joined.Unwrap() {
				all = append(all, one.Error())
			}
			return all
		}
	}
	return []string{err.Error()}
}

// decoded returns header and claims of a token, for reading: whether a gate
// would decode them is another matter.
func decoded(token string) (header, claims string) {
	parts := append(strings.Split(token, "."), "")
	text := func(part string) string {
		decoded, _ := base64.RawURLEncoding.DecodeString(part) // up to what is wrong
		return string(decoded)
	}
	return text(parts[0]), text(parts[1])
}

// guard returns a handler behind the gate that New makes of o, with t's hooks,
// none of which changes what it decides.
func (t *trace) guard(o jwtgate.Options, grants []jwtgate.Rule) (http.Handler, error) {
	extract, validate := o.Extract, o.Validate
	o.Extract = func(r *http.Request) (string, error) {
		t.details["request"] = r.Method + " " + r.RequestURI
		credential, err := extract(r)
		t.reach("extract", "")
		if err == nil && credential != "" {
			t.credential = credential
			t.details["extract"] = fmt.Sprintf("%d bytes", len(credential))
		}
		return credential, err
	}
	o.Keys = &witness{o.Keys, t}
	// Rules are asked one after the other. Those of the form stay what they are,
	// since a gate tells a Scope from other rules, and have these around them.
	mark := func(step string) jwtgate.Rule {
		return jwtgate.RuleFunc(func(*http.Request, *jwtgate.Token) error {
			t.reach(step, "")
			return nil
		})
	}
	o.Rules = slices.Concat([]jwtgate.Rule{mark("rules")}, o.Rules, []jwtgate.Rule{mark("confirm")})
	o.Validate = func(ctx context.Context, token *jwtgate.Token) error {
		t.reach("validate", "")
		if validate == nil {
			return nil
		}
		return validate(ctx, token)
	}
	o.Observe = func(_ context.Context, e jwtgate.Event) { t.event = e }

	gate, err := jwtgate.New(o)
	if err != nil {
		return nil, err
	}
	gate = gate.Require(append([]jwtgate.Rule{mark("require")}, grants...)...)
	return gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject := jwtgate.Subject(r.Context())
		t.reach("handler", fmt.Sprintf("jwtgate.Subject is %q", subject))
		fmt.Fprintln(w, "hello", subject)
	})), nil
}

// A witness is a key source that is seen to be asked.
type witness struct {
	jwtgate.KeySource
	trace *trace
}

func (w *witness) CheckIssuers(issuers []string) error {
	if source, ok := w.KeySource.(interface{ CheckIssuers([]string) error }); ok {
		return source.CheckIssuers(issuers)
	}
	return nil
}

func (w *witness) Keys(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	found, err := w.KeySource.Keys(ctx, issuer, kid)
	var names []string
	for _, k := range found {
		names = append(names, k.String())
	}
	if names == nil {
		names = []string{"none"}
	}
	w.trace.reach("keys", fmt.Sprintf("asked for kid %q: %s", kid, strings.Join(names, ", ")))
	return found, err
}

// exchange has a server of net/http serve one request, given as a text without
// body, and returns the answer as it goes over the wire.
func exchange(handler http.Handler, request string) (string, error) {
	client, connection := net.Pipe()
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(5 * time.Second)) // a pipe can
	server := &http.Server{
		Handler:     handler,
		ReadTimeout: time.Second, // where a body was announced
		ErrorLog:    log.New(io.Discard, "", 0),
	}
	server.SetKeepAlivesEnabled(false) // so that the answer ends where the connection does
	accept := make(single, 1)
	accept <- connection
	close(accept)
	_ = server.Serve(accept) // goes on with the connection, and says that there is no more

	request = strings.ReplaceAll(request, "\r\n", "\n")
	request = strings.ReplaceAll(strings.TrimRight(request, "\n"), "\n", "\r\n") + "\r\n\r\n"
	go func() { _, _ = io.WriteString(client, request) }() // until the server has read enough
	answer, err := io.ReadAll(client)
	// That is this server's, and none of the gate's.
	return strings.Replace(string(answer), "\r\nConnection: close\r\n", "\r\n", 1), err
}

// single is a listener with one connection.
type single chan net.Conn

func (s single) Accept() (net.Conn, error) {
	if c, ok := <-s; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (s single) Close() error   { return nil }
func (s single) Addr() net.Addr { return &net.TCPAddr{} }
