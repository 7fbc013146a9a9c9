package jwtgate_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

// yes returns a Confirmer for the member method of cnf that accepts everything.
func yes(method string) jwtgate.Confirmer {
	return confirmer{method, func(*http.Request, *jwtgate.Token) error { return nil }}
}

// A schemeConfirmer is a SchemeConfirmer that accepts a request with the header Proof: ok.
type schemeConfirmer struct {
	method, scheme string
	challenge      map[string]string
	problem        error
}

func (c *schemeConfirmer) Method() string               { return c.method }
func (c *schemeConfirmer) Scheme() string               { return c.scheme }
func (c *schemeConfirmer) Challenge() map[string]string { return c.challenge }
func (c *schemeConfirmer) CheckConfirmer() error        { return c.problem }
func (c *schemeConfirmer) SetHeader(h http.Header, r *http.Request) {
	h.Set("Proof-Nonce", "n"+r.Header.Get("Proof"))
}
func (c *schemeConfirmer) Confirm(r *http.Request, _ *jwtgate.Token, value string) error {
	if r.Header.Get("Proof") != "ok "+value {
		return &jwtgate.Error{Status: 401, Code: "invalid_proof", Err: jwtgate.ErrProof}
	}
	return nil
}

var _ interface {
	jwtgate.SchemeConfirmer
	jwtgate.ConfirmerChecker
} = (*schemeConfirmer)(nil)

func newDPoP() *schemeConfirmer {
	return &schemeConfirmer{method: "jkt", scheme: "DPoP", challenge: map[string]string{"algs": "ES256 EdDSA"}}
}

// acceptance 80 and 81: under which scheme a token is accepted, and which challenges a refusal has.
func TestSchemes(t *testing.T) {
	t.Parallel()
	var (
		unbound     = hs256Token(nil)
		byKey       = hs256Token(map[string]any{"cnf": map[string]any{"jkt": "k"}})
		byOther     = hs256Token(map[string]any{"cnf": map[string]any{"jkt": "other"}})
		certificate = hs256Token(map[string]any{"cnf": map[string]any{"x5t#S256": "c"}})

		invalid      = `error="invalid_token", error_description="The access token is not valid."`
		invalidProof = `error="invalid_proof", error_description="The proof that the sender holds the key of the access token is not valid."`
		badRequest   = `error="invalid_request", error_description="The request does not carry its access token in the form this service expects."`
	)
	challenge := func(scheme, with string) string {
		text := scheme + ` realm="api"`
		if with != "" {
			text += ", " + with
		}
		if scheme == "DPoP" {
			text += `, algs="ES256 EdDSA"`
		}
		return text
	}
	dpop := func(with string) string { return challenge("DPoP", with) }
	bearer := func(with string) string { return challenge("Bearer", with) }
	for _, gate := range []struct {
		name  string
		gate  *jwtgate.Gate
		cases []schemeCase
	}{
		{"DPoP", newGate(t, func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{newDPoP()} }), []schemeCase{
			{"nothing", nil, 401, []string{dpop("")}},
			{"bound", []string{"Authorization: DPoP " + byKey, "Proof: ok k"}, 200, nil},
			{"bound, lower case", []string{"Authorization: dpop  " + byKey, "Proof: ok k"}, 200, nil},
			{"bound to another key", []string{"Authorization: DPoP " + byOther, "Proof: ok k"}, 401, []string{dpop(invalidProof)}},
			{"no proof", []string{"Authorization: DPoP " + byKey}, 401, []string{dpop(invalidProof)}},
			{"as Bearer", []string{"Authorization: Bearer " + byKey, "Proof: ok k"}, 401, []string{dpop(invalid)}},
			{"unbound as Bearer", []string{"Authorization: Bearer " + unbound}, 401, []string{dpop(invalid)}},
			{"unbound as DPoP", []string{"Authorization: DPoP " + unbound, "Proof: ok k"}, 401, []string{dpop(invalid)}},
			{"certificate as DPoP", []string{"Authorization: DPoP " + certificate, "Proof: ok c"}, 401, []string{dpop(invalid)}},
			{"another scheme", []string{"Authorization: Basic YTpi"}, 401, []string{dpop("")}},
			{"two lines", []string{"Authorization: Bearer " + unbound, "Authorization: DPoP " + byKey}, 400, []string{dpop(badRequest)}},
			{"no token68", []string{"Authorization: DPoP a b"}, 400, []string{dpop(badRequest)}},
			{"nothing follows", []string{"Authorization: DPoP "}, 400, []string{dpop(badRequest)}},
			{"two words", []string{"Authorization: DPoP DPoP " + byKey}, 400, []string{dpop(badRequest)}},
		}},
		{"DPoP and unbound", newGate(t, func(o *jwtgate.Options) {
			o.Confirm, o.AllowUnbound = []jwtgate.Confirmer{newDPoP()}, true
		}), []schemeCase{
			{"nothing", nil, 401, []string{dpop(""), bearer("")}},
			{"bound", []string{"Authorization: DPoP " + byKey, "Proof: ok k"}, 200, nil},
			{"as Bearer", []string{"Authorization: Bearer " + byKey, "Proof: ok k"}, 401, []string{dpop(""), bearer(invalid)}},
			{"unbound as Bearer", []string{"Authorization: Bearer " + unbound}, 200, nil},
			{"unbound as Bearer, with a proof", []string{"Authorization: Bearer " + unbound, "Proof: bad"}, 200, nil},
			{"unbound as DPoP", []string{"Authorization: DPoP " + unbound, "Proof: ok k"}, 401, []string{dpop(invalid), bearer("")}},
			{"no proof", []string{"Authorization: DPoP " + byKey}, 401, []string{dpop(invalidProof), bearer("")}},
			{"certificate as Bearer", []string{"Authorization: Bearer " + certificate}, 401, []string{dpop(""), bearer(invalid)}},
			{"two lines", []string{"Authorization: Bearer " + unbound, "Authorization: DPoP " + byKey}, 400, []string{dpop(badRequest), bearer(badRequest)}},
		}},
		{"DPoP and certificates", newGate(t, func(o *jwtgate.Options) {
			o.Confirm = []jwtgate.Confirmer{newDPoP(), yes("x5t#S256")}
		}), []schemeCase{
			{"bound to a key", []string{"Authorization: DPoP " + byKey, "Proof: ok k"}, 200, nil},
			{"bound to a certificate", []string{"Authorization: Bearer " + certificate}, 200, nil},
			{"certificate as DPoP", []string{"Authorization: DPoP " + certificate, "Proof: ok c"}, 401, []string{dpop(invalid), bearer("")}},
			{"key as Bearer", []string{"Authorization: Bearer " + byKey, "Proof: ok k"}, 401, []string{dpop(""), bearer(invalid)}},
			{"unbound", []string{"Authorization: Bearer " + unbound}, 401, []string{dpop(""), bearer(invalid)}},
		}},
		{"certificates", newGate(t, func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{yes("x5t#S256")} }), []schemeCase{
			{"bound", []string{"Authorization: Bearer " + certificate}, 200, nil},
			{"unbound", []string{"Authorization: Bearer " + unbound}, 401, []string{bearer(invalid)}},
			{"as DPoP", []string{"Authorization: DPoP " + certificate}, 401, []string{bearer("")}},
		}},
	} {
		t.Run(gate.name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range gate.cases {
				t.Run(tt.name, func(t *testing.T) {
					for _, guard := range []func(http.Handler) http.Handler{gate.gate.Handler, gate.gate.Optional} {
						w := serve(guard(writeSubject), request("GET", tt.header...))
						if tt.status == 401 && !strings.Contains(strings.Join(tt.challenges, ""), "error=") && w.Code == 200 {
							assert.Equal(t, ",false", w.Body.String(), "anonymous")
							continue // Optional
						}
						require.Equal(t, tt.status, w.Code)
						assert.Equal(t, tt.challenges, w.Header()["Www-Authenticate"])
						if strings.HasPrefix(gate.name, "DPoP") {
							assert.Len(t, w.Header()["Proof-Nonce"], 1, "on every answer")
						}
					}
				})
			}
		})
	}

	// acceptance 82
	t.Run("Verify", func(t *testing.T) {
		t.Parallel()
		gate := newGate(t, func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{newDPoP()} })
		for _, token := range []string{byKey, unbound} {
			_, err := gate.Verify(t.Context(), token)
			assert.Error(t, err)
		}
	})
}

type schemeCase struct {
	name       string
	header     []string
	status     int
	challenges []string
}
