package jwtgate

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/jwtgate/jwtgate/internal/charset"
)

// challenges makes the challenges of refusals: one for each scheme that the gate accepts
// tokens under (RFC 9110 section 11.6.1).
type challenges []challengeScheme

// A challengeScheme is a scheme with the parameters that each of its challenges has.
type challengeScheme struct {
	name  string
	start string // the scheme and the realm
	end   string // the other parameters
}

// ownParameters are the parameters that the gate writes, which Error.Params cannot
// replace.
var ownParameters = []string{"realm", "scope", "error", "error_description", "resource_metadata"}

// newChallenges returns the challenges of a gate. metadataURL is "" if the gate has no
// metadata.
func newChallenges(realm, metadataURL string, b *bindings) (c challenges) {
	end := ""
	if metadataURL != "" {
		end = parameter("resource_metadata", metadataURL) // RFC 9728 section 5.1
	}
	start := ` realm="` + quotedString.Replace(realm) + `"`
	if b != nil {
		for _, n := range b.schemes {
			s := challengeScheme{name: n.name, start: n.name + start, end: end}
			params := n.scheme.Challenge()
			for _, name := range slices.Sorted(maps.Keys(params)) {
				s.end += parameter(name, params[name])
			}
			c = append(c, s)
		}
	}
	if b == nil || b.bearer {
		c = append(c, challengeScheme{name: bearer, start: bearer + start, end: end})
	}
	return c
}

// append appends to list the challenges for a refused request. The error is in the
// challenge for the scheme of the request, and in all challenges if the request has none
// of the schemes (RFC 6750 section 3, RFC 9449 section 7.2). code and description are the
// results of describe. r may be nil.
func (c challenges) append(list []string, r *http.Request, e *Error, code, description string) []string {
	scope := ""
	if allowed := charset.Challenge.Filter(e.Scope); allowed != "" {
		scope = `, scope="` + allowed + `"`
	}
	used := -1
	if len(c) > 1 && e.Code != "" && r != nil {
		used = c.used(r)
	}
	for i := range c {
		s := &c[i]
		switch { // one concatenation for each challenge is one allocation
		case used >= 0 && used != i:
			list = append(list, s.start+scope+s.end)
		case e.Code == "":
			list = append(list, s.start+scope+s.end+s.further(e))
		default:
			list = append(list, s.start+scope+`, error="`+code+`", error_description="`+description+`"`+s.end+s.further(e))
		}
	}
	return list
}

// used returns the index of the scheme that the credentials of r have, or -1.
func (c challenges) used(r *http.Request) int {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return -1
	}
	word, _, _ := strings.Cut(values[0], " ")
	return slices.IndexFunc(c, func(s challengeScheme) bool { return strings.EqualFold(s.name, word) })
}

// further returns those of Error.Params that a challenge can have, in the order of their
// names.
func (s *challengeScheme) further(e *Error) (text string) {
	if len(e.Params) == 0 {
		return "" // sorting nothing would allocate
	}
	for _, name := range slices.Sorted(maps.Keys(e.Params)) {
		if !slices.Contains(ownParameters, strings.ToLower(name)) && !strings.Contains(strings.ToLower(s.end), ", "+strings.ToLower(name)+"=") {
			text += parameter(name, e.Params[name])
		}
	}
	return text
}

// parameter returns a parameter of a challenge with the comma before it. It returns ""
// if the name is not a token, or if no quoted-string can hold the value (RFC 9110 section
// 11.2).
func parameter(name, value string) string {
	if !isToken(name) || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }) {
		return ""
	}
	return ", " + name + `="` + quotedString.Replace(value) + `"`
}

// describe returns the error code and the description that the client gets. The
// descriptions are fixed, so that they reveal no detail of the token or the service.
func describe(e *Error) (code, description string) {
	code = charset.Challenge.Filter(e.Code)
	switch e.Status {
	case http.StatusBadRequest:
		description = "The request does not carry its access token in the form this service expects."
		code = cmp.Or(code, codeInvalidRequest)
	case http.StatusForbidden:
		description = "The access token does not grant what this request needs."
		code = cmp.Or(code, codeInsufficientScope)
	case http.StatusServiceUnavailable:
		description = "The access token cannot be verified at the moment. Try again later."
		code = cmp.Or(code, "temporarily_unavailable")
	default:
		description = "The access token is not valid."
		switch {
		case wraps(e.Err, ErrExpired):
			// A forger learns nothing: exp is checked after the signature.
			description = "The access token has expired."
		case wraps(e.Err, ErrProof):
			description = "The proof that the sender holds the key of the access token is not valid."
		case wraps(e.Err, ErrAuthentication):
			description = "This request needs a user who has signed in more recently or more strongly."
		case code == "":
			code, description = "unauthorized", "This request needs an access token."
		}
	}
	return code, description
}

// quotedString escapes the content of a quoted-string (RFC 9110 section 5.6.4).
var quotedString = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
