package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A token is a token with what the judge must know about it.
type token struct {
	text    string
	subject string
	kind    string
	key     *key // that it names, or that its issuer signs with
	forged  bool
	noise   bool // it uses up the limit for unknown keys
}

// sign returns a token of k's issuer with a new subject. changes may change header and
// claims.
func sign(k *key, method jwt.SigningMethod, private any, changes func(header, claims map[string]any)) (text, subject string) {
	now := time.Now()
	subject = cryptorand.Text()
	claims := jwt.MapClaims{
		"iss": k.issuer.url, "aud": audience, "sub": subject,
		"iat": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(),
	}
	t := jwt.NewWithClaims(method, claims)
	if k.id != "" {
		t.Header["kid"] = k.id
	}
	if changes != nil {
		changes(t.Header, claims)
	}
	text, err := t.SignedString(private)
	must(err)
	return text, subject
}

func goodToken(k *key) token {
	text, subject := sign(k, k.method, k.private, nil)
	return token{text: text, subject: subject, key: k}
}

// The keys of somebody who is no issuer.
var (
	_, foreignEd25519, _ = ed25519.GenerateKey(cryptorand.Reader)
	foreignECDSA, _      = ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
)

// foreign returns a private key for the algorithm of k.
func (k *key) foreign() any {
	switch k.private.(type) {
	case ed25519.PrivateKey:
		return foreignEd25519
	case *ecdsa.PrivateKey:
		return foreignECDSA
	}
	return []byte(strings.Repeat("not the secret  ", 2))
}

// A forgery makes tokens that no gate may ever accept. k is a key of the issuer that the
// token claims, and other a key of another issuer.
type forgery struct {
	kind  string
	noise bool
	make  func(k, other *key) string
}

var (
	randomKeyID = forgery{"forged: random key ID", true, func(k, _ *key) string {
		return named(k, cryptorand.Text())
	}}
	badSignature = forgery{"forged: wrong key under a known ID", true, func(k, _ *key) string {
		return named(k, k.id)
	}}
	algNone = forgery{"forged: alg none", false, func(k, _ *key) string {
		text, _ := sign(k, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil)
		return text
	}}
	forgeries = []forgery{
		randomKeyID, badSignature, algNone,
		{"forged: HS256 with the public key", true, func(k, _ *key) string {
			public, err := x509.MarshalPKIXPublicKey(k.public())
			must(err)
			text, _ := sign(k, jwt.SigningMethodHS256, public, nil)
			return text
		}},
		{"forged: key of another issuer", true, func(k, other *key) string {
			text, _ := sign(k, other.method, other.private, func(header, _ map[string]any) { header["kid"] = other.id })
			return text
		}},
		{"forged: key of another issuer under a known ID", true, func(k, other *key) string {
			text, _ := sign(k, other.method, other.private, nil)
			return text
		}},
		{"forged: changed payload", true, func(k, _ *key) string {
			parts := strings.Split(k.tokens[0].text, ".")
			payload, err := base64.RawURLEncoding.DecodeString(parts[1])
			must(err)
			parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), k.tokens[0].subject, "admin", 1)))
			return strings.Join(parts, ".")
		}},
		{"refused: expired", false, func(k, _ *key) string {
			text, _ := sign(k, k.method, k.private, func(_, claims map[string]any) {
				claims["exp"] = time.Now().Add(-time.Hour).Unix()
			})
			return text
		}},
		{"refused: wrong audience", false, func(k, _ *key) string {
			text, _ := sign(k, k.method, k.private, func(_, claims map[string]any) {
				claims["aud"] = audience + "/other"
			})
			return text
		}},
	}
)

// named returns a token that names a key ID and is signed with a foreign key.
func named(k *key, id string) string {
	text, _ := sign(k, k.method, k.foreign(), func(header, _ map[string]any) { header["kid"] = id })
	return text
}

// pick returns a random element of a list that is not empty.
func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// upTo returns a random time.
func upTo(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

// choose returns a random token for v: mostly good ones, of all keys.
func (s *soak) choose(r *rand.Rand, v *view) token {
	i := v.issuer
	quiet := i.quiet.Load()
	k := i.signing()
	i.mu.Lock()
	retired := i.retired
	if len(i.published) > 0 && r.IntN(3) == 0 {
		k = pick(r, i.published)
	}
	i.mu.Unlock()
	if i.secret != nil && r.IntN(3) == 0 {
		if r.IntN(4) > 0 {
			return withKind(pick(r, i.secret.tokens), "good: signed with the secret")
		}
		text, _ := sign(i.secret, i.secret.method, i.secret.foreign(), nil)
		return token{text: text, kind: "forged: wrong secret", key: i.secret, forged: true}
	}
	switch n := r.IntN(100); {
	case n < 12 && len(retired) > 0 && !quiet:
		return withKind(pick(r, pick(r, retired).tokens), "good once: the key is withdrawn")
	case n < 30:
		return s.forge(r, pick(r, forgeries), k)
	}
	return withKind(pick(r, k.tokens), "good")
}

func withKind(t token, kind string) token {
	t.kind = kind
	return t
}

// forge returns a forgery for the issuer of k.
func (s *soak) forge(r *rand.Rand, f forgery, k *key) token {
	if f.noise && k.issuer.quiet.Load() {
		f = algNone
	}
	other := s.issuers["healthy"]
	if other == k.issuer {
		other = s.issuers["slow"]
	}
	return token{text: f.make(k, other.signing()), kind: f.kind, key: k, forged: true, noise: f.noise}
}

// work sends random tokens until ctx ends.
func (s *soak) work(ctx context.Context, r *rand.Rand, clients *sync.WaitGroup, views []*view, pause time.Duration) {
	defer clients.Done()
	for sleep(ctx, pause/2+upTo(r, pause)) {
		v := pick(r, views)
		s.send(v, s.choose(r, v))
	}
}

// beat sends a good token at a steady rate, so that the sources of v look for changes.
func (s *soak) beat(ctx context.Context, r *rand.Rand, clients *sync.WaitGroup, v *view) {
	defer clients.Done()
	for sleep(ctx, 50*time.Millisecond) {
		s.send(v, withKind(pick(r, v.issuer.signing().tokens), "good"))
	}
}

// flood sends tokens to all gates of i until ctx ends. Requests that wait do not slow it
// down, up to a limit.
func (s *soak) flood(ctx context.Context, r *rand.Rand, i *issuer, each time.Duration, next func() token) {
	var sent sync.WaitGroup
	places := make(chan struct{}, 64)
	for sleep(ctx, each) {
		v, t := pick(r, i.views), next()
		select {
		case places <- struct{}{}:
			sent.Go(func() {
				s.send(v, t)
				<-places
			})
		default:
		}
	}
	sent.Wait()
}

// sleep waits. It returns false if ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// send sends one request and judges the answer.
func (s *soak) send(v *view, t token) {
	request, err := http.NewRequest(http.MethodGet, v.url, nil)
	must(err)
	request.Header.Set("Authorization", "Bearer "+t.text)
	if t.noise {
		v.markNoise(1)
	}
	f := s.before(v, t)
	response, err := s.service.client.Do(request)
	s.after(v, t, &f)
	if t.noise {
		v.markNoise(-1)
	}
	if err != nil {
		s.fail(otherWrong, v, t, f, "no answer: "+err.Error())
		return
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	s.judge(v, t, f, response)
}

// before returns the facts that count from when the request is sent.
func (s *soak) before(v *view, t token) facts {
	i := v.issuer
	i.mu.Lock()
	defer i.mu.Unlock()
	f := facts{
		sent: time.Now(), resumed: s.resumed, lastGood: v.lastGood, missing: v.missing,
		published: t.key.published, secret: t.key == i.secret, forged: t.forged,
	}
	if !t.key.withdrawn.IsZero() {
		v.markNoise(0)
	}
	if i.path != "" && i.fault == "" && v.lastGood.After(i.faultEnd) {
		f.lastGood = f.sent
	}
	return f
}

// slack returns how much later than stated something may happen: the time that requests,
// fetches and beats take, and four times what this process last stood still.
func (s *soak) slack() time.Duration { return 300*time.Millisecond + 4*s.stalls.longest(time.Now()) }

// after adds the facts that count when the answer has come.
func (s *soak) after(v *view, t token, f *facts) {
	i := v.issuer
	stall := s.stalls.longest(time.Now())
	i.mu.Lock()
	defer i.mu.Unlock()
	f.answered = time.Now()
	f.slack = s.slack()
	f.stalled = stall > timeout/8
	f.withdrawn, f.replaces = t.key.withdrawn, t.key.replaces
	f.known, f.gone = t.key.known[v], t.key.gone[v]
	f.back = !f.missing.IsZero() && !v.missing.Equal(f.missing)
	if f.missing.IsZero() {
		f.missing = v.missing
	}
	f.latest = later(f.lastGood, v.lastGood)
	if i.path != "" && i.fault == "" { // it may have been read just now
		f.latest = f.answered
	}
	f.faultEnd = i.faultEnd
	if i.fault != "" {
		f.faultEnd = f.answered
	}
	f.noise = v.noiseSince(f.published.Add(-2*minInterval - f.slack))
	// The key came back under way: what was true of the old publication is not judged.
	if !t.key.published.Equal(f.published) {
		f.withdrawn, f.gone = f.answered, time.Time{}
	}
	if !f.withdrawn.IsZero() {
		v.markNoise(0)
	}
}

// judge compares the answer with what the documentation states.
func (s *soak) judge(v *view, t token, f facts, response *http.Response) {
	reason := v.limits.expect(f).of(response.StatusCode)
	refused := fmt.Sprintf("status %d, reason %s", response.StatusCode, response.Header.Get(reasonField))
	opened := f.published
	switch reason {
	case windowWithdrawn:
		opened = f.withdrawn
	case windowOutage:
		opened = f.faultEnd
	case windowNoKeys:
		opened = f.lastGood.Add(v.limits.stale)
	}
	s.tally.count(t.kind, response.StatusCode, reason, f.answered.Sub(opened))
	switch subject := response.Header.Get(subjectField); {
	case reason == "" && response.StatusCode == http.StatusOK:
		s.fail(badAccepted, v, t, f, "status 200")
	case reason == "" && !t.forged && f.withdrawn.IsZero():
		s.fail(goodRefused, v, t, f, refused)
	case reason == "":
		s.fail(otherWrong, v, t, f, refused)
	case response.StatusCode == http.StatusOK && subject != t.subject:
		s.fail(otherWrong, v, t, f, fmt.Sprintf("the handler got the subject %q instead of %q", subject, t.subject))
	case response.StatusCode == http.StatusUnauthorized && response.Header.Get("WWW-Authenticate") == "":
		s.fail(otherWrong, v, t, f, "a 401 without challenge")
	case response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") == "":
		s.fail(otherWrong, v, t, f, "a 503 without Retry-After")
	case f.answered.Sub(f.sent) > 2*timeout+2*f.slack:
		s.fail(otherWrong, v, t, f, fmt.Sprintf("the answer took %v", f.answered.Sub(f.sent)))
	}
}

// fail records a failure with what happened around it.
func (s *soak) fail(class string, v *view, t token, f facts, what string) {
	s.tally.fail(class, func() string {
		start := s.tally.start
		at := func(t time.Time) string {
			if t.IsZero() {
				return "never"
			}
			return fmt.Sprintf("%.3f", t.Sub(start).Seconds())
		}
		var text strings.Builder
		fmt.Fprintf(&text, "%s: %s\n  token: %s, key %q of issuer %s, at gate %s\n", class, what, t.kind, t.key.id, v.issuer.name, v.gate)
		fmt.Fprintf(&text, "  sent %s, answered %s, slack %v\n", at(f.sent), at(f.answered), f.slack)
		fmt.Fprintf(&text, "  key: published %s, received %s, withdrawn %s, received a set without it %s\n",
			at(f.published), at(f.known), at(f.withdrawn), at(f.gone))
		fmt.Fprintf(&text, "  gate: last good set %s; issuer: last fault ended %s; noise %t\n", at(f.lastGood), at(f.faultEnd), f.noise)
		v.issuer.mu.Lock()
		events := v.issuer.history(start)
		v.issuer.mu.Unlock()
		fmt.Fprintf(&text, "  events:\n%s  log:\n%s", events, s.service.log.about(v.issuer, start))
		return text.String()
	})
}
