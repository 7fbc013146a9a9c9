package jwtgate

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
)

// A claimChecker reads the claims of a token and checks them against the options.
// It is immutable.
type claimChecker struct {
	anyIssuer      bool
	audiences      []string
	anyAudience    bool
	rfc9068        bool
	subjectClaim   string // never ""
	allowNoSubject bool
	allowNoExpiry  bool
	leeway         time.Duration
	maxAge         time.Duration // 0: no limit
	allowCnf       bool          // Options.Confirm is set
}

const (
	defaultSubjectClaim = "sub"
	maxSubjectBytes     = 1024
	maxIssuerBytes      = 1024
	maxDate             = 253402300799 // the last second of the year 9999
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
			if t.Subject, err = m.subject(c.subjectClaim != defaultSubjectClaim); err != nil {
				return nil, err
			}
			v.hasSubject = true
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
			t.ID, err = m.string(ErrClaim)
		case "client_id":
			v.hasClientID = true
			t.ClientID, err = m.string(ErrClaim)
		case "azp":
			authorizedParty, err = m.string(ErrClaim)
		case "scope", "scp":
			if t.Scopes == nil {
				t.Scopes = freeSpace
			}
			t.Scopes, err = m.appendScopes(t.Scopes)
			t.Scopes, freeSpace = endList(t.Scopes, freeSpace)
		case "sub":
			v.hasSub = true
			if c.rfc9068 {
				_, err = m.subject(false)
			}
		case "cnf":
			v.hasCnf = true
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
		return refuseValue(ErrType, "typ", v.header.Type)
	}
	if !v.hasSubject && !c.allowNoSubject {
		return refuse(ErrClaim, "the subject is missing: no claim", c.subjectClaim)
	}
	if v.hasCnf && !c.allowCnf {
		// A key-bound token that is accepted from anybody is no longer bound (RFC
		// 7800 section 3.1).
		return refuse(ErrClaim, "the token is bound to a key by cnf, and Options.Confirm is not set", "")
	}
	return c.checkRFC9068(v)
}

// checkTimes checks exp, nbf and iat (RFC 7519 sections 4.1.4 to 4.1.6).
func (c *claimChecker) checkTimes(t *Token, now time.Time) error {
	switch {
	case t.Expires.IsZero() && !c.allowNoExpiry:
		return refuse(ErrClaim, "exp is missing", "")
	case c.expired(t, now):
		return refuse(ErrExpired, "exp was "+t.Expires.Format(time.RFC3339), "")
	case !t.NotBefore.IsZero() && now.Before(t.NotBefore.Add(-c.leeway)):
		return refuse(ErrNotYetValid, "nbf is "+t.NotBefore.Format(time.RFC3339), "")
	case !t.IssuedAt.IsZero() && now.Before(t.IssuedAt.Add(-c.leeway)):
		return refuse(ErrNotYetValid, "iat is "+t.IssuedAt.Format(time.RFC3339), "")
	case c.maxAge == 0:
		return nil
	case t.IssuedAt.IsZero():
		return refuse(ErrClaim, "iat is missing, and Options.MaxAge needs it", "")
	case now.Sub(t.IssuedAt)-c.leeway > c.maxAge:
		return refuse(ErrExpired, "iat was "+t.IssuedAt.Format(time.RFC3339)+", longer ago than MaxAge", "")
	}
	return nil
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
	return refuseValue(ErrAudience, "aud", strings.Join(t.Audience, " "))
}

// checkRFC9068 checks that client_id, iat, jti and sub are present (RFC 9068 section
// 2.2). Their types and the claims iss, aud and exp have been checked before.
func (c *claimChecker) checkRFC9068(v *verifiedToken) error {
	switch {
	case !c.rfc9068:
		return nil
	case !v.hasClientID || v.token.ClientID == "":
		return refuse(ErrClaim, "client_id is missing (RFC 9068)", "")
	case v.token.IssuedAt.IsZero():
		return refuse(ErrClaim, "iat is missing (RFC 9068)", "")
	case v.token.ID == "":
		return refuse(ErrClaim, "jti is missing (RFC 9068)", "")
	case !v.hasSub:
		return refuse(ErrClaim, "sub is missing (RFC 9068)", "")
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
		return "", refuse(sentinel, m.name+" is not a string", "")
	}
	return s, nil
}

// appendStrings appends the value, a string or an array of strings, to list.
func (m *claim) appendStrings(list []string, sentinel error) ([]string, error) {
	if s, ok := m.text(); ok {
		return append(list, s), nil
	}
	// Elements appends the elements as they are written in the token.
	first := len(list)
	list, ok := jsonobj.Elements(m.raw(), list)
	for i := first; i < len(list) && ok; i++ {
		list[i], ok = jsonobj.String(list[i])
	}
	if !ok {
		return list, refuse(sentinel, m.name+" is neither a string nor an array of strings", "")
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

// date reads a NumericDate (RFC 7519 section 2): the seconds since 1970 as a JSON
// number, fractions allowed. It refuses negative numbers, and years after 9999, which
// time.Time cannot write as JSON.
func (m *claim) date() (time.Time, error) {
	raw := m.raw()
	if seconds, ok := wholeSeconds(raw); ok {
		return time.Unix(seconds, 0).UTC(), nil
	}
	// ParseFloat fails for every JSON value that is not a number.
	seconds, err := strconv.ParseFloat(raw, 64)
	if err != nil || seconds < 0 || seconds > maxDate {
		return time.Time{}, refuse(ErrClaim, m.name+" is not a number from 0 to 253402300799", "")
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9)).UTC(), nil
}

// wholeSeconds reads a number of up to eleven digits, which nearly every date is.
func wholeSeconds(raw string) (seconds int64, ok bool) {
	if len(raw) > 11 {
		return 0, false
	}
	for i := range len(raw) {
		digit := raw[i] - '0'
		if digit > 9 {
			return 0, false
		}
		seconds = 10*seconds + int64(digit)
	}
	return seconds, true
}

// subject reads the subject: a non-empty string of at most 1024 bytes. With
// allowInteger it also reads a non-negative integer, as its digits: a claim that
// Options.SubjectClaim names often has the ID of a database row.
func (m *claim) subject(allowInteger bool) (string, error) {
	subject, ok := m.text()
	if raw := m.raw(); !ok && allowInteger && isInteger(raw) && raw[0] != '-' {
		subject, ok = raw, true
	}
	if !ok || subject == "" || len(subject) > maxSubjectBytes {
		return "", refuse(ErrClaim, "the subject is not a non-empty string of at most 1024 bytes, in", m.name)
	}
	return subject, nil
}
