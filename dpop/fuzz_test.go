package dpop_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
)

// The key of RFC 8037 appendix A.1.
var (
	fuzzKey    = ed25519.NewKeyFromSeed(must(base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")))
	fuzzClient = &client{"EdDSA", fuzzKey}
)

const (
	fuzzToken      = "token"
	fuzzThumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" // RFC 8037 appendix A.3
)

// FuzzProof signs a header and claims, and reads what is accepted with encoding/json and
// net/url: it must be a proof of the key for this request. It then sends the same proof
// again, and the unsigned text raw. Neither may pass.
func FuzzProof(f *testing.F) {
	add := func(d *draft) {
		claims := strings.Replace(text(d.claims), d.claims["jti"].(string), "1", 1)
		f.Add(text(d.header), claims, encode(text(d.header))+"."+encode(claims)+".AAAA")
	}
	const htu = "https://api.example.com/orders/42"
	for _, htu := range []string{
		htu, htu + "?a=b#c", "HTTPS://API.example.com:443/./orders/x/../%34%32", "https://api.example.com/orders%2F42",
		"https://me@api.example.com/orders/42", "https://api.example.com\\orders/42", "https://api.example.com/orders//42",
	} {
		add(fuzzClient.draft("GET", htu, fuzzToken))
	}
	for name, value := range map[string]any{
		"typ": "application/DPOP+JWT", "alg": "Ed25519", "crit": []string{"x"}, "kid": "k", "b64": true, "jwk": map[string]any{"kty": "oct", "k": "AA"},
	} {
		d := fuzzClient.draft("GET", htu, fuzzToken)
		d.header[name] = value
		add(d)
	}
	for name, value := range map[string]any{
		"iat": float64(now.Unix()) + 0.5, "nonce": "n", "exp": now.Unix() + 60, "ath": "x", "htm": "get", "cnf": map[string]any{"jkt": "x"},
	} {
		d := fuzzClient.draft("GET", htu, fuzzToken)
		d.claims[name] = value
		add(d)
	}
	f.Fuzz(func(t *testing.T, header, claims, raw string) {
		v := &dpop.Verifier{URLs: []string{"https://api.example.com"}, Now: func() time.Time { return now }}
		ask := func(proof string) error {
			r := newRequest("GET", "/orders/42", "Authorization: DPoP "+fuzzToken)
			r.Header["Dpop"] = []string{proof}
			v.SetHeader(http.Header{}, r)
			return v.Confirm(r, &jwtgate.Token{}, fuzzThumbprint)
		}
		if err := ask(raw); err == nil {
			t.Fatalf("accepted without the key: %q", raw)
		} else if len(err.Error()) > 320 {
			t.Fatalf("a long text: %v", err)
		}
		proof := sign("EdDSA", fuzzKey, header, claims)
		if ask(proof) != nil {
			if v.Stats().Proofs != 0 {
				t.Fatal("a refused proof is used up")
			}
			return
		}
		if ask(proof) == nil {
			t.Fatal("accepted twice")
		}
		checkAccepted(t, proof, header, claims)
	})
}

// checkAccepted fails unless header and claims are those of a proof for the request of
// FuzzProof.
func checkAccepted(t *testing.T, proof, header, claims string) {
	t.Helper()
	var h struct {
		Typ, Alg string
		Crit     any
		JWK      struct {
			Kty, Crv, X, D string
		}
	}
	var c struct {
		JTI, HTM, HTU, Ath string
		IAT                float64
	}
	if err := json.Unmarshal([]byte(header), &h); err != nil {
		t.Fatalf("header: %v", err)
	}
	if err := json.Unmarshal([]byte(claims), &c); err != nil {
		t.Fatalf("claims: %v", err)
	}
	typ := strings.TrimPrefix(strings.ToLower(h.Typ), "application/")
	if typ != "dpop+jwt" || h.Alg != "EdDSA" && h.Alg != "Ed25519" || h.Crit != nil {
		t.Fatalf("header: %s", header)
	}
	if h.JWK.Kty != "OKP" || h.JWK.Crv != "Ed25519" || h.JWK.D != "" || h.JWK.X != encode([]byte(fuzzKey.Public().(ed25519.PublicKey))) {
		t.Fatalf("jwk: %s", header)
	}
	hash := sha256.Sum256([]byte(fuzzToken))
	if c.JTI == "" || c.HTM != "GET" || c.Ath != encode(hash[:]) {
		t.Fatalf("claims: %s", claims)
	}
	if age := float64(now.Unix()) - c.IAT; age > 60 || age < -30 {
		t.Fatalf("iat: %s", claims)
	}
	if len(proof) > 8<<10 {
		t.Fatal("too long")
	}
	htu, _, _ := strings.Cut(c.HTU, "#")
	htu, _, _ = strings.Cut(htu, "?")
	u, err := url.Parse(htu)
	if err != nil || u.User != nil || u.Scheme != "https" || strings.Contains(strings.ToLower(htu), "%2f") {
		t.Fatalf("htu %q: %v", c.HTU, err)
	}
	if host := strings.ToLower(u.Host); strings.TrimSuffix(strings.TrimSuffix(host, "443"), ":") != "api.example.com" {
		t.Fatalf("host of htu %q", c.HTU)
	}
	if path := (&url.URL{Path: "/"}).ResolveReference(&url.URL{Path: u.Path}).Path; path != "/orders/42" {
		t.Fatalf("path of htu %q: %q", c.HTU, path)
	}
}
