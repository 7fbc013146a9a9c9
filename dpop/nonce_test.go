package dpop_test

import (
	"context"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
)

func nonceKey(fill byte) []byte {
	key := make([]byte, 32)
	for i := range key {
		key[i] = fill
	}
	return key
}

// A clock is the time of a Verifier and its gate.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

// nonceAt returns the nonce that a server with these keys gives at a time.
func nonceAt(t testing.TB, at time.Time, keys ...[]byte) string {
	v := &dpop.Verifier{NonceKeys: keys, Now: func() time.Time { return at }}
	w := send(newGate(t, v), newRequest("GET", "/"))
	require.Len(t, w.Header()["Dpop-Nonce"], 1)
	return w.Header().Get("DPoP-Nonce")
}

// acceptance 77
func TestNonces(t *testing.T) {
	t.Parallel()
	const url = "https://api.example.com/"
	token := p256Client.token()
	start := now.Add(10 * time.Second) // within a period
	newest := nonceAt(t, start, nonceKey(1))
	assert.Regexp(t, regexp.MustCompile(`^[A-Za-z0-9_-]{32}$`), newest)

	for _, tt := range []struct {
		name   string
		nonce  any
		code   string
		newest bool // the answer has no nonce, because the client has the newest one
		reason string
	}{
		{"none", nil, "use_dpop_nonce", false, `the proof has no nonce`},
		{"empty", "", "use_dpop_nonce", false, `nonce is "", which was not made with one of Verifier.NonceKeys`},
		{"a number", 1, invalidProof, false, ""},
		{"the newest", newest, "", true, ""},
		{"of the same period", nonceAt(t, now, nonceKey(1)), "", true, ""},
		{"of the last period", nonceAt(t, start.Add(-time.Minute), nonceKey(1)), "", false, ""},
		{"of the next period", nonceAt(t, start.Add(time.Minute), nonceKey(1)), "", false, ""},
		{"of the period before the last", nonceAt(t, start.Add(-2*time.Minute), nonceKey(1)), "use_dpop_nonce", false, `nonce was made 2m ago, wanted is one of this minute or the last`},
		{"of beyond the next period", nonceAt(t, start.Add(2*time.Minute), nonceKey(1)), "use_dpop_nonce", false, `nonce is of 2m ahead of this machine's clock`},
		{"of the year 1960", nonceAt(t, time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC), nonceKey(1)), "use_dpop_nonce", false, `nonce was made `},
		{"of another server", nonceAt(t, start, nonceKey(2)), "use_dpop_nonce", false, `nonce is "`},
		{"of the old key", nonceAt(t, start, nonceKey(9)), "", false, ""},
		{"cut", newest[:31], "use_dpop_nonce", false, `nonce is "`},
		{"with more", newest + "A", "use_dpop_nonce", false, `nonce is "`},
		{"another period with the same MAC", "AAAAAAAAAAAA" + newest[12:], "use_dpop_nonce", false, `nonce is "`},
		{"nonsense", "x", "use_dpop_nonce", false, `nonce is "`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var reason error
			v := &dpop.Verifier{NonceKeys: [][]byte{nonceKey(1), nonceKey(9)}, Now: func() time.Time { return start }}
			handler := newGate(t, v, func(o *jwtgate.Options) {
				o.Observe = func(_ context.Context, e jwtgate.Event) { reason = e.Err }
			}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			// A client's clock does not matter.
			for _, off := range []time.Duration{0, time.Hour, -time.Hour} {
				d := p256Client.draft("GET", url, token)
				d.claims["nonce"] = tt.nonce
				d.claims["iat"] = start.Add(off).Unix()
				d.claims["exp"] = start.Add(off).Add(time.Minute).Unix()
				w := serve(handler, newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+d.sign()))
				a := answer{ResponseRecorder: w}
				if tt.code == "" {
					assert.Equal(t, 200, w.Code)
				} else {
					assert.Equal(t, 401, w.Code)
					a.err = jwtgate.ErrProof
				}
				assert.Equal(t, tt.code, a.code())
				if tt.code == "use_dpop_nonce" {
					assert.ErrorIs(t, reason, jwtgate.ErrProof)
					assert.ErrorContains(t, reason, "proof not accepted: "+tt.reason)
				}
				if tt.newest {
					assert.Empty(t, w.Header()["Dpop-Nonce"])
					assert.Empty(t, w.Header()["Cache-Control"])
				} else {
					assert.Equal(t, []string{newest}, w.Header()["Dpop-Nonce"])
					assert.Equal(t, []string{"no-store"}, w.Header()["Cache-Control"])
				}
			}
		})
	}
}

// A proof with a nonce is good once, until its nonce has ended.
func TestNonceAndReplays(t *testing.T) {
	t.Parallel()
	token := p256Client.token()
	for after, want := range map[time.Duration]time.Duration{ // since the nonce was made, and the time until which it is remembered
		-time.Minute: 150 * time.Second,
		0:            150 * time.Second,
		time.Minute:  150 * time.Second,
	} {
		s := &store{}
		v := &dpop.Verifier{NonceKeys: [][]byte{nonceKey(1)}, Replays: s, Now: func() time.Time { return now.Add(after) }}
		d := p256Client.draft("GET", "https://api.example.com/", token)
		d.claims["nonce"] = nonceAt(t, now, nonceKey(1))
		require.NoError(t, send(newGate(t, v), newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+d.sign())).err)
		for _, until := range s.used {
			assert.Equal(t, now.Add(want), until.UTC())
		}
	}

	clock := &clock{now}
	v := &dpop.Verifier{NonceKeys: [][]byte{nonceKey(1)}, Now: clock.now}
	gate := newGate(t, v)
	d := p256Client.draft("GET", "https://api.example.com/", token)
	d.claims["nonce"] = nonceAt(t, now.Add(time.Minute), nonceKey(1)) // of the next period
	r := newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+d.sign())
	require.NoError(t, send(gate, r).err)
	for ; clock.Before(now.Add(10 * time.Minute)); clock.Time = clock.Add(time.Second) {
		assert.Error(t, send(gate, r).err)
		if clock.Second()%20 == 0 { // other proofs make the generations turn
			other := p256Client.draft("GET", "https://api.example.com/", token)
			other.claims["nonce"] = nonceAt(t, clock.Time, nonceKey(1))
			require.NoError(t, send(gate, newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+other.sign())).err)
		}
	}
	assert.LessOrEqual(t, v.Stats().Proofs, 20, "the others are forgotten")
}

// A key is replaced on two servers, one after the other, and no client is refused.
func TestNonceKeysRotate(t *testing.T) {
	t.Parallel()
	token := p256Client.token()
	oldKey, newKey := nonceKey(1), nonceKey(2)
	steps := [][][]byte{{oldKey}, {oldKey, newKey}, {newKey, oldKey}, {newKey}}
	s := &store{}
	server := func(keys [][]byte) *jwtgate.Gate {
		return newGate(t, &dpop.Verifier{NonceKeys: keys, Replays: s})
	}
	for i := range len(steps) - 1 {
		first, second := server(steps[i]), server(steps[i+1])
		for _, gates := range [][2]*jwtgate.Gate{{first, second}, {second, first}} {
			d := p256Client.draft("GET", "https://api.example.com/", token)
			d.claims["nonce"] = send(gates[0], newRequest("GET", "/")).Header().Get("DPoP-Nonce")
			assert.NoError(t, send(gates[1], newRequest("GET", "/", "Authorization: DPoP "+token, "DPoP: "+d.sign())).err, "step %d", i)
		}
	}
	// The keys are copied: a caller may wipe its own.
	key := nonceKey(3)
	v := &dpop.Verifier{NonceKeys: [][]byte{key}}
	gate := newGate(t, v)
	clear(key)
	assert.Equal(t, nonceAt(t, now, nonceKey(3)), send(gate, newRequest("GET", "/")).Header().Get("DPoP-Nonce"))
}

// The handler decides whether its answer is stored.
func TestNonceAndCacheControl(t *testing.T) {
	t.Parallel()
	gate := newGate(t, &dpop.Verifier{NonceKeys: [][]byte{nonceKey(1)}})
	handler := gate.Optional(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/public" {
			w.Header().Set("Cache-Control", "public, max-age=60")
		}
	}))
	assert.Equal(t, []string{"no-store"}, serve(handler, newRequest("GET", "/")).Header()["Cache-Control"])
	w := serve(handler, newRequest("GET", "/public"))
	assert.Equal(t, []string{"public, max-age=60"}, w.Header()["Cache-Control"])
	assert.Len(t, w.Header()["Dpop-Nonce"], 1)
	// What cannot be read has no nonce.
	for _, proof := range []string{"a", "a.b.c", "e30.bm90IGpzb24.e30", "e30.e30.e30", "e30.eyJub25jZSI6MX0.e30"} {
		assert.Len(t, serve(handler, newRequest("GET", "/", "DPoP: "+proof)).Header()["Dpop-Nonce"], 1)
	}
}

// acceptance 77: one line, however many gates a request passes.
func TestOneNonceOfNestedGates(t *testing.T) {
	t.Parallel()
	v := &dpop.Verifier{NonceKeys: [][]byte{nonceKey(1)}}
	gate := newGate(t, v)
	handler := http.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for range 3 {
		handler = gate.Optional(handler)
	}
	refusing := gate.Optional(gate.Handler(handler))
	for _, h := range []http.Handler{handler, refusing} {
		assert.Len(t, serve(h, newRequest("GET", "/")).Header()["Dpop-Nonce"], 1)
	}
}
