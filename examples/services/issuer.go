package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"log"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// keyID names the issuer's only key.
const keyID = "services-1"

// A localIssuer takes the place of an identity provider: it publishes its key and
// issues tokens to users and services. Do not copy it.
type localIssuer struct {
	url     string // the iss of its tokens and the address of its metadata
	clients map[string]registration
	key     *ecdsa.PrivateKey
	mux     *http.ServeMux
}

// A registration is what the issuer knows about a service.
type registration struct {
	secret   string
	resource string        // the aud of its tokens
	scopes   []string      // the scopes that it may request
	lifetime time.Duration // of its tokens
}

// newIssuer returns an issuer with a new key. The caller must serve it at url.
func newIssuer(url string, clients map[string]registration) (*localIssuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := key.PublicKey.Bytes() // the byte 4, then both coordinates
	if err != nil {
		return nil, err
	}
	i := &localIssuer{url: url, clients: clients, key: key, mux: http.NewServeMux()}
	i.mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{
			"issuer":         url,
			"jwks_uri":       url + "/jwks",
			"token_endpoint": url + "/token",
		})
	})
	i.mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{
			"keys": []map[string]string{{
				"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": keyID,
				"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
			}},
		})
	})
	i.mux.HandleFunc("POST /token", i.token)
	return i, nil
}

func (i *localIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) { i.mux.ServeHTTP(w, r) }

// token is the token endpoint, for the client credentials grant (RFC 6749
// section 4.4).
func (i *localIssuer) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	refuse := func(status int, code string) { answer(w, status, map[string]string{"error": code}) }

	id, client, ok := i.client(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="clients"`)
		refuse(http.StatusUnauthorized, "invalid_client")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	if err := r.ParseForm(); err != nil {
		refuse(http.StatusBadRequest, "invalid_request")
		return
	}
	scopes := strings.Fields(r.PostForm.Get("scope"))
	switch {
	case r.PostForm.Get("grant_type") != "client_credentials":
		refuse(http.StatusBadRequest, "unsupported_grant_type")
		return
	case r.PostForm.Get("resource") != client.resource:
		refuse(http.StatusBadRequest, "invalid_target") // RFC 8707
		return
	case slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(client.scopes, s) }):
		refuse(http.StatusBadRequest, "invalid_scope")
		return
	}
	signed, err := i.sign(jwt.MapClaims{
		"aud": client.resource, "sub": id, "client_id": id, "scope": strings.Join(scopes, " "),
		"exp": time.Now().Add(client.lifetime).Unix(),
	})
	if err != nil {
		log.Print(err)
		refuse(http.StatusInternalServerError, "server_error")
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"access_token": signed, "token_type": "Bearer", "expires_in": int(client.lifetime.Seconds()),
	})
}

// client authenticates a client by its secret (RFC 6749 section 2.3.1).
func (i *localIssuer) client(r *http.Request) (id string, client registration, ok bool) {
	id, secret, ok := r.BasicAuth()
	if !ok {
		return "", registration{}, false
	}
	id, idErr := url.QueryUnescape(id)
	secret, secretErr := url.QueryUnescape(secret)
	client, known := i.clients[id]
	same := subtle.ConstantTimeCompare([]byte(secret), []byte(client.secret)) == 1
	return id, client, idErr == nil && secretErr == nil && known && same
}

// userToken returns a token for front, such as a user gets by signing in. The claims in
// changes are added or replaced.
func (i *localIssuer) userToken(user string, changes jwt.MapClaims) (string, error) {
	claims := jwt.MapClaims{
		"aud": frontAudience, "sub": user, "client_id": "app", "exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(claims, changes)
	return i.sign(claims)
}

// sign adds iss, iat and jti to claims and returns an access token (RFC 9068) with the
// result.
func (i *localIssuer) sign(claims jwt.MapClaims) (string, error) {
	claims["iss"], claims["iat"], claims["jti"] = i.url, time.Now().Unix(), rand.Text()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"], token.Header["typ"] = keyID, "at+jwt"
	return token.SignedString(i.key)
}

// answer writes content as JSON.
func answer(w http.ResponseWriter, status int, content any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(content); err != nil {
		log.Print(err) // the client closed the connection
	}
}
