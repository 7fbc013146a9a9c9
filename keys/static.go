package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/jwtgate/jwtgate"
)

// HS256 returns a source with secrets that the issuer shares with this service
// (RFC 7518 section 3.2). The first is the usual one; during a rotation name
// the others that tokens may still be signed with, at most four in all. They
// are tried whatever key ID a token names.
//
// A secret is used as it is, byte for byte. It must have at least 32 bytes.
func HS256(secrets ...[]byte) jwtgate.KeySource { return secret("HS256", secrets) }

// HS384 is like [HS256], with at least 48 bytes for each secret.
func HS384(secrets ...[]byte) jwtgate.KeySource { return secret("HS384", secrets) }

// HS512 is like [HS256], with at least 64 bytes for each secret.
func HS512(secrets ...[]byte) jwtgate.KeySource { return secret("HS512", secrets) }

func secret(algorithm string, secrets [][]byte) jwtgate.KeySource {
	constructor := "keys." + algorithm
	var ks []*jwtgate.Key
	for i, s := range secrets {
		k, err := jwtgate.NewKey("", algorithm, s)
		if err == nil && looksUntrimmed(s) {
			err = errors.New("the secret is text with a line break at its end, which the issuer hardly signs with; " +
				"trim it with bytes.TrimSpace")
		}
		if err != nil {
			return failed(constructor, fmt.Errorf("secret %d: %w", i+1, err))
		}
		ks = append(ks, k)
	}
	return static(constructor, ks)
}

// looksUntrimmed tells whether a secret was read from a file with the line
// break at its end. Random bytes look like that once in 10^13.
func looksUntrimmed(secret []byte) bool {
	text := bytes.TrimRight(secret, "\r\n")
	return len(text) < len(secret) && !bytes.ContainsFunc(text, func(c rune) bool {
		return (c < ' ' || c > '~') && c != '\r' && c != '\n'
	})
}

// Public returns a source with the public keys of an issuer: *rsa.PublicKey,
// for RS256; *ecdsa.PublicKey, for the algorithm of its curve; and
// ed25519.PublicKey. They are tried whatever key ID a token names, at most four
// for one algorithm. For RS384, PS256 and so on, or to give a key its ID, use
// [jwtgate.NewKey] and [Static].
func Public(public ...crypto.PublicKey) jwtgate.KeySource {
	var ks []*jwtgate.Key
	for i, p := range public {
		k, err := publicKey(p)
		if err != nil {
			return failed("keys.Public", fmt.Errorf("key %d: %w", i+1, err))
		}
		ks = append(ks, k)
	}
	return static("keys.Public", ks)
}

// publicKey returns a key without ID for the algorithm that goes with its kind.
func publicKey(public crypto.PublicKey) (*jwtgate.Key, error) {
	algorithm := "RS256" // also the one to complain about what is none of these
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if p == nil {
			return nil, errors.New("the ECDSA key is nil")
		}
		if algorithm = curveAlgorithm(p.Curve); algorithm == "" {
			return nil, errors.New("the ECDSA key is not on P-256, P-384 or P-521")
		}
	case ed25519.PublicKey:
		algorithm = "EdDSA"
	case *rsa.PublicKey, *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
	case nil:
		return nil, errors.New("the key is nil")
	default:
		return nil, fmt.Errorf("a %T was given; use an *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey", public)
	}
	return jwtgate.NewKey("", algorithm, public)
}

// curveAlgorithm returns the algorithm of a key's curve (RFC 7518 section 3.4).
func curveAlgorithm(curve elliptic.Curve) string {
	switch curve {
	case elliptic.P256():
		return "ES256"
	case elliptic.P384():
		return "ES384"
	case elliptic.P521():
		return "ES512"
	}
	return ""
}

// Static returns a source with the given keys, at most four of which may be
// tried for one token.
func Static(keys ...*jwtgate.Key) jwtgate.KeySource {
	return static("keys.Static", keys)
}

// fixed is a source whose keys never change, or the reason why there are none.
type fixed struct {
	set *set
	err error
}

func failed(constructor string, err error) jwtgate.KeySource {
	return &fixed{err: fmt.Errorf("%s: %w", constructor, err)}
}

func static(constructor string, keys []*jwtgate.Key) jwtgate.KeySource {
	if err := checkKeys(keys); err != nil {
		return failed(constructor, err)
	}
	return &fixed{set: newSet(keys, nil)}
}

// mostTried is how many keys the gate tries for one token.
const mostTried = 4

// checkKeys refuses keys that are none, keys of which the gate would never try
// some, and the absence of any.
func checkKeys(keys []*jwtgate.Key) error {
	if len(keys) == 0 {
		return errors.New("there is no key; pass at least one")
	}
	count := map[[2]string]int{}
	for i, k := range keys {
		if k == nil || k.Algorithm() == "" {
			return fmt.Errorf("key %d was not made by jwtgate.NewKey; check its error first", i+1)
		}
		count[[2]string{k.ID(), k.Algorithm()}]++
	}
	for _, k := range keys {
		n := count[[2]string{k.ID(), k.Algorithm()}]
		if k.ID() != "" {
			n += count[[2]string{"", k.Algorithm()}]
		}
		if n > mostTried {
			return fmt.Errorf("%d keys for %s may have to be tried for one token, and only %d are; "+
				"remove the old ones, or give each its ID with jwtgate.NewKey", n, k.Algorithm(), mostTried)
		}
	}
	return nil
}

func (f *fixed) Keys(_ context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	if f.err != nil {
		return nil, f.err
	}
	found, _ := f.set.find(issuer, kid)
	return found, nil
}

// CheckIssuers returns what the constructor could not use, and an error for
// each issuer that none of the keys serves.
func (f *fixed) CheckIssuers(issuers []string) error {
	if f.err != nil {
		return f.err
	}
	return f.set.checkIssuers(issuers)
}
