package jwtgate

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
	"github.com/jwtgate/jwtgate/internal/jws"
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// A claimChecker reads the claims of a token and checks them against the options.
// It is immutable.
type claimChecker struct {
	anyIssuer      bool
	audiences      []string
	anyAudience    bool
	rfc9068        bool
	subjectClaim   string // never ""
	integerSubject bool   // Options.SubjectClaim is set: the subject may be an integer
	allowNoSubject bool
	allowNoExpiry  bool
	leeway         time.Duration
	maxAge         time.Duration // 0: no limit
	bindings       *bindings
	allowEvents    bool     // Options.Types names another kind of token
	types          []string // the accepted media types, for the log
}

const (
	defaultSubjectClaim = "sub"
	maxSubjectBytes     = 1024
	maxIssuerBytes      = 1024
	maxDuration         = 315360000 // ten years: a smaller date is probably a duration
)

// checkedOnce has what check needs, and what a verifiedToken does not keep.
type checkedOnce struct {
	audience    []string
	hasID       bool // jti is a string that is not empty, as client_id and sub below
	hasClientID bool
	hasSub      bool // set only under Options.RFC9068
}

// read checks the JSON types of the claims of payload and returns them as a
// verifiedToken. The caller has verified the signature of payload, and sets family, key
// and credentialHash. members are the result of Scan. The list in the checkedOnce
// uses the memory of space if that is large enough.
func (c *claimChecker) read(payload string, members []jsonobj.Field, h *header, space []string) (*verifiedToken, checkedOnce, error) {
	t := &verifiedToken{claims: payload, header: h}
	f := checkedOnce{audience: space[:0]}
	var authorizedParty jsonobj.Span
	m := claim{payload: payload}
	for i := range members {
		m.name, m.value = jsonobj.Name(payload, &members[i]), members[i].Value
		var err error
		if m.name == c.subjectClaim {
			if t.subject, err = m.subject(c.integerSubject, !c.rfc9068); err != nil {
				return nil, f, err
			}
		}
		switch m.name {
		case "iss":
			t.issuer, err = m.string(ErrIssuer)
		case "aud":
			t.audience = m.value
			f.audience, err = m.appendStrings(f.audience, ErrAudience)
		case "exp":
			t.expires, err = m.date()
		case "nbf":
			t.notBefore, err = m.date()
		case "iat":
			t.issuedAt, err = m.date()
		case "jti":
			t.id, f.hasID, err = m.stringSpan()
		case "client_id":
			t.clientID, f.hasClientID, err = m.stringSpan()
		case "azp":
			authorizedParty, _, err = m.stringSpan()
		case "scope":
			t.scope, err = m.scopesSpan(f.audience[len(f.audience):])
		case "scp":
			t.scp, err = m.scopesSpan(f.audience[len(f.audience):])
		case "sub":
			if c.rfc9068 {
				var sub string
				sub, err = m.subject(false, false)
				f.hasSub = sub != ""
			}
		case "events":
			// RFC 8417 section 2: a logout token is such a token too.
			if !c.allowEvents {
				err = errEvents
			}
		case "cnf":
			t.cnf, err = c.bindings.readConfirmation(m.raw())
		case "act":
			t.actor, err = m.actor()
		}
		if err != nil {
			return nil, f, err
		}
	}
	if t.clientID == 0 {
		t.clientID = authorizedParty
	}
	return t, f, nil
}

var errEvents = refuse(ErrType, "the token has events: it is a security event or a logout token (RFC 8417 section 2), not an access token", "")

// check checks a token whose signature has been verified with a key of issuer. For a
// remembered token only checkTimes is called again.
func (c *claimChecker) check(t *verifiedToken, f checkedOnce, issuer string, now time.Time) error {
	if err := c.checkTimes(t, now); err != nil {
		return err
	}
	// issuer was read from the same bytes before the signature was verified, so this
	// check cannot fail and no test reaches it. It is a second line of defence: the
	// keys were chosen by issuer.
	if !c.anyIssuer && t.issuer != issuer {
		return refuse(ErrIssuer, "iss is not the one whose keys were used but", t.issuer)
	}
	if err := c.checkAudience(f.audience); err != nil {
		return err
	}
	if !t.header.typeAccepted {
		return c.otherType(&t.header.Header)
	}
	if t.subject == "" && !c.allowNoSubject {
		name := c.subjectClaim
		return refuseWith(ErrClaim, func() string {
			return "the subject, " + logtext.QuoteUpTo(name, 64) + ", is missing, null or empty; Options.SubjectClaim names the top-level claim " +
				"that has the user's ID, Options.AllowNoSubject accepts tokens without one"
		})
	}
	if t.cnf == nil && !c.bindings.allowUnbound {
		return refuse(ErrClaim, "the token is not bound to a key: it has no cnf, and Options.AllowUnbound is not set", "")
	}
	return c.checkRFC9068(t, f)
}

// checkTimes checks exp, nbf and iat (RFC 7519 sections 4.1.4 to 4.1.6).
func (c *claimChecker) checkTimes(t *verifiedToken, now time.Time) error {
	switch {
	case t.expires.IsZero() && !c.allowNoExpiry:
		return refuse(ErrClaim, "exp is missing, and Options.AllowNoExpiry is not set", "")
	case c.expired(t, now):
		return c.passed("exp", t.expires, now, "; the leeway is ", c.leeway)
	case !t.notBefore.IsZero() && now.Before(t.notBefore.Add(-c.leeway)):
		return c.ahead("nbf", t.notBefore, now)
	case !t.issuedAt.IsZero() && now.Before(t.issuedAt.Add(-c.leeway)):
		return c.ahead("iat", t.issuedAt, now)
	case c.maxAge == 0:
		return nil
	case t.issuedAt.IsZero():
		return refuse(ErrClaim, "iat is missing, and Options.MaxAge needs it", "")
	case now.Sub(t.issuedAt)-c.leeway > c.maxAge:
		return c.passed("iat", t.issuedAt, now, ", longer than MaxAge, which is ", c.maxAge)
	}
	return nil
}

// passed returns the refusal of a token because of a time that has passed. The error
// ends with text and limit, which name the option that limits the time.
func (c *claimChecker) passed(name string, at, now time.Time, text string, limit time.Duration) error {
	return refuseWith(ErrExpired, func() string {
		if seconds := at.Unix(); 0 < seconds && seconds < maxDuration {
			return name + " is " + strconv.FormatInt(seconds, 10) + ", which looks like a duration; it must be the seconds since 1970"
		}
		return name + " was " + at.Format(time.RFC3339) + ", " + logtext.Duration(now.Sub(at)) + " ago" + text + logtext.Duration(limit)
	})
}

// ahead returns the refusal of a token because of a time in the future.
func (c *claimChecker) ahead(name string, at, now time.Time) error {
	leeway := c.leeway
	return refuseWith(ErrNotYetValid, func() string {
		return name + " is " + at.Format(time.RFC3339) + ", " + logtext.Duration(at.Sub(now)) + " ahead of this machine's clock; the leeway is " + logtext.Duration(leeway)
	})
}

// expired reports whether exp has passed (RFC 7519 section 4.1.4).
func (c *claimChecker) expired(t *verifiedToken, now time.Time) bool {
	return !t.expires.IsZero() && !now.Before(t.expires.Add(c.leeway))
}

// validWindow returns times such that checkTimes cannot fail inside [from, until),
// whatever the leeway. The window is empty for a token without exp.
func (c *claimChecker) validWindow(t *verifiedToken) (from, until time.Time) {
	from, until = t.notBefore, t.expires
	if t.issuedAt.After(from) {
		from = t.issuedAt
	}
	if tooOld := t.issuedAt.Add(c.maxAge); c.maxAge > 0 && tooOld.Before(until) {
		until = tooOld
	}
	return from, until
}

// checkAudience checks aud (RFC 7519 section 4.1.3).
func (c *claimChecker) checkAudience(theirs []string) error {
	if c.anyAudience {
		return nil
	}
	for _, ours := range c.audiences {
		if slices.Contains(theirs, ours) {
			return nil
		}
	}
	theirs, ours := slices.Clone(theirs), c.audiences // the next token uses the memory of theirs
	return refuseWith(ErrAudience, func() string { return audienceText(theirs, ours) })
}

// audienceText says how the audiences of a token differ from those of this service.
func audienceText(theirs, ours []string) string {
	var text string
	switch len(theirs) {
	case 0:
		return "aud is missing or empty, and Options.AnyAudience is not set; this service is " + logtext.List(ours, 50)
	case 1:
		text = "aud is " + logtext.List(theirs, 90)
	default:
		text = "aud is [" + logtext.List(theirs, 80) + "]"
	}
	text += ", this service is " + logtext.List(ours, 50)
	for _, a := range theirs[:min(len(theirs), 20)] {
		for _, b := range ours {
			if words := strings.FieldsFunc(a, separatesNames); len(words) > 1 && slices.Contains(words, b) {
				return text + "; the list must be a JSON array"
			}
			if difference := slightDifference(a, b); difference != "" {
				return text + "; the only difference is " + difference
			}
		}
	}
	return text
}

// separatesNames reports whether issuers separate audiences by r when they write a list
// as one string.
func separatesNames(r rune) bool { return r == ' ' || r == ',' || r == ';' }

// otherType returns the refusal of a token whose typ is not accepted.
func (c *claimChecker) otherType(h *jws.Header) error {
	return refuseWith(ErrType, func() string {
		text := "typ is missing"
		if h.HasType {
			text = "typ is " + logtext.Quote(h.Type)
		}
		var names []string
		none := ""
		for _, accepted := range c.types {
			if accepted == "" {
				none = " or none"
				continue
			}
			names = append(names, strings.TrimPrefix(accepted, "application/"))
		}
		return text + ", accepted is " + logtext.List(names, 80) + none
	})
}

// checkRFC9068 checks that client_id, iat, jti and sub are present (RFC 9068 section
// 2.2). Their types and the claims iss, aud and exp have been checked before.
func (c *claimChecker) checkRFC9068(t *verifiedToken, f checkedOnce) error {
	switch {
	case !c.rfc9068:
		return nil
	case !f.hasClientID:
		return refuse(ErrClaim, "client_id is missing, and Options.RFC9068 requires it", "")
	case t.issuedAt.IsZero():
		return refuse(ErrClaim, "iat is missing, and Options.RFC9068 requires it", "")
	case !f.hasID:
		return refuse(ErrClaim, "jti is missing, and Options.RFC9068 requires it", "")
	case !f.hasSub:
		return refuse(ErrClaim, "sub is missing, null or empty, and Options.RFC9068 requires it", "")
	}
	return nil
}

// A claim is one member of the JSON object payload.
type claim struct {
	name    string
	payload string
	value   jsonobj.Span
}

// text returns the value if it is a string.
func (m *claim) text() (string, bool) { return jsonobj.Text(m.payload, m.value) }

// raw returns the value as it is written in the token.
func (m *claim) raw() string { return jsonobj.Raw(m.payload, m.value) }

// string returns the value, or an error that wraps sentinel if it is not a string.
func (m *claim) string(sentinel error) (string, error) {
	s, ok := m.text()
	if !ok {
		return "", m.refuse(sentinel, "a string")
	}
	return s, nil
}

// isNull reports whether the value is null.
func (m *claim) isNull() bool { return m.raw() == "null" }

// stringSpan returns where the value is, and whether it is a string that is not empty.
// It returns the zero Span for null, which counts as absent.
func (m *claim) stringSpan() (value jsonobj.Span, hasText bool, err error) {
	if m.isNull() {
		return 0, false, nil
	}
	s, err := m.string(ErrClaim)
	return m.value, s != "", err
}

// refuse returns the refusal of a token because of the JSON type of the claim.
func (m *claim) refuse(sentinel error, wanted string) error {
	name, raw := m.name, m.raw()
	return refuseWith(sentinel, func() string { return name + " is " + describeJSON(raw) + "; it must be " + wanted })
}

// describeJSON describes raw, a JSON value, for a log, in at most 80 bytes.
func describeJSON(raw string) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		s, _ := jsonobj.String(raw)
		return "the string " + logtext.QuoteUpTo(s, 64)
	case 't', 'f', 'n':
		return raw
	}
	return "the number " + cutText(raw, 32)
}

// cutText returns s cut to limit bytes. s is ASCII.
func cutText(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit-3] + "..."
	}
	return s
}

// appendStrings appends the value, a string or an array of strings, to list.
func (m *claim) appendStrings(list []string, sentinel error) ([]string, error) {
	if s, ok := m.text(); ok {
		return append(list, s), nil
	}
	// Elements appends the elements as they are written in the token.
	first := len(list)
	list, ok := jsonobj.Elements(m.raw(), list)
	if !ok {
		return list, m.refuse(sentinel, "a string or an array of strings")
	}
	for i := first; i < len(list); i++ {
		element := list[i]
		if list[i], ok = jsonobj.String(element); !ok {
			name := m.name
			return list, refuseWith(sentinel, func() string {
				return name + " has " + describeJSON(element) + " among its elements; each must be a string"
			})
		}
	}
	return list, nil
}

// scopesSpan returns where the value of scope or scp is. It returns the zero Span for
// null, which counts as absent. space is empty; its memory is used to read a list.
func (m *claim) scopesSpan(space []string) (jsonobj.Span, error) {
	if m.isNull() {
		return 0, nil
	}
	if _, ok := m.text(); ok {
		return m.value, nil
	}
	_, err := m.appendStrings(space, ErrClaim)
	return m.value, err
}

// appendScopes appends the scopes of a space-separated string (RFC 6749 section
// 3.3), or of an array with one scope in each element, to list.
func (m *claim) appendScopes(list []string) ([]string, error) {
	s, ok := m.text()
	if !ok {
		return m.appendStrings(list, ErrClaim)
	}
	for s != "" {
		var scope string
		if scope, s, _ = strings.Cut(s, " "); scope != "" {
			list = append(list, scope)
		}
	}
	return list, nil
}

// date reads a NumericDate (RFC 7519 section 2).
func (m *claim) date() (time.Time, error) {
	raw := m.raw()
	t, ok := jws.Date(raw)
	if !ok {
		name := m.name
		return t, refuseWith(ErrClaim, func() string { return name + " is " + dateText(raw) })
	}
	return t, nil
}

// dateText says what raw, a JSON value, is in place of a date.
func dateText(raw string) string {
	number, err := strconv.ParseFloat(raw, 64)
	if err != nil && (raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9') {
		err = nil // beyond a float64: ParseFloat returns an infinity
	}
	unit := ""
	switch {
	case err != nil:
		return describeJSON(raw) + "; it must be a JSON number: the seconds since 1970"
	case number > jws.MaxDate && number < 1e14:
		unit = "milliseconds"
	case number > jws.MaxDate && number < 1e17:
		unit = "microseconds"
	case number > jws.MaxDate && number < 1e20:
		unit = "nanoseconds"
	default:
		return cutText(raw, 32) + "; it must be from 0 to 253402300799: the seconds since 1970"
	}
	return cutText(raw, 32) + ", which looks like " + unit + "; it must be seconds since 1970"
}

// actor returns sub of act, or "" if act has no sub (RFC 8693 section 4.1).
func (m *claim) actor() (string, error) {
	members, err := jsonobj.Parse(m.raw(), nil)
	if err != nil {
		return "", m.refuse(ErrClaim, "an object")
	}
	for _, member := range members {
		if member.Name != "sub" {
			continue
		}
		sub, ok := jsonobj.String(member.Value)
		if !ok || len(sub) > maxSubjectBytes {
			return "", refuse(ErrClaim, "sub of act is not a string of at most 1024 bytes", "")
		}
		return sub, nil
	}
	return "", nil
}

// subject reads the subject: a string of at most 1024 bytes. It returns "" for null and
// for the empty string, which are no subject. With allowInteger it also reads a
// non-negative integer, as its digits: a claim that Options.SubjectClaim names often has
// the ID of a database row. With hint, the error says how to allow integers.
func (m *claim) subject(allowInteger, hint bool) (string, error) {
	subject, ok := m.text()
	raw := m.raw()
	switch {
	case ok && len(subject) <= maxSubjectBytes:
		return subject, nil
	case allowInteger && isInteger(raw) && raw[0] != '-' && len(raw) <= maxSubjectBytes:
		return raw, nil
	case m.isNull():
		return "", nil
	}
	name := m.name
	return "", refuseWith(ErrClaim, func() string {
		switch {
		case ok:
			return "the subject, " + logtext.QuoteUpTo(name, 64) + ", has more than 1024 bytes"
		case hint && !allowInteger && isInteger(raw) && raw[0] != '-':
			return `the subject, "sub", is ` + describeJSON(raw) + `; it must be a string, or set Options.SubjectClaim to "sub" to accept integers`
		case allowInteger:
			return "the subject, " + logtext.QuoteUpTo(name, 64) + ", is " + describeJSON(raw) + "; it must be a string or an integer from 0 on"
		}
		return "the subject, " + logtext.QuoteUpTo(name, 64) + ", is " + describeJSON(raw) + "; it must be a string"
	})
}
