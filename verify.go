package jwtgate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jwtgate/jwtgate/internal/cache"
	"github.com/jwtgate/jwtgate/internal/jsonobj"
	"github.com/jwtgate/jwtgate/internal/jws"
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// A verifier makes the checks of a token that depend on the token, the keys and the
// time. Checks that depend on the request are not its task. A verifier is safe for
// concurrent use.
//
// The steps for a token that is not remembered are:
//
//  1. its length
//  2. three segments, each canonical base64url
//  3. the header: strict JSON, alg, kid, no crit
//  4. the claims: strict JSON; iss, which is compared with the trusted issuers (under
//     AnyIssuer the claims are parsed after step 6, and iss is not compared)
//  5. the keys of the issuer that fit alg and kid
//  6. the signature; if no key verifies it, a Rechecker is asked for others
//  7. the JSON types of the claims, the times, iss, aud, the typ of the header, the
//     subject, cnf, RFC 9068
type verifier struct {
	family      *family
	source      KeySource
	byAlgorithm AlgorithmSource // the same source; nil if it is none
	rechecker   Rechecker       // the same source; nil if it is none
	algorithms  map[*algorithm]bool
	types       map[string]bool // the accepted media types of typ; "" if typ may be absent

	issuers     []string // nil under TrustIssuer and AnyIssuer
	trustIssuer func(issuer string) bool
	anyIssuer   bool

	claims        claimChecker
	maxTokenBytes int

	headers cache.Cache[header]
	tokens  cache.Cache[rememberedToken]
	scratch sync.Pool // of *scratch
}

// verifyToken verifies token and returns its content. known is the result of an earlier
// call for the same token, or nil. cached reports that the token was remembered.
func (v *verifier) verifyToken(ctx context.Context, token string, known *verifiedToken, now time.Time) (verified *verifiedToken, cached bool, err error) {
	if known != nil {
		if keyFound, err := v.checkKey(ctx, known); err != nil {
			return nil, false, err
		} else if keyFound {
			return known, false, v.claims.checkTimes(known, now)
		}
		// The source no longer has the key, or has it under another ID.
	}
	if len(token) > v.maxTokenBytes {
		return nil, false, tooLong(len(token), v.maxTokenBytes)
	}
	if !v.tokens.Enabled() {
		verified, err = v.verifyNew(ctx, token, now)
		return verified, false, err
	}
	// Only the last 32 bytes are hashed: they belong to the signature, which is
	// unique and cannot be guessed.
	hash := cache.Hash(token[max(0, len(token)-32):])
	if remembered := v.tokens.Find(token, hash); remembered != nil {
		if keyFound, err := v.checkRemembered(ctx, remembered, now); keyFound || err != nil {
			return remembered.verifiedToken, true, err
		}
		// The source no longer has the key, or has it under another ID. The token is
		// verified as a new one. If it is valid, it replaces the remembered one.
	}
	verified, err = v.verifyNew(ctx, token, now)
	if err != nil {
		return nil, false, err
	}
	r := &rememberedToken{verifiedToken: verified}
	r.validFrom, r.validUntil = v.claims.validWindow(verified)
	v.tokens.Put(token, hash, r, func(old *rememberedToken) bool { return v.claims.expired(old.verifiedToken, now) })
	return verified, false, nil
}

// verifyNew makes all checks of a token.
func (v *verifier) verifyNew(ctx context.Context, token string, now time.Time) (verified *verifiedToken, err error) {
	s := v.scratch.Get().(*scratch)
	defer v.scratch.Put(s)

	s.token = append(s.token[:0], token...)
	segments, err := jws.Cut(s.token)
	if err != nil {
		return nil, notDecoded("", s.token)
	}
	headerText := token[:len(segments.Header())]
	headerHash := cache.Hash(headerText)
	remembered := v.headers.Find(headerText, headerHash)
	h, err := v.decode(s, segments, remembered)
	if err != nil {
		return nil, err
	}
	// Scan checks the JSON of the claims and finds where each member is. Before the
	// signature is verified only iss is read.
	issuer := ""
	var members []jsonobj.Field
	if !v.anyIssuer {
		if members, err = s.scanner.Scan(s.payload); err != nil {
			return nil, malformedClaims(s.payload, err)
		}
		if issuer, err = v.readIssuer(s.payload, members); err != nil {
			return nil, err
		}
	}
	keys, other, err := v.appendFittingKeys(ctx, s.keys[:0], issuer, h)
	input := segments.SigningInput()
	signed := signedText{token[:len(input)], input, s.signature}
	key := signed.matchingKey(keys)
	if key == nil && err == nil {
		key, err = v.recheck(ctx, issuer, h, signed, keys, other)
	}
	if key == nil {
		return nil, err
	}

	// From here on the token is known to be signed by a trusted key.
	if remembered == nil {
		v.headers.Put(headerText, headerHash, h, nil)
	}
	if v.anyIssuer {
		if members, err = s.scanner.Scan(s.payload); err != nil {
			return nil, malformedClaims(s.payload, err)
		}
	}
	verified, once, err := v.claims.read(string(s.payload), members, h, s.list[:0])
	if err != nil {
		return nil, err
	}
	if err := v.claims.check(verified, once, issuer, now); err != nil {
		return nil, err
	}
	verified.family, verified.key = v.family, key
	verified.credentialHash = cache.Hash(token)
	return verified, nil
}

// decode decodes the segments of s.token into s and returns the header: remembered, or
// what it reads if remembered is nil.
func (v *verifier) decode(s *scratch, segments jws.Compact, remembered *header) (_ *header, err error) {
	// All three segments are validated before any of them is used. A remembered
	// header was validated before it was remembered.
	if remembered == nil {
		if s.header, err = jws.AppendDecoded(s.header[:0], segments.Header()); err != nil {
			return nil, notDecoded("header", s.token)
		}
	}
	if s.payload, err = jws.AppendDecoded(s.payload[:0], segments.Payload()); err != nil {
		return nil, notDecoded("claims", s.token)
	}
	if s.signature, err = jws.AppendDecoded(s.signature[:0], segments.Signature()); err != nil {
		return nil, notDecoded("signature", s.token)
	}
	if remembered == nil {
		return v.readHeader(s.header)
	}
	return remembered, nil
}

// A rememberedToken is a verified token with the data that checkRemembered needs.
type rememberedToken struct {
	*verifiedToken

	// Inside [validFrom, validUntil) the checks of the times cannot fail, so they
	// are skipped. Outside they are made, because Leeway may still accept the token.
	validFrom, validUntil time.Time
}

// checkRemembered makes the checks of a remembered token whose outcome may have
// changed: those of checkKey, and the times. If keyFound is false and err is nil, the
// token must be verified as a new one.
func (v *verifier) checkRemembered(ctx context.Context, r *rememberedToken, now time.Time) (keyFound bool, err error) {
	keyFound, err = v.checkKey(ctx, r.verifiedToken)
	if !keyFound || err != nil || !now.Before(r.validFrom) && now.Before(r.validUntil) {
		return keyFound, err
	}
	return true, v.claims.checkTimes(r.verifiedToken, now)
}

// checkKey checks that the issuer of a verified token is still trusted, which may change
// under TrustIssuer, and reports whether the source still returns its key.
func (v *verifier) checkKey(ctx context.Context, t *verifiedToken) (keyFound bool, err error) {
	issuer := ""
	if !v.anyIssuer {
		issuer = t.issuer
		if v.trustIssuer != nil && !v.trustIssuer(issuer) {
			return false, v.issuerRefused(issuer)
		}
	}
	keys, err := v.sourceKeys(ctx, issuer, t.header)
	tried := 0
	for _, k := range keys {
		if !k.fits(t.header.algorithm, t.header.KeyID) {
			continue
		}
		if k == t.key || k.Equal(t.key) {
			return true, nil
		}
		if tried++; tried == maxKeysTried {
			break
		}
	}
	return false, err
}

// readHeader checks a decoded header.
func (v *verifier) readHeader(data []byte) (*header, error) {
	parsed, err := jws.ParseHeader(data)
	if err != nil {
		return nil, malformed("header", err)
	}
	h := &header{Header: parsed, algorithm: algorithms[parsed.Algorithm]}
	if h.algorithm == nil || !v.algorithms[h.algorithm] {
		return nil, v.algorithmRefused(parsed.Algorithm)
	}
	if h.HasType {
		h.typeAccepted = v.types[jws.MediaType(h.Type)]
	} else {
		h.typeAccepted = v.types[""]
	}
	return h, nil
}

// readIssuer returns the trusted issuer that iss names. It reads iss before the
// signature is verified, because iss says whose keys to use, and because a token of
// a stranger must not make the key source fetch keys. claims.check compares the
// result with the iss that was signed.
func (v *verifier) readIssuer(payload []byte, members []jsonobj.Field) (string, error) {
	for i := range members {
		if string(jsonobj.Name(payload, &members[i])) != "iss" {
			continue
		}
		value := members[i].Value
		// Each byte takes at most six bytes in JSON, as in \u0061.
		if len(jsonobj.Raw(payload, value)) > 6*maxIssuerBytes+2 {
			return "", errIssuerForm
		}
		iss, ok := jsonobj.Text(payload, value)
		if !ok || len(iss) > maxIssuerBytes {
			return "", errIssuerForm
		}
		issuer, ok := v.trustedIssuer(iss)
		if !ok {
			return "", v.issuerRefused(string(iss))
		}
		return issuer, nil
	}
	return "", v.issuerAbsent("iss is missing")
}

var errIssuerForm = refuse(ErrIssuer, "iss is not a string of at most 1024 bytes", "")

// trustedIssuer returns the trusted issuer that equals iss, code point by code
// point (RFC 7519 section 4.1.1, RFC 8725 section 3.8).
func (v *verifier) trustedIssuer(iss []byte) (issuer string, ok bool) {
	for _, issuer := range v.issuers {
		if issuer == string(iss) {
			return issuer, true
		}
	}
	// A key source would take the empty issuer for AnyIssuer.
	if v.trustIssuer == nil || len(iss) == 0 {
		return "", false
	}
	issuer = string(iss)
	return issuer, v.trustIssuer(issuer)
}

// maxKeysTried limits the keys that are tried for one token, so that a large set
// does not multiply the cost of a forged token.
const maxKeysTried = 4

// appendFittingKeys appends to keys, which is empty, the keys of issuer that may have
// signed a token with header h. other is a key with the right ID and another algorithm,
// or nil. err is the error of the source.
func (v *verifier) appendFittingKeys(ctx context.Context, keys []*Key, issuer string, h *header) (_ []*Key, other *Key, err error) {
	all, err := v.sourceKeys(ctx, issuer, h)
	for _, k := range all {
		if k.fits(h.algorithm, h.KeyID) {
			if keys = append(keys, k); len(keys) == maxKeysTried {
				break
			}
		} else if other == nil && k != nil && k.algorithm != nil && k.fits(k.algorithm, h.KeyID) {
			other = k
		}
	}
	return keys, other, err
}

// recheck returns the key that verifies a token with header h, if the source has got it
// since appendFittingKeys returned tried and other. Otherwise it returns the refusal of the
// token. It is called at most once for a token.
func (v *verifier) recheck(ctx context.Context, issuer string, h *header, signed signedText, tried []*Key, other *Key) (*Key, error) {
	if len(tried) == 0 && other == nil {
		return nil, unknownKey(h) // a source that can look again has done so for an unknown key
	}
	var more []*Key
	if wanted := h.algorithm.signatureBytes(); v.rechecker != nil && (wanted == 0 || wanted == len(signed.signature)) {
		// The source gets a clone, because the next verification uses the memory of tried.
		for _, k := range v.rechecker.Recheck(ctx, issuer, h.KeyID, h.algorithm.name, slices.Clone(tried)) {
			if !k.fits(h.algorithm, h.KeyID) || slices.ContainsFunc(tried, k.Equal) {
				continue
			}
			if more = append(more, k); len(more) == maxKeysTried {
				break
			}
		}
	}
	if key := signed.matchingKey(more); key != nil {
		return key, nil
	}
	if len(tried) == 0 && len(more) == 0 {
		return nil, keyRefused(other, h)
	}
	return nil, signatureRefused(h, len(signed.signature), tried, more)
}

// sourceKeys returns the keys that the source has for a token with header h. Only an
// AlgorithmSource returns keys together with an error.
func (v *verifier) sourceKeys(ctx context.Context, issuer string, h *header) (keys []*Key, err error) {
	if v.byAlgorithm != nil {
		keys, err = v.byAlgorithm.KeysFor(ctx, issuer, h.KeyID, h.algorithm.name)
	} else if keys, err = v.source.Keys(ctx, issuer, h.KeyID); err != nil {
		keys = nil
	}
	if err != nil {
		err = toError(fmt.Errorf("getting keys: %w", err), fromSource)
	}
	return keys, err
}

// allKeys returns the keys of issuer. It asks an AlgorithmSource for the keys of each
// accepted algorithm, because the source may look for them in different places.
func (v *verifier) allKeys(ctx context.Context, issuer string) (keys []*Key, err error) {
	if v.byAlgorithm == nil {
		return v.source.Keys(ctx, issuer, "")
	}
	for a := range v.algorithms {
		found, err := v.byAlgorithm.KeysFor(ctx, issuer, "", a.name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, found...)
	}
	return keys, nil
}

// A signedText is a signing input, as text and as bytes, and its signature.
type signedText struct {
	text             string
	input, signature []byte
}

// matchingKey returns the first of keys that verifies the signature, or nil.
func (s *signedText) matchingKey(keys []*Key) *Key {
	for _, k := range keys {
		if k != nil && k.verify(s.text, s.input, s.signature) {
			return k
		}
	}
	return nil
}

// A scratch has the buffers of one verification.
type scratch struct {
	token     []byte
	header    []byte // decoded, like payload and signature
	payload   []byte
	signature []byte
	scanner   jsonobj.Scanner // of payload
	keys      [maxKeysTried]*Key
	list      [4]string // memory for aud, if it is short
}

// The functions below return refusals whose texts say what came and what was wanted.

// issuerRefused returns the refusal of a token whose iss is not trusted.
func (v *verifier) issuerRefused(iss string) error {
	if iss == "" {
		return v.issuerAbsent("iss is empty")
	}
	return refuseWith(ErrIssuer, func() string {
		if len(v.issuers) == 0 {
			return "iss is " + logtext.Quote(iss) + ", which Options.TrustIssuer does not trust"
		}
		for _, issuer := range v.issuers {
			if difference := slightDifference(iss, issuer); difference != "" {
				return "iss is " + logtext.Quote(iss) + " and trusted is " + logtext.Quote(issuer) + ": they differ in " + difference
			}
		}
		return "iss is " + logtext.Quote(iss) + ", trusted is " + logtext.List(v.issuers, 90)
	})
}

// issuerAbsent returns the refusal of a token that names no issuer. text says how.
func (v *verifier) issuerAbsent(text string) error {
	return refuseWith(ErrIssuer, func() string {
		text := text + ", and Options.AnyIssuer is not set"
		if len(v.issuers) > 0 {
			text += "; trusted is " + logtext.List(v.issuers, 90)
		}
		return text
	})
}

// slightDifference says how two different issuers or audiences differ, if a reader may
// overlook the difference. Otherwise it returns "". The result has no part of a or b,
// which may be hostile.
func slightDifference(a, b string) string {
	sameButSlash := func(a, b string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") }
	switch {
	case sameButSlash(a, b):
		return "the slash at the end"
	case strings.TrimSpace(a) == strings.TrimSpace(b):
		return "white space at the start or the end"
	case strings.EqualFold(a, b):
		return "upper and lower case"
	}
	_, restA, okA := strings.Cut(a, "://")
	_, restB, okB := strings.Cut(b, "://")
	switch {
	case okA && okB && restA == restB:
		return "the scheme"
	case okA && okB && sameButSlash(restA, restB):
		return "the scheme and the slash at the end"
	case okA && !okB && sameButSlash(restA, b), okB && !okA && sameButSlash(restB, a):
		return "the scheme, such as https://"
	}
	return ""
}

// algorithmRefused returns the refusal of a token whose alg is not accepted.
func (v *verifier) algorithmRefused(alg string) error {
	return refuseWith(ErrAlgorithm, func() string {
		if alg == "" {
			return "alg is missing or empty"
		}
		text := "alg is " + logtext.Quote(alg)
		if algorithms[alg] == nil {
			if isMLDSA(alg) {
				return unsupported(alg)
			}
			return text + ", which is not supported"
		}
		var names []string
		for a := range v.algorithms {
			names = append(names, a.name)
		}
		slices.Sort(names)
		return text + ", and Options.Algorithms has " + strings.Join(names, ", ")
	})
}

// keyRefused returns the refusal of a token with header h, for which key has the right
// ID and another algorithm. If the token has no kid, each ID is right.
func keyRefused(key *Key, h *header) error {
	return refuseWith(ErrAlgorithm, func() string {
		text := "the token is signed with " + h.Algorithm
		if h.KeyID == "" || key.id == "" {
			return text + ", the keys of this issuer are for " + key.algorithm.name
		}
		return text + ", key " + logtext.Quote(key.id) + " is for " + key.algorithm.name
	})
}

// unknownKey returns the refusal of a token with header h for which the issuer has no
// key.
func unknownKey(h *header) error {
	return refuseWith(ErrUnknownKey, func() string {
		if h.KeyID == "" {
			return "the token has no kid, and this issuer has no keys"
		}
		return "kid is " + logtext.Quote(h.KeyID) + ", and this issuer has no key with that ID: the token is of another environment, or its key was withdrawn"
	})
}

// signatureRefused returns the refusal of a token with header h whose signature, which
// has the given length in bytes, none of the keys in both lists made.
func signatureRefused(h *header, length int, keys, more []*Key) error {
	tried, hint := 0, ""
	for _, list := range [...][]*Key{keys, more} {
		for _, k := range list {
			tried++
			hint = cmp.Or(hint, k.secretHint)
		}
	}
	return refuseWith(ErrSignature, func() string {
		if wanted := h.algorithm.signatureBytes(); wanted != 0 && wanted != length {
			text := "the signature has " + strconv.Itoa(length) + " bytes, and " + h.Algorithm + " makes " + strconv.Itoa(wanted) + ": the token was cut or changed"
			if h.algorithm.curve != nil {
				text += ", or the signature is in DER, not in the form of RFC 7518 section 3.4"
			}
			return text
		}
		what, cause := "key", "the key is of another environment, or the token was changed"
		if h.algorithm.isHMAC() {
			what, cause = "secret", "the issuer has another one, or uses the bytes that its base64 or hex text encodes"
			if hint != "" {
				cause = "the issuer has another one. Or this is the cause: " + hint
			}
		}
		text := "made with none of the " + strconv.Itoa(tried) + " " + what + "s tried"
		if tried == 1 {
			text = "not made with the only " + what
			if h.KeyID == "" {
				text += " tried"
			}
		}
		if h.KeyID != "" {
			text += " for kid " + logtext.Quote(h.KeyID)
		}
		return text + ": " + cause
	})
}

// tooLong returns the refusal of a token with more bytes than limit.
func tooLong(bytes, limit int) error {
	return refuseWith(ErrMalformed, func() string {
		return "the token has " + strconv.Itoa(bytes) + " bytes, and Options.MaxTokenBytes is " + strconv.Itoa(limit)
	})
}

// malformed returns the refusal of a token with a malformed part, such as "claims".
// err says what is wrong with that part. Its text must not change.
func malformed(part string, err error) error {
	return refuseWith(ErrMalformed, func() string { return part + ": " + err.Error() })
}

// malformedClaims returns the refusal of a token with a malformed payload.
func malformedClaims(payload []byte, err error) error {
	if errors.Is(err, jsonobj.ErrNotObject) && jws.LooksLikeToken(payload) {
		return refuse(ErrMalformed, "claims: the payload is itself a token, not a JSON object", "")
	}
	return malformed("claims", err)
}

// notDecoded returns the refusal of a token whose named segment is not base64url.
// If the token is not three base64url segments at all, the refusal says that.
func notDecoded(segment string, token []byte) error {
	if _, err := jws.Split(token); err != nil {
		return refuseWith(ErrMalformed, err.Error)
	}
	return malformed(segment, jws.ErrEncoding)
}
