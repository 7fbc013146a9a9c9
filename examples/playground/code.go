package main

import (
	"fmt"
	"go/format"
	"strconv"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// A program collects the parts of the Go code for a form.
type program struct {
	imports []string        // packages of the standard library; duplicates are allowed
	modules []string        // other packages
	fields  strings.Builder // of jwtgate.Options
}

// code returns the Go code for the gate that the form describes.
func code(f form) (string, error) {
	p := &program{imports: []string{"net/http"}, modules: []string{"github.com/jwtgate/jwtgate"}}
	p.keys(f)
	p.list("Issuers", lines(f.Issuers))
	p.flag("AnyIssuer", f.AnyIssuer)
	p.list("Audiences", lines(f.Audiences))
	p.flag("AnyAudience", f.AnyAudience)
	if f.hasRule() {
		p.field("Rules", "[]jwtgate.Rule{"+claim(f.RuleClaim, f.RuleValues)+"}", "")
	}
	p.list("Algorithms", f.algorithms())
	p.list("Types", f.types())
	p.flag("RFC9068", f.RFC9068)
	p.text("SubjectClaim", f.SubjectClaim)
	p.flag("AllowNoSubject", f.AllowNoSubject)
	p.flag("AllowNoExpiry", f.AllowNoExpiry)
	d, _ := f.durations()
	p.duration("Leeway", d.leeway)
	p.duration("MaxAge", d.maxAge)
	if f.Confirm == "dpop" {
		p.modules = append(p.modules, "github.com/jwtgate/jwtgate/dpop")
		p.confirm(f)
	}
	switch f.Extract {
	case "cookie":
		p.field("Extract", "jwtgate.Cookie("+strconv.Quote(f.ExtractName)+")", "")
	case "header":
		p.field("Extract", "jwtgate.Header("+strconv.Quote(f.ExtractName)+")", "")
	}
	v, validates := verdicts[f.Validate]
	if validates {
		p.imports = append(p.imports, "context")
		if strings.HasPrefix(v.code, "errors.") {
			p.imports = append(p.imports, "errors")
		}
		p.field("Validate", "validate", "")
	}
	p.text("Realm", f.Realm)
	if d.clock != 0 {
		p.imports = append(p.imports, "time")
		p.field("Now", "func() time.Time { return time.Now().Add("+expression(d.clock)+") }", "for trying things out only")
	}

	guarded := "return gate" + requireCall(f) + ".Handler(next), nil"
	if f.Extract == "cookie" {
		guarded = "// Browsers also attach cookies to requests that pages of other sites make (CSRF).\n" +
			"return http.NewCrossOriginProtection().Handler(gate" + requireCall(f) + ".Handler(next)), nil"
	}

	var b strings.Builder
	b.WriteString("package api\n\nimport (\n")
	for _, path := range p.imports { // gofmt sorts them and removes duplicates
		fmt.Fprintf(&b, "%q\n", path)
	}
	b.WriteByte('\n')
	for _, path := range append(p.modules, "github.com/jwtgate/jwtgate/keys") {
		fmt.Fprintf(&b, "%q\n", path)
	}
	b.WriteString(`)

// guard returns next behind a gate.
func guard(next http.Handler) (http.Handler, error) {
gate, err := jwtgate.New(jwtgate.Options{
` + p.fields.String() + `})
if err != nil {
return nil, err
}
` + guarded + `
}
`)
	if validates {
		b.WriteString(`
// validate runs last for each token. It may call other services, for example to
// look for revoked tokens. The gate answers jwtgate.ErrRevoked with 401,
// jwtgate.ErrForbidden with 403, and any other error with 503.
func validate(ctx context.Context, t *jwtgate.Token) error {
return ` + v.code + `
}
`)
	}
	source, err := format.Source([]byte(b.String()))
	return string(source), err
}

// codeProblem returns the error of New for the options in the code, or "". The error
// can differ from that for the form's options, because the code has keys.Remote
// where the form uses the playground's own keys. codeProblem fetches no keys.
func codeProblem(f form, o jwtgate.Options) string {
	if f.Source != "issuer" {
		return ""
	}
	o.Keys = remote(f)
	if _, err := jwtgate.New(o); err != nil {
		return err.Error()
	}
	return ""
}

// remote returns the key source that the code has in place of the playground's own
// keys. With AnyIssuer there is no issuer to discover keys from, so the source has a
// URL.
func remote(f form) *keys.Remote {
	if f.AnyIssuer {
		return &keys.Remote{URL: "https://auth.example.com/jwks"}
	}
	return &keys.Remote{}
}

func (p *program) keys(f form) {
	switch f.Source {
	case "issuer":
		if url := remote(f).URL; url != "" {
			p.field("Keys", "&keys.Remote{URL: "+strconv.Quote(url)+"}", "where the issuer publishes its keys")
		} else {
			p.field("Keys", "&keys.Remote{}", "found through the issuer")
		}
	case "pem":
		p.field("Keys", `&keys.File{Path: "issuer.pem"}`, "contains the pasted PEM")
	case "jwks":
		p.field("Keys", `&keys.File{Path: "jwks.json"}`, "contains the pasted JWK Set")
	default: // secrets do not belong in code
		constructor := "keys.HS256"
		if f.Source != "secret" {
			constructor = "keys." + strings.ToUpper(f.Source)
		}
		p.imports = append(p.imports, "os")
		p.field("Keys", constructor+`([]byte(os.Getenv("JWT_SECRET")))`, "")
	}
}

// confirm writes the checker of proofs.
func (p *program) confirm(f form) {
	fields := "URLs: []string{" + quoted(lines(f.URLs)) + "},\n"
	if f.Nonces { // secrets do not belong in code
		p.imports = append(p.imports, "os")
		fields += `NonceKeys: [][]byte{[]byte(os.Getenv("DPOP_NONCE_KEY"))},` + "\n"
	}
	p.field("Confirm", "[]jwtgate.Confirmer{&dpop.Verifier{\n"+fields+"}}", "")
	p.flag("AllowUnbound", f.AllowUnbound)
}

func (p *program) field(name, value, comment string) {
	fmt.Fprintf(&p.fields, "%s: %s,", name, value)
	if comment != "" {
		p.fields.WriteString(" // " + comment)
	}
	p.fields.WriteByte('\n')
}

func (p *program) flag(name string, set bool) {
	if set {
		p.field(name, "true", "")
	}
}

func (p *program) text(name, value string) {
	if value != "" {
		p.field(name, strconv.Quote(value), "")
	}
}

func (p *program) list(name string, values []string) {
	if len(values) > 0 {
		p.field(name, "[]string{"+quoted(values)+"}", "")
	}
}

func (p *program) duration(name string, d time.Duration) {
	if d != 0 {
		p.imports = append(p.imports, "time")
		p.field(name, expression(d), "")
	}
}

// requireCall returns the call of Require with the form's rules, or "" if there are
// no rules.
func requireCall(f form) string {
	var rules []string
	if scopes := strings.Fields(f.Scopes); len(scopes) > 0 {
		rules = append(rules, "jwtgate.Scope("+quoted(scopes)+")")
	}
	if f.hasRole() {
		rules = append(rules, claim(f.RoleClaim, f.RoleValues))
	}
	if len(rules) == 0 {
		return ""
	}
	return ".Require(" + strings.Join(rules, ", ") + ")"
}

// claim returns the call of jwtgate.Claim.
func claim(name, values string) string {
	return "jwtgate.Claim(" + quoted(append([]string{name}, lines(values)...)) + ")"
}

// quoted returns values as a list of Go strings.
func quoted(values []string) string {
	var all []string
	for _, v := range values {
		all = append(all, strconv.Quote(v))
	}
	return strings.Join(all, ", ")
}

// expression returns d as a Go expression, such as 5 * time.Minute. It uses the
// largest unit of which d is a whole multiple.
func expression(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{time.Hour, "time.Hour"}, {time.Minute, "time.Minute"}, {time.Second, "time.Second"}, {time.Millisecond, "time.Millisecond"}} {
		switch n := d / unit.length; {
		case d%unit.length != 0:
		case n == 1:
			return unit.name
		case n == -1:
			return "-" + unit.name
		default:
			return fmt.Sprintf("%d * %s", n, unit.name)
		}
	}
	return fmt.Sprintf("%d * time.Nanosecond", d.Nanoseconds())
}
