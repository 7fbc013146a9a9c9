package jwttest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"
)

// manyAtOnce is how many requests with the same proof are sent at once.
const manyAtOnce = 100

// replay adds proofs that have been used before. Each case sends several requests.
func (f *proofs) replay() {
	bound := []string{"Authorization: DPoP " + f.token}
	add := func(level requirementLevel, accept bool, name, sends string, script func(*exchange, request) answer) {
		f.proofCase(attackCase{name: name, sends: sends, level: level, accept: accept, script: script, request: request{lines: bound}})
	}
	again := func(change func(request) request) func(*exchange, request) answer {
		return func(e *exchange, r request) answer {
			sent, first := e.send(r)
			if !first.gotIn {
				return mustGetIn(first)
			}
			_, second := e.send(change(sent))
			return second
		}
	}
	add(recommended, false, "same-request", "a request that was sent before", again(func(r request) request { return r }))
	add(recommended, false, "same-proof-in-lower-case", "a proof that was used before, in the header dpop", again(func(r request) request {
		r.lines = slices.Clone(r.lines)
		last := len(r.lines) - 1
		r.lines[last] = strings.Replace(r.lines[last], "DPoP:", "dpop:", 1)
		return r
	}))
	add(recommended, false, "same-proof-other-query", "a proof that was used before, for another query", again(func(r request) request {
		separator := "?"
		if strings.Contains(r.target, "?") {
			separator = "&"
		}
		r.target += separator + "jwttest=2"
		return r
	}))
	add(recommended, false, "at-once", fmt.Sprintf("the same request %d times at once, of which one may pass", manyAtOnce), atOnce)
	if key, ok := f.target.Prover.private().(*ecdsa.PrivateKey); ok {
		add(recommended, false, "second-signature", "a proof that was used before, with a second good signature that anybody can compute from the first", again(func(r request) request {
			r.lines = slices.Clone(r.lines)
			last := len(r.lines) - 1
			header, claims, signature := splitToken(r.lines[last])
			r.lines[last] = header + "." + claims + "." + negated(signature, key)
			return r
		}))
	}

	other := f.tokenWithClaims(f.claimsWith("jti", `"other"`))
	for _, tt := range []struct {
		name, sends string
		second      draft
	}{
		{"same-jti", "a new proof with a jti that was used before", unchanged},
		{"same-jti-other-iat", "a new proof of another time with a jti that was used before", f.atAge(-2 * time.Second)},
		{"same-jti-further-claim", "a proof with another claim and a jti that was used before", claim("x", `"y"`)},
		{"same-jti-other-header", "a proof with another header and a jti that was used before", parameter("x", `"y"`)},
		{"same-jti-key-written-differently", "a proof with a jti that was used before, and the same key with another member", func(d *proofDraft) {
			parameter("jwk", f.target.Prover.publicJWK().with("kid", `"2"`).String())(d)
		}},
		{"same-jti-escaped", "a proof with an escape in a jti that was used before", func(d *proofDraft) {
			jti := strings.Trim(d.claims.value("jti"), `"`)
			claim("jti", fmt.Sprintf(`"\u%04x%s"`, jti[0], jti[1:]))(d)
		}},
		{"same-jti-other-htu", "a proof with the URL written differently and a jti that was used before", func(d *proofDraft) {
			claim("htu", quote(strings.Trim(d.claims.value("htu"), `"`)+"?again"))(d)
		}},
	} {
		add(recommended, false, tt.name, tt.sends, inTurn(
			turn{lines: bound, change: unchanged, getsIn: true},
			turn{lines: bound, change: tt.second}))
	}
	add(jwtgateOnly, false, "same-jti-other-token", "a proof for another token with a jti that was used before", inTurn(
		turn{lines: bound, change: unchanged, getsIn: true},
		turn{lines: []string{"Authorization: DPoP " + other}, change: unchanged}))

	// Whoever sees the jti of another client must not be able to use it up.
	alg := f.target.Prover.algorithm()
	key := attackersKey(alg)
	second := []string{"Authorization: DPoP " + f.boundToken(jwk(publicKey(key)))}
	add(jwtgateOnly, true, "same-jti-other-key", "a proof of one client with a jti that another client has used", inTurn(
		turn{lines: bound, change: unchanged, getsIn: true},
		turn{lines: second, change: signedWith(alg, key)}))
	for _, tt := range []struct {
		name, sends string
		first       turn
	}{
		{"not-used-up-by-method", "for another method", turn{lines: bound, change: claim("htm", `"JWTTEST"`)}},
		{"not-used-up-by-url", "for another URL", turn{lines: bound, change: claim("htu", `"https://other.example/"`)}},
		{"not-used-up-by-token", "for another token", turn{lines: bound, change: claim("ath", quote(hashOf("other")))}},
		{"not-used-up-by-signature", "with a bad signature", turn{lines: bound, change: func(d *proofDraft) { d.key = key }}},
		{"not-used-up-by-bad-token", "beside a token with a bad signature", turn{lines: []string{bound[0][:len(bound[0])-8] + "AAAAAAAA"}, change: unchanged}},
		{"not-used-up-by-bearer", "beside the token as a bearer token", turn{lines: []string{"Authorization: Bearer " + f.token}, change: unchanged}},
	} {
		add(jwtgateOnly, true, tt.name, "a good proof with the jti of a proof that was refused: one "+tt.sends, inTurn(tt.first, turn{lines: bound, change: unchanged}))
	}
}

// A turn is a request of a script. All turns of a script have the same jti.
type turn struct {
	lines  []string
	change draft
	getsIn bool // the script ends with this turn if it does not get in
}

// inTurn returns a script that sends requests one after the other. The answer to the last
// one counts.
func inTurn(turns ...turn) func(*exchange, request) answer {
	return func(e *exchange, r request) answer {
		jti := quote(rand.Text())
		var got answer
		for _, t := range turns {
			r := r
			// The lines of r may have those of a route.
			r.lines = append(slices.DeleteFunc(slices.Clone(r.lines), func(line string) bool {
				return strings.HasPrefix(line, "Authorization:")
			}), t.lines...)
			r.prove = changed(func(d *proofDraft) {
				claim("jti", jti)(d)
				t.change(d)
			})
			_, got = e.send(r)
			if t.getsIn && !got.gotIn {
				return mustGetIn(got)
			}
		}
		return got
	}
}

// mustGetIn returns an answer to a good request of a hostile case, with the verdict that a
// good case has.
func mustGetIn(got answer) answer {
	got.forced = got.verdict(true)
	return got
}

// atOnce is a script that sends one request many times at once. The service must let in
// one of them.
func atOnce(e *exchange, r request) answer {
	got, gotIn := e.sendAtOnce(r)
	if gotIn == 0 && slices.ContainsFunc(got, func(a answer) bool { return e.minter.target.Prover.TakeNonce(a.header) }) {
		got, gotIn = e.sendAtOnce(r)
	}
	if gotIn == 0 {
		return mustGetIn(got[0])
	}
	// Any further answer that lets somebody in, or else any that does not.
	letIn := gotIn > 1
	return got[slices.IndexFunc(got, func(a answer) bool { return a.gotIn == letIn })]
}

// sendAtOnce sends r with one proof many times at once. It returns the answers and how many
// of them let the sender in.
func (e *exchange) sendAtOnce(r request) (answers []answer, gotIn int) {
	e.sent = e.minter.proven(r)
	answers = make([]answer, manyAtOnce)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			<-start
			answers[i] = e.deliver(e.ctx, e.sent)
		})
	}
	close(start)
	wg.Wait()
	for _, a := range answers {
		if a.gotIn {
			gotIn++
		}
	}
	return answers, gotIn
}

// negated returns an ECDSA signature with n-s for s, which is valid if signature is.
func negated(signature string, key *ecdsa.PrivateKey) string {
	raw := must(base64.RawURLEncoding.DecodeString(signature))
	half := len(raw) / 2
	s := new(big.Int).SetBytes(raw[half:])
	s.Sub(key.Params().N, s).FillBytes(raw[half:])
	return encode(raw)
}
