package jwtgate

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
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
	done := g.verifier.observing(ctx, nil)
	r := (&http.Request{URL: &url.URL{}, Header: http.Header{}}).WithContext(ctx)
	t, cached, err := g.decide(r, token)
	done(t, cached, err)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// decide verifies a credential and asks every rule about the token. A token
// that was verified comes back beside the error of a rule.
func (g *Gate) decide(r *http.Request, credential string) (t *Token, cached bool, e *Error) {
	v := g.verifier
	if credential == "" {
		return nil, false, g.withScopes(toError(refuse(ErrNoToken, "the credential is empty", ""), fromGate))
	}
	now := v.now()
	t, cached, err := v.verify(r.Context(), credential, now)
	if err != nil {
		return nil, false, toError(err, fromGate)
	}
	if e := g.checkRules(r, t, v.rules, fromOptions); e != nil {
		return t, cached, e
	}
	if t.verified.bound {
		if err := v.confirm.Check(r, t); err != nil {
			return t, cached, toError(err, fromOptions)
		}
	}
	if v.validate != nil {
		if err := v.validate(r.Context(), t); err != nil {
			return t, cached, toError(err, fromValidate)
		}
	}
	return t, cached, g.checkRules(r, t, g.rules, fromRequire)
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
	members   []jsonobj.Member[string]
}

// verify takes a token through all checks that depend on nothing but itself,
// the keys and the time.
func (v *verifier) verify(ctx context.Context, token string, now time.Time) (t *Token, cached bool, err error) {
	if len(token) > v.maxTokenBytes {
		return nil, false, refuse(ErrMalformed, "the token has more than "+strconv.Itoa(v.maxTokenBytes)+" bytes", "")
	}
	if known := v.tokens.find(token); known != nil {
		t, err := v.recall(ctx, known, now)
		if !errors.Is(err, ErrUnknownKey) {
			return t, true, err
		}
		// The key may just have got another ID. What is read and verified from
		// the beginning replaces what was remembered.
	}

	s := v.scratch.Get().(*scratch)
	defer v.scratch.Put(s)

	s.token = append(s.token[:0], token...)
	parts, err := jws.Split(s.token)
	if err != nil {
		return nil, false, malformed("token", err)
	}
	headerText := token[:len(parts.Header)]
	h, knownHeader, err := v.readHeader(s, headerText, parts.Header)
	if err != nil {
		return nil, false, err
	}
	if s.payload, err = jws.AppendDecoded(s.payload[:0], parts.Payload); err != nil {
		return nil, false, malformed("claims", err)
	}
	issuer, err := v.peekIssuer(s.payload)
	if err != nil {
		return nil, false, err
	}
	keys, err := v.keysFor(ctx, issuer, h)
	if err != nil {
		return nil, false, err
	}
	if s.signature, err = jws.AppendDecoded(s.signature[:0], parts.Signature); err != nil {
		return nil, false, malformed("signature", err)
	}
	key := signer(keys, token[:len(parts.SigningInput)], parts.SigningInput, s.signature)
	if key == nil {
		return nil, false, refuse(ErrSignature, "of key", h.KeyID)
	}

	// From here on the token is what a trusted key signed.
	if !knownHeader {
		v.headers.put(strings.Clone(headerText), h, nil)
	}
	c, err := v.readClaims(s, h)
	if err != nil {
		return nil, false, err
	}
	if err := v.check(c, issuer, now); err != nil {
		return nil, false, err
	}
	if v.tokens.ways > 0 {
		r := &remembered{claims: *c, key: key}
		r.claims.token = *c.token.clone()
		v.tokens.put(strings.Clone(token), r, func(r *remembered) bool { return v.expired(&r.claims.token, now) })
	}
	return c.issue(v), false, nil
}

// malformed says where a token is not what it must be.
func malformed(part string, err error) error {
	return refuse(ErrMalformed, part+": "+err.Error(), "")
}

// header is a header with what the gate's options say of it.
type header struct {
	jws.Header
	algorithm *algorithm
	accepted  bool // typ is one of Options.Types
}

// readHeader decodes and checks a header, or recognises that of a token that
// was verified before. The segment comes as a string and as bytes.
func (v *verifier) readHeader(s *scratch, text string, segment []byte) (h *header, known bool, err error) {
	if h := v.headers.find(text); h != nil {
		return h, true, nil
	}
	if s.header, err = jws.AppendDecoded(s.header[:0], segment); err != nil {
		return nil, false, malformed("header", err)
	}
	parsed, err := jws.ParseHeader(s.header)
	if err != nil {
		return nil, false, malformed("header", err)
	}
	h = &header{Header: parsed, algorithm: algorithms[parsed.Algorithm]}
	if h.algorithm == nil || !v.algorithms[h.algorithm] {
		return nil, false, refuse(ErrAlgorithm, "alg is", parsed.Algorithm)
	}
	if h.HasType {
		h.accepted = v.types[jws.MediaType(h.Type)]
	} else {
		h.accepted = v.types[""]
	}
	return h, false, nil
}

// maxIssuer is the longest iss that is compared with anything, in bytes.
const maxIssuer = 1024

// peekIssuer reads iss ahead of the signature, because it says whose keys to
// look for and because a stranger's token must not make a source fetch any. It
// is compared with the trusted issuers and used for nothing else; check sees
// to it that it is the one that was signed.
func (v *verifier) peekIssuer(payload []byte) (string, error) {
	if v.anyIssuer {
		return "", nil
	}
	raw, ok, err := jsonobj.Find(payload, "iss")
	if err != nil {
		return "", malformed("claims", err)
	}
	if !ok {
		return "", refuse(ErrIssuer, "iss is missing", "")
	}
	if len(raw) > 6*maxIssuer+2 {
		return "", refuse(ErrIssuer, "iss is too long", "")
	}
	issuer, ok := jsonobj.String(raw)
	if !ok || len(issuer) > maxIssuer {
		return "", refuse(ErrIssuer, "iss is not a string of at most 1024 bytes", "")
	}
	if issuer == "" || !v.trusts(issuer) { // sources take "" for AnyIssuer
		return "", refuse(ErrIssuer, "iss is", issuer)
	}
	return issuer, nil
}

// trusts compares code point by code point (RFC 7519 section 4.1.1, RFC 8725
// section 3.8).
func (v *verifier) trusts(issuer string) bool {
	if v.trustIssuer != nil {
		return v.trustIssuer(issuer)
	}
	return slices.Contains(v.issuers, issuer)
}

// maxKeys is how many keys are tried for one token, so that a set full of keys
// does not multiply the cost of a forgery.
const maxKeys = 4

// keysFor returns the keys that may have signed a token with header h, and no
// others.
func (v *verifier) keysFor(ctx context.Context, issuer string, h *header) (keys [maxKeys]*Key, err error) {
	all, err := v.source.Keys(ctx, issuer, h.KeyID)
	if err != nil {
		return keys, toError(fmt.Errorf("getting keys: %w", err), fromSource)
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
		return keys, refuse(ErrUnknownKey, "kid is", h.KeyID)
	}
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

// claims is a verified token and what check wants to know beyond its fields.
type claims struct {
	token    Token
	verified verified
	header   *header

	hasIssuer   bool
	hasSubject  bool
	hasSub      bool // what RFC 9068 asks for, whatever claim the subject is in
	hasClientID bool
}

// issue returns the claims' token as one of v's.
func (c *claims) issue(v *verifier) *Token {
	c.verified.token = &c.token
	c.verified.by = v
	c.token.verified = &c.verified
	return &c.token
}

// readClaims reads the payload in scratch, whose signature has been verified.
func (v *verifier) readClaims(s *scratch, h *header) (*claims, error) {
	payload := string(s.payload)
	members, err := jsonobj.Parse(payload, s.members[:0])
	if err != nil {
		return nil, malformed("claims", err)
	}
	defer func() {
		clear(members)
		s.members = members
	}()

	c := &claims{header: h, verified: verified{payload: payload}}
	t := &c.token
	t.Type, t.Algorithm, t.KeyID = h.Type, h.Algorithm, h.KeyID
	var party string
	for _, m := range members {
		if m.Name == v.subjectClaim {
			if t.Subject, err = readSubject(m, v.subjectClaim != defaultSubjectClaim); err != nil {
				return nil, err
			}
			c.hasSubject = true
		}
		switch m.Name {
		case "iss":
			c.hasIssuer = true
			t.Issuer, err = readString(m, ErrIssuer)
		case "aud":
			t.Audience, err = readStrings(m, t.Audience, ErrAudience)
		case "exp":
			t.Expires, err = readDate(m)
		case "nbf":
			t.NotBefore, err = readDate(m)
		case "iat":
			t.IssuedAt, err = readDate(m)
		case "jti":
			t.ID, err = readString(m, ErrClaim)
		case "client_id":
			c.hasClientID = true
			t.ClientID, err = readString(m, ErrClaim)
		case "azp":
			party, err = readString(m, ErrClaim)
		case "scope", "scp":
			t.Scopes, err = readScopes(m, t.Scopes)
		case "sub":
			c.hasSub = true
			if v.profile {
				_, err = readSubject(m, false)
			}
		case "cnf":
			c.verified.bound = true
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

func readString(m jsonobj.Member[string], sentinel error) (string, error) {
	s, ok := jsonobj.String(m.Value)
	if !ok {
		return "", refuse(sentinel, m.Name+" is not a string", "")
	}
	return s, nil
}

// readStrings appends a string, or each string of an array, to list.
func readStrings(m jsonobj.Member[string], list []string, sentinel error) ([]string, error) {
	if s, ok := jsonobj.String(m.Value); ok {
		return append(list, s), nil
	}
	// The elements are decoded in place.
	first := len(list)
	list, ok := jsonobj.Elements(m.Value, list)
	for i := first; i < len(list) && ok; i++ {
		list[i], ok = jsonobj.String(list[i])
	}
	if !ok {
		return nil, refuse(sentinel, m.Name+" is neither a string nor an array of strings", "")
	}
	return list, nil
}

// readScopes appends the scopes of a space-separated string (RFC 6749 section
// 3.3), or of an array with one in each element, to list.
func readScopes(m jsonobj.Member[string], list []string) ([]string, error) {
	s, ok := jsonobj.String(m.Value)
	if !ok {
		return readStrings(m, list, ErrClaim)
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

// readDate reads a NumericDate (RFC 7519 section 2): seconds since 1970 as a
// JSON number, fractions allowed, within the years that time.Time and its JSON
// can hold.
func readDate(m jsonobj.Member[string]) (time.Time, error) {
	if seconds, err := strconv.ParseInt(m.Value, 10, 64); err == nil && 0 <= seconds && seconds <= maxDate {
		return time.Unix(seconds, 0).UTC(), nil
	}
	// Nothing else that is JSON parses as a float.
	seconds, err := strconv.ParseFloat(m.Value, 64)
	if err != nil || seconds < 0 || seconds > maxDate {
		return time.Time{}, refuse(ErrClaim, m.Name+" is not a number from 0 to 253402300799", "")
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9)).UTC(), nil
}

const (
	defaultSubjectClaim = "sub"
	maxSubject          = 1024
)

// readSubject reads the subject, which must be there to be used: a non-empty
// string, or where the user's own claim was named, a database's integer.
func readSubject(m jsonobj.Member[string], integerToo bool) (string, error) {
	subject, ok := jsonobj.String(m.Value)
	if !ok && integerToo && isInteger(m.Value) && m.Value[0] != '-' {
		subject, ok = m.Value, true
	}
	if !ok || subject == "" || len(subject) > maxSubject {
		return "", refuse(ErrClaim, "the subject is not a non-empty string of at most 1024 bytes, in", m.Name)
	}
	return subject, nil
}

// check applies the options to claims whose signature has been verified, and
// again to those that are remembered.
func (v *verifier) check(c *claims, issuer string, now time.Time) error {
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
		return refuse(ErrType, "typ is", c.header.Type)
	}
	if !c.hasSubject && !v.allowNoSubject {
		return refuse(ErrClaim, "the subject is missing: no claim", v.subjectClaim)
	}
	if c.verified.bound && v.confirm == nil {
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

func (v *verifier) checkAudience(t *Token) error {
	if v.anyAudience {
		return nil
	}
	for _, ours := range v.audiences {
		if slices.Contains(t.Audience, ours) {
			return nil
		}
	}
	return refuse(ErrAudience, "aud is", strings.Join(t.Audience, " "))
}

// checkProfile asks for the claims of an access token (RFC 9068 section 2.2).
// Their types have been checked, and so have iss, aud and exp.
func checkProfile(c *claims) error {
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

// remembered is a token that was verified before, with the key that did it. No
// request ever gets hold of its slices.
type remembered struct {
	claims claims
	key    *Key
}

// recall passes a remembered token through all checks but those of its
// signature and its form, which cannot change. Its key must still be one that
// the source has for it.
func (v *verifier) recall(ctx context.Context, known *remembered, now time.Time) (*Token, error) {
	c := known.claims
	c.token = *known.claims.token.clone()
	issuer := ""
	if !v.anyIssuer {
		if issuer = c.token.Issuer; !v.trusts(issuer) {
			return nil, refuse(ErrIssuer, "iss is", issuer)
		}
	}
	keys, err := v.keysFor(ctx, issuer, c.header)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(keys[:], func(k *Key) bool { return k != nil && k.equal(known.key) }) {
		return nil, refuse(ErrUnknownKey, "the key has left its source:", c.token.KeyID)
	}
	if err := v.check(&c, issuer, now); err != nil {
		return nil, err
	}
	return c.issue(v), nil
}

// slots is a table of fixed size in which verified things are found again by
// the string they came as. Finding takes no lock. What is put into a full set
// replaces something else of it, which is then simply not remembered.
type slots[T any] struct {
	places []atomic.Pointer[slot[T]]
	ways   int // places for one hash; 0 if there are none at all
	seed   maphash.Seed
}

// slot is one remembered thing. Its hash, which nobody outside can know, is
// compared before its key, so that time tells a stranger nothing of a key.
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
	return slots[T]{places: make([]atomic.Pointer[slot[T]], size), ways: ways, seed: maphash.MakeSeed()}
}

func (s *slots[T]) set(hash uint64) []atomic.Pointer[slot[T]] {
	sets := uint64(len(s.places) / s.ways)
	i := int(hash%sets) * s.ways
	return s.places[i : i+s.ways]
}

func (s *slots[T]) find(key string) *T {
	if s.ways == 0 {
		return nil
	}
	hash := maphash.String(s.seed, key)
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
func (s *slots[T]) put(key string, value *T, useless func(*T) bool) {
	hash := maphash.String(s.seed, key)
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
