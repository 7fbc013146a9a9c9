package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jwtgate/jwtgate"
)

// A result is the outcome of a form, for the page to show.
type result struct {
	Problems []string `json:"problems"` // why there is no outcome, such as the errors of New
	Token    string   `json:"token"`    // as in the request
	Header   string   `json:"header"`   // of the token; see decoded
	Claims   string   `json:"claims"`   // of the token, likewise

	Steps   []step   `json:"steps"`
	Status  int      `json:"status"`
	Summary string   `json:"summary"`
	Answer  string   `json:"answer"` // the HTTP response as sent
	Nonce   string   `json:"nonce"`  // DPoP-Nonce of the answer
	Err     string   `json:"err"`    // the error that Options.Observe got
	Reason  string   `json:"reason"` // Error.Reason
	Log     string   `json:"log"`    // the record of AuditLog, without the times
	Is      []string `json:"is"`     // the sentinels that errors.Is finds

	Code        string `json:"code"`
	CodeProblem string `json:"codeProblem"` // see codeProblem
}

// try sends the form's request through a gate with the form's options.
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

// fill sets the fields of r. It returns an error if there is no outcome, for example
// because New refuses the options.
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
	options, required, err := i.options(f, source, now)
	if err != nil {
		return err
	}
	if r.Code, err = code(f); err != nil {
		return err
	}

	t := &trace{}
	t.begin()
	handler, err := t.guard(options, required)
	if err != nil {
		return err
	}
	r.CodeProblem = codeProblem(f, options)
	request := strings.NewReplacer("{token}", r.Token, "{proof}", strings.TrimSpace(f.Proof)).Replace(f.Request)
	if r.Answer, err = exchange(handler, request); err != nil {
		return err
	}
	if f.Twice {
		t.begin()
		if r.Answer, err = exchange(handler, request); err != nil {
			return err
		}
	}
	answer, err := http.ReadResponse(bufio.NewReader(strings.NewReader(r.Answer)), nil)
	if err != nil {
		return fmt.Errorf("the request gets no answer: %w", err)
	}
	r.Status, r.Nonce, r.Log = answer.StatusCode, answer.Header.Get("DPoP-Nonce"), t.log.String()
	r.Steps = t.steps(options, required, r.Status)
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

// summary returns a phrase that says where the path ends.
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
	{"ErrProof", jwtgate.ErrProof},
	{"ErrAuthentication", jwtgate.ErrAuthentication},
	{"ErrForbidden", jwtgate.ErrForbidden},
	{"ErrCanceled", jwtgate.ErrCanceled},
	{"ErrUnavailable", jwtgate.ErrUnavailable},
}

// messages returns the messages of the errors that errors.Join joined in err. If err
// is not a joined error, it returns the message of err.
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

// decoded returns the header and the claims of a token for display. It is more lenient
// than a gate: it decodes up to the first byte that is not base64url. If that gives no
// text, for example because "Bearer " is before the token, decoded returns "".
func decoded(token string) (header, claims string) {
	parts := append(strings.Split(token, "."), "")
	text := func(part string) string {
		decoded, _ := base64.RawURLEncoding.DecodeString(part)
		if !utf8.Valid(decoded) || bytes.ContainsFunc(decoded, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }) {
			return ""
		}
		return string(decoded)
	}
	return text(parts[0]), text(parts[1])
}

// guard returns a handler behind a gate with the options o. It adds hooks to o that
// record in t what happens. The hooks do not change what the gate decides.
func (t *trace) guard(o jwtgate.Options, required []jwtgate.Rule) (http.Handler, error) {
	extract, validate := o.Extract, o.Validate
	if extract != nil {
		o.Extract = func(r *http.Request) (string, error) {
			credential, err := extract(r)
			if err == nil && credential != "" {
				t.credential = credential
				t.details["extract"] = fmt.Sprintf("%d bytes", len(credential))
			}
			return credential, err
		}
	}
	o.Keys = &tracedKeys{o.Keys, t}
	// Rules run in order. Marks before and after the form's rules record how far the
	// request came. The form's rules are not wrapped: the gate names the scopes of a
	// Scope in the challenge only if it gets the Scope itself.
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
	audit := jwtgate.AuditLog(slog.New(slog.NewTextHandler(&t.log, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration" {
				return slog.Attr{}
			}
			return a
		},
	})))
	o.Observe = func(ctx context.Context, e jwtgate.Event) {
		t.event = e
		audit(ctx, e)
	}

	gate, err := jwtgate.New(o)
	if err != nil {
		return nil, err
	}
	gate = gate.Require(append([]jwtgate.Rule{mark("require")}, required...)...)
	guarded := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject := jwtgate.Subject(r.Context())
		t.reach("handler", fmt.Sprintf("jwtgate.Subject is %q", subject))
		fmt.Fprintln(w, "hello", subject)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.details["request"] = r.Method + " " + r.RequestURI
		t.reach("extract", "")
		if extract == nil {
			// The gate reads the Authorization header, and no hook sees what it finds. If it
			// refuses the header, refusedAt knows by the error.
			scheme, credential, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			if t.credential = strings.TrimLeft(credential, " "); t.credential != "" {
				t.details["extract"] = fmt.Sprintf("%d bytes under %.10q", len(t.credential), scheme)
			}
		}
		guarded.ServeHTTP(w, r)
	}), nil
}

// A tracedKeys is a key source that records its calls in a trace.
type tracedKeys struct {
	jwtgate.KeySource
	trace *trace
}

func (k *tracedKeys) CheckIssuers(issuers []string) error {
	if source, ok := k.KeySource.(jwtgate.IssuerChecker); ok {
		return source.CheckIssuers(issuers)
	}
	return nil
}

func (k *tracedKeys) CheckAlgorithms(algorithms []string) error {
	if source, ok := k.KeySource.(jwtgate.AlgorithmChecker); ok {
		return source.CheckAlgorithms(algorithms)
	}
	return nil
}

func (k *tracedKeys) Keys(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	found, err := k.KeySource.Keys(ctx, issuer, kid)
	var names []string
	for _, key := range found {
		names = append(names, key.String())
	}
	if names == nil {
		names = []string{"none"}
	}
	k.trace.reach("keys", fmt.Sprintf("asked for kid %q: %s", kid, strings.Join(names, ", ")))
	return found, err
}

// exchange sends one request to a server of net/http over a pipe and returns the
// answer as sent. request is a request line and a header, without a body.
func exchange(handler http.Handler, request string) (string, error) {
	client, connection := net.Pipe()
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(5 * time.Second)) // a pipe returns no error here
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       time.Second, // ends the wait for a body that the header announces
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	server.SetKeepAlivesEnabled(false) // so that the server closes the connection after the answer
	accept := make(oneConnection, 1)
	accept <- connection
	close(accept)
	_ = server.Serve(accept) // returns net.ErrClosed; a goroutine serves the connection

	request = strings.ReplaceAll(request, "\r\n", "\n")
	request = strings.ReplaceAll(strings.TrimRight(request, "\n"), "\n", "\r\n") + "\r\n\r\n"
	go func() { _, _ = io.WriteString(client, request) }() // the server may stop reading early
	answer, err := io.ReadAll(client)
	// Remove the header that SetKeepAlivesEnabled adds.
	return strings.Replace(string(answer), "\r\nConnection: close\r\n", "\r\n", 1), err
}

// A oneConnection is a listener that accepts the connections in the channel.
type oneConnection chan net.Conn

func (o oneConnection) Accept() (net.Conn, error) {
	if c, ok := <-o; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (o oneConnection) Close() error   { return nil }
func (o oneConnection) Addr() net.Addr { return &net.TCPAddr{} }
