package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/jwtgate/jwtgate/keys"
)

// A form has the fields of the page. The JSON names are the names on the page.
type form struct {
	Mode      string `json:"mode"` // "mint" signs a token, "paste" uses Token unchanged
	Token     string `json:"token"`
	Key       string `json:"key"`       // ID of the key to sign with
	Signature string `json:"signature"` // see issuer.mint
	Header    string `json:"header"`
	Claims    string `json:"claims"`
	Request   string `json:"request"` // request line and header; {token} and {proof} are replaced

	Source   string `json:"source"`   // see issuer.source
	Material string `json:"material"` // the pasted keys

	Issuers        string `json:"issuers"` // one per line, as in Audiences, RuleValues and RoleValues
	AnyIssuer      bool   `json:"anyIssuer"`
	Audiences      string `json:"audiences"`
	AnyAudience    bool   `json:"anyAudience"`
	Algorithms     string `json:"algorithms"` // separated by spaces
	Types          string `json:"types"`      // separated by spaces
	NoType         bool   `json:"noType"`     // also accept tokens without typ
	RFC9068        bool   `json:"rfc9068"`
	SubjectClaim   string `json:"subjectClaim"`
	AllowNoSubject bool   `json:"allowNoSubject"`
	AllowNoExpiry  bool   `json:"allowNoExpiry"`
	Leeway         string `json:"leeway"` // for time.ParseDuration, as are MaxAge and Clock
	MaxAge         string `json:"maxAge"`
	Clock          string `json:"clock"` // added to the current time

	RuleClaim  string `json:"ruleClaim"`
	RuleValues string `json:"ruleValues"`
	Validate   string `json:"validate"` // a key of verdicts, or ""
	Scopes     string `json:"scopes"`   // separated by spaces
	RoleClaim  string `json:"roleClaim"`
	RoleValues string `json:"roleValues"`

	Confirm      string `json:"confirm"` // "" for none, or "dpop"
	URLs         string `json:"urls"`    // one per line
	Nonces       bool   `json:"nonces"`
	AllowUnbound bool   `json:"allowUnbound"`
	Twice        bool   `json:"twice"` // send the request twice; the result is that of the second
	Proof        string `json:"proof"` // signed by the page, with the fields below
	ProofKey     string `json:"proofKey"`
	ProofHeader  string `json:"proofHeader"`
	ProofClaims  string `json:"proofClaims"`

	Extract     string `json:"extract"` // "" for Bearer, "cookie" or "header"
	ExtractName string `json:"extractName"`
	Realm       string `json:"realm"`
}

// lines returns the lines of s that are not empty. It keeps white space, so that New
// can refuse it.
func lines(s string) (all []string) {
	for line := range strings.SplitSeq(strings.ReplaceAll(s, "\r\n", "\n"), "\n") {
		if line != "" {
			all = append(all, line)
		}
	}
	return all
}

// types returns Options.Types.
func (f form) types() []string {
	types := strings.Fields(f.Types)
	if len(types) == 0 {
		types = nil
	}
	if f.NoType {
		types = append(types, "")
	}
	return types
}

// algorithms returns Options.Algorithms. It is nil if the field is empty: New refuses
// an empty list.
func (f form) algorithms() []string {
	if names := strings.Fields(strings.ReplaceAll(f.Algorithms, ",", " ")); len(names) > 0 {
		return names
	}
	return nil
}

// durations are the fields that time.ParseDuration reads. An empty field is 0.
type durations struct{ leeway, maxAge, clock time.Duration }

func (f form) durations() (d durations, errs []error) {
	for _, field := range []struct {
		name, text string
		to         *time.Duration
	}{
		{"Leeway", f.Leeway, &d.leeway},
		{"MaxAge", f.MaxAge, &d.maxAge},
		{"Clock offset", f.Clock, &d.clock},
	} {
		if field.text == "" {
			continue
		}
		var err error
		if *field.to, err = time.ParseDuration(field.text); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is not a duration such as 30s, 5m, -1h30m", field.name, field.text))
		}
	}
	return d, errs
}

// A verdict is a result of Options.Validate.
type verdict struct {
	err  error
	code string // the Go expression for err
}

var verdicts = map[string]verdict{
	"passes":  {nil, "nil"},
	"revoked": {jwtgate.ErrRevoked, "jwtgate.ErrRevoked"},
	"outage":  {errors.New("the database does not answer"), `errors.New("the database does not answer")`},
}

// source returns the key source that the form chooses.
func (i *issuer) source(f form) (jwtgate.KeySource, error) {
	switch material := []byte(f.Material); f.Source {
	case "issuer":
		return i.accepted, nil
	case "secret":
		return keys.HS256(i.secret), nil
	case "pem":
		return keys.PEM(material), nil
	case "jwks":
		return keys.JWKS(material), nil
	case "hs256":
		return keys.HS256(material), nil
	case "hs384":
		return keys.HS384(material), nil
	case "hs512":
		return keys.HS512(material), nil
	}
	return nil, fmt.Errorf("source: unknown choice %q", f.Source)
}

// verifier returns the checker of proofs that the form chooses.
func (i *issuer) verifier(f form, now func() time.Time) *dpop.Verifier {
	v := &dpop.Verifier{URLs: lines(f.URLs), Now: now}
	if f.Nonces {
		v.NonceKeys = [][]byte{i.nonceKey}
	}
	return v
}

// options returns the gate's options and the rules for Require. The error joins the
// problems of all fields that cannot be turned into an option.
func (i *issuer) options(f form, source jwtgate.KeySource, now time.Time) (o jwtgate.Options, required []jwtgate.Rule, err error) {
	d, errs := f.durations()
	o = jwtgate.Options{
		Keys:           source,
		Issuers:        lines(f.Issuers),
		AnyIssuer:      f.AnyIssuer,
		Audiences:      lines(f.Audiences),
		AnyAudience:    f.AnyAudience,
		Algorithms:     f.algorithms(),
		Types:          f.types(),
		RFC9068:        f.RFC9068,
		SubjectClaim:   f.SubjectClaim,
		AllowNoSubject: f.AllowNoSubject,
		AllowNoExpiry:  f.AllowNoExpiry,
		Leeway:         d.leeway,
		MaxAge:         d.maxAge,
		Realm:          f.Realm,
		Now:            func() time.Time { return now.Add(d.clock) },
	}
	// The constructors panic if an argument is wrong. The page shows the panic as a
	// problem.
	attempt := func(construct func()) {
		defer func() {
			if problem := recover(); problem != nil {
				errs = append(errs, fmt.Errorf("%v", problem))
			}
		}()
		construct()
	}
	switch f.Confirm {
	case "":
	case "dpop":
		o.Confirm = []jwtgate.Confirmer{i.verifier(f, o.Now)}
		o.AllowUnbound = f.AllowUnbound
	default:
		errs = append(errs, fmt.Errorf("confirm: unknown choice %q", f.Confirm))
	}
	switch f.Extract {
	case "":
		if o.Confirm == nil { // with DPoP the gate reads the Authorization header itself
			o.Extract = jwtgate.Bearer
		}
	case "cookie":
		attempt(func() { o.Extract = jwtgate.Cookie(f.ExtractName) })
	case "header":
		attempt(func() { o.Extract = jwtgate.Header(f.ExtractName) })
	default:
		errs = append(errs, fmt.Errorf("extract: unknown choice %q", f.Extract))
	}
	if f.hasRule() {
		attempt(func() { o.Rules = append(o.Rules, jwtgate.Claim(f.RuleClaim, lines(f.RuleValues)...)) })
	}
	if v, ok := verdicts[f.Validate]; ok {
		o.Validate = func(context.Context, *jwtgate.Token) error { return v.err }
	} else if f.Validate != "" {
		errs = append(errs, fmt.Errorf("validate: unknown choice %q", f.Validate))
	}
	if scopes := strings.Fields(f.Scopes); len(scopes) > 0 {
		attempt(func() { required = append(required, jwtgate.Scope(scopes...)) })
	}
	if f.hasRole() {
		attempt(func() { required = append(required, jwtgate.Claim(f.RoleClaim, lines(f.RoleValues)...)) })
	}
	return o, required, errors.Join(errs...)
}

func (f form) hasRule() bool { return f.RuleClaim != "" || f.RuleValues != "" }
func (f form) hasRole() bool { return f.RoleClaim != "" || f.RoleValues != "" }
