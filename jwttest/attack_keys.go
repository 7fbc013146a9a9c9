package jwttest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"
)

// attackersKey returns the attacker's key for algorithm.
func attackersKey(algorithm string) any {
	switch kind(algorithm) {
	case "HS":
		return attackersSecret
	case "ES":
		return attackersEC[algorithm]()
	case "Ed":
		return attackersEd()
	default:
		return attackersRSA()
	}
}

// The attacker's keys. They are made once for all targets, because making an RSA
// key is slow.
var (
	attackersRSA     = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	attackersWeakRSA = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) })
	attackersEC      = map[string]func() *ecdsa.PrivateKey{
		"ES256": sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
		"ES384": sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) }),
		"ES512": sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) }),
	}
	attackersEd = sync.OnceValue(func() ed25519.PrivateKey {
		_, key := must2(ed25519.GenerateKey(rand.Reader))
		return key
	})
	attackersSecret = []byte(strings.Repeat("attacker", 8))
)

// publicKey returns the public key of a private key, and nil for a secret.
func publicKey(key any) crypto.PublicKey {
	if signer, ok := key.(crypto.Signer); ok {
		return signer.Public()
	}
	return nil
}

// jwk returns a public key or a secret as a JWK (RFC 7517). The JWK has exactly the
// members that its thumbprint hashes, in the same order (RFC 7638 section 3.2).
func jwk(key any) object {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return object{{"e", quote(encode(big.NewInt(int64(k.E)).Bytes()))}, {"kty", `"RSA"`}, {"n", quote(encode(k.N.Bytes()))}}
	case *ecdsa.PublicKey:
		x, y := coordinates(k)
		return object{{"crv", quote(k.Params().Name)}, {"kty", `"EC"`}, {"x", quote(encode(x))}, {"y", quote(encode(y))}}
	case ed25519.PublicKey:
		return object{{"crv", `"Ed25519"`}, {"kty", `"OKP"`}, {"x", quote(encode(k))}}
	case []byte:
		return object{{"k", quote(encode(k))}, {"kty", `"oct"`}}
	}
	panic(fmt.Sprintf("jwttest.Attack: no JWK of a %T", key))
}

// certificate returns the DER of a self-signed certificate of key.
func certificate(key crypto.Signer) []byte {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "attacker"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	return must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
}

// A publicForm is a public key in a format that a verifier might use as an HMAC
// secret.
type publicForm struct {
	name   string
	secret []byte
}

// publicForms returns key in all common formats.
func publicForms(key crypto.PublicKey) []publicForm {
	der := must(x509.MarshalPKIXPublicKey(key))
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	k := jwk(key)
	forms := append(pemForms("pkix", text),
		publicForm{"pkix-der", der},
		publicForm{"pkix-der-in-base64", []byte(base64.StdEncoding.EncodeToString(der))},
		publicForm{"pkix-der-in-base64url", []byte(encode(der))},
		publicForm{"pkix-der-in-hex", fmt.Appendf(nil, "%x", der)},
		publicForm{"jwk", []byte(k.String())},
		publicForm{"jwk-with-use", []byte(k.with("use", `"sig"`).String())},
		publicForm{"jwk-set", []byte(`{"keys":[` + k.String() + `]}`)},
		publicForm{"jwk-in-base64url", []byte(encode(k.String()))},
		publicForm{"thumbprint-in-base64url", []byte(thumbprint(k))},
	)
	switch p := key.(type) {
	case *rsa.PublicKey:
		der := x509.MarshalPKCS1PublicKey(p)
		forms = append(forms, pemForms("pkcs1", pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: der}))...)
		forms = append(forms,
			publicForm{"pkcs1-der", der},
			publicForm{"pkcs1-der-in-base64", []byte(base64.StdEncoding.EncodeToString(der))},
			publicForm{"modulus", p.N.Bytes()},
			publicForm{"modulus-in-base64url", []byte(encode(p.N.Bytes()))},
			publicForm{"modulus-in-hex", fmt.Appendf(nil, "%x", p.N)},
			publicForm{"modulus-in-decimal", []byte(p.N.String())},
		)
	case *ecdsa.PublicKey:
		point := must(p.Bytes())
		x, y := coordinates(p)
		forms = append(forms,
			publicForm{"point", point},
			publicForm{"point-in-base64url", []byte(encode(point))},
			publicForm{"point-in-hex", fmt.Appendf(nil, "%x", point)},
			publicForm{"point-compressed", append([]byte{2 + y[len(y)-1]&1}, x...)},
			publicForm{"x", x},
			publicForm{"x-in-base64url", []byte(encode(x))},
			publicForm{"y", y},
		)
	case ed25519.PublicKey:
		forms = append(forms,
			publicForm{"point", p},
			publicForm{"point-in-base64url", []byte(encode(p))},
			publicForm{"point-in-base64", []byte(base64.StdEncoding.EncodeToString(p))},
			publicForm{"point-in-hex", fmt.Appendf(nil, "%x", []byte(p))},
		)
	}
	return forms
}

// pemForms returns a PEM text with each of the line endings that editors, configuration
// files and environment variables produce.
func pemForms(name string, text []byte) []publicForm {
	bare := bytes.TrimRight(text, "\n")
	crlf := bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	lines := bytes.Split(bare, []byte("\n"))
	return []publicForm{
		{name + "-pem", text},
		{name + "-pem-without-last-newline", bare},
		{name + "-pem-with-crlf", crlf},
		{name + "-pem-with-crlf-without-last", bytes.TrimRight(crlf, "\r\n")},
		{name + "-pem-with-two-newlines", append(bytes.Clone(text), '\n')},
		{name + "-pem-on-one-line", bytes.ReplaceAll(bare, []byte("\n"), nil)},
		{name + "-pem-with-escaped-newlines", bytes.ReplaceAll(text, []byte("\n"), []byte(`\n`))},
		{name + "-pem-without-armour", bytes.Join(lines[1:len(lines)-1], []byte("\n"))},
	}
}
