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
	"github.com/jwtgate/jwtgate/internal/jwk"
)

// PEM returns a source with the public keys and certificates of a PEM text (RFC
// 7468). It uses the keys of PUBLIC KEY, RSA PUBLIC KEY and CERTIFICATE blocks as
// [Public] does. Any other block, such as a private key, is an error.
//
// There is no keys.RS256 or keys.ES256: an RSA key is for RS256, and any other key is for
// the algorithm of its kind.
//
// PEM also reads a text whose line breaks were changed on its way through settings and
// templates: it came with the two characters \n instead of line breaks, on one line, in
// quotes, indented, or after a byte order mark. Convert a string s with []byte(s). For
// a file, use [File].
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
func parsePEM(content []byte) ([]*jwtgate.Key, error) {
	if err := notPEM(content); err != nil {
		return nil, err
	}
	text := restoreLines(content)
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

// restoreLines returns a PEM text with the lines that package pem wants. It undoes only
// what is listed at [PEM]. The result has the same keys whatever the text is, because
// base64 has no backslash, no quote and no white space.
func restoreLines(content []byte) []byte {
	text := strings.TrimSpace(strings.TrimPrefix(string(content), "\ufeff"))
	if end := len(text) - 1; end > 0 && (text[0] == '"' || text[0] == '\'') && text[end] == text[0] {
		text = text[1:end]
	}
	text = strings.NewReplacer(`\r\n`, "\n", `\n`, "\n").Replace(text)
	var lines []byte
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		for strings.HasPrefix(line, "-----BEGIN ") {
			begin, body, isBegin := cutMarker(line)
			end := strings.Index(body, "-----END ")
			if !isBegin || end < 0 {
				break
			}
			endLine, rest, isEnd := cutMarker(body[end:])
			if !isEnd {
				break
			}
			lines = fmt.Appendf(lines, "%s\n%s\n%s\n", begin, strings.TrimSpace(body[:end]), endLine)
			line = strings.TrimSpace(rest)
		}
		lines = append(append(lines, line...), '\n')
	}
	return lines
}

// cutMarker cuts a line that starts with "-----BEGIN " or "-----END " after the five
// dashes that end this marker. ok is false if there are none.
func cutMarker(line string) (marker, rest string, ok bool) {
	const dashes = "-----"
	label, rest, ok := strings.Cut(line[len(dashes):], dashes)
	return dashes + label + dashes, rest, ok
}

// pemDamage says why package pem finds no block in text, which contains "-----BEGIN ".
func pemDamage(text string) string {
	before, block, _ := strings.Cut(text, "-----BEGIN ")
	before = before[strings.LastIndexByte(before, '\n')+1:]
	label, _, _ := strings.Cut(block, "-----")
	switch {
	case strings.HasSuffix(label, "PRIVATE KEY"):
		return privatePEM(label)
	case !strings.Contains(text, "-----END "):
		return "it has no END line; copy it again"
	case before != "":
		return "something comes before -----BEGIN in its line; remove it"
	case !strings.Contains(block, "-----END "+label+"-----"):
		return "the name in its END line is not that of its BEGIN line; copy it again"
	case strings.Contains(block, `\`):
		return "there are backslashes in it; remove them, and keep the line breaks"
	}
	return "its first block is damaged; copy it again"
}

// privatePEM says what to do with a block of a private key.
func privatePEM(label string) string {
	extract := "openssl pkey -pubout"
	if label == "OPENSSH PRIVATE KEY" {
		extract = "ssh-keygen -e -m PKCS8"
	}
	return "it is a private key, and verifying needs only the public key; extract it with: " + extract
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
			return nil, errors.New(privatePEM(block.Type))
		}
		return nil, fmt.Errorf("a %.40q block was found; use PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE", block.Type)
	}
	isPublic := block.Type == "PUBLIC KEY" || block.Type == "CERTIFICATE"
	if isPublic && public == nil { // package x509 does not know the kind of key
		if newer := jwk.NeedsNewerGo(block.Bytes); newer != nil {
			return nil, newer
		}
	}
	if err != nil {
		return nil, unreadable(block, err)
	}
	switch public.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return publicKey(public)
	}
	if len(jwk.Algorithms(public)) > 0 {
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
