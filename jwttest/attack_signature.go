package jwttest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// signatures adds tokens with a wrong signature, for any algorithm.
func (f *family) signatures() {
	header, claims, signature := splitToken(f.good())
	input := header + "." + claims
	raw := sign(f.target.Algorithm, f.target.Key, input)
	n := len(raw)
	admin := encode(f.claimsWith("sub", `"admin"`))
	_, _, adminSignature := splitToken(f.signed(header + "." + admin))
	with := func(signature []byte) string { return input + "." + encode(signature) }

	for _, tt := range []struct{ name, sends, token string }{
		{"one-byte", "only the first byte", with(raw[:1])},
		{"quarter", "only the first quarter", with(raw[:n/4])},
		{"half", "only the first half", with(raw[:n/2])},
		{"second-half", "only the second half", with(raw[n/2:])},
		{"two-bytes-less", "two bytes missing", with(raw[:n-2])},
		{"one-byte-less", "the last byte missing", with(raw[:n-1])},
		{"first-byte-less", "the first byte missing", with(raw[1:])},
		{"zero-behind", "a zero byte at the end", with(slices.Concat(raw, []byte{0}))},
		{"zero-before", "a zero byte at the start", with(slices.Concat([]byte{0}, raw))},
		{"byte-behind", "a byte at the end", with(slices.Concat(raw, []byte{0x80}))},
		{"twice", "the signature twice", with(slices.Concat(raw, raw))},
		{"backwards", "the bytes in reverse order", with(reversed(raw))},
		{"halves-exchanged", "the halves exchanged", with(slices.Concat(raw[n/2:], raw[:n/2]))},
		{"zeros", "zeros", with(make([]byte, n))},
		{"ones", "bytes of FF", with(bytes.Repeat([]byte{0xff}, n))},
		{"random", "random bytes", with(randomBytes(n))},
		{"one-zero", "a zero byte", with([]byte{0})},
		{"33-zeros", "33 zeros", with(make([]byte, 33))},
		{"of-another-token", "the signature of another token", input + "." + adminSignature},
		{"other-claims", "other claims under a good signature", header + "." + admin + "." + signature},
		{"other-header", "another header under a good signature", encode(f.headerWith("x", "1")) + "." + claims + "." + signature},
		{"space-in-claims", "claims with one more space, under the signature of the original", header + "." + encode(f.claims.String()+" ") + "." + signature},
		{"claims-reordered", "claims in another order, under a good signature", header + "." + encode(f.claims.without("sub").withFirst("sub", f.claims.value("sub")).withLast("a", "1").String()) + "." + signature},
		{"of-header", "a signature of the header alone", input + "." + encode(sign(f.target.Algorithm, f.target.Key, header))},
		{"of-claims", "a signature of the claims alone", input + "." + encode(sign(f.target.Algorithm, f.target.Key, claims))},
		{"of-decoded", "a signature of header and claims as JSON", input + "." + encode(sign(f.target.Algorithm, f.target.Key, f.header.String()+"."+f.claims.String()))},
		{"of-joined", "a signature of header and claims without the dot", input + "." + encode(sign(f.target.Algorithm, f.target.Key, header+claims))},
		{"of-nothing", "a signature of nothing", input + "." + encode(sign(f.target.Algorithm, f.target.Key, ""))},
		{"in-hex", "the signature in hex", input + "." + fmt.Sprintf("%x", raw)},
		{"digest", "the digest of the input", with(sha256Of(input))},
		{"digest-of-claims", "the digest of the claims", with(sha256Of(claims))},
		{"md5-like", "sixteen bytes of the digest", with(sha256Of(input)[:16])},
		{"input", "the input itself", with([]byte(input))},
		{"word", "a word", input + ".signature"},
		{"claims-for-signature", "the claims", input + "." + claims},
		{"header-for-signature", "the header", input + "." + header},
	} {
		f.refuse(required, tt.name, "a wrong signature: "+tt.sends, tt.token)
	}

	// Each token has one bit changed. Most changes of header and claims also break their
	// JSON.
	for _, part := range []struct {
		name    string
		segment string
		token   func(string) string
	}{
		{"header", header, func(s string) string { return s + "." + claims + "." + signature }},
		{"claims", claims, func(s string) string { return header + "." + s + "." + signature }},
		{"signature", signature, func(s string) string { return header + "." + claims + "." + s }},
	} {
		l := len(part.segment)
		for _, at := range []int{0, 1, 2, l / 4, l/2 - 1, l / 2, 3 * l / 4, l - 3, l - 2, l - 1} {
			f.refuse(required, "bit-in-"+part.name+"-"+strconv.Itoa(at), "a good token with one bit of its "+part.name+" changed", part.token(flipBit(part.segment, at)))
		}
	}
}

// reversed returns the bytes of b in reverse order.
func reversed(b []byte) []byte {
	b = bytes.Clone(b)
	slices.Reverse(b)
	return b
}

// randomBytes returns n random bytes.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// sha256Of returns the SHA-256 digest of s.
func sha256Of(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// hmacSignatures adds wrong HMACs, for targets with a secret.
func (f *family) hmacSignatures() {
	secret, ok := f.target.Key.([]byte)
	if !ok {
		return
	}
	header, claims, signature := splitToken(f.good())
	input := header + "." + claims
	raw := must(base64.RawURLEncoding.DecodeString(signature))
	for n := 4; n < len(raw); n += 4 {
		f.refuse(required, "cut-to-"+strconv.Itoa(n)+"-bytes", "a part of the HMAC, which is easier to guess than all of it", input+"."+encode(raw[:n]))
	}
	sha1HMAC := hmac.New(sha1.New, secret)
	sha1HMAC.Write([]byte(input))
	for _, tt := range []struct {
		name, sends string
		signature   []byte
	}{
		{"sha-1", "an HMAC with SHA-1", sha1HMAC.Sum(nil)},
		{"secret-before", "a hash of secret and input, which is open to length extension", sha256Of(string(secret) + input)},
		{"secret-behind", "a hash of input and secret", sha256Of(input + string(secret))},
		{"of-digest", "an HMAC of the digest", sign(f.target.Algorithm, f.target.Key, string(sha256Of(input)))},
		{"hashed-secret", "an HMAC with the secret's digest", sign(f.target.Algorithm, sha256Of(string(secret)), input)},
		{"secret-cut", "an HMAC with all of the secret but its last byte", sign(f.target.Algorithm, secret[:len(secret)-1], input)},
		{"secret-longer", "an HMAC with a byte after the secret", sign(f.target.Algorithm, slices.Concat(secret, []byte("\n")), input)},
		{"secret-in-base64", "an HMAC with the secret in base64", sign(f.target.Algorithm, []byte(base64.StdEncoding.EncodeToString(secret)), input)},
		{"secret-for-signature", "the secret itself", secret},
	} {
		f.refuse(required, tt.name, tt.sends, input+"."+encode(tt.signature))
	}
}

// rsaSignatures adds wrong RSA signatures, for targets with an RSA key.
func (f *family) rsaSignatures() {
	f.refuse(required, "1024-bits", "a key of the attacker of 1024 bits", f.forged(f.header, "RS256", attackersWeakRSA()))
	key, ok := f.target.Key.(*rsa.PrivateKey)
	if !ok {
		return
	}
	algorithm := f.target.Algorithm
	input := encode(f.header.String()) + "." + encode(f.claims.String())
	hash := hashes[algorithm[2:]]
	digest := digestFor(algorithm, input)
	size := key.Size()
	raw := sign(algorithm, key, input)
	with := func(signature []byte) string { return input + "." + encode(signature) }
	add := func(name, sends string, signature []byte) { f.refuse(required, name, sends, with(signature)) }

	s := new(big.Int).SetBytes(raw)
	if plus := new(big.Int).Add(s, key.N); plus.BitLen() <= 8*size {
		add("plus-modulus", "a signature plus the modulus, which is equal to the signature modulo the modulus", plus.FillBytes(make([]byte, size)))
	}
	add("plus-modulus-longer", "a signature plus the modulus, with a byte more", new(big.Int).Add(s, key.N).FillBytes(make([]byte, size+1)))
	add("minus", "the modulus minus a signature", new(big.Int).Sub(key.N, s).FillBytes(make([]byte, size)))
	add("one", "the number one, whose powers are all one", big.NewInt(1).FillBytes(make([]byte, size)))
	add("minus-one", "the modulus less one", new(big.Int).Sub(key.N, big.NewInt(1)).FillBytes(make([]byte, size)))
	add("modulus", "the modulus", key.N.FillBytes(make([]byte, size)))
	add("modulus-plus-one", "the modulus plus one", new(big.Int).Add(key.N, big.NewInt(1)).FillBytes(make([]byte, size)))
	add("zeros-before", "a signature with eight zeros at the start", slices.Concat(make([]byte, 8), raw))
	add("zeros-behind", "a signature with eight zeros at the end", slices.Concat(raw, make([]byte, 8)))

	// rawRSA signs message as it is, so that its padding may be wrong.
	rawRSA := func(message []byte) []byte {
		m := new(big.Int).SetBytes(message)
		return new(big.Int).Exp(m, key.D, key.N).FillBytes(make([]byte, size))
	}
	// padded returns info with padding as in RFC 8017 section 9.2. Zeros fill the rest of
	// the message.
	padded := func(blockType byte, filler byte, padding int, separator []byte, info []byte) []byte {
		m := slices.Concat([]byte{0, blockType}, bytes.Repeat([]byte{filler}, padding), separator, info)
		return append(m, make([]byte, max(0, size-len(m)))...)[:size]
	}
	info := slices.Concat(digestInfo[algorithm[2:]], digest)
	fullPadding := size - 3 - len(info)
	f = f.withRule("RFC 8017 sections 8.2.2 and 9.2")
	for _, tt := range []struct {
		name, sends string
		message     []byte
	}{
		{"raw-digest", "the digest without any padding", digest},
		{"digest-info", "the digest's ASN.1 without padding", info},
		{"short-padding", "eight bytes of padding and garbage at the end", padded(1, 0xff, 8, []byte{0}, info)},
		{"no-padding", "no padding and garbage at the end", padded(1, 0xff, 0, []byte{0}, info)},
		{"padding-less-one", "padding that is one byte too short", padded(1, 0xff, fullPadding-1, []byte{0}, info)},
		{"block-type-2", "padding for encryption", padded(2, 0xff, fullPadding, []byte{0}, info)},
		{"padding-of-other-bytes", "padding of other bytes", padded(1, 0xfe, fullPadding, []byte{0}, info)},
		{"no-separator", "no separator after the padding", padded(1, 0xff, fullPadding, []byte{1}, info)},
		{"no-digest-info", "the digest without its ASN.1", padded(1, 0xff, size-3-len(digest), []byte{0}, digest)},
		{"sha-1", "a SHA-1 digest", padded(1, 0xff, size-3-35, []byte{0}, sha1Info(input))},
		{"garbage-in-parameters", "ASN.1 with garbage in the parameters of the hash", padded(1, 0xff, fullPadding-8, []byte{0}, garbageInNull(info))},
		{"digest-longer", "ASN.1 with a byte after the digest", padded(1, 0xff, fullPadding-1, []byte{0}, append(bytes.Clone(info), 1))},
		{"digest-of-zeros", "a digest of zeros", padded(1, 0xff, fullPadding, []byte{0}, append(bytes.Clone(digestInfo[algorithm[2:]]), make([]byte, len(digest))...))},
	} {
		f.refuse(required, tt.name, "a signature of the right key over "+tt.sends, with(rawRSA(tt.message)))
	}

	f.refuse(recommended, "no-parameters", "a signature made with the right key over ASN.1 without the parameters of the hash",
		with(rawRSA(padded(1, 0xff, fullPadding+2, []byte{0}, withoutNull(info)))))

	f = f.withRule("RFC 7518 section 3.5")
	if kind(algorithm) == "PS" {
		for _, salt := range []int{1, 20, hash.Size() - 1, hash.Size() + 1, size - hash.Size() - 2} {
			signature := must(rsa.SignPSS(rand.Reader, key, hash, digest, &rsa.PSSOptions{SaltLength: salt}))
			f.refuse(recommended, "salt-of-"+strconv.Itoa(salt)+"-bytes", "a salt that is not as long as the hash", with(signature))
		}
		f.refuse(required, "pkcs1-padding", "the padding of RS256 under the header of a good token", with(must(rsa.SignPKCS1v15(nil, key, hash, digest))))
		return
	}
	for _, salt := range []int{rsa.PSSSaltLengthEqualsHash, rsa.PSSSaltLengthAuto} {
		name := "pss-padding-" + map[bool]string{true: "hash", false: "longest"}[salt == rsa.PSSSaltLengthEqualsHash]
		f.refuse(required, name, "the padding of PS256 under the header of a good token", with(must(rsa.SignPSS(rand.Reader, key, hash, digest, &rsa.PSSOptions{SaltLength: salt}))))
	}
}

// digestInfo maps the number in the name of an algorithm to the ASN.1 that precedes the
// digest (RFC 8017 section 9.2).
var digestInfo = map[string][]byte{
	"256": {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20},
	"384": {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30},
	"512": {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40},
}

// sha1Info returns the DigestInfo of a SHA-1 digest of input.
func sha1Info(input string) []byte {
	digest := sha1.Sum([]byte(input))
	return slices.Concat([]byte{0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14}, digest[:])
}

// withoutNull returns the DigestInfo without the NULL after the identifier of the
// hash.
func withoutNull(info []byte) []byte {
	short := slices.Concat(info[:15], info[17:])
	short[1] -= 2
	short[3] -= 2
	return short
}

// garbageInNull returns the DigestInfo with eight bytes in the NULL.
func garbageInNull(info []byte) []byte {
	long := slices.Concat(info[:16], []byte{8}, []byte("garbage!"), info[17:])
	long[1] += 8
	long[3] += 8
	return long
}

// ecdsaSignatures adds wrong ECDSA signatures. Those that need no key are for all
// targets, the others for targets with an ECDSA key.
func (f *family) ecdsaSignatures() {
	for _, algorithm := range []string{"ES256", "ES384", "ES512"} {
		size := 2 * ((curves[algorithm].Params().BitSize + 7) / 8)
		input := encode(f.headerWith("alg", quote(algorithm))) + "." + encode(f.claims.String())
		f.refuse(required, "zeros-"+algorithm, "r and s of zero, which some verifiers accept for every token (CVE-2022-21449)", input+"."+encode(make([]byte, size)))
		f.refuse(required, "empty-"+algorithm, "an empty signature", input+".")
		f.refuse(required, "der-zeros-"+algorithm, "r and s of zero in DER", input+"."+encode(derSignature(new(big.Int), new(big.Int))))
		order := curves[algorithm].Params().N.FillBytes(make([]byte, size/2))
		f.refuse(required, "orders-"+algorithm, "r and s of the order, which is zero modulo the order", input+"."+encode(slices.Concat(order, order)))
	}
	key, ok := f.target.Key.(*ecdsa.PrivateKey)
	if !ok {
		return
	}
	algorithm := f.target.Algorithm
	input := encode(f.header.String()) + "." + encode(f.claims.String())
	half := (key.Params().BitSize + 7) / 8
	raw := sign(algorithm, key, input)
	r, s := new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])
	n := key.Params().N
	join := func(r, s *big.Int) []byte {
		return slices.Concat(r.FillBytes(make([]byte, half)), s.FillBytes(make([]byte, half)))
	}
	with := func(signature []byte) string { return input + "." + encode(signature) }
	zero, one := new(big.Int), big.NewInt(1)
	// The greatest number that fits into r and s.
	top := new(big.Int).Sub(new(big.Int).Lsh(one, uint(8*half)), one)

	// ECDSA accepts s and n-s alike, and JWS does not forbid either of them.
	f.accept(recommended, "s-negated", "a signature with n-s for s, which is also valid", with(join(r, new(big.Int).Sub(n, s))))
	f.accept(required, "another", "another signature of the same token", with(sign(algorithm, key, input)))
	for _, tt := range []struct {
		name, sends string
		signature   []byte
	}{
		{"r-zero", "r of zero", join(zero, s)},
		{"s-zero", "s of zero", join(r, zero)},
		{"r-one", "r of one", join(one, s)},
		{"s-one", "s of one", join(r, one)},
		{"both-one", "r and s of one", join(one, one)},
		{"r-the-order", "r of the order", join(n, s)},
		{"s-the-order", "s of the order", join(r, n)},
		{"r-above-the-order", "r of the order plus one", join(new(big.Int).Add(n, one), s)},
		{"s-above-the-order", "s of the order plus one", join(r, new(big.Int).Add(n, one))},
		{"r-all-ones", "r with all bits set", join(top, s)},
		{"s-all-ones", "s with all bits set", join(r, top)},
		{"r-negated", "n-r for r", join(new(big.Int).Sub(n, r), s)},
		{"exchanged", "r and s exchanged", join(s, r)},
		{"r-twice", "r in place of s", join(r, r)},
		{"field-prime", "r of the field's prime", join(key.Params().P, s)},
		{"generator", "r of the generator", join(key.Params().Gx, s)},
		{"r-alone", "r alone", raw[:half]},
		{"s-alone", "s alone", raw[half:]},
		{"zero-before", "a zero before r", slices.Concat([]byte{0}, raw)},
		{"zeros-before-both", "zeros before r and before s", slices.Concat([]byte{0}, raw[:half], []byte{0}, raw[half:])},
		{"zeros-behind", "two zeros at the end", slices.Concat(raw, []byte{0, 0})},
		{"one-byte-less", "a byte missing", raw[:2*half-1]},
		{"recovery-byte", "a recovery ID at the end", slices.Concat(raw, []byte{27})},
		{"little-endian", "r and s with their bytes in reverse order", slices.Concat(reversed(raw[:half]), reversed(raw[half:]))},
		{"der", "DER", derSignature(r, s)},
		{"der-negative", "DER with a negative r", derSignature(new(big.Int).Neg(r), s)},
		{"der-with-garbage", "DER with garbage at the end", append(derSignature(r, s), 0)},
		{"der-fresh", "DER of another signature", must(ecdsa.SignASN1(rand.Reader, key, digestFor(algorithm, input)))},
		{"decimal", "r and s in decimal", []byte(r.String() + "," + s.String())},
		{"hex", "r and s in hex", fmt.Appendf(nil, "%x", raw)},
	} {
		f.refuse(required, tt.name, "a wrong signature: "+tt.sends, with(tt.signature))
	}

	if overflown := new(big.Int).Add(r, n); overflown.BitLen() <= 8*half {
		f.refuse(required, "r-plus-order", "r plus the order, which is r modulo the order", with(join(overflown, s)))
	}
	if overflown := new(big.Int).Add(s, n); overflown.BitLen() <= 8*half {
		f.refuse(required, "s-plus-order", "s plus the order, which is s modulo the order", with(join(r, overflown)))
	}
	for _, other := range []string{"ES256", "ES384", "ES512"} {
		if other == algorithm {
			continue
		}
		digest := digestFor(other, input)
		f.refuse(required, "hash-of-"+other, "the right key over another hash", with(signECDSA(key, digest)))
		f.refuse(required, "curve-of-"+other, "a key of the attacker on another curve", with(signECDSA(attackersEC[other](), digestFor(algorithm, input))))
		// Each algorithm has one curve and one hash (RFC 7518 section 3.4).
		relabelled := encode(f.headerWith("alg", quote(other))) + "." + encode(f.claims.String())
		f.refuse(required, "own-key-as-"+other, "the right key under the name and hash of another curve's algorithm",
			relabelled+"."+encode(signECDSA(key, digestFor(other, relabelled))))
		size := (curves[other].Params().BitSize + 7) / 8
		wide := max(size, half)
		own := signECDSA(key, digestFor(other, relabelled))
		f.refuse(required, "own-key-filled-as-"+other, "the right key under another curve's algorithm, padded to the size of that curve",
			relabelled+"."+encode(slices.Concat(make([]byte, wide-half), own[:half], make([]byte, wide-half), own[half:])))
	}
	x, _ := coordinates(&key.PublicKey)
	public := new(big.Int).Mod(new(big.Int).SetBytes(x), n)
	f.refuse(required, "of-a-digest-of-zero", "the key's x for r and s, which is a good signature of a digest of zero", with(join(public, public)))
}

// derSignature returns a signature in DER, which is its usual form outside JOSE.
func derSignature(r, s *big.Int) []byte { return must(asn1.Marshal(struct{ R, S *big.Int }{r, s})) }

// eddsaSignatures adds wrong EdDSA signatures. Those that need no key are for all
// targets, the others for targets with an Ed25519 key.
func (f *family) eddsaSignatures() {
	// If the public key is a point of small order, the neutral point for R and zero for S
	// are a good signature of many messages.
	identity := slices.Concat([]byte{1}, make([]byte, 63))
	for _, alg := range []string{"EdDSA", "Ed25519"} {
		input := encode(f.headerWith("alg", quote(alg))) + "." + encode(f.claims.String())
		f.refuse(required, "identity-"+alg, "the neutral point for R and zero for S", input+"."+encode(identity))
		f.refuse(required, "zeros-"+alg, "zeros", input+"."+encode(make([]byte, 64)))
		f.refuse(required, "empty-"+alg, "an empty signature", input+".")
	}
	key, ok := f.target.Key.(ed25519.PrivateKey)
	if !ok {
		return
	}
	input := encode(f.header.String()) + "." + encode(f.claims.String())
	raw := ed25519.Sign(key, []byte(input))
	digest512 := sha512.Sum512([]byte(input))
	r, s := raw[:32], raw[32:]
	with := func(signature ...[]byte) string { return input + "." + encode(slices.Concat(signature...)) }
	// order is L, the order of the base point (RFC 8032 section 5.1), little-endian.
	order := must(base64.StdEncoding.DecodeString("7dP1XBpjEljWnPei3vneFAAAAAAAAAAAAAAAAAAAABA="))
	plus := func(s []byte, times int) []byte {
		n := new(big.Int).SetBytes(reversed(s))
		n.Add(n, new(big.Int).Mul(big.NewInt(int64(times)), new(big.Int).SetBytes(reversed(order))))
		return reversed(n.FillBytes(make([]byte, 32)))
	}
	negative := new(big.Int).Sub(new(big.Int).SetBytes(reversed(order)), new(big.Int).SetBytes(reversed(s)))
	for _, tt := range []struct{ name, sends, token string }{
		{"s-plus-order", "S plus the order, which is S modulo the order", with(r, plus(s, 1))},
		{"s-plus-7-orders", "S plus seven orders", with(r, plus(s, 7))},
		{"s-plus-14-orders", "S plus fourteen orders", with(r, plus(s, 14))},
		{"s-the-order", "S of the order", with(r, order)},
		{"s-zero", "S of zero", with(r, make([]byte, 32))},
		{"s-all-ones", "S with all bits set", with(r, bytes.Repeat([]byte{0xff}, 32))},
		{"s-top-bit", "S with its highest bit set", with(r, flipTopBit(s))},
		{"s-negated", "S subtracted from the order", with(r, reversed(negative.FillBytes(make([]byte, 32))))},
		{"r-zero", "R of zero", with(make([]byte, 32), s)},
		{"r-neutral", "the neutral point for R", with(identity[:32], s)},
		{"r-other-sign", "R with the other sign", with(flipTopBit(r), s)},
		{"r-not-reduced", "R with a y that is not less than the field's prime", with(bytes.Repeat([]byte{0xff}, 31), []byte{0x7f}, s)},
		{"r-the-key", "the public key for R", with(key.Public().(ed25519.PublicKey), s)},
		{"r-alone", "R alone", with(r)},
		{"s-alone", "S alone", with(s)},
		{"exchanged", "S before R", with(s, r)},
		{"big-endian", "R and S with their bytes in reverse order", with(reversed(r), reversed(s))},
		{"65-bytes", "a zero at the end", with(raw, []byte{0})},
		{"63-bytes", "a byte missing", with(raw[:63])},
		{"96-bytes", "the public key at the end", with(raw, key.Public().(ed25519.PublicKey))},
		{"114-bytes", "as many bytes as Ed448 has", with(raw, make([]byte, 50))},
		{"prehashed", "a signature of Ed25519ph", with(must(key.Sign(nil, digest512[:], &ed25519.Options{Hash: crypto.SHA512})))},
		{"with-context", "a signature of Ed25519ctx", with(must(key.Sign(nil, []byte(input), &ed25519.Options{Context: "jwt"})))},
		{"of-digest", "a signature of the digest", with(ed25519.Sign(key, sha256Of(input)))},
	} {
		f.refuse(required, tt.name, "a wrong signature: "+tt.sends, tt.token)
	}
	for i, text := range smallOrderPoints {
		point := must(hex.DecodeString(text))
		f.refuse(required, "r-of-small-order-"+strconv.Itoa(i), "a point of small order for R", with(point, s))
		f.refuse(required, "r-of-small-order-s-zero-"+strconv.Itoa(i), "a point of small order for R and zero for S", with(point, make([]byte, 32)))
	}
	f.refuse(required, "curve-in-header", "the right key, and a header with a curve and alg Ed448", f.tokenWithHeader(f.header.with("alg", `"Ed448"`).with("crv", `"Ed25519"`).String()))
}

// smallOrderPoints has the encodings of all points of small order except the neutral
// point. A small order is one that divides the cofactor (RFC 8032 section 5.1).
var smallOrderPoints = []string{
	"ec" + strings.Repeat("ff", 30) + "7f",
	strings.Repeat("00", 32),
	strings.Repeat("00", 31) + "80",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
}

// flipTopBit returns a copy of b, which has 32 bytes, with the highest bit of the last
// byte changed.
func flipTopBit(b []byte) []byte {
	b = bytes.Clone(b)
	b[31] ^= 0x80
	return b
}
