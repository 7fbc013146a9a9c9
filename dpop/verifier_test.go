package dpop_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/jwtgate/jwtgate/dpop"
)

func TestGoodProofs(t *testing.T) {
	t.Parallel()
	for _, c := range []*client{p256Client, ed25519Client, {"EdDSA", ed25519Client.key}, rsaClient()} {
		t.Run(c.alg, func(t *testing.T) {
			t.Parallel()
			gate := newGate(t, &dpop.Verifier{})
			token := c.token()
			for range 3 { // the second time the client is known
				proof := c.draft("GET", "https://api.example.com/orders", token).sign()
				w, _ := send(gate, newRequest("GET", "/orders?x=y", "Authorization: DPoP "+token, "DPoP: "+proof))
				assert.Equal(t, 200, w.Code, w.Header())
				w, _ = send(gate, newRequest("GET", "/orders?x=y", "Authorization: DPoP "+token, "DPoP: "+proof))
				assert.Equal(t, 401, w.Code)
				assert.Equal(t, "invalid_dpop_proof", w.code())
			}
		})
	}
}
