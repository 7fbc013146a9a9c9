package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/jsonobj"
	"github.com/jwtgate/jwtgate/internal/jws"
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// A nonceMaker makes and checks nonces. A nonce is the number of a period and a MAC of
// that number, so servers with the same keys accept each other's nonces without asking
// each other. The nonces of the last period, of this one and of the next are good: the
// clocks of the servers need not agree exactly.
type nonceMaker struct {
	keys    [][]byte
	current atomic.Pointer[periodNonces]
}

// periodNonces has the nonces that are good in a period. It is immutable.
type periodNonces struct {
	period int64
	newest string   // what this server gives to clients
	good   []string // with each key, for the last period, this one and the next
}

const (
	noncePeriod  = time.Minute
	minNonceKey  = 32
	nonceMACSize = 16 // 128 bits, so that nobody can guess one
)

func newNonceMaker(keys [][]byte) *nonceMaker {
	if len(keys) == 0 {
		return nil
	}
	m := &nonceMaker{}
	for _, key := range keys {
		m.keys = append(m.keys, slices.Clone(key))
	}
	return m
}

// at returns the nonces that are good at now.
func (m *nonceMaker) at(now time.Time) *periodNonces {
	period := periodOf(now)
	if n := m.current.Load(); n != nil && n.period == period {
		return n
	}
	n := &periodNonces{period: period, newest: nonce(m.keys[0], period)}
	for _, key := range m.keys {
		for p := period - 1; p <= period+1; p++ {
			n.good = append(n.good, nonce(key, p))
		}
	}
	m.current.Store(n)
	return n
}

// accepts returns until when nonce is good. ok is false if it is not good.
func (n *periodNonces) accepts(nonce string) (until time.Time, ok bool) {
	found := -1
	for i, good := range n.good {
		if subtle.ConstantTimeCompare([]byte(good), []byte(nonce)) == 1 {
			found = i
		}
	}
	if found < 0 {
		return until, false
	}
	// good has three nonces for each key: those of the last period, of this and of the next.
	// A nonce is good until the period after its own has ended.
	end := n.period - 1 + int64(found%3) + 2
	return time.Unix(end*int64(noncePeriod/time.Second), 0), true
}

// periodOf returns the number of the period that now is in.
func periodOf(now time.Time) int64 {
	seconds, period := now.Unix(), int64(noncePeriod/time.Second)
	if seconds < 0 {
		return 0
	}
	return seconds / period
}

// nonce returns the nonce of a period: base64url, which is a part of the characters that
// RFC 9449 section 8.1 allows.
func nonce(key []byte, period int64) string {
	number := binary.BigEndian.AppendUint64(nil, uint64(period))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("jwtgate DPoP nonce ")) // so that no other use of the key makes nonces
	mac.Write(number)
	return base64.RawURLEncoding.EncodeToString(append(number, mac.Sum(nil)[:nonceMACSize]...))
}

// explain says why given, the nonce of a proof, is not good at now.
func (m *nonceMaker) explain(given string, now time.Time) string {
	if data, err := base64.RawURLEncoding.DecodeString(given); err == nil && len(data) == 8+nonceMACSize {
		period := int64(binary.BigEndian.Uint64(data))
		ours := slices.ContainsFunc(m.keys, func(key []byte) bool { return hmac.Equal([]byte(nonce(key, period)), []byte(given)) })
		switch age := time.Duration(periodOf(now)-period) * noncePeriod; {
		case ours && age >= 0:
			return "nonce was made " + logtext.Duration(age) + " ago, wanted is one of this minute or the last"
		case ours:
			return "nonce is of " + logtext.Duration(-age) + " ahead of this machine's clock; compare the clocks of the servers"
		}
	}
	return "nonce is " + logtext.QuoteUpTo(given, 48) + ", which was not made with one of Verifier.NonceKeys"
}

// nonceWanted returns the refusal of a proof without a good nonce (RFC 9449 section 9).
func nonceWanted(explain func() string) error {
	return &jwtgate.Error{Status: http.StatusUnauthorized, Code: "use_dpop_nonce", Err: logtext.Explained(jwtgate.ErrProof, func() string {
		return explain() + "; the answer has the wanted one in DPoP-Nonce"
	})}
}

// nonceOf returns the nonce in the proof of r. It returns "" if there is none, or if the
// proof cannot be read. The result is not verified.
func nonceOf(r *http.Request) string {
	lines := r.Header[headerName]
	if len(lines) != 1 || len(lines[0]) > maxProofBytes {
		return ""
	}
	segments, err := jws.Cut([]byte(lines[0]))
	if err != nil {
		return ""
	}
	payload, err := jws.AppendDecoded(nil, segments.Payload())
	if err != nil {
		return ""
	}
	raw, found, err := jsonobj.Find(payload, "nonce")
	if err != nil || !found {
		return ""
	}
	text, _ := jsonobj.String(raw)
	return text
}
