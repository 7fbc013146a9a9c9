package keys

import (
	"bytes"
	"crypto"
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
	// Package pem skips a damaged block, so that its key would be missing.
	blocks := bytes.Count(text, []byte("-----BEGIN "))
	var ks []*jwtgate.Key
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			if len(ks) == 0 {
				return nil, errors.New("it has no PEM block; a public key starts with -----BEGIN PUBLIC KEY-----")
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
	if len(ks) == 0 {
		return nil, errors.New("the PEM text is empty; was a file or a setting not loaded?")
	}
	if len(ks) != blocks {
		return nil, fmt.Errorf("%d of its %d PEM blocks are damaged", blocks-len(ks), blocks)
	}
	return ks, nil
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
			return nil, errors.New("it is a private key, and verifying needs only the public key; " +
				"extract it with: openssl pkey -pubout")
		}
		return nil, fmt.Errorf("a %.40q block was found; use PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE", block.Type)
	}
	if err != nil {
		return nil, err
	}
	return publicKey(public)
}
