package jwttest

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Prover is a client with a DPoP key (RFC 9449). It makes the proofs that a service
// wants beside tokens that are bound to the key. Make one with [NewProver].
//
// Its methods are safe for concurrent use.
type Prover struct {
	// URL is how clients call the service: scheme, host and the start of the path, such
	// as "https://api.example.com". The htu of a proof is URL followed by the path of the
	// request. If URL is empty, htu is the URL of the request; a request without a scheme,
	// such as httptest.NewRequest("GET", "/me", nil), counts as https.
	//
	// Set URL if a proxy stands between the client and the service, and in a test that
	// calls a handler without a server. Change it only before the first proof.
	URL string
	// Now returns the time for iat. nil means [time.Now]. Change it only before the first
	// proof.
	Now func() time.Time

	t testing.TB

	mu    sync.Mutex
	key   *signingKey
	nonce string // the last DPoP-Nonce that the service has given
}

// NewProver returns a client with a new DPoP key, for ES256.
func NewProver(t testing.TB) *Prover {
	t.Helper()
	p := &Prover{t: t}
	p.SetAlgorithm(defaultAlgorithm)
	return p
}

// SetAlgorithm makes a new key for algorithm, which replaces the old one. algorithm is
// an asymmetric one of those of [jwtgate.NewKey], such as ES256, Ed25519, EdDSA, PS256 or
// RS256. Tokens that are bound to the old key need a proof that the Prover can no longer
// make. Making an RSA key takes a few hundred milliseconds.
func (p *Prover) SetAlgorithm(algorithm string) {
	p.t.Helper()
	k, err := newSigningKey("", algorithm)
	if err == nil && k.isSecret() {
		err = errors.New(algorithm + " signs with a secret, and a proof is signed with a private key; use ES256, Ed25519 or PS256")
	}
	if err != nil {
		p.t.Fatalf("jwttest: no DPoP key could be made: %v", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key = k
}

// Confirmation returns the claim cnf of a token that is bound to the key: the thumbprint
// of the public key as jkt (RFC 9449 section 6.1, RFC 7638).
//
//	token := issuer.Token(map[string]any{"cnf": prover.Confirmation()})
func (p *Prover) Confirmation() map[string]any {
	return map[string]any{"jkt": thumbprint(p.publicJWK())}
}

// Prove sets two headers of r: Authorization to token with the scheme DPoP, and DPoP to a
// new proof for the method and the URL of r and for token. The proof has the nonce of the
// last answer that [Prover.TakeNonce] has seen. Send r once only: a service accepts a
// proof once.
func (p *Prover) Prove(r *http.Request, token string) {
	base, path := p.URL, r.URL.EscapedPath()
	if base == "" {
		scheme := cmp.Or(r.URL.Scheme, "https")
		base = scheme + "://" + cmp.Or(r.Host, r.URL.Host)
	}
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", p.draft(cmp.Or(r.Method, http.MethodGet), htu(base, path), token, p.now()).sign())
}

// TakeNonce remembers the DPoP-Nonce in the header of an answer for the next proofs (RFC
// 9449 section 8). It reports whether the answer has a nonce other than the last one. If
// the answer has the status 401 and TakeNonce returns true, the client should send the
// request again with a new proof.
func (p *Prover) TakeNonce(h http.Header) bool {
	nonce := h.Get("DPoP-Nonce")
	p.mu.Lock()
	defer p.mu.Unlock()
	if nonce == "" || nonce == p.nonce {
		return false
	}
	p.nonce = nonce
	return true
}

// Transport returns a RoundTripper that sends each request with token and a new proof, by
// next. It does not change the request that it gets. It remembers the nonces in answers,
// and sends a request again if the answer is 401 with a new nonce.
//
//	client := server.Client()
//	client.Transport = prover.Transport(client.Transport, token)
//
// nil for next means [http.DefaultTransport]. An [http.Client] follows redirects, also to
// other hosts: they get the token too.
func (p *Prover) Transport(next http.RoundTripper, token string) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return &provingTransport{p, next, token}
}

type provingTransport struct {
	prover *Prover
	next   http.RoundTripper
	token  string
}

// RoundTrip implements [http.RoundTripper].
func (t *provingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	send := func() (response *http.Response, newNonce bool, err error) {
		proven := r.Clone(r.Context())
		if r.Body != nil {
			proven.Body = io.NopCloser(bytes.NewReader(body))
		}
		t.prover.Prove(proven, t.token)
		if response, err = t.next.RoundTrip(proven); err != nil {
			return nil, false, err
		}
		return response, t.prover.TakeNonce(response.Header), nil
	}
	response, newNonce, err := send()
	if err != nil || !newNonce || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	response.Body.Close()
	response, _, err = send()
	return response, err
}

// state returns the key and the nonce for the next proof.
func (p *Prover) state() (k *signingKey, nonce string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.key, p.nonce
}

// withoutNonce returns a copy of p that has seen no answer.
func (p *Prover) withoutNonce() *Prover {
	k, _ := p.state()
	return &Prover{URL: p.URL, Now: p.Now, t: p.t, key: k}
}

// publicJWK returns the public key.
func (p *Prover) publicJWK() object {
	k, _ := p.state()
	return jwk(publicKey(k.private))
}

func (p *Prover) algorithm() string {
	k, _ := p.state()
	return k.algorithm
}

func (p *Prover) private() any {
	k, _ := p.state()
	return k.private
}

func (p *Prover) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// htu returns the URL of the path below base, without query and fragment (RFC 9449
// section 4.2).
func htu(base, path string) string { return strings.TrimSuffix(base, "/") + cmp.Or(path, "/") }

// draft returns a good proof for a request.
func (p *Prover) draft(method, url, token string, now time.Time) *proofDraft {
	k, nonce := p.state()
	d := &proofDraft{
		algorithm: k.algorithm,
		key:       k.private,
		header:    object{{"typ", `"dpop+jwt"`}, {"alg", quote(k.algorithm)}, {"jwk", jwk(publicKey(k.private)).String()}},
		claims: object{
			{"jti", quote(rand.Text())}, {"htm", quote(method)}, {"htu", quote(url)},
			{"iat", numericDate(now)}, {"ath", quote(hashOf(token))},
		},
		token: token,
	}
	if nonce != "" {
		d.claims = d.claims.with("nonce", quote(nonce))
	}
	return d
}

// A proofDraft is a proof that is not signed yet (RFC 9449 section 4.2).
type proofDraft struct {
	header, claims object
	algorithm      string // signs
	key            any
	token          string // that comes with the proof
}

// sign returns the proof.
func (d *proofDraft) sign() string { return d.signText(d.header.String(), d.claims.String()) }

// signText returns a proof with any header and claims.
func (d *proofDraft) signText(header, claims string) string {
	input := encode(header) + "." + encode(claims)
	return input + "." + encode(sign(d.algorithm, d.key, input))
}

// hashOf returns the SHA-256 of text in base64url, as ath has it.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return encode(sum[:])
}

// thumbprint returns the thumbprint of a key that jwk has returned (RFC 7638 section 3).
func thumbprint(key object) string { return hashOf(key.String()) }
