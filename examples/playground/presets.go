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
	Form  form   `json:"form"`
}

// presets returns the presets of the page. The first has a good token, and each of
// the others has one fault. The times in the claims are relative to now.
func presets(now time.Time) []preset {
	const (
		issuer   = `"iss": "https://auth.example.com/"`
		audience = `"aud": "https://api.example.com"`
		subject  = `"sub": "alice"`
		scope    = `"scope": "orders:read"`
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
	}
	var all []preset
	add := func(id, label, about string, change func(*form)) {
		f := good
		change(&f)
		all = append(all, preset{id, label, about, f})
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
	return all
}

// object returns a JSON object with the given members. It does not check them.
func object(members ...string) string {
	return "{\n  " + strings.Join(members, ",\n  ") + "\n}"
}
