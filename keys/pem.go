package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/jwtgate/jwtgate"
)

// PEM returns a source with the public keys and certificates of a PEM text (RFC
// 7468). It uses the keys of PUBLIC KEY, RSA PUBLIC KEY and CERTIFICATE blocks as
// [Public] does. Any other block, such as a private key, is an error.
//
// Of a certificate only the public key is used. Its dates, its issuer and its
// revocation are not checked.
func PEM(text []byte) jwtgate.KeySource {
	ks, err := parsePEM(text)
	if err != nil {
		return failed("keys.PEM", err)
	}
	return newFixed("keys.PEM", ks)
}

// parsePEM returns the keys of a PEM text in their order.
func parsePEM(text []byte) ([]*jwtgate.Key, error) {
	if err := notPEM(text); err != nil {
		return nil, err
	}
	// Package pem skips a damaged block, so that its key would be missing.
	blocks := bytes.Count(text, []byte("-----BEGIN "))
	var ks []*jwtgate.Key
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			if len(ks) == 0 {
				return nil, errors.New("it has no PEM block: " + pemDamage(string(text)))
			}
			return nil, fmt.Errorf("after block %d there is something that is no PEM block", len(ks))
		}
		text = rest
		k, err := blockKey(block)
		if err != nil {
			return nil, fmt.Errorf("block %d: %w", len(ks)+1, err)
		}
		ks = append(ks, k)
	}
	if len(ks) != blocks {
		return nil, fmt.Errorf("%d of its %d PEM blocks are damaged", blocks-len(ks), blocks)
	}
	return ks, nil
}

// pemDamage says why package pem finds no block in text, which contains "-----BEGIN ".
func pemDamage(text string) string {
	before, _, _ := strings.Cut(text, "-----BEGIN ")
	before = before[strings.LastIndexByte(before, '\n')+1:]
	switch {
	case !strings.Contains(text, "-----END "):
		return "it has no END line; copy it again"
	case !strings.Contains(strings.TrimSpace(text), "\n"):
		return "it is in one line; put line breaks after its BEGIN line and before its END line"
	case strings.TrimSpace(before) != "":
		return "something comes before -----BEGIN in its line; remove it"
	case before != "":
		return "its lines start with white space; remove it"
	}
	return "its first block is damaged; copy it again"
}

// blockKey returns the key of one PEM block.
func blockKey(block *pem.Block) (*jwtgate.Key, error) {
	var public crypto.PublicKey
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = certificate.PublicKey
		}
	default:
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			extract := "openssl pkey -pubout"
			if block.Type == "OPENSSH PRIVATE KEY" {
				extract = "ssh-keygen -e -m PKCS8"
			}
			return nil, fmt.Errorf("it is a private key, and verifying needs only the public key; extract it with: %s", extract)
		}
		return nil, fmt.Errorf("a %.40q block was found; use PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE", block.Type)
	}
	if err != nil {
		return nil, unreadable(block, err)
	}
	switch public.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return publicKey(public)
	}
	return nil, fmt.Errorf("its key is for another use (%s); signatures need RSA, ECDSA or Ed25519", strings.TrimPrefix(fmt.Sprintf("%T", public), "*"))
}

// unreadable returns the error for a block whose bytes are not what its name says. err
// is the reason of package x509.
func unreadable(block *pem.Block, err error) error {
	for _, other := range []struct {
		name  string
		parse func([]byte) error
	}{
		{"PUBLIC KEY", func(b []byte) error { _, err := x509.ParsePKIXPublicKey(b); return err }},
		{"RSA PUBLIC KEY", func(b []byte) error { _, err := x509.ParsePKCS1PublicKey(b); return err }},
		{"CERTIFICATE", func(b []byte) error { _, err := x509.ParseCertificate(b); return err }},
		{"PRIVATE KEY", func(b []byte) error { _, err := x509.ParsePKCS8PrivateKey(b); return err }},
		{"RSA PRIVATE KEY", func(b []byte) error { _, err := x509.ParsePKCS1PrivateKey(b); return err }},
	} {
		if other.parse(block.Bytes) == nil {
			return fmt.Errorf("its BEGIN line says %s, but it is a %s; correct its BEGIN and END lines", block.Type, other.name)
		}
	}
	return fmt.Errorf("it is no %s that can be read: %w", block.Type, err)
}
