package main

import (
	"fmt"
	"strings"
	"time"
)

// A preset is a form that one click fills in.
type preset struct {
	ID    string `json:"id"`
	Label string `json:"label"`
	About string `json:"about"`
	Group string `json:"group"`
	Form  form   `json:"form"`
}

// presets returns the presets of the page. The first of each group is good. Most of the
// others have one fault. The times in the claims are relative to now.
func (i *issuer) presets(now time.Time) []preset {
	const (
		issuer   = `"iss": "https://auth.example.com/"`
		audience = `"aud": "https://api.example.com"`
		subject  = `"sub": "alice"`
		scope    = `"scope": "orders:read"`

		jti = `"jti": "{jti}"`
		htm = `"htm": "GET"`
		htu = `"htu": "https://api.example.com/orders"`
		iat = `"iat": {iat}`
		ath = `"ath": "{ath}"`
	)
	issued, expires := fmt.Sprintf(`"iat": %d`, now.Unix()), fmt.Sprintf(`"exp": %d`, now.Add(time.Hour).Unix())
	good := form{
		Mode:      "mint",
		Key:       idES256,
		Signature: "right",
		Header:    object(`"alg": "ES256"`, `"kid": "es-1"`, `"typ": "JWT"`),
		Claims:    object(issuer, audience, subject, scope, issued, expires),
		Request:   "GET /orders HTTP/1.1\nHost: api.example.com\nAuthorization: Bearer {token}",
		Source:    "issuer",
		Issuers:   "https://auth.example.com/",
		Audiences: "https://api.example.com",

		// For users who switch Confirm on. The page replaces what is in braces.
		URLs:        "https://api.example.com",
		ProofKey:    "page",
		ProofHeader: object(`"typ": "dpop+jwt"`, `"alg": "ES256"`, `"jwk": {jwk}`),
		ProofClaims: object(jti, htm, htu, iat, ath),
	}
	group := "Bearer"
	var all []preset
	add := func(id, label, about string, change func(*form)) {
		f := good
		change(&f)
		all = append(all, preset{id, label, about, group, f})
	}
	claims := func(members ...string) func(*form) {
		return func(f *form) { f.Claims = object(members...) }
	}

	add("good", "Good token", "The gate accepts it.", func(*form) {})
	add("expired", "Expired", "exp is an hour ago.",
		claims(issuer, audience, subject, scope, fmt.Sprintf(`"iat": %d`, now.Add(-2*time.Hour).Unix()),
			fmt.Sprintf(`"exp": %d`, now.Add(-time.Hour).Unix())))
	add("audience", "Wrong audience", "A genuine token for another service.",
		claims(issuer, `"aud": "https://billing.example.com"`, subject, scope, issued, expires))
	add("none", "alg none", "The token is not signed, and its header says so.", func(f *form) {
		f.Header, f.Signature = object(`"alg": "none"`, `"typ": "JWT"`), "none"
	})
	add("confusion", "HS/RS confusion", "The signature is an HMAC with the public RSA key as secret.", func(f *form) {
		f.Key, f.Header, f.Signature = idRS256, object(`"alg": "HS256"`, `"kid": "rs-1"`, `"typ": "JWT"`), "confused"
	})
	add("duplicate", "Duplicate sub", "Two JSON parsers could read two different users.",
		claims(issuer, audience, subject, `"sub": "root"`, scope, issued, expires))
	add("crit", "crit", "The header requires an extension (RFC 7515 section 4.1.11). The gate supports none.", func(f *form) {
		f.Header = object(`"alg": "ES256"`, `"kid": "es-1"`, `"typ": "JWT"`, `"crit": ["b64"]`, `"b64": false`)
	})
	add("no-exp", "No exp", "The token would never expire.", claims(issuer, audience, subject, scope, issued))
	add("kid", "Unknown kid", "The issuer has no key with this ID.", func(f *form) {
		f.Header = object(`"alg": "ES256"`, `"kid": "es-2"`, `"typ": "JWT"`)
	})
	add("tampered", "Tampered claims", "The signature is for other claims.", func(f *form) {
		f.Claims, f.Signature = object(issuer, audience, `"sub": "root"`, scope, issued, expires), "tampered"
	})
	add("loose", "Loose base64", "The right signature, but with a padding bit set.", func(f *form) { f.Signature = "loose" })
	add("two", "Two headers", "The request has two Authorization headers.", func(f *form) { f.Request += "\nAuthorization: Bearer {token}" })
	add("missing", "No token", "The request has no token.", func(f *form) {
		f.Request, f.Scopes = "GET /orders HTTP/1.1\nHost: api.example.com", "orders:read"
	})
	add("scope", "Missing scope", "The token is good, but the route requires another scope.", func(f *form) { f.Scopes = "orders:read orders:write" })
	add("outage", "Outage", "Validate cannot reach its database, so the gate answers 503.", func(f *form) { f.Validate = "outage" })

	group = "DPoP"
	issued = fmt.Sprintf(`"iat": %d`, now.Add(-15*time.Minute).Unix()) // a token is older than a proof
	good.Confirm = "dpop"
	good.Claims = object(issuer, audience, subject, scope, issued, expires, `"cnf": {"jkt": "{jkt}"}`)
	good.Request = "GET /orders?page=2 HTTP/1.1\nHost: api.example.com\nAuthorization: DPoP {token}\nDPoP: {proof}"
	proof := func(members ...string) func(*form) {
		return func(f *form) { f.ProofClaims = object(members...) }
	}
	withNonce := func(members ...string) func(*form) {
		return func(f *form) {
			f.Nonces, f.ProofClaims = true, object(append([]string{jti, htm, htu, iat, ath}, members...)...)
		}
	}
	add("bound", "Good proof", "The token is bound to a key of this page, and the page signs a proof for the request.", func(*form) {})
	add("query", "Query", "htu has the query too. The gate accepts it: a proof is for the URL without the query.",
		proof(jti, htm, `"htu": "https://api.example.com/orders?page=2"`, iat, ath))
	add("no-proof", "No proof", "Somebody has stolen the token, and not the key.", func(f *form) {
		f.Request = strings.Replace(f.Request, "\nDPoP: {proof}", "", 1)
	})
	add("bearer", "As Bearer", "Somebody sends the token as if it were not bound.", func(f *form) {
		f.Request = "GET /orders HTTP/1.1\nHost: api.example.com\nAuthorization: Bearer {token}"
	})
	add("replay", "Replay", "The same request is sent twice. This is the answer to the second.", func(f *form) { f.Twice = true })
	add("method", "Other method", "The proof is for a POST.", proof(jti, `"htm": "POST"`, htu, iat, ath))
	add("url", "Other URL", "The proof is for another service, which has passed it on.",
		proof(jti, htm, `"htu": "https://billing.example.com/orders"`, iat, ath))
	add("other-token", "Other token", "ath is the hash of another token.", proof(jti, htm, htu, iat, `"ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"`))
	add("other-key", "Other key", "The proof is good, but the token is bound to another key.", func(f *form) { f.ProofKey = "other" })
	add("old", "Old iat", "The proof was made ten minutes ago.", proof(jti, htm, htu, fmt.Sprintf(`"iat": %d`, now.Add(-10*time.Minute).Unix()), ath))
	add("nonce", "Nonce", "The gate wants its nonces. The page takes the nonce of the last answer, and tries again if it has none.",
		withNonce(`"nonce": "{nonce}"`))
	add("no-nonce", "No nonce", "The gate wants its nonces. A client library tries again with the nonce of this answer.", withNonce())
	add("old-nonce", "Old nonce", "The nonce is of five minutes ago.", withNonce(fmt.Sprintf(`"nonce": %q`, i.nonceAt(now.Add(-5*time.Minute)))))
	return all
}

// object returns a JSON object with the given members. It does not check them.
func object(members ...string) string {
	return "{\n  " + strings.Join(members, ",\n  ") + "\n}"
}
