package jwttest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/jwtgate/jwtgate/jwttest"
)

// A service accepts only tokens that are bound to a key, and the client proves each request.
// In your test, t is the parameter of the test function.
func ExampleNewProver() {
	t := &exampleT{}
	defer t.end()

	issuer := jwttest.NewIssuer(t)
	options := issuer.Options()
	options.Confirm = []jwtgate.Confirmer{&dpop.Verifier{URLs: []string{"https://api.example.com"}}}
	gate, err := jwtgate.New(options)
	if err != nil {
		log.Fatal(err) // t.Fatal(err)
	}
	service := gate.Handler(whoami)

	prover := jwttest.NewProver(t)
	prover.URL = "https://api.example.com"
	token := issuer.Token(map[string]any{"cnf": prover.Confirmation()})

	r := httptest.NewRequest("GET", "/me", nil)
	prover.Prove(r, token)
	for _, what := range []string{"a new proof", "the same proof again"} {
		w := httptest.NewRecorder()
		service.ServeHTTP(w, r)
		fmt.Println(what+":", w.Code)
	}
	fmt.Println("without a proof:", call(service, token))

	thief := jwttest.NewProver(t)
	thief.URL = prover.URL
	r = httptest.NewRequest("GET", "/me", nil)
	thief.Prove(r, token)
	w := httptest.NewRecorder()
	service.ServeHTTP(w, r)
	fmt.Println("with another key:", w.Code)
	// Output:
	// a new proof: 200
	// the same proof again: 401
	// without a proof: Unauthorized
	// with another key: 401
}

// A client whose requests all have a token and a proof. It gets the nonce by itself.
func ExampleProver_Transport() {
	t := &exampleT{}
	defer t.end()

	issuer := jwttest.NewIssuer(t)
	server := httptest.NewUnstartedServer(nil)
	options := issuer.Options()
	options.Confirm = []jwtgate.Confirmer{&dpop.Verifier{
		URLs:      []string{"http://" + server.Listener.Addr().String()},
		NonceKeys: [][]byte{[]byte("a secret of this test, 32 bytes.")},
	}}
	gate, err := jwtgate.New(options)
	if err != nil {
		log.Fatal(err) // t.Fatal(err)
	}
	server.Config.Handler = gate.Handler(whoami)
	server.Start()
	defer server.Close()

	prover := jwttest.NewProver(t)
	client := server.Client()
	client.Transport = prover.Transport(client.Transport, issuer.Token(map[string]any{"cnf": prover.Confirmation()}))
	for range 2 {
		response, err := client.Get(server.URL + "/me?verbose=1")
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Println(response.StatusCode, string(body))
	}
	// Output:
	// 200 hello alice
	// 200 hello alice
}

// proofOf returns the header and the claims of the proof of r.
func proofOf(t *testing.T, r *http.Request) (header, claims map[string]any) {
	t.Helper()
	segments := strings.Split(r.Header.Get("DPoP"), ".")
	require.Len(t, segments, 3)
	for i, into := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(segments[i])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, into))
	}
	return header, claims
}

func TestProver_Prove(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.May, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ name, url, target, htu string }{
		{"request line", "", "/a/b?c=d", "https://example.com/a/b"},
		{"whole URL", "", "https://api.example.com:8443/a?b#c", "https://api.example.com:8443/a"},
		{"plain http", "", "http://127.0.0.1/a", "http://127.0.0.1/a"},
		{"no path", "", "https://api.example.com", "https://api.example.com/"},
		{"encoded path", "", "https://api.example.com/a%2Fb%20c", "https://api.example.com/a%2Fb%20c"},
		{"proxy", "https://example.com/shop", "/a?b", "https://example.com/shop/a"},
		{"proxy with a slash", "https://example.com/shop/", "/a?b", "https://example.com/shop/a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			prover := jwttest.NewProver(t)
			prover.URL, prover.Now = tt.url, func() time.Time { return now }
			r := httptest.NewRequest("POST", tt.target, nil)
			r.Header["Authorization"] = []string{"Basic eDp5", "Bearer x"}
			prover.Prove(r, "the.access.token")
			assert.Equal(t, []string{"DPoP the.access.token"}, r.Header["Authorization"])
			header, claims := proofOf(t, r)
			assert.Equal(t, "dpop+jwt", header["typ"])
			assert.Equal(t, "ES256", header["alg"])
			assert.NotContains(t, header["jwk"], "d")
			sum := sha256.Sum256([]byte("the.access.token"))
			assert.Len(t, claims["jti"], 26)
			delete(claims, "jti")
			assert.Equal(t, map[string]any{
				"htm": "POST", "htu": tt.htu, "iat": float64(now.Unix()), "ath": base64.RawURLEncoding.EncodeToString(sum[:]),
			}, claims)
		})
	}
}

// A dpop.Verifier accepts proofs with each algorithm that it offers.
func TestProver_SetAlgorithm(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	options := issuer.Options()
	options.Confirm = []jwtgate.Confirmer{&dpop.Verifier{URLs: []string{"https://api.example.com"}, Algorithms: []string{"ES256", "ES384", "ES512", "EdDSA", "PS256", "RS256"}}}
	gate, err := jwtgate.New(options)
	require.NoError(t, err)
	for _, algorithm := range []string{"", "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "RS256"} {
		t.Run("alg "+algorithm, func(t *testing.T) {
			t.Parallel()
			prover := jwttest.NewProver(t)
			if algorithm != "" {
				old := prover.Confirmation()
				prover.SetAlgorithm(algorithm)
				assert.NotEqual(t, old, prover.Confirmation(), "the key is the old one")
			}
			r := httptest.NewRequest("GET", "https://api.example.com/orders", nil)
			prover.Prove(r, issuer.Token(map[string]any{"cnf": prover.Confirmation()}))
			_, err := gate.Check(r)
			assert.NoError(t, err)
		})
	}

	for _, algorithm := range []string{"HS256", "none", ""} {
		t.Run("not "+algorithm, func(t *testing.T) {
			t.Parallel()
			fake := inFakeTest(func(t *fakeT) { jwttest.NewProver(t).SetAlgorithm(algorithm) })
			assert.Contains(t, fake.failure, "jwttest: no DPoP key could be made: ")
			assert.Contains(t, fake.failure, algorithm)
		})
	}
}

func TestProver_TakeNonce(t *testing.T) {
	t.Parallel()
	prover := jwttest.NewProver(t)
	nonceOf := func() any {
		r := httptest.NewRequest("GET", "/", nil)
		prover.Prove(r, "token")
		_, claims := proofOf(t, r)
		return claims["nonce"]
	}
	assert.Nil(t, nonceOf())
	assert.False(t, prover.TakeNonce(http.Header{}))
	assert.False(t, prover.TakeNonce(nil))
	assert.True(t, prover.TakeNonce(http.Header{"Dpop-Nonce": {"one"}}))
	assert.Equal(t, "one", nonceOf())
	assert.False(t, prover.TakeNonce(http.Header{"Dpop-Nonce": {"one"}}))
	assert.False(t, prover.TakeNonce(http.Header{}), "an answer without a nonce changes nothing")
	assert.Equal(t, "one", nonceOf())
	assert.True(t, prover.TakeNonce(http.Header{"Dpop-Nonce": {"two"}}))
	assert.Equal(t, "two", nonceOf())
}

// The transport proves each request, and repeats one at most once.
func TestProver_Transport(t *testing.T) {
	t.Parallel()
	type got struct{ authorization, proof, nonce, body string }
	for _, tt := range []struct {
		name     string
		nonces   []string // of the answers
		statuses []int
		want     int // requests
		status   int
	}{
		{"no nonces", []string{""}, []int{200}, 1, 200},
		{"refused without a nonce", []string{""}, []int{401}, 1, 401},
		{"nonce wanted", []string{"a", "a"}, []int{401, 200}, 2, 200},
		{"nonce wanted again", []string{"a", "b", "c"}, []int{401, 401, 200}, 2, 401},
		{"nonce with an answer", []string{"a"}, []int{200}, 1, 200},
		{"nonce with another refusal", []string{"a"}, []int{403}, 1, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var requests []got
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				_, claims := proofOf(t, r)
				nonce, _ := claims["nonce"].(string)
				i := len(requests)
				requests = append(requests, got{r.Header.Get("Authorization"), r.Header.Get("DPoP"), nonce, string(body)})
				if tt.nonces[i] != "" {
					w.Header().Set("DPoP-Nonce", tt.nonces[i])
				}
				w.WriteHeader(tt.statuses[i])
			}))
			t.Cleanup(server.Close)
			prover := jwttest.NewProver(t)
			client := &http.Client{Transport: prover.Transport(nil, "token")}
			r, err := http.NewRequest("POST", server.URL+"/orders", io.MultiReader(strings.NewReader("the "), strings.NewReader("body")))
			require.NoError(t, err)
			response, err := client.Do(r)
			require.NoError(t, err)
			response.Body.Close()
			assert.Equal(t, tt.status, response.StatusCode)
			assert.Empty(t, r.Header, "the request of the caller has changed")
			require.Len(t, requests, tt.want)
			for i, r := range requests {
				assert.Equal(t, "DPoP token", r.authorization)
				assert.Equal(t, "the body", r.body)
				if i > 0 {
					assert.NotEqual(t, requests[0].proof, r.proof)
					assert.Equal(t, tt.nonces[i-1], r.nonce)
				}
			}
		})
	}

	t.Run("errors", func(t *testing.T) {
		t.Parallel()
		client := &http.Client{Transport: jwttest.NewProver(t).Transport(noNetwork{}, "token")}
		_, err := client.Get("https://api.example.com")
		assert.Error(t, err)
		_, err = client.Post("https://api.example.com", "", io.MultiReader(strings.NewReader("a"), failingReader{}))
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Several goroutines may use a Prover. Each of their proofs is another.
func TestProver_Concurrently(t *testing.T) {
	t.Parallel()
	prover := jwttest.NewProver(t)
	var proofs sync.Map
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			prover.TakeNonce(http.Header{"Dpop-Nonce": {fmt.Sprint(i)}})
			if i == 10 {
				prover.SetAlgorithm("Ed25519")
			}
			r := httptest.NewRequest("GET", "/", nil)
			prover.Prove(r, "token")
			_, claims := proofOf(t, r)
			_, repeated := proofs.LoadOrStore(claims["jti"], true)
			assert.False(t, repeated)
			assert.Len(t, prover.Confirmation()["jkt"], 43)
		})
	}
	wg.Wait()
}

// Attack takes over the key of a Prover, and neither its nonce nor changes it.
func TestAttackLeavesProver(t *testing.T) {
	t.Parallel()
	target := dpopTarget(t)
	target.Prover.TakeNonce(http.Header{"Dpop-Nonce": {"of another service"}})
	target.Skip = append(target.Skip, "dpop")
	o := attackOptions(target)
	o.Confirm = []jwtgate.Confirmer{&dpop.Verifier{URLs: []string{target.Prover.URL}, NonceKeys: [][]byte{[]byte(strings.Repeat("k", 32))}}}
	before := target.Prover.Confirmation()
	jwttest.AttackMostlyDirectly(t, attackMust(jwtgate.New(o)).Handler(answer), target)
	assert.Equal(t, before, target.Prover.Confirmation())
	assert.False(t, target.Prover.TakeNonce(http.Header{"Dpop-Nonce": {"of another service"}}))
}
