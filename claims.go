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
	maxSpan             = 315360000 // ten years: a smaller date is probably a duration
)

// read returns the claims of payload as a verifiedToken. The caller has verified the
// signature of payload, and sets family and credentialHash. members are the result of
// jsonobj.Scan.
func (c *claimChecker) read(payload string, members []jsonobj.Field, h *header) (*verifiedToken, error) {
	v := &verifiedToken{claims: payload, header: h}
	t := &v.token
	t.Type, t.Algorithm, t.KeyID = h.Type, h.Algorithm, h.KeyID
	freeSpace := v.listSpace[:0] // the part of v.listSpace that no list uses yet
	var authorizedParty string
	var err error
	for i := range members {
		m := claim{jsonobj.Name(payload, &members[i]), payload, &members[i]}
		if m.name == c.subjectClaim {
			if t.Subject, err = m.subject(c.integerSubject, !c.rfc9068); err != nil {
				return nil, err
			}
			v.hasSubject = t.Subject != ""
		}
		switch m.name {
		case "iss":
			v.hasIssuer = true
			t.Issuer, err = m.string(ErrIssuer)
		case "aud":
			t.Audience, err = m.appendStrings(freeSpace, ErrAudience)
			t.Audience, freeSpace = endList(t.Audience, freeSpace)
		case "exp":
			t.Expires, err = m.date()
		case "nbf":
			t.NotBefore, err = m.date()
		case "iat":
			t.IssuedAt, err = m.date()
		case "jti":
			t.ID, err = m.stringOrNull()
		case "client_id":
			v.hasClientID = !m.isNull()
			t.ClientID, err = m.stringOrNull()
		case "azp":
			authorizedParty, err = m.stringOrNull()
		case "scope", "scp":
			if m.isNull() {
				break
			}
			if t.Scopes == nil {
				t.Scopes = freeSpace
			}
			t.Scopes, err = m.appendScopes(t.Scopes)
			t.Scopes, freeSpace = endList(t.Scopes, freeSpace)
		case "sub":
			if c.rfc9068 {
				var sub string
				sub, err = m.subject(false, false)
				v.hasSub = sub != ""
			}
		case "events":
			// RFC 8417 section 2: a logout token is such a token too.
			if !c.allowEvents {
				err = errEvents
			}
		case "cnf":
			v.cnf, err = c.bindings.readConfirmation(m.raw())
		case "act":
			t.Actor, err = m.actor()
		}
		if err != nil {
			return nil, err
		}
	}
	if !v.hasClientID {
		t.ClientID = authorizedParty
	}
	return v, nil
}

var errEvents = refuse(ErrType, "the token has events: it is a security event or a logout token (RFC 8417 section 2), not an access token", "")

// endList returns list, or nil if list is empty, and the part of freeSpace that list
// does not use. If a list has outgrown freeSpace, append has moved it to new memory, and
// freeSpace is unused.
func endList(list, freeSpace []string) (ended, rest []string) {
	n := len(list)
	switch {
	case n == 0:
		return nil, freeSpace
	case cap(freeSpace) > 0 && &list[0] == &freeSpace[:1][0]:
		return list[:n:n], list[n:]
	}
	return list, freeSpace
}

// check checks claims whose signature has been verified with a key of issuer. For a
// remembered token only checkTimes is called again.
func (c *claimChecker) check(v *verifiedToken, issuer string, now time.Time) error {
	if err := c.checkTimes(&v.token, now); err != nil {
		return err
	}
	// issuer was read from the same bytes before the signature was verified, so this
	// check cannot fail and no test reaches it. It is a second line of defence: the
	// keys were chosen by issuer.
	if !c.anyIssuer && (!v.hasIssuer || v.token.Issuer != issuer) {
		return refuse(ErrIssuer, "iss is not the one whose keys were used but", v.token.Issuer)
	}
	if err := c.checkAudience(&v.token); err != nil {
		return err
	}
	if !v.header.typeAccepted {
		return c.otherType(&v.header.Header)
	}
	if !v.hasSubject && !c.allowNoSubject {
		name := c.subjectClaim
		return refuseWith(ErrClaim, func() string {
			return "the subject, " + logtext.QuoteUpTo(name, 64) + ", is missing, null or empty; Options.SubjectClaim names the top-level claim " +
				"that has the user's ID, Options.AllowNoSubject accepts tokens without one"
		})
	}
	if v.cnf == nil && !c.bindings.allowUnbound {
		return refuse(ErrClaim, "the token is not bound to a key: it has no cnf, and Options.AllowUnbound is not set", "")
	}
	return c.checkRFC9068(v)
}

// checkTimes checks exp, nbf and iat (RFC 7519 sections 4.1.4 to 4.1.6).
func (c *claimChecker) checkTimes(t *Token, now time.Time) error {
	switch {
	case t.Expires.IsZero() && !c.allowNoExpiry:
		return refuse(ErrClaim, "exp is missing, and Options.AllowNoExpiry is not set", "")
	case c.expired(t, now):
		return c.passed("exp", t.Expires, now, "; the leeway is ", c.leeway)
	case !t.NotBefore.IsZero() && now.Before(t.NotBefore.Add(-c.leeway)):
		return c.ahead("nbf", t.NotBefore, now)
	case !t.IssuedAt.IsZero() && now.Before(t.IssuedAt.Add(-c.leeway)):
		return c.ahead("iat", t.IssuedAt, now)
	case c.maxAge == 0:
		return nil
	case t.IssuedAt.IsZero():
		return refuse(ErrClaim, "iat is missing, and Options.MaxAge needs it", "")
	case now.Sub(t.IssuedAt)-c.leeway > c.maxAge:
		return c.passed("iat", t.IssuedAt, now, ", longer than MaxAge, which is ", c.maxAge)
	}
	return nil
}

// passed returns the refusal of a token because of a time that has passed. The error
// ends with text and limit, which name the option that limits the time.
func (c *claimChecker) passed(name string, at, now time.Time, text string, limit time.Duration) error {
	return refuseWith(ErrExpired, func() string {
		if seconds := at.Unix(); 0 < seconds && seconds < maxSpan {
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
func (c *claimChecker) expired(t *Token, now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires.Add(c.leeway))
}

// validWindow returns times such that checkTimes cannot fail inside [from, until),
// whatever the leeway. The window is empty for a token without exp.
func (c *claimChecker) validWindow(t *Token) (from, until time.Time) {
	from, until = t.NotBefore, t.Expires
	if t.IssuedAt.After(from) {
		from = t.IssuedAt
	}
	if tooOld := t.IssuedAt.Add(c.maxAge); c.maxAge > 0 && tooOld.Before(until) {
		until = tooOld
	}
	return from, until
}

func (c *claimChecker) checkAudience(t *Token) error {
	if c.anyAudience {
		return nil
	}
	for _, ours := range c.audiences {
		if slices.Contains(t.Audience, ours) {
			return nil
		}
	}
	theirs, ours := t.Audience, c.audiences
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
func (c *claimChecker) checkRFC9068(v *verifiedToken) error {
	switch {
	case !c.rfc9068:
		return nil
	case !v.hasClientID || v.token.ClientID == "":
		return refuse(ErrClaim, "client_id is missing, and Options.RFC9068 requires it", "")
	case v.token.IssuedAt.IsZero():
		return refuse(ErrClaim, "iat is missing, and Options.RFC9068 requires it", "")
	case v.token.ID == "":
		return refuse(ErrClaim, "jti is missing, and Options.RFC9068 requires it", "")
	case !v.hasSub:
		return refuse(ErrClaim, "sub is missing, null or empty, and Options.RFC9068 requires it", "")
	}
	return nil
}

// A claim is one member of the JSON object payload.
type claim struct {
	name    string
	payload string
	field   *jsonobj.Field
}

// text returns the value if it is a string.
func (m *claim) text() (string, bool) { return jsonobj.Text(m.payload, m.field) }

// raw returns the value as it is written in the token.
func (m *claim) raw() string { return jsonobj.Value(m.payload, m.field) }

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

// stringOrNull is string for a claim that may be null. Null counts as absent.
func (m *claim) stringOrNull() (string, error) {
	if m.isNull() {
		return "", nil
	}
	return m.string(ErrClaim)
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

// appendScopes appends the scopes of a space-separated string (RFC 6749 section
// 3.3), or of an array with one scope in each element, to list.
func (m *claim) appendScopes(list []string) ([]string, error) {
	s, ok := m.text()
	if !ok {
		return m.appendStrings(list, ErrClaim)
	}
	list = slices.Grow(list, strings.Count(s, " ")+1)
	for scope := range strings.SplitSeq(s, " ") {
		if scope != "" {
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
