package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A prover is a client with a DPoP key, a token that is bound to it, and a gate that
// accepts the token.
type prover struct {
	key     *ecdsa.PrivateKey
	header  string // of the proofs
	token   string
	handler http.Handler
}

func newProver(tb testing.TB, changes ...func(*jwtgate.Options)) *prover {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	point := must(key.PublicKey.Bytes())
	jwk := `{"crv":"P-256","kty":"EC","x":"` + encode(string(point[1:33])) + `","y":"` + encode(string(point[33:])) + `"}`
	thumbprint := sha256.Sum256([]byte(jwk))
	v := &dpop.Verifier{URLs: []string{"https://api.example.com"}}
	gate := newGate(tb, "ES256", append(changes, func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{v} })...)
	cnf := map[string]any{"jkt": encode(string(thumbprint[:]))}
	return &prover{
		key:     key,
		header:  `{"typ":"dpop+jwt","alg":"ES256","jwk":` + jwk + `}`,
		token:   sign("ES256", ours["ES256"]().private, header("ES256", nil), payload(map[string]any{"cnf": cnf})),
		handler: gate.Handler(afterGate),
	}
}

// proof returns a new proof for GET /orders, with changes to its claims.
func (p *prover) proof(changes map[string]any) string {
	return sign("ES256", p.key, p.header, p.claims(changes))
}

func (p *prover) claims(changes map[string]any) string {
	hash := sha256.Sum256([]byte(p.token))
	return text(map[string]any{
		"jti": rand.Text(), "htm": "GET", "htu": "https://api.example.com/orders",
		"iat": time.Now().Unix(), "ath": encode(string(hash[:])),
	}, changes)
}

// request returns a request with the token of p, without a proof.
func (p *prover) request() *http.Request {
	r := newRequest(p.token)
	r.Header.Set("Authorization", "DPoP "+p.token)
	return r
}

// BenchmarkDPoP measures a request with a bound token and a proof, and one ES256
// verification of the proof by golang-jwt alone.
func BenchmarkDPoP(b *testing.B) {
	b.Run("case=bare", func(b *testing.B) {
		p := newProver(b)
		bareDPoP(p.proof(nil), &p.key.PublicKey).run(b)
	})
	for _, name := range dpopAccepted {
		b.Run("case="+name, func(b *testing.B) { acceptDPoP(b, name) })
	}
	for _, name := range dpopRefused {
		b.Run("case="+name, func(b *testing.B) { refuseDPoP(b, name).run(b) })
	}
}

// bareDPoP verifies the signature of a proof, which is decoded before the measurement.
func bareDPoP(proof string, key *ecdsa.PublicKey) contender {
	dot := strings.LastIndexByte(proof, '.')
	input, signature := proof[:dot], must(base64.RawURLEncoding.DecodeString(proof[dot+1:]))
	return contender{"bare", func(testing.TB) func() bool {
		return func() bool { return jwt.SigningMethodES256.Verify(input, signature, key) == nil }
	}}
}

// acceptDPoP measures good requests. Each needs a new proof. Signing them is not measured.
func acceptDPoP(b *testing.B, name string) {
	var changes []func(*jwtgate.Options)
	if name == "remembered" {
		changes = append(changes, remembering(16))
	}
	p := newProver(b, changes...)
	proofs := make([]string, 200)
	r, w := p.request(), newResponse()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(proofs) == 0 {
			b.StopTimer()
			for j := range proofs {
				proofs[j] = p.proof(nil)
			}
			if i == 0 { // from now on the client is known
				r.Header["Dpop"] = []string{p.proof(nil)}
				require.Equal(b, http.StatusNoContent, w.serve(p.handler, r))
			}
			b.StartTimer()
		}
		r.Header["Dpop"] = proofs[i%len(proofs) : i%len(proofs)+1]
		if w.serve(p.handler, r) != http.StatusNoContent {
			b.Fatal("the result is wrong")
		}
	}
}

// refuseDPoP refuses a proof before its signature is verified. The token is remembered, and
// the client is not known.
func refuseDPoP(tb testing.TB, name string) contender {
	changes := []func(*jwtgate.Options){remembering(16)}
	p := newProver(tb, changes...)
	var proof string
	switch name {
	case "method":
		proof = p.proof(map[string]any{"htm": "POST"})
	case "url":
		proof = p.proof(map[string]any{"htu": "https://api.example.com/users"})
	case "ath":
		proof = p.proof(map[string]any{"ath": encode(strings.Repeat("x", 32))})
	case "typ":
		proof = sign("ES256", p.key, strings.Replace(p.header, "dpop+jwt", "JWT", 1), p.claims(nil))
	case "nonce":
		v := &dpop.Verifier{URLs: []string{"https://api.example.com"}, NonceKeys: [][]byte{make([]byte, 32)}}
		p.handler = newGate(tb, "ES256", append(changes, func(o *jwtgate.Options) { o.Confirm = []jwtgate.Confirmer{v} })...).Handler(afterGate)
		proof = p.proof(map[string]any{"nonce": strings.Repeat("x", 32)})
	default:
		panic(fmt.Sprintf("no proof with a bad %s", name))
	}
	return contender{name, func(testing.TB) func() bool {
		r, w := p.request(), newResponse()
		r.Header.Set("DPoP", proof)
		return func() bool { return w.serve(p.handler, r) == http.StatusUnauthorized }
	}}
}

func TestDPoPContendersReturnTheRightResult(t *testing.T) {
	p := newProver(t)
	proof := p.proof(nil)
	assert.True(t, bareDPoP(proof, &p.key.PublicKey).newRun(t)())
	assert.False(t, bareDPoP(proof[:len(proof)-8]+"AAAAAAAA", &p.key.PublicKey).newRun(t)())
	for _, name := range dpopRefused {
		assert.True(t, refuseDPoP(t, name).newRun(t)(), name)
	}
}
