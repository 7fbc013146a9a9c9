package keys_test

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// The keys are discovered from the issuer (OpenID Connect Discovery, RFC 8414).
func ExampleRemote() {
	issuer := startIssuer(httptest.NewServer) // such as "https://auth.example.com/"

	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{issuer.URL},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := gate.Verify(context.Background(), issuer.token)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Subject, token.KeyID)
	// Output: alice key-1
}

// One Remote serves several issuers and keeps their keys apart.
func ExampleRemote_issuers() {
	staff, customers := startIssuer(httptest.NewServer), startIssuer(httptest.NewServer)

	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{staff.URL, customers.URL},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, credential := range []string{staff.token, customers.token} {
		token, err := gate.Verify(context.Background(), credential)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token.Subject, "is one of the staff:", token.Issuer == staff.URL)
	}
	// Output:
	// alice is one of the staff: true
	// alice is one of the staff: false
}

// The issuer has no discovery document. Its JWK Set is at a known URL.
func ExampleRemote_url() {
	issuer := startIssuer(httptest.NewServer)

	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      &keys.Remote{URL: issuer.URL + "/jwks"}, // such as "https://auth.example.com/jwks"
		Issuers:   []string{issuer.URL},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(gate.Ready(context.Background()))
	// Output: <nil>
}

// The certificate of the issuer is from a private CA.
func ExampleRemote_privateCA() {
	issuer := startIssuer(httptest.NewTLSServer)
	roots := x509.NewCertPool()
	roots.AddCert(issuer.Certificate()) // roots.AppendCertsFromPEM(ca)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}

	source := &keys.Remote{Client: &http.Client{Transport: transport}}
	fmt.Println(source.Refresh(context.Background(), issuer.URL))
	// Output: <nil>
}

// By default a service starts while its issuer is down, and recovers later. To refuse to start, call Refresh. A
// readiness probe can call gate.Ready.
func ExampleRemote_Refresh() {
	issuer := startIssuer(httptest.NewServer)
	issuer.Close()

	source := &keys.Remote{Logger: slog.New(slog.DiscardHandler)}
	if err := source.Refresh(context.Background(), issuer.URL); err != nil {
		fmt.Println("not started: the keys of the issuer cannot be fetched")
	}
	// Output: not started: the keys of the issuer cannot be fetched
}

// A metrics library reads the counters when it collects.
func ExampleRemote_Stats() {
	issuer := startIssuer(httptest.NewServer)
	source := &keys.Remote{}
	if err := source.Refresh(context.Background(), issuer.URL); err != nil {
		log.Fatal(err)
	}

	for _, s := range source.Stats() {
		fmt.Println("keys:", s.Keys)
		fmt.Println("fresh:", s.Age < time.Minute)
		fmt.Println("fetches:", s.Fetches, "failed:", s.Failures, "last:", s.Err)
		fmt.Println("unknown key IDs refused without a fetch:", s.LimitedLookups)
	}
	// Output:
	// keys: 1
	// fresh: true
	// fetches: 1 failed: 0 last: <nil>
	// unknown key IDs refused without a fetch: 0
}

// The secret has changed, and some tokens are still signed with the previous one. Both are accepted until those
// tokens have expired.
func ExampleHS256() {
	current := []byte("the secret that is in use today.") // os.Getenv, a secret store
	previous := []byte("the secret used until last week.")

	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256(current, previous),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := gate.Verify(context.Background(), signedWithThePreviousSecret)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Subject)
	// Output: alice
}

// HS384 needs a secret of 48 bytes or more, HS512 one of 64. Each verifies its own algorithm only.
func ExampleHS512() {
	source := keys.HS512([]byte("the secret has to have as many bytes as the hash, which are 64.."))
	all, err := source.Keys(context.Background(), "https://auth.example.com/", "")
	fmt.Println(all, err)
	// Output: [key "" for HS512] <nil>
}

// A public key must not be used as a secret: anyone who has the key could sign tokens. New refuses it.
func ExampleHS256_publicKey() {
	_, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.HS256([]byte(publicKey)), // wrong: use keys.PEM
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	fmt.Println(err != nil)
	// Output: true
}

// The program has a parsed key, for example from a key management service.
func ExamplePublic() {
	block, _ := pem.Decode([]byte(publicKey))
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		log.Fatal(err)
	}

	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.Public(key),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := gate.Verify(context.Background(), signedByAuth)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Subject, token.Algorithm)
	// Output: alice EdDSA
}

func ExamplePEM() {
	const publicKey = `
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEArwaj4ykXFOTzVsGcmxXNGVHsbmZiqne+B1R/KJODNB0=
-----END PUBLIC KEY-----`

	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.PEM([]byte(publicKey)),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := gate.Verify(context.Background(), signedByAuth)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Subject, token.Algorithm)
	// Output: alice EdDSA
}

func ExampleJWKS() {
	source := keys.JWKS([]byte(`{"keys": [
		{"kty": "OKP", "crv": "Ed25519", "kid": "key-1", "use": "sig",
		 "x": "rwaj4ykXFOTzVsGcmxXNGVHsbmZiqne-B1R_KJODNB0"},
		{"kty": "oct", "kid": "key-2", "k": "c2tpcHBlZCwgYW5kIGxvZ2dlZA"}
	]}`))

	all, err := source.Keys(context.Background(), "https://auth.example.com/", "")
	fmt.Println(all, err)
	// Output: [key "key-1" for EdDSA] <nil>
}

// The keys of the partner verify the tokens of the partner, and no others.
func ExampleByIssuer() {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys: keys.ByIssuer{
			"https://auth.example.com/": keys.PEM([]byte(publicKey)),
			"https://partner.example/":  keys.PEM([]byte(publicKeyOfPartner)),
		},
		Issuers:   []string{"https://auth.example.com/", "https://partner.example/"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, credential := range []string{signedByAuth, signedByPartner, forgedByPartner} {
		token, err := gate.Verify(context.Background(), credential)
		if err != nil {
			fmt.Println(errors.Is(err, jwtgate.ErrSignature))
			continue
		}
		fmt.Println(token.Subject, "of", token.Issuer)
	}
	// Output:
	// alice of https://auth.example.com/
	// bob of https://partner.example/
	// true
}

// The issuer moves from a shared secret to public keys. Tokens of both kinds are accepted.
func ExampleJoin() {
	issuer := startIssuer(httptest.NewServer) // such as "https://project.supabase.co/auth/v1"
	secret := []byte("a secret of at least 32 bytes, from a secret store")

	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.Join(keys.HS256(secret), &keys.Remote{}),
		Issuers:   []string{issuer.URL},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	old, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": issuer.URL, "sub": "bob", "aud": "https://api.example.com", "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString(secret)
	if err != nil {
		log.Fatal(err)
	}
	for _, credential := range []string{old, issuer.token} {
		token, err := gate.Verify(context.Background(), credential)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token.Subject)
	}
	// Output:
	// bob
	// alice
}

func ExampleFile() {
	folder, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "issuer.pem") // such as /var/run/secrets/issuer.pem
	if err := os.WriteFile(path, []byte(publicKey), 0o600); err != nil {
		log.Fatal(err)
	}

	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      &keys.File{Path: path},
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		log.Fatal(err) // the file does not exist, or has no usable key
	}
	token, err := gate.Verify(context.Background(), signedByAuth)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Subject)
	// Output: alice
}

// The file has a format of its own: a JSON object of PEM texts by key ID.
func ExampleFile_parse() {
	parse := func(content []byte) ([]*jwtgate.Key, error) {
		var texts map[string]string
		if err := json.Unmarshal(content, &texts); err != nil {
			return nil, err
		}
		var all []*jwtgate.Key
		for id, text := range texts {
			block, _ := pem.Decode([]byte(text))
			if block == nil {
				return nil, fmt.Errorf("key %q is not in PEM", id)
			}
			public, err := x509.ParsePKIXPublicKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("key %q: %w", id, err)
			}
			key, err := jwtgate.NewKey(id, "EdDSA", public)
			if err != nil {
				return nil, err
			}
			all = append(all, key)
		}
		return all, nil
	}

	folder, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "keys.json")
	content, err := json.Marshal(map[string]string{"key-1": publicKey})
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		log.Fatal(err)
	}

	source := &keys.File{Path: path, Parse: parse, Logger: slog.New(slog.DiscardHandler)}
	all, err := source.Keys(context.Background(), "https://auth.example.com/", "key-1")
	fmt.Println(all, err)
	// Output: [key "key-1" for EdDSA] <nil>
}

// By default an RSA key verifies RS256. This issuer signs with PS256, so the key is made with NewKey.
func ExampleStatic() {
	block, _ := pem.Decode([]byte(publicRSAKey))
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		log.Fatal(err)
	}
	key, err := jwtgate.NewKey("2025-11", "PS256", parsed.(*rsa.PublicKey))
	if err != nil {
		log.Fatal(err)
	}

	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      keys.Static(key),
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := gate.Verify(context.Background(), signedWithPS256)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key)
	fmt.Println(token.Subject, token.Algorithm)
	// Output:
	// key "2025-11" for PS256
	// alice PS256
}

// An exampleIssuer is an identity provider with discovery and one key.
type exampleIssuer struct {
	*httptest.Server
	token string
}

func startIssuer(listen func(http.Handler) *httptest.Server) *exampleIssuer {
	i := &exampleIssuer{}
	i.Server = listen(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, i.URL, i.URL+"/jwks")
		case "/jwks":
			fmt.Fprint(w, `{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "key-1", "x": "`+base64url(public(edKey()))+`"}]}`)
		}
	}))
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": i.URL, "sub": "alice", "aud": "https://api.example.com", "exp": time.Now().Add(time.Hour).Unix(),
	})
	token.Header["kid"] = "key-1"
	i.token = must(token.SignedString(edKey()))
	return i
}

// Keys and tokens of the examples. The tokens expire in the year 2100.
const (
	publicKey = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEArwaj4ykXFOTzVsGcmxXNGVHsbmZiqne+B1R/KJODNB0=
-----END PUBLIC KEY-----
`
	publicKeyOfPartner = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEALfBBJfABWvtHzoU674dyCU/5SYwUyxueEpc8KSfaD6Y=
-----END PUBLIC KEY-----
`
	publicRSAKey = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAn9niPdNYwvFyE//4t0/T
Z6aBN/1n4Knz6vRxdfTp3seazqBwpFGYE6lnDoYGthq9Oa/ooiR2LSKRWKQVkKKt
HExNsXmviOSlWd0RP3o0qsZWPF5pk8OJJfAqzU1wmrirKv4vHfM3u262EtVgs6Z3
oYnK76C2Clb+4AE0lZ16JMv6pwkqf5Y2NjVDIEHMyIxFwdHMVG7iAUAZIHiGUZkc
59AZ29a2Yh0VVgNlnhjwP8zVJSxQv1nVBmBMJxJBog2LYLyLniKagcyJq9BuMcC6
g5FzWNF88iIEGw2hJjDcrKk90m/E+9nVcjWn0lOb95dYgPyQu/h0CSCJsrU/wI9a
XQIDAQAB
-----END PUBLIC KEY-----
`
	signedWithThePreviousSecret = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." +
		"eyJhdWQiOiJodHRwczovL2FwaS5leGFtcGxlLmNvbSIsImV4cCI6NDEwMjQ0NDgwMCwiaXNzIjoiaHR0cHM6Ly9hdXRoLmV4YW1wbGUuY29tLyIsInN1YiI6ImFsaWNlIn0." +
		"k2HdIrTzT1Nj5sBJnJmQol8-XsrwfkKgqH8EiWrC3RY"
	signedByAuth = "eyJhbGciOiJFZERTQSIsImtpZCI6ImtleS0xIiwidHlwIjoiSldUIn0." +
		"eyJhdWQiOiJodHRwczovL2FwaS5leGFtcGxlLmNvbSIsImV4cCI6NDEwMjQ0NDgwMCwiaXNzIjoiaHR0cHM6Ly9hdXRoLmV4YW1wbGUuY29tLyIsInN1YiI6ImFsaWNlIn0." +
		"w55XTpxdnsVU3YslIJQ5sZpzc9Egniyst6HRerKOtKBwxftgfnNeonmL4gj4DJ-m6YbkrbceUHwwhnGGScQKBw"
	signedByPartner = "eyJhbGciOiJFZERTQSIsImtpZCI6ImtleS0xIiwidHlwIjoiSldUIn0." +
		"eyJhdWQiOiJodHRwczovL2FwaS5leGFtcGxlLmNvbSIsImV4cCI6NDEwMjQ0NDgwMCwiaXNzIjoiaHR0cHM6Ly9wYXJ0bmVyLmV4YW1wbGUvIiwic3ViIjoiYm9iIn0." +
		"2GgdQCnSkRbxvj_nAa8x6Za4lD8eQCRJZVNIGYvvGRGzrqogE7FPWmn4QJoUQ9euiLvTPYSWWMcrb1QgSot1Cw"
	forgedByPartner = "eyJhbGciOiJFZERTQSIsImtpZCI6ImtleS0xIiwidHlwIjoiSldUIn0." +
		"eyJhdWQiOiJodHRwczovL2FwaS5leGFtcGxlLmNvbSIsImV4cCI6NDEwMjQ0NDgwMCwiaXNzIjoiaHR0cHM6Ly9hdXRoLmV4YW1wbGUuY29tLyIsInN1YiI6Im1hbGxvcnkifQ." +
		"SYQHmU49Kuzk2vTcdedJ4hi4gQTBKau3URGQB8U8TlKp6gi0yGuvXbZ1wkjnh1iRKszoHG5SqFfhHiE9BPquAg"
	signedWithPS256 = "eyJhbGciOiJQUzI1NiIsImtpZCI6IjIwMjUtMTEiLCJ0eXAiOiJKV1QifQ." +
		"eyJhdWQiOiJodHRwczovL2FwaS5leGFtcGxlLmNvbSIsImV4cCI6NDEwMjQ0NDgwMCwiaXNzIjoiaHR0cHM6Ly9hdXRoLmV4YW1wbGUuY29tLyIsInN1YiI6ImFsaWNlIn0." +
		"Mpa5ZGrw08sp-xvU7lweSRSIiXlNkPOUPCfsJELGcwdHIeNukWbux4eCmE9T0e9x7dqhAcuswUCZTvnTSkl8L-dxtg6yWaYmWI1nsPSbNjT0VP8YL2YAW2ON" +
		"t-3-Dw9pIBn7zQvk4NQyZ6J_K-p1trqphloNIJ4PjbnSuX848Ke7J-vJeiDlHBgjbBxExCSI75n_yoRPYPHa1d3Nl0d6JEq93RISA38ExyVDQPBYbtXODhD4" +
		"8VZsnjxKuFAoruh9WiQa2iQDUkUFJCURxHw0paYfZeZA8q7F0hjFQSwjk5G0IpFJ8Fv7SpGyqte46HmQHNrpJq6O4DwUbhpu5RGO_w"
)
