package migration

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

const audience = "https://api.example.com"

// A signer signs any header and claims, well formed or not.
type signer struct {
	t         *testing.T
	issuer    string
	algorithm string
	secret    []byte          // for HS256
	private   *rsa.PrivateKey // for RS256
	publicKey []byte          // the public key of private, as PEM
}

func newSigner(t *testing.T, algorithm string) *signer {
	t.Helper()
	s := &signer{t: t, issuer: "https://auth.example.com/", algorithm: algorithm, secret: []byte("a secret of thirty-two bytes....")}
	if algorithm == "RS256" {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
		der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
		require.NoError(t, err)
		s.private, s.publicKey = private, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	return s
}

// publish starts an issuer that has the key of s, and returns its URL.
func publish(t *testing.T, s *signer) string {
	t.Helper()
	var url string
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, url, url+"/jwks")
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys": [{"kty": "RSA", "alg": "RS256", "kid": "key-1", "use": "sig", "n": %q, "e": %q}]}`,
			encode(s.private.N.Bytes()), encode(big.NewInt(int64(s.private.E)).Bytes()))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	url = server.URL
	return url
}

func encode[T string | []byte](s T) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign returns a token with the given texts as header and claims.
func (s *signer) sign(header, claims string) string {
	return s.signAs(s.algorithm, s.key(s.algorithm), encode(header)+"."+encode(claims))
}

func (s *signer) signAs(algorithm string, key any, input string) string {
	s.t.Helper()
	signature, err := jwt.GetSigningMethod(algorithm).Sign(input, key)
	require.NoError(s.t, err)
	return input + "." + encode(signature)
}

func (s *signer) key(algorithm string) any {
	if strings.HasPrefix(algorithm, "HS") {
		return s.secret
	}
	return s.private
}

// header returns the usual header. more is the JSON text of further members.
func (s *signer) header(more string) string {
	return fmt.Sprintf(`{"alg": %q, "kid": "key-1"%s}`, s.algorithm, more)
}

// requests returns functions that prepare requests, by their description in README.md.
// The user is in the named claim of the tokens.
func (s *signer) requests(claim string, user any) map[string]func(*http.Request) {
	now := time.Now()
	claims := func(changes map[string]any) string {
		all := map[string]any{"iss": s.issuer, "aud": audience, claim: user, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
		maps.Copy(all, changes)
		maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
		text, err := json.Marshal(all)
		require.NoError(s.t, err)
		return string(text)
	}
	good := s.sign(s.header(`, "typ": "JWT"`), claims(nil))
	inside := strings.Trim(claims(nil), "{}")

	authorization := func(lines ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header["Authorization"] = lines }
	}
	token := func(token string) func(*http.Request) { return authorization("Bearer " + token) }
	with := func(name string, value any) func(*http.Request) {
		return token(s.sign(s.header(`, "typ": "JWT"`), claims(map[string]any{name: value})))
	}
	text := func(claims string) func(*http.Request) { return token(s.sign(s.header(`, "typ": "JWT"`), claims)) }
	header := func(header string) func(*http.Request) { return token(s.sign(header, claims(nil))) }
	quoted := func(format string) string { return fmt.Sprintf(strings.ReplaceAll(format, "CLAIM", "%[1]s"), claim) }

	other := strings.Replace(s.algorithm, "256", "512", 1)
	parts := strings.Split(good, ".")
	all := map[string]func(*http.Request){
		"a good token":                                 token(good),
		"no token":                                     func(*http.Request) {},
		"`Basic` credentials":                          authorization("Basic YWxpY2U6c2VjcmV0"),
		"`bearer` in lower case":                       authorization("bearer " + good),
		"`Bearer` and two words":                       authorization("Bearer " + good + " x"),
		"two spaces after `Bearer`":                    authorization("Bearer  " + good),
		"a tab after `Bearer`":                         authorization("Bearer\t" + good),
		"a second `Authorization` after the good one":  authorization("Bearer "+good, "Bearer x"),
		"a second `Authorization` before the good one": authorization("Bearer x", "Bearer "+good),
		"a token in the query":                         func(r *http.Request) { r.URL.RawQuery = "access_token=" + good + "&jwt=" + good },
		"a token in a cookie":                          func(r *http.Request) { r.Header.Set("Cookie", "jwt="+good) },

		"no `exp`":                              with("exp", nil),
		"`exp` 0":                               with("exp", 0),
		"`exp` as a string":                     with("exp", fmt.Sprint(now.Add(time.Hour).Unix())),
		"`exp` 10 seconds ago":                  func(r *http.Request) { with("exp", time.Now().Add(-10*time.Second).Unix())(r) }, // signed when it is sent
		"`exp` an hour ago":                     with("exp", now.Add(-time.Hour).Unix()),
		"`nbf` an hour ahead":                   with("nbf", now.Add(time.Hour).Unix()),
		"`iat` an hour ahead":                   with("iat", now.Add(time.Hour).Unix()),
		"no `iss`":                              with("iss", nil),
		"another `iss`":                         with("iss", "https://other.example.com/"),
		"no `aud`":                              with("aud", nil),
		"another `aud`":                         with("aud", "https://other.example.com"),
		"`cnf` of a certificate, and none sent": with("cnf", map[string]string{"x5t#S256": encode("the hash of a certificate")}),
		"`cnf` of a DPoP key, and no proof":     with("cnf", map[string]string{"jkt": encode("the hash of a key")}),
		"20 KiB of token":                       with("note", strings.Repeat("x", 15<<10)), // before base64

		quoted("no `CLAIM`"):                                           with(claim, nil),
		quoted("an empty `CLAIM`"):                                     with(claim, ""),
		quoted("the number 1234567 as `CLAIM`"):                        with(claim, 1234567),
		quoted("`CLAIM` twice"):                                        text(fmt.Sprintf(`{%s, %q: "mallory"}`, inside, claim)),
		fmt.Sprintf("`%s` beside `%s`", strings.ToUpper(claim), claim): text(fmt.Sprintf(`{%s, %q: "mallory"}`, inside, strings.ToUpper(claim))),
		"claims that are not UTF-8":                                    text("{" + inside + ", \"note\": \"\xff\"}"),
		"more after the claims":                                        text("{" + inside + "} {}"),
		"`alg` twice":                                                  header(fmt.Sprintf(`{"alg": "none", "alg": %q, "kid": "key-1"}`, s.algorithm)),
		"`crit` with an unknown name":                                  header(s.header(`, "crit": ["x"], "x": 1`)),
		"`typ` of a logout token":                                      header(s.header(`, "typ": "logout+jwt"`)),
		"`typ` of an access token":                                     header(s.header(`, "typ": "at+jwt"`)),

		"`alg` none": token(encode(`{"alg": "none"}`) + "." + parts[1] + "."),
		"the right key with another algorithm": token(s.signAs(other, s.key(other),
			encode(fmt.Sprintf(`{"alg": %q, "kid": "key-1"}`, other))+"."+parts[1])),
		"HS256 with the public key as its secret": token(s.signAs("HS256", s.publicKey, encode(`{"alg": "HS256", "kid": "key-1"}`)+"."+parts[1])),
		"claims that were changed":                token(parts[0] + "." + encode(claims(map[string]any{claim: "mallory"})) + "." + parts[2]),
		"padding in base64":                       token(good + strings.Repeat("=", 4-len(parts[2])%4)),
		"padding bits that are not zero":          token(looseBits(good)),
	}
	// Sign until a signature differs in base64 and base64url.
	for i := 0; all["base64 instead of base64url"] == nil; i++ {
		signed := s.sign(s.header(""), claims(map[string]any{"jti": fmt.Sprint(i)}))
		start := strings.LastIndex(signed, ".")
		if signature := strings.NewReplacer("-", "+", "_", "/").Replace(signed[start:]); signature != signed[start:] {
			all["base64 instead of base64url"] = token(signed[:start] + signature)
		}
	}
	return all
}

// looseBits sets an unused bit of the last character of the signature (RFC 4648 section
// 3.5).
func looseBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(alphabet[strings.IndexByte(alphabet, token[last])|1])
}
