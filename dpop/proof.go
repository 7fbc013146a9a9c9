package dpop

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/headermap"
	"github.com/jwtgate/jwtgate/internal/jsonobj"
	"github.com/jwtgate/jwtgate/internal/jws"
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// A proof is a DPoP proof whose form is right. Its signature is not verified.
type proof struct {
	header header  // the zero value if client is not nil
	client *client // the client, if it is known
	// The claims of RFC 9449 section 4.2.
	jti, htm, htu, ath, nonce string
	hasNonce                  bool
	iat                       time.Time
}

// A header is the header of a proof of an unknown client.
type header struct {
	jws.Header
	jwk []byte // the JSON of jwk
}

// refused returns the refusal of a proof (RFC 9449 section 7.1). explain returns why the
// proof is not accepted.
func refused(explain func() string) error {
	return &jwtgate.Error{Status: http.StatusUnauthorized, Code: "invalid_dpop_proof", Err: logtext.Explained(jwtgate.ErrProof, explain)}
}

func refusedText(text string) error { return refused(func() string { return text }) }

// proofText returns the proof in the DPoP header of r, which must be a single line (RFC
// 9449 section 4.3).
func proofText(r *http.Request) (string, error) {
	lines := r.Header[headerName]
	if key := headermap.Misspelled(r.Header, headerName); key != "" {
		return "", refusedText("the header map must have the key Dpop, as http.Header.Set writes it, but an adapter wrote " + logtext.Quote(key))
	}
	switch {
	case len(lines) == 0:
		return "", refusedText("the request has no header DPoP")
	case len(lines) > 1:
		return "", refused(func() string {
			return fmt.Sprintf("the request has %d lines of the header DPoP; wanted is one", len(lines))
		})
	case len(lines[0]) > maxProofBytes:
		return "", refused(func() string {
			return fmt.Sprintf("the proof has %d bytes; the limit is %d", len(lines[0]), maxProofBytes)
		})
	}
	return lines[0], nil
}

// read reads a proof. It checks all that does not depend on the request.
func (c *checker) read(text string) (*proof, error) {
	segments, err := jws.Split([]byte(text))
	if err != nil {
		return nil, refused(func() string { return "the proof is no JWT: " + err.Error() })
	}
	p := &proof{client: c.clients.find(text[:len(segments.Header())])}
	if p.client == nil {
		if err := p.readHeader(segments.Header(), c.algorithms); err != nil {
			return nil, err
		}
	}
	payload, err := jws.AppendDecoded(nil, segments.Payload())
	if err != nil {
		return nil, refusedText("the claims of the proof are not canonical base64url")
	}
	return p, p.readClaims(payload)
}

// readHeader reads the header of a proof, without the key in it.
func (p *proof) readHeader(segment []byte, algorithms []string) error {
	data, err := jws.AppendDecoded(nil, segment)
	if err != nil {
		return refusedText("the header of the proof is not canonical base64url")
	}
	h := &p.header
	if h.Header, err = jws.ParseHeader(data); err != nil {
		return refused(func() string { return "the header of the proof: " + err.Error() })
	}
	if jws.MediaType(h.Type) != "application/dpop+jwt" {
		typ, has := h.Type, h.HasType
		return refused(func() string {
			if !has {
				return `typ is missing, wanted is "dpop+jwt"`
			}
			return "typ is " + logtext.QuoteUpTo(typ, 64) + `, wanted is "dpop+jwt"`
		})
	}
	if !slices.Contains(algorithms, h.Algorithm) {
		return refused(func() string {
			return "alg is " + logtext.QuoteUpTo(h.Algorithm, 48) + ", accepted is " + strings.Join(algorithms, ", ")
		})
	}
	raw, found, err := jsonobj.Find(data, "jwk")
	if err != nil || !found {
		return refusedText("jwk is missing: the header of a proof has the public key of the client")
	}
	h.jwk = raw
	return nil
}

// readClaims reads the claims of a proof.
func (p *proof) readClaims(payload []byte) error {
	var wrong string // the first claim of a wrong type
	hasDate := false
	err := jsonobj.Walk(payload, func(m jsonobj.Member[[]byte]) {
		ok := true
		switch string(m.Name) {
		case "jti":
			p.jti, ok = jsonobj.String(m.Value)
		case "htm":
			p.htm, ok = jsonobj.String(m.Value)
		case "htu":
			p.htu, ok = jsonobj.String(m.Value)
		case "ath":
			p.ath, ok = jsonobj.String(m.Value)
		case "nonce":
			if string(m.Value) != "null" { // some clients write null for what they do not have
				p.hasNonce = true
				p.nonce, ok = jsonobj.String(m.Value)
			}
		case "iat":
			hasDate = true
			p.iat, ok = jws.Date(string(m.Value))
		}
		if !ok && wrong == "" {
			wrong = string(m.Name)
		}
	})
	if err != nil {
		return refused(func() string { return "the claims of the proof: " + err.Error() })
	}
	if wrong == "iat" {
		return refusedText("iat is not a number of seconds since 1970")
	}
	if wrong != "" {
		return refusedText(wrong + " is not a string")
	}
	for _, claim := range [...]struct{ name, value string }{{"jti", p.jti}, {"htm", p.htm}, {"htu", p.htu}, {"ath", p.ath}} {
		if claim.value == "" {
			return refusedText(claim.name + " is missing or empty")
		}
	}
	if !hasDate {
		return refusedText("iat is missing")
	}
	return nil
}

// checkClaims checks that a proof is for r and its token, and that it is new. It returns
// until when the proof is accepted.
func (c *checker) checkClaims(p *proof, r *http.Request, now time.Time) (until time.Time, err error) {
	if p.htm != r.Method { // methods are case-sensitive (RFC 9110 section 9.1)
		return until, refused(func() string {
			return "htm is " + logtext.QuoteUpTo(p.htm, 40) + ", wanted is " + logtext.QuoteUpTo(r.Method, 40)
		})
	}
	path, ok := requestPath(r)
	if !ok {
		return until, refusedText("the request has no path, so no htu can be for it")
	}
	if err := checkHTU(c.urls, path, p.htu); err != nil {
		return until, err
	}
	token, ok := tokenOf(r)
	if !ok {
		return until, refusedText("the request has no single Authorization line with the scheme DPoP, so no ath can be for it")
	}
	hash := sha256.Sum256([]byte(token))
	if wanted := base64.RawURLEncoding.EncodeToString(hash[:]); p.ath != wanted {
		return until, refused(func() string {
			return "ath is " + logtext.QuoteUpTo(p.ath, 64) + ", wanted is the hash of this access token, " + logtext.Quote(wanted)
		})
	}
	if c.nonces != nil {
		until, err = c.checkNonce(p, now)
	} else {
		until, err = c.checkAge(p, now)
	}
	// The clocks of the servers that share a memory may differ.
	return until.Add(leeway), err
}

// tokenOf returns the token that came under the scheme DPoP. The gate has read the header
// in the same way, and more strictly.
func tokenOf(r *http.Request) (token string, ok bool) {
	lines := r.Header["Authorization"]
	if len(lines) != 1 {
		return "", false
	}
	word, token, _ := strings.Cut(lines[0], " ")
	return strings.TrimLeft(token, " "), strings.EqualFold(word, scheme)
}

// checkAge checks iat. It returns until when the proof is accepted.
func (c *checker) checkAge(p *proof, now time.Time) (until time.Time, err error) {
	age, maxAge := now.Sub(p.iat), c.maxAge
	switch {
	case age > maxAge:
		return until, refused(func() string {
			return "iat was " + logtext.Duration(age) + " ago, wanted is " + logtext.Duration(maxAge) + " at most; compare the clocks"
		})
	case age < -leeway:
		return until, refused(func() string {
			return "iat is " + logtext.Duration(-age) + " ahead of this machine's clock, wanted is " + logtext.Duration(leeway) + " at most; compare the clocks"
		})
	}
	return p.iat.Add(maxAge), nil
}

// checkNonce checks the nonce. It returns until when the proof is accepted. iat does not
// matter, because the nonce says when the proof was made (RFC 9449 section 4.3): a client
// whose clock is wrong is accepted.
func (c *checker) checkNonce(p *proof, now time.Time) (until time.Time, err error) {
	if !p.hasNonce {
		return until, nonceWanted(func() string { return "the proof has no nonce" })
	}
	until, ok := c.nonces.at(now).accepts(p.nonce)
	if !ok {
		nonce := p.nonce
		return until, nonceWanted(func() string { return c.nonces.explain(nonce, now) })
	}
	return until, nil
}

// checkSignature verifies the proof with the key in its header, by a gate: the proof is a
// JWT, and is read as strictly as an access token.
func (c *checker) checkSignature(ctx context.Context, text string, p *proof, client *client, now time.Time) error {
	r := c.readers.Get().(*reader)
	defer c.readers.Put(r)
	r.keys, r.now = client.keys, now
	if c.nonces != nil {
		r.now = p.iat // the client's clock does not matter, also for exp and nbf if there are any
	}
	_, err := r.gate.Verify(ctx, text)
	r.keys = nil
	if err == nil {
		if p.client == nil {
			c.clients.remember(text[:strings.IndexByte(text, '.')], client)
		}
		return nil
	}
	if errors.Is(err, jwtgate.ErrSignature) {
		return refusedText("the signature was not made with the key in jwk")
	}
	var e *jwtgate.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return refused(func() string { return err.Error() })
}

// A reader verifies the signatures of proofs, one at a time. It is the key source of its
// gate.
type reader struct {
	gate *jwtgate.Gate
	keys []*jwtgate.Key // of the client
	now  time.Time
}

func newReader(algorithms []string) (*reader, error) {
	r := &reader{}
	var err error
	r.gate, err = jwtgate.New(jwtgate.Options{
		Keys:           r,
		AnyIssuer:      true, // a proof has no iss and no aud: htu says whom it is for
		AnyAudience:    true,
		AllowNoSubject: true,
		AllowNoExpiry:  true, // iat or the nonce limits its age
		Algorithms:     algorithms,
		Types:          []string{"dpop+jwt"},
		Leeway:         leeway,
		MaxTokenBytes:  maxProofBytes,
		Now:            func() time.Time { return r.now },
	})
	return r, err
}

// Keys returns the key of the client whose proof is being verified.
func (r *reader) Keys(context.Context, string, string) ([]*jwtgate.Key, error) { return r.keys, nil }
