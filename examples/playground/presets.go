package main

import (
	"fmt"
	"strings"
	"time"
)

// A preset fills in the form.
type preset struct {
	ID    string `json:"id"`
	Label string `json:"label"`
	About string `json:"about"`
	Form  form   `json:"form"`
}

// presets returns what there is one click for. The first is a good token, and
// the others differ from it in one thing. The times are for now.
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

	add("good", "Good token", "Everything is as the gate asks for.", func(*form) {})
	add("expired", "Expired", "exp was an hour ago.",
		claims(issuer, audience, subject, scope, fmt.Sprintf(`"iat": %d`, now.Add(-2*time.Hour).Unix()),
			fmt.Sprintf(`"exp": %d`, now.Add(-time.Hour).Unix())))
	add("audience", "Wrong audience", "A genuine token that was meant for another service.",
		claims(issuer, `"aud": "https://billing.example.com"`, subject, scope, issued, expires))
	add("none", "alg none", "Not signed, and says so.", func(f *form) {
		f.Header, f.Signature = object(`"alg": "none"`, `"typ": "JWT"`), "none"
	})
	add("confusion", "HS/RS confusion", "An HMAC whose secret is the public RSA key.", func(f *form) {
		f.Key, f.Header, f.Signature = idRS256, object(`"alg": "HS256"`, `"kid": "rs-1"`, `"typ": "JWT"`), "confused"
	})
	add("duplicate", "Duplicate sub", "Two readers could see two users.",
		claims(issuer, audience, subject, `"sub": "root"`, scope, issued, expires))
	add("crit", "crit", "The header asks for an extension that must be understood.", func(f *form) {
		f.Header = object(`"alg": "ES256"`, `"kid": "es-1"`, `"typ": "JWT"`, `"crit": ["b64"]`, `"b64": false`)
	})
	add("no-exp", "No exp", "A token that would be good for ever.", claims(issuer, audience, subject, scope, issued))
	add("kid", "Unknown kid", "The issuer has no key of that name.", func(f *form) {
		f.Header = object(`"alg": "ES256"`, `"kid": "es-2"`, `"typ": "JWT"`)
	})
	add("tampered", "Tampered claims", "The claims are not those that were signed.", func(f *form) {
		f.Claims, f.Signature = object(issuer, audience, `"sub": "root"`, scope, issued, expires), "tampered"
	})
	add("loose", "Loose base64", "The right signature, in a second spelling.", func(f *form) { f.Signature = "loose" })
	add("two", "Two headers", "Which of the two tokens counts?", func(f *form) { f.Request += "\nAuthorization: Bearer {token}" })
	add("missing", "No token", "Nobody has signed in yet.", func(f *form) {
		f.Request, f.Scopes = "GET /orders HTTP/1.1\nHost: api.example.com", "orders:read"
	})
	add("scope", "Missing scope", "A good token that does not grant enough.", func(f *form) { f.Scopes = "orders:read orders:write" })
	add("outage", "Outage", "Whether the token was revoked cannot be told now.", func(f *form) { f.Validate = "outage" })
	return all
}

// object returns a JSON object of members, whatever they are.
func object(members ...string) string {
	return "{\n  " + strings.Join(members, ",\n  ") + "\n}"
}
