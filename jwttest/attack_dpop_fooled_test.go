package jwttest_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/jwttest"
)

// dpopByHand is a handler behind a handwritten verifier of DPoP proofs. Its zero value has
// all checks of RFC 9449 section 4.3. Each field takes one away or replaces it.
type dpopByHand struct {
	target jwttest.Target

	bearerToo    bool // bound tokens are also accepted as bearer tokens
	firstHeader  bool // of several DPoP headers the first counts
	anyTyp       bool
	anyAlgorithm bool // a secret may be the jwk
	unsigned     bool // the signature is not verified
	privateKeys  bool // jwk may be a private key
	fetches      bool // requests the address in jku
	anyMethod    bool
	methodFolds  bool // letter case of htm does not matter
	anyAge       bool
	anyToken     bool // ath is not looked at
	athOptional  bool // ath is compared if it is there
	anyKey       bool // cnf is not looked at
	htu          func(r *http.Request, htu string) bool
	use          func(key, jti string) bool // reports whether the proof is new; nil has a memory of used proofs
	useFirst     bool                       // before the signature is verified
	nonce        string                     // is given to clients
	nonceGood    func(nonce any) bool
	refusal      int // the status; 0 means 401
}

func (h dpopByHand) handler() http.Handler {
	if h.use == nil {
		var used sync.Map
		h.use = func(key, jti string) bool {
			_, old := used.LoadOrStore(key+jti, true)
			return !old
		}
	}
	if h.htu == nil {
		h.htu = sameURL
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.nonce != "" {
			w.Header().Set("DPoP-Nonce", h.nonce)
		}
		if err := h.check(r); err != nil {
			w.WriteHeader(max(h.refusal, http.StatusUnauthorized))
		}
	})
}

func (h dpopByHand) check(r *http.Request) error {
	if len(r.Header["Authorization"]) != 1 {
		return errors.New("not one Authorization header")
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimLeft(token, " ")
	var all jwt.MapClaims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(attackIssuer), jwt.WithAudience(attackAudience),
		jwt.WithExpirationRequired(), jwt.WithStrictDecoding())
	if _, err := parser.ParseWithClaims(token, &all, func(*jwt.Token) (any, error) { return verifyingKey(h.target), nil }); err != nil {
		return err
	}
	if h.bearerToo && strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	if !strings.EqualFold(scheme, "DPoP") {
		return errors.New("another scheme")
	}
	proofs := r.Header["Dpop"]
	if len(proofs) == 0 || len(proofs) > 1 && !h.firstHeader {
		return errors.New("not one DPoP header")
	}
	return h.checkProof(r, proofs[0], token, all)
}

func (h dpopByHand) checkProof(r *http.Request, proof, token string, access jwt.MapClaims) error {
	var claims jwt.MapClaims
	var key string
	options := []jwt.ParserOption{jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation()}
	if !h.anyAlgorithm {
		options = append(options, jwt.WithValidMethods([]string{"ES256", "EdDSA"}))
	}
	parser := jwt.NewParser(options...)
	parse := func(t *jwt.Token) (any, error) {
		members, _ := t.Header["jwk"].(map[string]any)
		if _, ok := t.Header["crit"]; ok {
			return nil, errors.New("crit is not supported")
		}
		if address, ok := t.Header["jku"].(string); ok && h.fetches && members == nil {
			if response, err := http.Get(address); err == nil {
				response.Body.Close()
			}
		}
		if typ, _ := t.Header["typ"].(string); typ != "dpop+jwt" && !h.anyTyp {
			return nil, fmt.Errorf("typ is %q", typ)
		}
		if _, ok := members["d"]; ok && !h.privateKeys {
			return nil, errors.New("jwk is a private key")
		}
		var public any
		var err error
		public, key, err = readJWK(members)
		if secret, ok := public.([]byte); ok && !(h.anyAlgorithm && len(secret) > 0) {
			return nil, errors.New("jwk is a secret")
		}
		if jti, _ := claims["jti"].(string); err == nil && h.useFirst && !h.use(key, jti) {
			return nil, errors.New("used before")
		}
		return public, err
	}
	if h.unsigned {
		t, _, err := parser.ParseUnverified(proof, &claims)
		if err == nil {
			_, err = parse(t)
		}
		if err != nil {
			return err
		}
	} else if _, err := parser.ParseWithClaims(proof, &claims, parse); err != nil {
		return err
	}

	htm, _ := claims["htm"].(string)
	htu, _ := claims["htu"].(string)
	jti, _ := claims["jti"].(string)
	ath, hasATH := claims["ath"].(string)
	iat, hasIAT := claims["iat"].(float64)
	cnf, _ := access["cnf"].(map[string]any)
	sum := sha256.Sum256([]byte(token))
	age := math.Abs(float64(time.Now().Unix()) - iat)
	switch {
	case jti == "":
		return errors.New("no jti")
	case !hasIAT && !h.anyAge:
		return errors.New("no iat")
	case htm != r.Method && !h.anyMethod && !(h.methodFolds && strings.EqualFold(htm, r.Method)):
		return errors.New("another htm")
	case !h.htu(r, htu):
		return errors.New("another htu")
	case ath != base64.RawURLEncoding.EncodeToString(sum[:]) && !h.anyToken && (hasATH || !h.athOptional):
		return errors.New("another ath")
	case h.nonceGood != nil && !h.nonceGood(claims["nonce"]):
		return errors.New("another nonce")
	case h.nonceGood == nil && age > 60 && !h.anyAge:
		return errors.New("too old")
	case cnf["jkt"] != key && !h.anyKey:
		return errors.New("another key")
	case !h.useFirst && !h.use(key, jti):
		return errors.New("used before")
	}
	return nil
}

// readJWK returns a key and its thumbprint. It does not look for points of small order.
func readJWK(members map[string]any) (public any, thumbprint string, err error) {
	text := func(name string) string {
		s, _ := members[name].(string)
		return s
	}
	octets := func(name string) []byte {
		b, _ := base64.RawURLEncoding.DecodeString(text(name))
		return b
	}
	canonical := ""
	switch text("kty") + " " + text("crv") {
	case "EC P-256":
		point := slices.Concat([]byte{4}, octets("x"), octets("y"))
		public, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		canonical = fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, text("x"), text("y"))
	case "OKP Ed25519":
		if public = ed25519.PublicKey(octets("x")); len(octets("x")) != ed25519.PublicKeySize {
			err = errors.New("too short")
		}
		canonical = fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":%q}`, text("x"))
	case "oct ":
		public = octets("k")
		canonical = fmt.Sprintf(`{"k":%q,"kty":"oct"}`, text("k"))
	default:
		err = errors.New("jwk is not supported")
	}
	sum := sha256.Sum256([]byte(canonical))
	return public, base64.RawURLEncoding.EncodeToString(sum[:]), err
}

const dpopURL = "https://api.example.com"

// sameURL compares htu as RFC 9449 section 4.3 wants it.
func sameURL(r *http.Request, htu string) bool {
	u, err := url.Parse(htu)
	if err != nil || u.User != nil {
		return false
	}
	return normalURL(u) == dpopURL+r.URL.EscapedPath()
}

func normalURL(u *url.URL) string {
	name := strings.TrimSuffix(strings.ToLower(u.Host), ":443")
	path := encodedByte.ReplaceAllStringFunc(u.EscapedPath(), func(triple string) string {
		if c, err := url.PathUnescape(triple); err == nil && unreserved.MatchString(c) {
			return c
		}
		return strings.ToUpper(triple)
	})
	clean, err := url.Parse("https://x/")
	if err == nil {
		clean, err = clean.Parse(path)
	}
	if err != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return "no path"
	}
	return strings.ToLower(u.Scheme) + "://" + name + clean.EscapedPath()
}

var (
	encodedByte = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	unreserved  = regexp.MustCompile(`^[\w.~-]$`)
)

// onlyReplays returns target with the class replay of the family dpop.
func onlyReplays(target jwttest.Target) jwttest.Target {
	for _, c := range attackMust(jwttest.Corpus(target)) {
		if c.Family != "dpop" || !strings.HasPrefix(c.Name, "replay-") {
			target.Skip = append(target.Skip, c.Family+"/"+c.Name)
		}
	}
	return target
}

// A verifier by another hand, with all checks of RFC 9449, passes: the cases that are not
// only for Strict ask for no more.
func TestAttackPassesDPoPByHand(t *testing.T) {
	t.Parallel()
	for _, nonce := range []string{"", "a-nonce"} {
		t.Run("nonce "+nonce, func(t *testing.T) {
			t.Parallel()
			target := dpopTarget(t, "dpop")
			target.Strict = false
			byHand := dpopByHand{target: target, nonce: nonce}
			if nonce != "" {
				byHand.nonceGood = func(got any) bool { return got == nonce }
			}
			// The verifier cannot see that a point is of small order.
			target.Skip = append(target.Skip, "dpop/jwk-small-order-0", "dpop/jwk-small-order-1", "dpop/jwk-small-order-2")
			jwttest.AttackMostlyDirectly(t, byHand.handler(), target)
		})
	}
}

// Attack finds the hole of each broken verifier of proofs, and reports no cases of another
// check.
func TestAttackFindsDPoPHoles(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short: attacks some twenty handlers, in another process")
	}
	target := dpopTarget(t, "dpop")
	target.Strict = false
	target.Skip = append(target.Skip, "dpop/jwk-small-order-0", "dpop/jwk-small-order-1", "dpop/jwk-small-order-2")
	strict := dpopTarget(t, "dpop")
	all := target
	all.Skip = dpopTarget(t, "dpop").Skip
	const nonce = "the-nonce-of-today"
	meeting := make(chan struct{})
	var jtis, late sync.Map

	for _, tt := range []struct {
		name   string
		target jwttest.Target
		broken dpopByHand
		finds  []string // cases in the report, with their verdict
		class  []string // the classes of all cases in the report
	}{
		{"no memory of used proofs", target, dpopByHand{use: func(string, string) bool { return true }}, []string{
			"GOT IN: dpop/replay-same-request", "GOT IN: dpop/replay-at-once", "GOT IN: dpop/replay-same-jti",
		}, []string{"replay"}},
		{"memory that looks first and remembers afterwards", onlyReplays(target), dpopByHand{use: func(key, jti string) bool {
			if _, old := late.Load(key + jti); old {
				return false
			}
			select { // a store takes its time
			case meeting <- struct{}{}:
			case <-meeting:
			case <-time.After(100 * time.Millisecond):
			}
			late.Store(key+jti, true)
			return true
		}}, []string{"GOT IN: dpop/replay-at-once"}, []string{"replay"}},
		{"memory by jti alone", strict, dpopByHand{use: func(_, jti string) bool {
			_, old := jtis.LoadOrStore(jti, true)
			return !old
		}}, []string{"REFUSED ALTHOUGH VALID: dpop/replay-same-jti-other-key"}, nil},
		{"memory before the signature", strict, dpopByHand{useFirst: true}, []string{
			"REFUSED ALTHOUGH VALID: dpop/replay-not-used-up-by-signature", "REFUSED ALTHOUGH VALID: dpop/replay-not-used-up-by-method",
		}, nil},
		{"htu compared with the query", target, dpopByHand{htu: func(r *http.Request, htu string) bool {
			return sameURL(r, htu) && !strings.Contains(htu, "?") || htu == dpopURL+r.RequestURI
		}}, []string{
			"REFUSED ALTHOUGH VALID: dpop/htu-with-query", "REFUSED ALTHOUGH VALID: dpop/htu-both-with-query",
		}, []string{"htu"}},
		{"htu compared as text", target, dpopByHand{htu: func(r *http.Request, htu string) bool { return htu == dpopURL+r.URL.EscapedPath() }}, []string{
			"REFUSED ALTHOUGH VALID: dpop/htu-with-query", "REFUSED ALTHOUGH VALID: dpop/htu-default-port", "REFUSED ALTHOUGH VALID: dpop/htu-both-with-query",
		}, []string{"htu"}},
		{"htu that begins with the URL", target, dpopByHand{htu: func(r *http.Request, htu string) bool {
			return sameURL(r, htu) || strings.HasPrefix(htu, dpopURL+r.URL.EscapedPath())
		}}, []string{
			"GOT IN: dpop/htu-path-longer", "GOT IN: dpop/htu-path-with-more", "GOT IN: dpop/htu-dot-segments-to-other",
		}, []string{"htu"}},
		{"htu with the right path", target, dpopByHand{htu: func(r *http.Request, htu string) bool {
			u, err := url.Parse(htu)
			return err == nil && (sameURL(r, htu) || u.Path == r.URL.Path)
		}}, []string{
			"GOT IN: dpop/htu-other-host", "GOT IN: dpop/htu-other-scheme", "GOT IN: dpop/host-in-host",
		}, []string{"htu", "host"}},
		{"htu decoded", target, dpopByHand{htu: func(r *http.Request, htu string) bool {
			decoded, err := url.PathUnescape(htu)
			return err == nil && sameURL(r, decoded)
		}}, []string{"GOT IN: dpop/htu-encoded-slash"}, []string{"htu"}},
		{"Host believed", target, dpopByHand{htu: func(r *http.Request, htu string) bool {
			return sameURL(r, htu) || htu == "https://"+r.Host+r.URL.EscapedPath()
		}}, []string{"GOT IN: dpop/host-in-host"}, []string{"host"}},
		{"X-Forwarded-Host believed", target, dpopByHand{htu: func(r *http.Request, htu string) bool {
			return sameURL(r, htu) || htu == "https://"+r.Header.Get("X-Forwarded-Host")+r.URL.EscapedPath()
		}}, []string{"GOT IN: dpop/host-in-x-forwarded-host", "GOT IN: dpop/host-in-all"}, []string{"host"}},
		{"X-Forwarded-Prefix believed", target, dpopByHand{htu: func(r *http.Request, htu string) bool {
			return sameURL(r, htu) || htu == dpopURL+r.Header.Get("X-Forwarded-Prefix")+r.URL.EscapedPath()
		}}, []string{"GOT IN: dpop/host-prefix-in-x-forwarded-prefix"}, []string{"host"}},
		{"any method", target, dpopByHand{anyMethod: true}, []string{"GOT IN: dpop/htm-other", "GOT IN: dpop/claims-htm-missing"}, []string{"htm", "claims"}},
		{"method in any letter case", target, dpopByHand{methodFolds: true}, []string{"GOT IN: dpop/htm-in-lower-case"}, []string{"htm"}},
		{"ath not compared", target, dpopByHand{anyToken: true}, []string{
			"GOT IN: dpop/ath-other-token", "GOT IN: dpop/ath-stolen-with-other-token", "GOT IN: dpop/claims-ath-missing",
		}, []string{"ath", "claims"}},
		{"ath compared if it is there", target, dpopByHand{athOptional: true}, []string{"GOT IN: dpop/claims-ath-missing"}, []string{"claims"}},
		{"private key in jwk", target, dpopByHand{privateKeys: true}, []string{"GOT IN: dpop/jwk-private"}, []string{"jwk"}},
		{"typ not looked at", target, dpopByHand{anyTyp: true}, []string{
			"GOT IN: dpop/typ-missing", "GOT IN: dpop/typ-jwt", "GOT IN: dpop/typ-access-token",
		}, []string{"typ"}},
		{"bound tokens as bearer tokens", target, dpopByHand{bearerToo: true}, []string{
			"GOT IN: dpop/scheme-bearer", "GOT IN: dpop/scheme-bearer-with-proof",
		}, []string{"scheme"}},
		{"cnf not compared", target, dpopByHand{anyKey: true}, []string{
			"GOT IN: dpop/binding-other-key", "GOT IN: dpop/binding-unbound", "GOT IN: dpop/binding-jkt-other",
		}, []string{"binding", "jwk"}},
		{"signature not verified", target, dpopByHand{unsigned: true}, []string{
			"GOT IN: dpop/signature-other-key", "GOT IN: dpop/alg-none-none-unsigned",
		}, []string{"signature", "alg", "form"}},
		{"a secret in jwk", target, dpopByHand{anyAlgorithm: true}, []string{"GOT IN: dpop/alg-secret-HS256"}, []string{"alg"}},
		{"any age", target, dpopByHand{anyAge: true}, []string{"GOT IN: dpop/iat-an-hour-ago", "GOT IN: dpop/iat-in-an-hour"}, []string{"iat", "claims"}},
		{"first of two proofs", target, dpopByHand{firstHeader: true}, []string{"GOT IN: dpop/header-two-good"}, []string{"header"}},
		{"nonce not wanted", target, dpopByHand{nonce: nonce, nonceGood: func(got any) bool { return got == nil || got == nonce }}, []string{
			"GOT IN: dpop/nonce-missing",
		}, []string{"nonce"}},
		{"any nonce", target, dpopByHand{nonce: nonce, nonceGood: func(got any) bool { return got != nil }}, []string{
			"GOT IN: dpop/nonce-random", "GOT IN: dpop/nonce-last-changed",
		}, []string{"nonce"}},
		{"keys at any address", target, dpopByHand{fetches: true}, []string{"FETCHED: dpop/jwk-jku"}, []string{"jwk"}},
		{"points of small order", all, dpopByHand{}, []string{"GOT IN: dpop/jwk-small-order-0"}, []string{"jwk"}},
		{"403 for a bad proof", strict, dpopByHand{refusal: http.StatusForbidden}, []string{"WRONG STATUS: dpop/header-missing"}, nil},
	} {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			if inChild() {
				tt.broken.target = tt.target
				jwttest.AttackMostlyDirectly(t, tt.broken.handler(), tt.target)
				return
			}
			report, ok := reportsOfChild(t, "TestAttackFindsDPoPHoles")[t.Name()]
			require.True(t, ok, "Attack found nothing")
			for _, want := range tt.finds {
				assert.True(t, strings.Contains(report, want+"\n"), "%q is not in the report", want)
			}
			if len(tt.finds) > 0 && strings.HasPrefix(tt.finds[0], "GOT IN: ") && !strings.HasPrefix(tt.finds[0], "GOT IN: dpop/scheme-") {
				assert.Regexp(t, `(?m)^ +rule     RFC 9449 section.* \((MUST|SHOULD)\)$`, report)
				assert.Regexp(t, `(?m)^ +request  GET /shop/Orders\?page=1$`, report)
				assert.Regexp(t, `(?m)^ +DPoP: ey`, report)
				assert.Regexp(t, `(?m)^ +proof    \{"typ":.*\n +\{"jti":`, report, "the report shows the proof")
			}
			var findings []string
			for _, match := range dpopFinding.FindAllStringSubmatch(report, -1) {
				findings = append(findings, match[1]+"-"+match[2])
				if tt.class != nil {
					assert.Contains(t, tt.class, match[1], match[0])
				}
			}
			t.Logf("%d findings: %s", len(findings), strings.Join(findings, ", "))
		})
	}
}

// dpopFinding finds the class and the rest of the name of each reported case.
var dpopFinding = regexp.MustCompile(`(?:GOT IN|REFUSED ALTHOUGH VALID|UNPROVED|FAILED INSIDE|PANICKED|WRONG STATUS|FETCHED|NO ANSWER): dpop/([a-z]+)-(\S+)`)
