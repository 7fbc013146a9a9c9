package jwttest

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"
)

// dpop adds requests with a token that is bound to the key of Target.Prover, and with bad
// proofs. It adds nothing without a Prover.
func (f *family) dpop() {
	if f.target.Prover == nil {
		return
	}
	for _, class := range []struct {
		name, rule string
		add        func(*proofs)
	}{
		{"header", "RFC 9449 sections 4.3 (1) and 7.1", (*proofs).header},
		{"form", "RFC 9449 section 4.3 (2); RFC 7515 section 5.2", (*proofs).form},
		{"claims", "RFC 9449 sections 4.2 and 4.3 (3)", (*proofs).claims},
		{"typ", "RFC 9449 section 4.3 (4)", (*proofs).typ},
		{"alg", "RFC 9449 section 4.3 (5)", (*proofs).alg},
		{"signature", "RFC 9449 section 4.3 (6)", (*proofs).signature},
		{"jwk", "RFC 9449 section 4.3 (6) and (7)", (*proofs).jwk},
		{"htm", "RFC 9449 section 4.3 (8); RFC 9110 section 9.1", (*proofs).htm},
		{"htu", "RFC 9449 section 4.3 (9)", (*proofs).htu},
		{"host", "RFC 9449 section 4.3 (9); RFC 9110 section 7.4", (*proofs).host},
		{"nonce", "RFC 9449 sections 4.3 (10) and 9", (*proofs).nonce},
		{"iat", "RFC 9449 sections 4.3 (11) and 11.1", (*proofs).iat},
		{"ath", "RFC 9449 sections 4.3 (12) and 7", (*proofs).ath},
		{"binding", "RFC 9449 sections 4.3 (12), 6 and 7.1", (*proofs).binding},
		{"replay", "RFC 9449 section 11.1", (*proofs).replay},
		{"scheme", "RFC 9449 sections 7.1 and 7.2", (*proofs).scheme},
	} {
		class.add(&proofs{f.withRule(class.rule), class.name, f.good()})
	}
}

// proofs adds the cases of one class of the family dpop: those about one check of a proof.
// The name of a case, and what it sends, begin with the class.
type proofs struct {
	*family
	class string
	token string // the access token of most cases
}

// draft is the part of a case that makes its proof. It changes the draft of a good proof.
type draft = func(*proofDraft)

// anyStatus is the status of a case whose refusal may have any.
const anyStatus = -1

// proofCase adds a case. Its request has the token under the scheme DPoP, unless it has
// lines of its own. A refusal must have the status 401, unless c names another.
func (f *proofs) proofCase(c attackCase) {
	c.name, c.sends = f.class+"-"+c.name, f.class+": "+c.sends
	if c.request.lines == nil {
		c.request.lines = []string{"Authorization: DPoP " + f.token}
	}
	if c.status = cmp.Or(c.status, http.StatusUnauthorized); c.status == anyStatus {
		c.status = 0
	}
	f.add(c)
}

// refuseProof adds a proof that the service must refuse.
func (f *proofs) refuseProof(level requirementLevel, name, sends string, change draft) {
	f.proofCase(attackCase{name: name, sends: sends, level: level, request: request{prove: changed(change)}})
}

// acceptProof adds a proof that the service must accept.
func (f *proofs) acceptProof(level requirementLevel, name, sends string, change draft) {
	f.proofCase(attackCase{name: name, sends: sends, level: level, accept: true, request: request{prove: changed(change)}})
}

// refuseText adds a proof that the service must refuse, and that proof makes from a draft.
func (f *proofs) refuseText(level requirementLevel, name, sends string, proof func(*proofDraft) string) {
	f.refuseLines(level, name, sends, func(d *proofDraft) []string { return []string{"DPoP: " + proof(d)} })
}

// refuseLines adds header lines with a proof that the service must refuse.
func (f *proofs) refuseLines(level requirementLevel, name, sends string, lines func(*proofDraft) []string) {
	f.proofCase(attackCase{name: name, sends: sends, level: level, request: request{prove: lines}})
}

// changed returns request.prove for a proof with a change.
func changed(change draft) func(*proofDraft) []string {
	return func(d *proofDraft) []string {
		change(d)
		return []string{"DPoP: " + d.sign()}
	}
}

// unchanged is the draft of a good proof.
func unchanged(*proofDraft) {}

// claim returns a draft with one claim replaced or added. An empty value removes it.
func claim(name, value string) draft {
	return func(d *proofDraft) { d.claims = d.claims.changed(name, value) }
}

// parameter returns a draft with one header parameter replaced or added. An empty value
// removes it.
func parameter(name, value string) draft {
	return func(d *proofDraft) { d.header = d.header.changed(name, value) }
}

// signedWith returns a draft that is signed with another key, which is also its jwk.
func signedWith(algorithm string, key any) draft {
	return func(d *proofDraft) {
		d.algorithm, d.key = algorithm, key
		d.header = d.header.with("alg", quote(algorithm)).with("jwk", jwk(cmp.Or[any](publicKey(key), key)).String())
	}
}

// boundToken returns a token that is bound to a key.
func (f *proofs) boundToken(key object) string { return f.tokenWithConfirmation(boundTo(key)) }

// tokenWithConfirmation returns a token with another cnf. An empty one removes it.
func (f *proofs) tokenWithConfirmation(cnf string) string {
	return f.tokenWithClaims(f.claimsWith("cnf", cnf))
}

func (f *proofs) header() {
	f.refuseLines(required, "missing", "no proof", func(*proofDraft) []string { return nil })
	f.refuseText(required, "empty", "an empty header", func(*proofDraft) string { return "" })
	second := func(d *proofDraft) string {
		first := d.claims.value("jti")
		claim("jti", first[:len(first)-1]+`2"`)(d)
		return d.sign()
	}
	for _, tt := range []struct {
		name, sends string
		lines       func(*proofDraft) []string
	}{
		{"two-good", "two good proofs in two lines", func(d *proofDraft) []string { return []string{"DPoP: " + d.sign(), "DPoP: " + second(d)} }},
		{"two-same", "a good proof in two lines", func(d *proofDraft) []string {
			proof := d.sign()
			return []string{"DPoP: " + proof, "DPoP: " + proof}
		}},
		{"two-in-two-cases", "two good proofs, under DPoP and dpop", func(d *proofDraft) []string { return []string{"DPoP: " + d.sign(), "dpop: " + second(d)} }},
		{"good-and-garbage", "a good proof, and a second line", func(d *proofDraft) []string { return []string{"DPoP: " + d.sign(), "DPoP: x"} }},
		{"garbage-and-good", "a good proof in the second line", func(d *proofDraft) []string { return []string{"DPoP: x", "DPoP: " + d.sign()} }},
		{"list", "two good proofs in one line", func(d *proofDraft) []string { return []string{"DPoP: " + d.sign() + ", " + second(d)} }},
		{"comma", "a comma after the proof", func(d *proofDraft) []string { return []string{"DPoP: " + d.sign() + ","} }},
		{"other-name", "a good proof in the header X-DPoP", func(d *proofDraft) []string { return []string{"X-DPoP: " + d.sign()} }},
		{"underscore", "a good proof in the header D_PoP", func(d *proofDraft) []string { return []string{"D_PoP: " + d.sign()} }},
		{"cookie", "a good proof in a cookie", func(d *proofDraft) []string { return []string{"Cookie: DPoP=" + d.sign()} }},
		{"scheme", "a good proof after the word DPoP", func(d *proofDraft) []string { return []string{"DPoP: DPoP " + d.sign()} }},
		{"quotes", "a good proof in quotes", func(d *proofDraft) []string { return []string{`DPoP: "` + d.sign() + `"`} }},
	} {
		f.refuseLines(required, tt.name, tt.sends, tt.lines)
	}
	f.proofCase(attackCase{name: "name-in-lower-case", sends: "a good proof in the header dpop", accept: true,
		request: request{prove: func(d *proofDraft) []string { return []string{"dpop: " + d.sign()} }}})
	f.proofCase(attackCase{name: "beside-others", sends: "a good proof between other headers", accept: true,
		request: request{prove: func(d *proofDraft) []string {
			return []string{"DPoP-Nonce: x", "DPoP: " + d.sign(), "X-DPoP: none"}
		}}})
}

func (f *proofs) form() {
	segments := func(make func(header, claims, signature string) string) func(*proofDraft) string {
		return func(d *proofDraft) string { return make(splitToken(d.sign())) }
	}
	for _, tt := range []struct {
		name, sends string
		proof       func(*proofDraft) string
	}{
		{"word", "a word", func(*proofDraft) string { return "proof" }},
		{"dots", "two dots", func(*proofDraft) string { return ".." }},
		{"two-segments", "a proof without its signature", segments(func(h, c, _ string) string { return h + "." + c })},
		{"four-segments", "a proof with a fourth segment", segments(func(h, c, s string) string { return h + "." + c + "." + s + ".x" })},
		{"five-segments", "a proof with five segments", segments(func(h, c, s string) string { return h + "." + c + "." + s + ".." })},
		{"space", "a space in the proof", segments(func(h, c, s string) string { return h + "." + c + ". " + s })},
		{"padding", "padding after the signature", segments(func(h, c, s string) string { return h + "." + c + "." + s + "==" })},
		{"not-base64", "a character that base64url does not have", segments(func(h, c, s string) string { return h + "." + c + "." + s + "*" })},
		{"json", "a proof in JSON serialisation", segments(func(h, c, s string) string {
			return `{"payload":"` + c + `","protected":"` + h + `","signature":"` + s + `"}`
		})},
		{"general-json", "a proof in general JSON serialisation", segments(func(h, c, s string) string {
			return `{"payload":"` + c + `","signatures":[{"protected":"` + h + `","signature":"` + s + `"}]}`
		})},
		{"claims-array", "claims in an array", func(d *proofDraft) string { return d.signText(d.header.String(), "["+d.claims.String()+"]") }},
		{"claims-text", "claims that are no JSON", func(d *proofDraft) string { return d.signText(d.header.String(), "htm=GET") }},
		{"claims-with-more", "a second object after the claims", func(d *proofDraft) string { return d.signText(d.header.String(), d.claims.String()+"{}") }},
		{"claims-cut", "claims without the last brace", func(d *proofDraft) string {
			return d.signText(d.header.String(), strings.TrimSuffix(d.claims.String(), "}"))
		}},
		{"header-array", "a header in an array", func(d *proofDraft) string { return d.signText("["+d.header.String()+"]", d.claims.String()) }},
		{"header-with-more", "a second object after the header", func(d *proofDraft) string { return d.signText(d.header.String()+"{}", d.claims.String()) }},
		{"nested", "a proof as the payload of a proof", func(d *proofDraft) string { return d.signText(d.header.String(), d.sign()) }},
		{"nested-string", "a proof as a string in a proof", func(d *proofDraft) string { return d.signText(d.header.String(), quote(d.sign())) }},
	} {
		f.refuseText(required, tt.name, tt.sends, tt.proof)
	}
	// RFC 7515 section 4 lets a reader take the last of two members.
	for _, name := range []string{"jti", "htm", "htu", "iat", "ath"} {
		f.refuseProof(jwtgateOnly, "duplicate-"+name, name+" twice", func(d *proofDraft) { d.claims = d.claims.withFirst(name, d.claims.value(name)) })
	}
	for _, name := range []string{"typ", "alg", "jwk"} {
		f.refuseProof(jwtgateOnly, "duplicate-"+name, name+" twice", func(d *proofDraft) { d.header = d.header.withFirst(name, d.header.value(name)) })
	}
	f.refuseText(jwtgateOnly, "unused-bits", "a claims segment whose unused bits are set", func(d *proofDraft) string {
		claims, _ := nonCanonical(encode(withUnusedBits(d.claims.String())))
		input := encode(d.header.String()) + "." + claims
		return input + "." + encode(sign(d.algorithm, d.key, input))
	})
	f.refuseProof(required, "crit", "an extension that must be understood", func(d *proofDraft) {
		d.header = d.header.with("crit", `["x"]`).with("x", "1")
	})
	f.refuseProof(jwtgateOnly, "invalid-utf8", "a jti with a byte that is not UTF-8", claim("jti", "\"\xff\""))
	f.refuseProof(jwtgateOnly, "long", "a proof of 20 KB", claim("x", quote(strings.Repeat("x", 15000))))
	f.refuseProof(jwtgateOnly, "long-jti", "a jti of 100 KB", claim("jti", quote(strings.Repeat("x", 100_000))))
	f.refuseProof(jwtgateOnly, "deep", "a claim nested a thousand levels deep", claim("x", nest(1000, "[", "]")))

	f.acceptProof(required, "plain", "a good proof", unchanged)
	f.acceptProof(required, "reversed", "members in another order", func(d *proofDraft) {
		slices.Reverse(d.claims)
		slices.Reverse(d.header)
	})
	f.proofCase(attackCase{name: "white-space", sends: "white space in the JSON", accept: true, request: request{prove: func(d *proofDraft) []string {
		spaced := func(o object) string { return " " + strings.ReplaceAll(o.String(), `,"`, ",\r\n\t\"") + "\n" }
		return []string{"DPoP: " + d.signText(spaced(d.header), spaced(d.claims))}
	}}})
	f.acceptProof(required, "escapes", "escaped characters in the JSON", func(d *proofDraft) {
		d.claims = d.claims.with("htu", strings.ReplaceAll(d.claims.value("htu"), "/", `\/`))
		for i := range d.claims {
			if d.claims[i].name == "ath" {
				d.claims[i].name = `\u0061th`
			}
		}
	})
	f.acceptProof(required, "further-members", "an unknown claim and an unknown header parameter", func(d *proofDraft) {
		claim("x", `{"a":[1]}`)(d)
		parameter("x", `"y"`)(d)
	})
	f.acceptProof(required, "further-claims", "iss, sub and aud, which a proof does not need", func(d *proofDraft) {
		d.claims = d.claims.with("iss", `"client"`).with("sub", `"client"`).with("aud", `"https://other.example"`)
	})
	f.acceptProof(recommended, "jti-of-200-characters", "a jti of 200 characters", func(d *proofDraft) {
		claim("jti", quote(strings.Trim(d.claims.value("jti"), `"`)+strings.Repeat("x", 174)))(d)
	})
	f.acceptProof(recommended, "jti-beyond-ascii", "a jti with characters of other scripts", func(d *proofDraft) {
		claim("jti", quote(strings.Trim(d.claims.value("jti"), `"`)+"\u00e9\u4e2d"))(d)
	})
}

func (f *proofs) claims() {
	for _, name := range []string{"jti", "htm", "htu", "iat", "ath"} {
		f.refuseProof(required, name+"-missing", "no "+name, claim(name, ""))
		f.refuseProof(required, name+"-null", name+" is null", claim(name, "null"))
		f.refuseProof(required, name+"-empty", name+" is an empty string", claim(name, `""`))
		f.refuseProof(required, name+"-array", name+" is an array with the right value", func(d *proofDraft) {
			claim(name, "["+d.claims.value(name)+"]")(d)
		})
		f.refuseProof(required, name+"-object", name+" is an object", claim(name, `{}`))
		if name == "iat" {
			f.refuseProof(required, "iat-string", "iat is a string with the right number", func(d *proofDraft) { claim("iat", quote(d.claims.value("iat")))(d) })
		} else {
			f.refuseProof(required, name+"-number", name+" is a number", claim(name, `1`))
		}
		f.refuseProof(required, name+"-in-the-header", name+" is in the header", func(d *proofDraft) {
			parameter(name, d.claims.value(name))(d)
			claim(name, "")(d)
		})
		f.refuseProof(required, name+"-in-upper-case", name+" is called "+strings.ToUpper(name), func(d *proofDraft) {
			claim(strings.ToUpper(name), d.claims.value(name))(d)
			claim(name, "")(d)
		})
	}
	f.refuseProof(required, "none", "no claims", func(d *proofDraft) { d.claims = nil })
	f.refuseProof(required, "false", "ath is false", claim("ath", "false"))
}

func (f *proofs) typ() {
	f.refuseProof(required, "missing", "no typ", parameter("typ", ""))
	for _, tt := range []struct{ name, typ string }{
		{"jwt", `"JWT"`},
		{"access-token", `"at+jwt"`},
		{"logout-token", `"logout+jwt"`},
		{"key-binding", `"kb+jwt"`},
		{"dpop", `"dpop"`},
		{"jws", `"dpop+jws"`},
		{"longer", `"dpop+jwt2"`},
		{"space", `"dpop+jwt "`},
		{"empty", `""`},
		{"null", `null`},
		{"number", `1`},
		{"array", `["dpop+jwt"]`},
		{"other-tree", `"text/dpop+jwt"`},
	} {
		f.refuseProof(required, tt.name, "typ is "+tt.typ, parameter("typ", tt.typ))
	}
	f.refuseProof(required, "as-cty", "cty is dpop+jwt, and typ is JWT", func(d *proofDraft) {
		d.header = d.header.with("typ", `"JWT"`).with("cty", `"dpop+jwt"`)
	})
	f.refuseProof(required, "as-claim", "typ is a claim", func(d *proofDraft) {
		parameter("typ", "")(d)
		claim("typ", `"dpop+jwt"`)(d)
	})
	long := f.withRule("RFC 7515 section 4.1.9")
	at := &proofs{long, f.class, f.token}
	at.acceptProof(jwtgateOnly, "in-upper-case", "typ is DPOP+JWT", parameter("typ", `"DPOP+JWT"`))
	at.acceptProof(jwtgateOnly, "with-application", "typ is a full media type", parameter("typ", `"application/dpop+jwt"`))
}

func (f *proofs) alg() {
	for _, alg := range []string{"none", "None", "NONE", ""} {
		for _, signature := range []string{"", "AAAA"} {
			f.refuseText(required, "none-"+cmp.Or(alg, "empty")+cmp.Or(signature, "-unsigned"), "alg is "+quote(alg)+", and the signature is "+quote(signature), func(d *proofDraft) string {
				return encode(d.header.with("alg", quote(alg)).String()) + "." + encode(d.claims.String()) + "." + signature
			})
		}
	}
	for _, tt := range []struct{ name, alg string }{
		{"missing", ``}, {"null", `null`}, {"number", `7`}, {"array", `["ES256"]`}, {"unknown", `"XS256"`}, {"es256k", `"ES256K"`},
	} {
		f.refuseProof(required, tt.name, "alg is "+cmp.Or(tt.alg, "missing"), parameter("alg", tt.alg))
	}
	name := f.target.Prover.algorithm()
	f.refuseProof(required, "in-lower-case", "alg in lower case", parameter("alg", quote(strings.ToLower(name))))
	for _, alg := range []string{"ES256", "ES384", "PS256", "RS256", "EdDSA", "HS256"} {
		if alg != name && (kind(alg) != "Ed" || kind(name) != "Ed") {
			f.refuseProof(required, "says-"+alg, "alg is "+alg+", and the proof is signed with "+name, parameter("alg", quote(alg)))
		}
	}
	for _, form := range publicForms(publicKey(f.target.Prover.private())) {
		if slices.Contains([]string{"jwk", "pkix-pem", "pkix-der", "point", "thumbprint-in-base64url"}, form.name) {
			f.refuseProof(required, "hs256-"+form.name, "HS256 with the public key as the secret", func(d *proofDraft) {
				d.algorithm, d.key = "HS256", form.secret
				parameter("alg", `"HS256"`)(d)
			})
		}
	}
	// The token is bound to a secret, whose thumbprint anybody can compute who knows it.
	for _, alg := range []string{"HS256", "HS512"} {
		f.refuseBound(required, "secret-"+alg, "a proof signed with a secret, which is its jwk", jwk(attackersSecret), signedWith(alg, attackersSecret))
	}
	p384 := attackersEC["ES384"]()
	f.refuseLinesBound(required, "curve", "ES256 with a key on P-384", jwk(p384.Public()), func(d *proofDraft) []string {
		input := encode(d.header.with("alg", `"ES256"`).with("jwk", jwk(p384.Public()).String()).String()) + "." + encode(d.claims.String())
		return []string{"DPoP: " + input + "." + encode(signECDSA(p384, digestFor("ES256", input)))}
	})
}

// refuseBound adds a proof for a token that is bound to another key.
func (f *proofs) refuseBound(level requirementLevel, name, sends string, key object, change draft) {
	f.refuseLinesBound(level, name, sends, key, changed(change))
}

// refuseLinesBound adds header lines with a proof for a token that is bound to another
// key.
func (f *proofs) refuseLinesBound(level requirementLevel, name, sends string, key object, lines func(*proofDraft) []string) {
	f.proofCase(attackCase{name: name, sends: sends, level: level, request: request{
		lines: []string{"Authorization: DPoP " + f.boundToken(key)}, prove: lines}})
}

func (f *proofs) signature() {
	alg := f.target.Prover.algorithm()
	f.refuseProof(required, "other-key", "a proof with the client's jwk, signed with another key", func(d *proofDraft) { d.key = attackersKey(alg) })
	with := func(change func(raw []byte) []byte) func(*proofDraft) string {
		return func(d *proofDraft) string {
			input := encode(d.header.String()) + "." + encode(d.claims.String())
			return input + "." + encode(change(sign(d.algorithm, d.key, input)))
		}
	}
	for _, tt := range []struct {
		name, sends string
		proof       func(*proofDraft) string
	}{
		{"empty", "no signature", with(func([]byte) []byte { return nil })},
		{"zeros", "zeros for the signature", with(func(raw []byte) []byte { return make([]byte, len(raw)) })},
		{"ones", "ones for the signature", with(func(raw []byte) []byte { return slices.Repeat([]byte{1}, len(raw)) })},
		{"bit", "one bit of the signature changed", with(func(raw []byte) []byte { raw[len(raw)/3] ^= 1; return raw })},
		{"cut", "the last byte of the signature missing", with(func(raw []byte) []byte { return raw[:len(raw)-1] })},
		{"longer", "a byte after the signature", with(func(raw []byte) []byte { return append(raw, 0) })},
		{"reversed", "the signature's bytes in reverse order", with(reversed)},
		{"of-other-claims", "a good signature of other claims", func(d *proofDraft) string {
			_, _, signature := splitToken(d.sign())
			return encode(d.header.String()) + "." + encode(d.claims.with("x", "1").String()) + "." + signature
		}},
		{"of-other-header", "a good signature of another header", func(d *proofDraft) string {
			_, _, signature := splitToken(d.sign())
			return encode(d.header.with("x", "1").String()) + "." + encode(d.claims.String()) + "." + signature
		}},
		{"of-token", "the signature of the access token", func(d *proofDraft) string {
			_, _, signature := splitToken(d.token)
			return encode(d.header.String()) + "." + encode(d.claims.String()) + "." + signature
		}},
	} {
		f.refuseText(required, tt.name, tt.sends, tt.proof)
	}
	if key, ok := f.target.Prover.private().(*ecdsa.PrivateKey); ok {
		half := (key.Params().BitSize + 7) / 8
		f.refuseText(required, "der", "the signature in DER", with(func(raw []byte) []byte {
			return derSignature(new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:]))
		}))
	}
	f.refuseText(required, "access-token", "the access token for the proof", func(d *proofDraft) string { return d.token })
}

func (f *proofs) jwk() {
	public := f.target.Prover.publicJWK()
	private := f.target.Prover.private()
	for _, tt := range []struct{ name, sends, jwk string }{
		{"missing", "no jwk", ""},
		{"null", "jwk is null", "null"},
		{"string", "jwk is a string with the key", quote(public.String())},
		{"array", "jwk is an array with the key", "[" + public.String() + "]"},
		{"set", "jwk is a JWK Set", `{"keys":[` + public.String() + `]}`},
		{"empty", "jwk is an empty object", "{}"},
		{"thumbprint", "jwk is the thumbprint", quote(thumbprint(public))},
		{"without-kty", "jwk has no kty", public.without("kty").String()},
		{"kty-oct", "jwk has kty oct", public.with("kty", `"oct"`).String()},
		{"kty-in-lower-case", "jwk has kty in lower case", public.with("kty", strings.ToLower(public.value("kty"))).String()},
	} {
		f.refuseProof(required, tt.name, tt.sends, parameter("jwk", tt.jwk))
	}
	var secrets object
	switch k := private.(type) {
	case *ecdsa.PrivateKey:
		secrets = object{{"d", quote(encode(must(k.Bytes())))}}
	case ed25519.PrivateKey:
		secrets = object{{"d", quote(encode(k.Seed()))}}
	case *rsa.PrivateKey:
		secrets = object{{"d", quote(encode(k.D.Bytes()))}, {"p", quote(encode(k.Primes[0].Bytes()))}, {"q", quote(encode(k.Primes[1].Bytes()))}}
	}
	for _, s := range secrets {
		f.refuseProof(required, "private-"+s.name, "jwk has the private member "+s.name, parameter("jwk", public.with(s.name, s.value).String()))
	}
	f.refuseProof(required, "private", "jwk is the whole private key", parameter("jwk", slices.Concat(public, secrets).String()))
	f.refuseProof(jwtgateOnly, "with-k", "jwk has the member k of a secret", parameter("jwk", public.with("k", `"AAAA"`).String()))
	f.refuseProof(jwtgateOnly, "for-encryption", "jwk is a key for encryption", parameter("jwk", public.with("use", `"enc"`).String()))

	kid := object{{"kid", quote(thumbprint(public))}}
	f.refuseProof(required, "kid-instead", "kid in place of jwk", func(d *proofDraft) {
		d.header = slices.Concat(d.header.without("jwk"), kid)
	})
	f.refuseProof(required, "kid-of-token", "the kid of the access token in place of jwk, signed with the client's key", func(d *proofDraft) {
		d.header = d.header.without("jwk").with("kid", cmp.Or(f.minter.header.value("kid"), `"1"`))
	})
	for _, name := range []string{"jku", "x5u"} {
		path := f.name + "/" + f.class + "-" + name
		f.proofCase(attackCase{name: name, sends: name + " with the attacker's address in place of jwk", namesServer: true, request: request{
			lines: []string{"Authorization: DPoP " + f.boundToken(jwk(publicKey(attackersKey("ES256"))))},
			prove: changed(func(d *proofDraft) {
				signedWith("ES256", attackersKey("ES256"))(d)
				d.header = d.header.without("jwk").with(name, quote(f.attackers.http+"/"+path))
			})}})
	}
	attacker := attackersEC["ES256"]()
	f.refuseBound(required, "x5c", "a certificate of the key in place of jwk", jwk(attacker.Public()), func(d *proofDraft) {
		signedWith("ES256", attacker)(d)
		d.header = d.header.without("jwk").with("x5c", `["`+base64.StdEncoding.EncodeToString(certificate(attacker))+`"]`)
	})

	weak := attackersWeakRSA()
	for _, alg := range []string{"PS256", "RS256"} {
		f.refuseBound(required, "weak-rsa-"+alg, "an RSA key of 1024 bits", jwk(weak.Public()), signedWith(alg, weak))
	}
	p256 := jwk(attacker.Public())
	x, y := coordinates(&attacker.PublicKey)
	other := slices.Clone(y)
	other[len(other)-1] ^= 1
	offCurve := p256.with("y", quote(encode(other)))
	f.refuseBound(required, "off-curve", "a point that is not on the curve", offCurve, func(d *proofDraft) {
		signedWith("ES256", attacker)(d)
		parameter("jwk", offCurve.String())(d)
	})
	zero := p256.with("x", quote(encode(make([]byte, len(x))))).with("y", quote(encode(make([]byte, len(y)))))
	f.refuseLinesBound(required, "zero-point", "a point of zeros, and a signature of zeros", zero, func(d *proofDraft) []string {
		header := d.header.with("alg", `"ES256"`).with("jwk", zero.String())
		return []string{"DPoP: " + encode(header.String()) + "." + encode(d.claims.String()) + "." + encode(make([]byte, 64))}
	})
	// With a point of small order for the key, the neutral point for R and zero for S are a
	// good signature of every or of many messages.
	neutral := "01" + strings.Repeat("00", 31)
	for i, point := range []string{neutral, smallOrderPoints[0], smallOrderPoints[1]} {
		small := jwk(ed25519.PublicKey(must(hex.DecodeString(point))))
		f.refuseLinesBound(required, "small-order-"+string(rune('0'+i)), "a point of small order for the key", small, func(d *proofDraft) []string {
			header := d.header.with("alg", `"EdDSA"`).with("jwk", small.String())
			return []string{"DPoP: " + encode(header.String()) + "." + encode(d.claims.String()) + "." + encode(append(must(hex.DecodeString(neutral)), make([]byte, 32)...))}
		})
	}

	f.acceptProof(required, "with-kid", "jwk with kid, and a kid beside it", func(d *proofDraft) {
		d.header = d.header.with("jwk", slices.Concat(public, kid).String()).with("kid", `"1"`)
	})
	f.acceptProof(recommended, "with-use", "jwk with use, alg and key_ops", parameter("jwk",
		public.with("use", `"sig"`).with("alg", quote(f.target.Prover.algorithm())).with("key_ops", `["verify"]`).String()))
	reversedKey := slices.Clone(public)
	slices.Reverse(reversedKey)
	f.acceptProof(required, "reversed", "jwk with its members in another order", parameter("jwk", reversedKey.String()))
	f.acceptProof(required, "beside-x5c", "jwk, and beside it a certificate and addresses, which are not used", func(d *proofDraft) {
		d.header = d.header.with("jku", `"https://attacker.example/keys"`).with("x5c", `["`+base64.StdEncoding.EncodeToString(certificate(attacker))+`"]`)
	})
}

func (f *proofs) htm() {
	method := cmp.Or(f.target.firstRoute().Method, http.MethodGet)
	other := http.MethodPost
	if method == other {
		other = http.MethodGet
	}
	for _, tt := range []struct{ name, htm string }{
		{"other", other},
		{"connect", http.MethodConnect},
		{"in-lower-case", strings.ToLower(method)},
		{"in-mixed-case", method[:1] + strings.ToLower(method[1:])},
		{"space-behind", method + " "},
		{"space-before", " " + method},
		{"list", method + "," + other},
		{"star", "*"},
		{"cut", method[:len(method)-1]},
		{"longer", method + "S"},
		{"nul-behind", method + "\x00"},
	} {
		if tt.htm != method {
			f.refuseProof(required, tt.name, "a proof for the method "+quote(tt.htm), claim("htm", quote(tt.htm)))
		}
	}
	f.proofCase(attackCase{name: "overridden", sends: "a proof for another method, which a header asks for", request: request{
		lines: []string{"Authorization: DPoP " + f.token, "X-HTTP-Method-Override: " + other, "X-Method-Override: " + other},
		prove: changed(claim("htm", quote(other)))}})
}

func (f *proofs) htu() {
	base := f.serviceURL()
	scheme, rest, _ := strings.Cut(base, "://")
	name, _, _ := strings.Cut(rest, "/")
	origin := scheme + "://" + name
	target, _, _ := strings.Cut(cmp.Or(f.target.firstRoute().Path, "/"), "?")
	path := strings.TrimPrefix(htu(base, target), origin)
	hostname, port, _ := strings.Cut(name, ":")
	otherScheme, defaultPort := "http", ":443"
	if scheme == "http" {
		otherScheme, defaultPort = "https", ":80"
	}
	refuse := func(level requirementLevel, name, sends, htu string) {
		if htu != origin+path {
			f.refuseProof(level, name, "a proof for "+sends, claim("htu", quote(htu)))
		}
	}
	refuse(required, "other-host", "another host", scheme+"://other.example"+path)
	refuse(required, "host-longer", "a host that begins with the service's", scheme+"://"+hostname+".attacker.example"+path)
	refuse(required, "host-ends", "a host that ends with the service's", scheme+"://x"+name+path)
	refuse(required, "subdomain", "a subdomain", scheme+"://a."+name+path)
	refuse(required, "other-port", "another port", scheme+"://"+hostname+":8443"+path)
	refuse(required, "other-scheme", "another scheme", otherScheme+"://"+name+path)
	refuse(required, "other-scheme-same-port", "another scheme with the port of this one", otherScheme+"://"+hostname+cmp.Or(port, defaultPort)+path)
	refuse(required, "ftp", "the scheme ftp", "ftp://"+name+path)
	refuse(required, "other-path", "another path", origin+"/jwttest-other")
	refuse(required, "path-longer", "a path below", origin+strings.TrimSuffix(path, "/")+"/1")
	refuse(required, "path-with-more", "a path that begins with the service's", origin+path+"x")
	refuse(required, "root", "the path /", origin+"/")
	if path != "/" {
		refuse(required, "origin-alone", "the service without a path", origin)
	}
	refuse(required, "slash-behind", "a path with a slash at the end", origin+strings.TrimSuffix(path, "/")+"//")
	refuse(required, "slash-at-the-end", "a path with a slash at the end", origin+strings.TrimSuffix(path, "/")+"/")
	refuse(required, "double-slash", "a path with two slashes at the start", origin+"/"+path)
	refuse(required, "encoded-slash", "a path with an encoded slash", origin+"/"+strings.ReplaceAll(path[1:], "/", "%2F"))
	refuse(required, "encoded-slash-at-the-start", "a path with an encoded slash at the start", origin+"/%2F"+path[1:])
	refuse(required, "path-in-upper-case", "the path in upper case", origin+strings.ToUpper(path))
	refuse(required, "path-in-lower-case", "the path in lower case", origin+strings.ToLower(path))
	refuse(required, "encoded-twice", "a path with an encoded percent sign", origin+path[:1]+strings.ReplaceAll(percentEncoded(path, upperDigits)[1:], "%", "%25"))
	refuse(required, "dot-segments-to-other", "a path with dot segments that lead elsewhere", origin+path+"/../../jwttest-other")
	refuse(required, "back-slash", "a path with a back slash", origin+`\`+path[1:])
	refuse(required, "path-alone", "a path alone", path)
	refuse(required, "without-scheme", "a URL without its scheme", name+path)
	refuse(required, "scheme-relative", "a URL that begins with two slashes", "//"+name+path)
	refuse(required, "as-user", "another host, with the service's name for the user", scheme+"://"+name+"@attacker.example"+path)
	refuse(jwtgateOnly, "with-user", "the service, with a user", scheme+"://user@"+name+path)
	refuse(required, "in-query", "another host, with the URL in its query", scheme+"://attacker.example/?"+origin+path)
	refuse(required, "in-fragment", "another host, with the URL in its fragment", scheme+"://attacker.example/#"+origin+path)
	refuse(required, "in-path", "another host, with the URL in its path", scheme+"://attacker.example/"+origin+path)
	refuse(required, "back-slash-and-host", "another host before a back slash and the service's", scheme+`://attacker.example\@`+name+path)
	refuse(required, "two-urls", "two URLs", origin+path+" "+origin+path)
	refuse(required, "list", "a list of URLs", "https://other.example,"+origin+path)
	refuse(required, "star", "every URL", "*")
	refuse(jwtgateOnly, "space-before", "a URL after a space", " "+origin+path)
	refuse(jwtgateOnly, "space-behind", "a URL with a space at the end", origin+path+" ")
	refuse(required, "nul-behind", "a URL with a NUL at the end", origin+path+"\x00")
	refuse(jwtgateOnly, "dot-behind-host", "a host with a dot at the end", scheme+"://"+hostname+"."+path)
	refuse(required, "path-parameter", "a path with a parameter", origin+path+";a=b")

	accept := func(level requirementLevel, rule, name, sends, htu string) {
		if htu != origin+path {
			(&proofs{f.withRule(rule), f.class, f.token}).acceptProof(level, name, sends, claim("htu", quote(htu)))
		}
	}
	const ignored, normal = "RFC 9449 section 4.3 (9)", "RFC 9449 section 4.3; RFC 3986 sections 6.2.2 and 6.2.3"
	accept(required, ignored, "with-query", "a URL with a query", origin+path+"?page=2&q=a/b")
	accept(required, ignored, "with-empty-query", "a URL with an empty query", origin+path+"?")
	accept(required, ignored, "with-fragment", "a URL with a fragment", origin+path+"#top")
	accept(required, ignored, "with-query-and-fragment", "a URL with a query and a fragment", origin+path+"?a=b#c?d")
	accept(recommended, normal, "scheme-in-upper-case", "the scheme in upper case", strings.ToUpper(scheme)+"://"+name+path)
	accept(recommended, normal, "host-in-upper-case", "the host in upper case", scheme+"://"+strings.ToUpper(name)+path)
	if port == "" {
		accept(recommended, normal, "default-port", "the default port", origin+defaultPort+path)
		accept(jwtgateOnly, normal, "empty-port", "an empty port", origin+":"+path)
	}
	accept(recommended, normal, "dot-segment", "a path with the segment .", origin+"/."+path)
	accept(recommended, normal, "two-dot-segment", "a path with the segment ..", origin+"/x/.."+path)
	accept(recommended, normal, "percent-encoded", "a path that is percent-encoded", origin+percentEncoded(path, upperDigits))
	accept(recommended, normal, "percent-encoded-in-lower-case", "a path that is percent-encoded with digits in lower case", origin+percentEncoded(path, lowerDigits))
	if path == "/" {
		accept(recommended, normal, "empty-path", "no path", origin)
	}
	accept(recommended, normal, "everything", "a URL that differs in each way that does not matter", strings.ToUpper(origin)+"/./x/../"+percentEncoded(path, upperDigits)[1:]+"?a=b#c")

	for _, tt := range []struct{ name, sends, htu string }{
		{"request-with-query", "a request with a query, and a proof without", origin + path},
		{"both-with-query", "a request with a query, and a proof with another", origin + path + "?other=1"},
	} {
		f.proofCase(attackCase{name: tt.name, sends: tt.sends, accept: true, request: request{
			retarget: func(target string) string {
				if strings.Contains(target, "?") {
					return target + "&jwttest=1"
				}
				return target + "?jwttest=1"
			},
			prove: changed(claim("htu", quote(tt.htu)))}})
	}
}

// percentEncoded returns path with each character percent-encoded that needs no encoding
// (RFC 3986 section 2.3). digits are the hexadecimal digits.
func percentEncoded(path, digits string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '%' && i+2 < len(path):
			b.WriteString(path[i : i+3])
			i += 2
		case strings.IndexByte(base64url+".~", c) >= 0:
			b.WriteString("%" + string([]byte{digits[c>>4], digits[c&15]}))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

const (
	upperDigits = "0123456789ABCDEF"
	lowerDigits = "0123456789abcdef"
)

func (f *proofs) host() {
	const attacker = "attacker.example"
	scheme, _, _ := strings.Cut(f.serviceURL(), "://")
	target, _, _ := strings.Cut(cmp.Or(f.target.firstRoute().Path, "/"), "?")
	bad := changed(claim("htu", quote(scheme+"://"+attacker+target)))
	with := func(lines ...string) []string { return append([]string{"Authorization: DPoP " + f.token}, lines...) }

	f.proofCase(attackCase{name: "in-host", sends: "a proof for another host, which the header Host names", level: recommended,
		request: request{lines: with(), host: attacker, prove: bad}})
	f.proofCase(attackCase{name: "in-target", sends: "a proof for another host, which the request line names", level: recommended,
		request: request{lines: with(), host: attacker, retarget: func(target string) string { return "http://" + attacker + target }, prove: bad}})
	for _, line := range []string{
		"X-Forwarded-Host: " + attacker, "Forwarded: host=" + attacker + ";proto=" + scheme, "X-Original-Host: " + attacker,
		"X-Host: " + attacker, "X-Forwarded-Server: " + attacker, "Origin: " + scheme + "://" + attacker, "Referer: " + scheme + "://" + attacker + target,
	} {
		name, _, _ := strings.Cut(line, ":")
		f.proofCase(attackCase{name: "in-" + strings.ToLower(name), sends: "a proof for another host, which the header " + name + " names", level: recommended,
			request: request{lines: with(line), prove: bad}})
	}
	f.proofCase(attackCase{name: "in-all", sends: "a proof for another host, which all headers name", level: recommended, request: request{
		lines: with("X-Forwarded-Host: "+attacker, "X-Forwarded-Proto: "+scheme, "X-Forwarded-Port: 443"), host: attacker, prove: bad}})
	otherPath := changed(claim("htu", quote(htu(f.serviceURL(), "/jwttest-other"))))
	for _, name := range []string{"X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Path", "X-Envoy-Original-Path"} {
		f.proofCase(attackCase{name: "path-in-" + strings.ToLower(name), sends: "a proof for another path, which the header " + name + " names", level: recommended,
			request: request{lines: with(name + ": /jwttest-other"), prove: otherPath}})
	}
	f.proofCase(attackCase{name: "prefix-in-x-forwarded-prefix", sends: "a proof for a longer path, whose start a header names", level: recommended, request: request{
		lines: with("X-Forwarded-Prefix: /jwttest"), prove: changed(claim("htu", quote(htu(f.serviceURL(), "/jwttest"+target))))}})

	f.proofCase(attackCase{name: "other-but-good-proof", sends: "a good proof, and headers that name another host", level: jwtgateOnly, accept: true, request: request{
		lines: with("X-Forwarded-Host: "+attacker, "X-Forwarded-Proto: http", "X-Forwarded-Prefix: /x", "Forwarded: host="+attacker), host: attacker, prove: changed(unchanged)}})
}

func (f *proofs) nonce() {
	add := func(level requirementLevel, accept bool, name, sends string, change draft) {
		f.proofCase(attackCase{name: name, sends: sends, level: level, accept: accept, nonces: needsNonces, request: request{prove: changed(change)}})
	}
	with := func(change func(nonce string) string) draft {
		return func(d *proofDraft) { claim("nonce", quote(change(strings.Trim(d.claims.value("nonce"), `"`))))(d) }
	}
	add(required, false, "missing", "no nonce", claim("nonce", ""))
	add(required, false, "null", "nonce is null", claim("nonce", "null"))
	add(required, false, "empty", "nonce is empty", claim("nonce", `""`))
	add(required, false, "random", "a nonce of nobody", with(func(n string) string { return encode(make([]byte, len(n)*3/4)) }))
	add(required, false, "first-changed", "the first character of the nonce changed", with(func(n string) string { return changedCharacter(n, 0) }))
	add(required, false, "last-changed", "the last character of the nonce changed", with(func(n string) string { return changedCharacter(n, len(n)-1) }))
	add(required, false, "middle-changed", "a character of the nonce changed", with(func(n string) string { return changedCharacter(n, len(n)/2) }))
	add(required, false, "cut", "the nonce without its last character", with(func(n string) string { return n[:len(n)-1] }))
	add(required, false, "longer", "the nonce and a character", with(func(n string) string { return n + "A" }))
	add(required, false, "twice", "the nonce twice", with(func(n string) string { return n + n }))
	add(required, false, "padded", "the nonce with padding", with(func(n string) string { return n + "=" }))
	add(required, false, "array", "nonce is an array with the right one", func(d *proofDraft) { claim("nonce", "["+d.claims.value("nonce")+"]")(d) })
	add(required, false, "number", "nonce is a number", claim("nonce", "1"))
	add(required, false, "in-the-header", "the nonce in the header of the proof", func(d *proofDraft) {
		parameter("nonce", d.claims.value("nonce"))(d)
		claim("nonce", "")(d)
	})
	f.proofCase(attackCase{name: "as-header", sends: "the nonce in a header of the request", nonces: needsNonces, request: request{prove: func(d *proofDraft) []string {
		nonce := strings.Trim(d.claims.value("nonce"), `"`)
		claim("nonce", "")(d)
		return []string{"DPoP-Nonce: " + nonce, "DPoP: " + d.sign()}
	}}})
	add(required, true, "good", "the right nonce", unchanged)
	// The nonce says when the proof was made.
	for _, tt := range []struct {
		name string
		d    time.Duration
	}{{"clock-behind", -time.Hour}, {"clock-ahead", time.Hour}} {
		add(jwtgateOnly, true, tt.name, "the right nonce, by a client whose clock is wrong by "+tt.d.String(), f.atAge(tt.d))
	}
}

// changedCharacter returns text with another character at i.
func changedCharacter(text string, i int) string {
	other := "A"
	if text[i] == 'A' {
		other = "B"
	}
	return text[:i] + other + text[i+1:]
}

// atAge returns a draft whose iat is d after now.
func (f *proofs) atAge(d time.Duration) draft {
	return func(p *proofDraft) { claim("iat", numericDate(f.clock().Add(d)))(p) }
}

func (f *proofs) iat() {
	for _, tt := range []struct {
		name, sends string
		d           time.Duration
	}{
		{"an-hour-ago", "a proof that was made an hour ago", -time.Hour},
		{"a-day-ago", "a proof that was made a day ago", -24 * time.Hour},
		{"10-minutes-ago", "a proof that was made ten minutes ago", -10 * time.Minute},
		{"in-10-minutes", "a proof that is made in ten minutes", 10 * time.Minute},
		{"in-an-hour", "a proof that is made in an hour", time.Hour},
		{"in-a-year", "a proof that is made in a year", 365 * 24 * time.Hour},
	} {
		f.proofCase(attackCase{name: tt.name, sends: tt.sends, nonces: needsNoNonces, request: request{prove: changed(f.atAge(tt.d))}})
	}
	for _, tt := range []struct {
		name, sends string
		iat         func() string
	}{
		{"milliseconds", "iat in milliseconds", func() string { return numericDate(f.clock()) + "000" }},
		{"zero", "iat is zero", func() string { return "0" }},
		{"negative", "iat is negative", func() string { return "-1" }},
		{"huge", "iat is 1e300", func() string { return "1e300" }},
		{"beyond-int64", "iat is 2^64 more than now", func() string {
			n := new(big.Int).Lsh(big.NewInt(1), 64)
			return n.Add(n, big.NewInt(f.clock().Unix())).String()
		}},
	} {
		f.proofCase(attackCase{name: tt.name, sends: tt.sends, nonces: needsNoNonces, request: request{prove: changed(func(d *proofDraft) { claim("iat", tt.iat())(d) })}})
	}
	f.acceptProof(required, "fraction", "iat with a fraction", func(d *proofDraft) { claim("iat", d.claims.value("iat")+".25")(d) })
	f.acceptProof(required, "5-seconds-ago", "a proof that was made five seconds ago", f.atAge(-5*time.Second))
	f.acceptProof(recommended, "in-5-seconds", "a proof by a client whose clock is five seconds ahead", f.atAge(5*time.Second))
}

func (f *proofs) ath() {
	other := f.tokenWithClaims(f.claimsWith("jti", `"other"`))
	header, payload, _ := splitToken(f.token)
	sum := must(base64.RawURLEncoding.DecodeString(hashOf(f.token)))
	long := sha512.Sum512([]byte(f.token))
	for _, tt := range []struct{ name, sends, ath string }{
		{"other-token", "the hash of another good token", hashOf(other)},
		{"with-scheme", "the hash of the token with its scheme", hashOf("DPoP " + f.token)},
		{"with-space", "the hash of the token after a space", hashOf(" " + f.token)},
		{"with-line-feed", "the hash of the token and a line feed", hashOf(f.token + "\n")},
		{"unsigned", "the hash of the token without its signature", hashOf(header + "." + payload)},
		{"claims", "the hash of the token's claims", hashOf(payload)},
		{"empty-text", "the hash of nothing", hashOf("")},
		{"token", "the token in place of its hash", f.token},
		{"hex", "the hash in hex", hex.EncodeToString(sum)},
		{"hex-in-base64url", "the hash in hex, in base64url", encode(hex.EncodeToString(sum))},
		{"padded", "the hash with padding", hashOf(f.token) + "="},
		{"sha-512", "the SHA-512", encode(long[:])},
		{"half", "the first half of the hash, as for at_hash", encode(sum[:16])},
		{"zeros", "zeros", encode(make([]byte, 32))},
		{"cut", "the hash without its last character", hashOf(f.token)[:42]},
		{"in-upper-case", "the hash in upper case", strings.ToUpper(hashOf(f.token))},
		{"space-behind", "the hash and a space", hashOf(f.token) + " "},
	} {
		f.refuseProof(required, tt.name, tt.sends, claim("ath", quote(tt.ath)))
	}
	if standard := base64.StdEncoding.EncodeToString(sum); standard != hashOf(f.token) {
		f.refuseProof(required, "base64", "the hash in base64", claim("ath", quote(standard)))
	}
	f.proofCase(attackCase{name: "stolen-with-other-token", sends: "a good proof for another token", request: request{
		prove: changed(func(d *proofDraft) {
			d.token = other
			claim("ath", quote(hashOf(other)))(d)
		})}})
}

func (f *proofs) binding() {
	alg := f.target.Prover.algorithm()
	f.refuseProof(required, "other-key", "a good proof with another key than the token is bound to", signedWith(alg, attackersKey(alg)))
	good := thumbprint(f.target.Prover.publicJWK())
	reordered := slices.Clone(f.target.Prover.publicJWK())
	slices.Reverse(reordered)
	for _, tt := range []struct {
		name, cnf string
		level     requirementLevel
	}{
		{"unbound", ``, required},
		{"cnf-null", `null`, required},
		{"cnf-string", quote(good), required},
		{"cnf-array", `[{"jkt":"` + good + `"}]`, required},
		{"cnf-number", `1`, required},
		{"cnf-true", `true`, required},
		{"cnf-empty", `{}`, required},
		{"jkt-null", `{"jkt":null}`, required},
		{"jkt-number", `{"jkt":1}`, required},
		{"jkt-array", `{"jkt":["` + good + `"]}`, required},
		{"jkt-object", `{"jkt":{"jkt":"` + good + `"}}`, required},
		{"jkt-empty", `{"jkt":""}`, required},
		{"jkt-other", `{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`, required},
		{"jkt-padded", `{"jkt":"` + good + `="}`, required},
		{"jkt-cut", `{"jkt":"` + good[:42] + `"}`, required},
		{"jkt-with-space", `{"jkt":" ` + good + `"}`, required},
		{"jkt-of-other-order", `{"jkt":"` + thumbprint(reordered) + `"}`, required},
		{"jkt-in-upper-case", `{"JKT":"` + good + `"}`, required},
		{"jkt-deeper", `{"cnf":{"jkt":"` + good + `"}}`, required},
		{"certificate", `{"x5t#S256":"` + good + `"}`, required},
		{"kid", `{"kid":"` + good + `"}`, required},
		{"jwk", `{"jwk":` + f.target.Prover.publicJWK().String() + `}`, jwtgateOnly},
		{"jkt-and-certificate", `{"jkt":"` + good + `","x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}`, jwtgateOnly},
		{"certificate-and-jkt", `{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2","jkt":"` + good + `"}`, jwtgateOnly},
		{"jkt-and-kid", `{"jkt":"` + good + `","kid":"1"}`, jwtgateOnly},
		{"jkt-and-unknown", `{"jkt":"` + good + `","x":null}`, jwtgateOnly},
		{"jkt-twice", `{"jkt":"` + good + `","jkt":"` + good + `"}`, jwtgateOnly},
	} {
		g := &proofs{f.withRule(f.rule + "; RFC 7800 section 3.1"), f.class, f.token}
		g.proofCase(attackCase{name: tt.name, sends: "a good proof, and a token whose cnf is " + cmp.Or(abbreviated(tt.cnf), "missing"), level: tt.level, request: request{
			lines: []string{"Authorization: DPoP " + f.tokenWithConfirmation(tt.cnf)}, prove: changed(unchanged)}})
	}
	f.proofCase(attackCase{name: "jkt-at-the-top", sends: "a good proof, and a token with the claim jkt outside cnf", request: request{
		lines: []string{"Authorization: DPoP " + f.tokenWithClaims(f.minter.claims.without("cnf").with("jkt", quote(good)).String())}, prove: changed(unchanged)}})
	forged := f.tokenWithClaims(f.claimsWith("sub", `"other"`))
	forgedHeader, forgedClaims, _ := splitToken(forged)
	_, _, signature := splitToken(f.token)
	f.proofCase(attackCase{name: "forged-token", sends: "a good proof, and a token with the signature of another", request: request{
		lines: []string{"Authorization: DPoP " + forgedHeader + "." + forgedClaims + "." + signature}, prove: changed(unchanged)}})
	f.proofCase(attackCase{name: "proof-for-token", sends: "a good proof, and another proof in place of the token", request: request{
		lines: []string{"Authorization: DPoP " + f.target.Prover.draft("GET", f.serviceURL(), "", f.clock()).sign()}, prove: changed(unchanged)}})
	key := attackersKey(alg)
	f.proofCase(attackCase{name: "second-client", sends: "a good proof and a token of another client", accept: true, request: request{
		lines: []string{"Authorization: DPoP " + f.boundToken(jwk(publicKey(key)))}, prove: changed(signedWith(alg, key))}})
}

func (f *proofs) scheme() {
	good := func(d *proofDraft) []string { return []string{"DPoP: " + d.sign()} }
	none := func(*proofDraft) []string { return nil }
	unbound := f.tokenWithConfirmation("")
	for _, tt := range []struct {
		name, sends string
		lines       []string
		prove       func(*proofDraft) []string
		status      int
	}{
		{"bearer", "the bound token as a bearer token, without a proof", []string{"Bearer " + f.token}, none, 401},
		{"bearer-with-proof", "the bound token as a bearer token, with a good proof", []string{"Bearer " + f.token}, good, 401},
		{"bearer-in-lower-case", "the bound token as a bearer token in lower case, with a good proof", []string{"bearer " + f.token}, good, 401},
		{"bearer-with-bad-proof", "the bound token as a bearer token, with garbage for the proof", []string{"Bearer " + f.token}, func(*proofDraft) []string { return []string{"DPoP: x"} }, 401},
		{"bearer-and-dpop", "the token in two lines, under Bearer and DPoP", []string{"Bearer " + f.token, "DPoP " + f.token}, good, 400},
		{"dpop-and-bearer", "the token in two lines, under DPoP and Bearer", []string{"DPoP " + f.token, "Bearer " + f.token}, good, 400},
		{"dpop-and-unbound-bearer", "the token under DPoP, and one that is not bound under Bearer", []string{"DPoP " + f.token, "Bearer " + unbound}, good, 400},
		{"unbound-bearer-and-dpop", "a token that is not bound under Bearer, and the token under DPoP", []string{"Bearer " + unbound, "DPoP " + f.token}, none, 400},
		{"dpop-twice", "the token twice under DPoP", []string{"DPoP " + f.token, "DPoP " + f.token}, good, 400},
		{"list", "both schemes in one line", []string{"DPoP " + f.token + ", Bearer " + f.token}, good, 400},
		{"two-tokens", "two tokens after the scheme", []string{"DPoP " + f.token + " " + f.token}, good, 400},
		{"bearer-behind-dpop", "both schemes before the token", []string{"DPoP Bearer " + f.token}, good, 400},
		{"alone", "the scheme without a token", []string{"DPoP"}, good, 400},
		{"quotes", "the token in quotes", []string{`DPoP "` + f.token + `"`}, good, 400},
		{"parameter", "the token as a parameter", []string{`DPoP token="` + f.token + `"`}, good, 400},
		{"missing", "a good proof, and no token", []string{}, good, 401},
		{"token-alone", "a token without scheme", []string{f.token}, good, anyStatus},
		{"tab", "a tab after the scheme", []string{"DPoP\t" + f.token}, good, anyStatus},
		{"longer", "a scheme that begins with DPoP", []string{"DPoPX " + f.token}, good, 401},
		{"no-space", "no space after the scheme", []string{"DPoP" + f.token}, good, anyStatus},
		{"basic", "the token under Basic", []string{"Basic " + f.token}, good, 401},
		{"gnap", "the token under GNAP", []string{"GNAP " + f.token}, good, 401},
	} {
		lines := []string{}
		for _, line := range tt.lines {
			lines = append(lines, "Authorization: "+line)
		}
		prove := tt.prove
		if len(lines) == 0 || tt.name == "alone" {
			prove = func(d *proofDraft) []string {
				claim("ath", quote(hashOf(f.token)))(d)
				return []string{"DPoP: " + d.sign()}
			}
		}
		f.proofCase(attackCase{name: tt.name, sends: tt.sends, status: tt.status, request: request{lines: lines, prove: prove}})
	}
	for _, scheme := range []string{"dpop", "DPOP", "dPoP"} {
		f.proofCase(attackCase{name: "written-" + scheme, sends: "the scheme as " + scheme, accept: true, request: request{lines: []string{"Authorization: " + scheme + " " + f.token}, prove: good}})
	}
	f.proofCase(attackCase{name: "two-spaces", sends: "two spaces after the scheme", accept: true, request: request{lines: []string{"Authorization: DPoP  " + f.token}, prove: good}})
}
