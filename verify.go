package jwtgate

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
	"github.com/jwtgate/jwtgate/internal/jws"
)

// Verify verifies one token, given without its scheme, where there is no HTTP
// request: gRPC metadata, a message from a queue. It applies all that [Options]
// and [Gate.Require] ask for; rules see a request that has ctx and nothing
// else. ctx bounds the wait for keys and is passed to Validate.
//
// The error is always an [*Error].
func (g *Gate) Verify(ctx context.Context, token string) (*Token, error) {
	if e := g.unusable(); e != nil {
		return nil, e
	}
	start := g.verifier.startObserving()
	r := (&http.Request{URL: &url.URL{}, Header: http.Header{}}).WithContext(ctx)
	a, cached, err := g.decide(r, token)
	if g.verifier.observe != nil { // which asks for the Token
		g.verifier.observed(ctx, nil, start, a.own(), cached, err)
	}
	if err != nil {
		return nil, err
	}
	return a.own(), nil
}

// decide verifies a credential and asks every rule about the token. What was
// verified comes back beside the error of a rule.
func (g *Gate) decide(r *http.Request, credential string) (a *admission, cached bool, e *Error) {
	v := g.verifier
	if credential == "" {
		return nil, false, g.withScopes(toError(refuse(ErrNoToken, "the credential is empty", ""), fromGate))
	}
	now := v.now()
	known, cached, err := v.verify(r.Context(), credential, now)
	if err != nil {
		return nil, false, toError(err, fromGate)
	}
	a = &admission{record: known}
	if e := g.checkOwn(r, a, v.rules, fromOptions); e != nil {
		return a, cached, e
	}
	if known.bound {
		if err := v.confirm.Check(r, a.own()); err != nil {
			return a, cached, toError(err, fromOptions)
		}
	}
	if v.validate != nil {
		if err := v.validate(r.Context(), a.own()); err != nil {
			return a, cached, toError(err, fromValidate)
		}
	}
	return a, cached, g.checkOwn(r, a, g.rules, fromRequire)
}

// checkOwn is checkRules for an admission, whose Token is not made unless there
// is a rule.
func (g *Gate) checkOwn(r *http.Request, a *admission, rules []Rule, from origin) *Error {
	if len(rules) == 0 {
		return nil
	}
	return g.checkRules(r, a.own(), rules, from)
}

func (g *Gate) checkRules(r *http.Request, t *Token, rules []Rule, from origin) *Error {
	for _, rule := range rules {
		if err := rule.Check(r, t); err != nil {
			return g.withScopes(toError(err, from))
		}
	}
	return nil
}

// withScopes completes the scope of a challenge: whoever lacks one, or has no
// token yet, is told all that the gate asks for.
func (g *Gate) withScopes(e *Error) *Error {
	if e.Scope != "" || errors.Is(e.Err, ErrNoToken) {
		e.Scope = mergeScopes(g.scopes, e.Scope)
	}
	return e
}

// A verifier is what the gates derived from one New share: its options, ready
// for use, and what it remembers. It is immutable but for the latter.
type verifier struct {
	source KeySource

	issuers        []string // nil under trustIssuer and anyIssuer
	trustIssuer    func(issuer string) bool
	anyIssuer      bool
	audiences      []string
	anyAudience    bool
	algorithms     map[*algorithm]bool
	types          map[string]bool // by media type; "" for absent
	profile        bool            // RFC 9068
	subjectClaim   string          // never ""
	allowNoSubject bool
	allowNoExpiry  bool
	leeway         time.Duration
	maxAge         time.Duration // 0: no limit
	maxTokenBytes  int

	extract  Extractor
	bearer   bool // extract is cutBearer, and what it returns perhaps no token68
	rules    []Rule
	confirm  Rule // nil: key-bound tokens are refused
	validate func(context.Context, *Token) error
	observe  func(context.Context, Event)
	onDeny   func(http.ResponseWriter, *http.Request, *Error)
	realm    string
	now      func() time.Time

	headers slots[header]
	tokens  slots[remembered]
	scratch sync.Pool // of *scratch
}

// scratch is the room that one verification works in.
type scratch struct {
	token     []byte
	header    []byte
	payload   []byte
	signature []byte
	members   []jsonobj.Field // of payload
}

// verify takes a token through all checks that depend on nothing but itself,
// the keys and the time.
func (v *verifier) verify(ctx context.Context, token string, now time.Time) (known *record, cached bool, err error) {
	if len(token) > v.maxTokenBytes {
		return nil, false, refuse(ErrMalformed, "the token has more than "+strconv.Itoa(v.maxTokenBytes)+" bytes", "")
	}
	if v.tokens.ways == 0 {
		known, _, err = v.verifyAnew(ctx, token, now)
		return known, false, err
	}
	// The end of the signature tells tokens apart, and nobody knows it who does
	// not have the token.
	hash := maphash.String(seed, token[max(0, len(token)-32):])
	if known := v.tokens.find(token, hash); known != nil {
		if stands, err := v.recheck(ctx, known, now); stands || err != nil {
			return known.record, true, err
		}
		// The key may just have got another ID. What is read and verified from
		// the beginning replaces what was remembered.
	}
	known, key, err := v.verifyAnew(ctx, token, now)
	if err != nil {
		return nil, false, err
	}
	r := &remembered{record: known, key: key}
	r.from, r.until = v.window(&known.token)
	// A copy, since the token may be part of a longer header, and some servers
	// use the memory of a header again for the next request.
	v.tokens.put(strings.Clone(token), hash, r, func(r *remembered) bool { return v.expired(&r.token, now) })
	return known, false, nil
}

// verifyAnew is verify for a token that is not remembered. It also returns the
// key that it was signed with.
func (v *verifier) verifyAnew(ctx context.Context, token string, now time.Time) (known *record, key *Key, err error) {
	s := v.scratch.Get().(*scratch)
	defer v.scratch.Put(s)

	s.token = append(s.token[:0], token...)
	parts, err := jws.Cut(s.token)
	if err != nil {
		return nil, nil, malformed("token", err)
	}
	// A header that is remembered is base64url, and so are the segments that
	// decode: all of the token has been looked at before anything comes of it.
	headerText := token[:len(parts.Header)]
	headerHash := maphash.String(seed, headerText)
	h := v.headers.find(headerText, headerHash)
	knownHeader := h != nil
	if !knownHeader {
		if s.header, err = jws.AppendDecoded(s.header[:0], parts.Header); err != nil {
			return nil, nil, undecoded("header", s.token)
		}
	}
	if s.payload, err = jws.AppendDecoded(s.payload[:0], parts.Payload); err != nil {
		return nil, nil, undecoded("claims", s.token)
	}
	if s.signature, err = jws.AppendDecoded(s.signature[:0], parts.Signature); err != nil {
		return nil, nil, undecoded("signature", s.token)
	}
	if !knownHeader {
		if h, err = v.readHeader(s.header); err != nil {
			return nil, nil, err
		}
	}
	// One strict pass finds where each claim stands. What they say, but for iss,
	// matters once the signature is verified.
	issuer := ""
	if !v.anyIssuer {
		if s.members, err = jsonobj.Scan(s.payload, s.members[:0]); err != nil {
			return nil, nil, malformed("claims", err)
		}
		if issuer, err = v.peekIssuer(s); err != nil {
			return nil, nil, err
		}
	}
	keys, err := v.keysFor(ctx, issuer, h)
	if err != nil {
		return nil, nil, err
	}
	key = signer(keys, token[:len(parts.SigningInput)], parts.SigningInput, s.signature)
	if key == nil {
		if h.KeyID == "" {
			return nil, nil, refuse(ErrSignature, "the token names no key", "")
		}
		return nil, nil, refuse(ErrSignature, "of key", h.KeyID)
	}

	// From here on the token is what a trusted key signed.
	if !knownHeader {
		v.headers.put(strings.Clone(headerText), headerHash, h, nil)
	}
	if v.anyIssuer {
		if s.members, err = jsonobj.Scan(s.payload, s.members[:0]); err != nil {
			return nil, nil, malformed("claims", err)
		}
	}
	known, err = v.readClaims(s, h)
	if err != nil {
		return nil, nil, err
	}
	if err := v.check(known, issuer, now); err != nil {
		return nil, nil, err
	}
	known.credential = maphash.String(seed, token)
	return known, key, nil
}

// malformed says where a token is not what it must be.
func malformed(part string, err error) error {
	return refuse(ErrMalformed, part+": "+err.Error(), "")
}

// undecoded says what is wrong with a token whose named segment could not be
// decoded.
func undecoded(segment string, token []byte) error {
	if _, err := jws.Split(token); err != nil {
		return malformed("token", err)
	}
	return malformed(segment, jws.ErrEncoding)
}

// header is a header with what the gate's options say of it.
type header struct {
	jws.Header
	algorithm *algorithm
	accepted  bool // typ is one of Options.Types
}

// readHeader checks a decoded header.
func (v *verifier) readHeader(data []byte) (h *header, err error) {
	parsed, err := jws.ParseHeader(data)
	if err != nil {
		return nil, malformed("header", err)
	}
	h = &header{Header: parsed, algorithm: algorithms[parsed.Algorithm]}
	if h.algorithm == nil || !v.algorithms[h.algorithm] {
		return nil, refuseValue(ErrAlgorithm, "alg", parsed.Algorithm)
	}
	if h.HasType {
		h.accepted = v.types[jws.MediaType(h.Type)]
	} else {
		h.accepted = v.types[""]
	}
	return h, nil
}

// maxIssuer is the longest iss that is compared with anything, in bytes.
const maxIssuer = 1024

// peekIssuer reads iss ahead of the signature, because it says whose keys to
// look for and because a stranger's token must not make a source fetch any. It
// is compared with the trusted issuers and used for nothing else; check sees
// to it that it is the one that was signed.
func (v *verifier) peekIssuer(s *scratch) (string, error) {
	for i := range s.members {
		m := &s.members[i]
		if string(jsonobj.Name(s.payload, m)) != "iss" {
			continue
		}
		if len(jsonobj.Value(s.payload, m)) > 6*maxIssuer+2 {
			return "", refuse(ErrIssuer, "iss is too long", "")
		}
		issuer, ok := jsonobj.Text(s.payload, m)
		if !ok || len(issuer) > maxIssuer {
			return "", refuse(ErrIssuer, "iss is not a string of at most 1024 bytes", "")
		}
		known, ok := v.trusted(issuer)
		if !ok {
			return "", refuseValue(ErrIssuer, "iss", string(issuer))
		}
		return known, nil
	}
	return "", refuse(ErrIssuer, "iss is missing", "")
}

// trusted returns the issuer called name, if it is trusted. It compares code
// point by code point (RFC 7519 section 4.1.1, RFC 8725 section 3.8).
func (v *verifier) trusted(name []byte) (issuer string, ok bool) {
	for _, issuer := range v.issuers {
		if issuer == string(name) {
			return issuer, true
		}
	}
	if v.trustIssuer == nil || len(name) == 0 { // sources take "" for AnyIssuer
		return "", false
	}
	issuer = string(name)
	return issuer, v.trustIssuer(issuer)
}

// maxKeys is how many keys are tried for one token, so that a set full of keys
// does not multiply the cost of a forgery.
const maxKeys = 4

// keysFor returns the keys that may have signed a token with header h, and no
// others.
func (v *verifier) keysFor(ctx context.Context, issuer string, h *header) (keys [maxKeys]*Key, err error) {
	all, err := v.keysOf(ctx, issuer, h)
	if err != nil {
		return keys, err
	}
	n := 0
	otherAlgorithm := false
	for _, k := range all {
		if k.fits(h.algorithm, h.KeyID) {
			keys[n] = k
			if n++; n == maxKeys {
				break
			}
		} else if k != nil && k.algorithm != nil && k.fits(k.algorithm, h.KeyID) {
			otherAlgorithm = true
		}
	}
	switch {
	case n > 0:
		return keys, nil
	case otherAlgorithm:
		return keys, refuse(ErrAlgorithm, "the key is for another one than", h.Algorithm)
	default:
		return keys, refuseValue(ErrUnknownKey, "kid", h.KeyID)
	}
}

// keysOf returns what the source has for a token with header h.
func (v *verifier) keysOf(ctx context.Context, issuer string, h *header) ([]*Key, error) {
	keys, err := v.source.Keys(ctx, issuer, h.KeyID)
	if err != nil {
		return nil, toError(fmt.Errorf("getting keys: %w", err), fromSource)
	}
	return keys, nil
}

// signer returns the key whose signature it is, or nil. The signing input
// comes as a string and as bytes.
func signer(keys [maxKeys]*Key, text string, input, signature []byte) *Key {
	for _, k := range keys {
		if k != nil && k.verify(text, input, signature) {
			return k
		}
	}
	return nil
}

// readClaims reads the payload in scratch, whose signature has been verified.
func (v *verifier) readClaims(s *scratch, h *header) (*record, error) {
	payload := string(s.payload)
	c := &record{by: v, payload: payload, header: h}
	t := &c.token
	t.Type, t.Algorithm, t.KeyID = h.Type, h.Algorithm, h.KeyID
	room := c.room[:0]
	var party string
	var err error
	for i := range s.members {
		m := claim{jsonobj.Name(payload, &s.members[i]), payload, &s.members[i]}
		if m.name == v.subjectClaim {
			if t.Subject, err = m.subject(v.subjectClaim != defaultSubjectClaim); err != nil {
				return nil, err
			}
			c.hasSubject = true
		}
		switch m.name {
		case "iss":
			c.hasIssuer = true
			t.Issuer, err = m.string(ErrIssuer)
		case "aud":
			t.Audience, err = m.strings(room, ErrAudience)
			t.Audience, room = settle(t.Audience, room)
		case "exp":
			t.Expires, err = m.date()
		case "nbf":
			t.NotBefore, err = m.date()
		case "iat":
			t.IssuedAt, err = m.date()
		case "jti":
			t.ID, err = m.string(ErrClaim)
		case "client_id":
			c.hasClientID = true
			t.ClientID, err = m.string(ErrClaim)
		case "azp":
			party, err = m.string(ErrClaim)
		case "scope", "scp":
			if t.Scopes == nil {
				t.Scopes = room
			}
			t.Scopes, err = m.scopes(t.Scopes)
			t.Scopes, room = settle(t.Scopes, room)
		case "sub":
			c.hasSub = true
			if v.profile {
				_, err = m.subject(false)
			}
		case "cnf":
			c.bound = true
		}
		if err != nil {
			return nil, err
		}
	}
	if !c.hasClientID {
		t.ClientID = party
	}
	return c, nil
}

// settle ends a list that was perhaps begun in room, and returns what is left of
// that. An empty list is nil.
func settle(list, room []string) (settled, left []string) {
	n := len(list)
	switch {
	case n == 0:
		return nil, room
	case cap(room) > 0 && &list[0] == &room[:1][0]:
		return list[:n:n], list[n:]
	}
	return list, room
}

// claim is a member of the claims.
type claim struct {
	name    string
	payload string
	field   *jsonobj.Field
}

// text returns the value if it is a string.
func (m *claim) text() (string, bool) { return jsonobj.Text(m.payload, m.field) }

// raw returns the value as it stands in the token.
func (m *claim) raw() string { return jsonobj.Value(m.payload, m.field) }

func (m *claim) string(sentinel error) (string, error) {
	s, ok := m.text()
	if !ok {
		return "", refuse(sentinel, m.name+" is not a string", "")
	}
	return s, nil
}

// strings appends a string, or each string of an array, to list.
func (m *claim) strings(list []string, sentinel error) ([]string, error) {
	if s, ok := m.text(); ok {
		return append(list, s), nil
	}
	// The elements are decoded in place.
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

// scopes appends the scopes of a space-separated string (RFC 6749 section
// 3.3), or of an array with one in each element, to list.
func (m *claim) scopes(list []string) ([]string, error) {
	s, ok := m.text()
	if !ok {
		return m.strings(list, ErrClaim)
	}
	list = slices.Grow(list, strings.Count(s, " ")+1)
	for scope := range strings.SplitSeq(s, " ") {
		if scope != "" {
			list = append(list, scope)
		}
	}
	return list, nil
}

// maxDate is the last second of the year 9999.
const maxDate = 253402300799

// date reads a NumericDate (RFC 7519 section 2): seconds since 1970 as a JSON
// number, fractions allowed, within the years that time.Time and its JSON can
// hold.
func (m *claim) date() (time.Time, error) {
	raw := m.raw()
	if seconds, ok := wholeSeconds(raw); ok {
		return time.Unix(seconds, 0).UTC(), nil
	}
	// Nothing else that is JSON parses as a float.
	seconds, err := strconv.ParseFloat(raw, 64)
	if err != nil || seconds < 0 || seconds > maxDate {
		return time.Time{}, refuse(ErrClaim, m.name+" is not a number from 0 to 253402300799", "")
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9)).UTC(), nil
}

// wholeSeconds reads what nearly all dates are: up to eleven digits.
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

const (
	defaultSubjectClaim = "sub"
	maxSubject          = 1024
)

// subject reads the subject, which must be there to be used: a non-empty
// string, or where the user's own claim was named, a database's integer.
func (m *claim) subject(integerToo bool) (string, error) {
	subject, ok := m.text()
	if raw := m.raw(); !ok && integerToo && isInteger(raw) && raw[0] != '-' {
		subject, ok = raw, true
	}
	if !ok || subject == "" || len(subject) > maxSubject {
		return "", refuse(ErrClaim, "the subject is not a non-empty string of at most 1024 bytes, in", m.name)
	}
	return subject, nil
}

// check applies the options to claims whose signature has been verified. All
// but the times stand for good.
func (v *verifier) check(c *record, issuer string, now time.Time) error {
	if err := v.checkTimes(&c.token, now); err != nil {
		return err
	}
	// Since claims are read strictly, this cannot differ from what was peeked
	// at, and no test gets here. All of peekIssuer rests on it.
	if !v.anyIssuer && (!c.hasIssuer || c.token.Issuer != issuer) {
		return refuse(ErrIssuer, "iss is not the one whose keys were used but", c.token.Issuer)
	}
	if err := v.checkAudience(&c.token); err != nil {
		return err
	}
	if !c.header.accepted {
		return refuseValue(ErrType, "typ", c.header.Type)
	}
	if !c.hasSubject && !v.allowNoSubject {
		return refuse(ErrClaim, "the subject is missing: no claim", v.subjectClaim)
	}
	if c.bound && v.confirm == nil {
		// Whoever takes a key-bound token from anybody undoes the binding (RFC
		// 7800 section 3.1).
		return refuse(ErrClaim, "the token is bound to a key by cnf, and Options.Confirm is not set", "")
	}
	if v.profile {
		return checkProfile(c)
	}
	return nil
}

// expired tells whether exp has passed (RFC 7519 section 4.1.4).
func (v *verifier) expired(t *Token, now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires.Add(v.leeway))
}

// checkTimes checks exp, nbf and iat (RFC 7519 sections 4.1.4 to 4.1.6).
func (v *verifier) checkTimes(t *Token, now time.Time) error {
	switch {
	case t.Expires.IsZero() && !v.allowNoExpiry:
		return refuse(ErrClaim, "exp is missing", "")
	case v.expired(t, now):
		return refuse(ErrExpired, "exp was "+t.Expires.Format(time.RFC3339), "")
	case !t.NotBefore.IsZero() && now.Before(t.NotBefore.Add(-v.leeway)):
		return refuse(ErrNotYetValid, "nbf is "+t.NotBefore.Format(time.RFC3339), "")
	case !t.IssuedAt.IsZero() && now.Before(t.IssuedAt.Add(-v.leeway)):
		return refuse(ErrNotYetValid, "iat is "+t.IssuedAt.Format(time.RFC3339), "")
	case v.maxAge == 0:
		return nil
	case t.IssuedAt.IsZero():
		return refuse(ErrClaim, "iat is missing, and Options.MaxAge needs it", "")
	case now.Sub(t.IssuedAt)-v.leeway > v.maxAge:
		return refuse(ErrExpired, "iat was "+t.IssuedAt.Format(time.RFC3339)+", longer ago than MaxAge", "")
	}
	return nil
}

// window returns times between which checkTimes finds nothing, whatever the
// leeway. The others must be put to it.
func (v *verifier) window(t *Token) (from, until time.Time) {
	from, until = t.NotBefore, t.Expires
	if t.IssuedAt.After(from) {
		from = t.IssuedAt
	}
	if old := t.IssuedAt.Add(v.maxAge); v.maxAge > 0 && old.Before(until) {
		until = old
	}
	return from, until
}

func (v *verifier) checkAudience(t *Token) error {
	if v.anyAudience {
		return nil
	}
	for _, ours := range v.audiences {
		if slices.Contains(t.Audience, ours) {
			return nil
		}
	}
	return refuseValue(ErrAudience, "aud", strings.Join(t.Audience, " "))
}

// checkProfile asks for the claims of an access token (RFC 9068 section 2.2).
// Their types have been checked, and so have iss, aud and exp.
func checkProfile(c *record) error {
	switch {
	case !c.hasClientID || c.token.ClientID == "":
		return refuse(ErrClaim, "client_id is missing (RFC 9068)", "")
	case c.token.IssuedAt.IsZero():
		return refuse(ErrClaim, "iat is missing (RFC 9068)", "")
	case c.token.ID == "":
		return refuse(ErrClaim, "jti is missing (RFC 9068)", "")
	case !c.hasSub:
		return refuse(ErrClaim, "sub is missing (RFC 9068)", "")
	}
	return nil
}

// remembered is a record with what recheck wants to know.
type remembered struct {
	*record
	key         *Key      // that the token was signed with
	from, until time.Time // see window
}

// recheck passes a remembered token through the checks whose answer may have
// changed. It does not stand, and must be verified anew, if its key is no
// longer one that the source has for it.
func (v *verifier) recheck(ctx context.Context, known *remembered, now time.Time) (stands bool, err error) {
	issuer := ""
	if !v.anyIssuer {
		issuer = known.token.Issuer
		if v.trustIssuer != nil && !v.trustIssuer(issuer) {
			return false, refuseValue(ErrIssuer, "iss", issuer)
		}
	}
	keys, err := v.keysOf(ctx, issuer, known.header)
	if err != nil {
		return false, err
	}
	tried := 0
	for _, k := range keys {
		if !k.fits(known.header.algorithm, known.header.KeyID) {
			continue
		}
		if k == known.key || k.equal(known.key) {
			if !now.Before(known.from) && now.Before(known.until) {
				return true, nil
			}
			return true, v.checkTimes(&known.token, now)
		}
		if tried++; tried == maxKeys {
			break
		}
	}
	return false, nil
}

// slots is a table of fixed size in which verified things are found again by
// the string they came as. Finding takes no lock. What is put into a full set
// replaces something else of it, which is then simply not remembered.
type slots[T any] struct {
	places []atomic.Pointer[slot[T]]
	ways   int // places for one hash; 0 if there are none at all
}

// slot is one remembered thing. Its hash, which is keyed with seed and so not
// to be known outside, is compared before its key, so that time tells a
// stranger nothing of a key.
type slot[T any] struct {
	hash  uint64
	key   string
	value *T
}

func newSlots[T any](size int) slots[T] {
	ways := min(size, 4)
	if ways > 0 {
		size -= size % ways
	}
	return slots[T]{places: make([]atomic.Pointer[slot[T]], size), ways: ways}
}

// set returns the places for hash. Its high bits choose them.
func (s *slots[T]) set(hash uint64) []atomic.Pointer[slot[T]] {
	set, _ := bits.Mul64(hash, uint64(len(s.places)/s.ways))
	i := int(set) * s.ways
	return s.places[i : i+s.ways]
}

func (s *slots[T]) find(key string, hash uint64) *T {
	if s.ways == 0 {
		return nil
	}
	set := s.set(hash)
	for i := range set {
		if found := set[i].Load(); found != nil && found.hash == hash && found.key == key {
			return found.value
		}
	}
	return nil
}

// put remembers value under key, in an empty place, one whose value is of no
// more use, or any.
func (s *slots[T]) put(key string, hash uint64, value *T, useless func(*T) bool) {
	set := s.set(hash)
	victim := rand.IntN(len(set))
	for i := range set {
		found := set[i].Load()
		if found == nil || found.key == key || useless != nil && useless(found.value) {
			victim = i
			break
		}
	}
	set[victim].Store(&slot[T]{hash: hash, key: key, value: value})
}
