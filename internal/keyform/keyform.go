// Package keyform recognises the form of what was given as key material. Errors name the
// form that came instead of the wanted one, and a public key is refused as a secret.
package keyform

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
)

// A Form is a form of key material, or what people confuse with key material. Its text
// completes the sentence "it is ...".
type Form string

const (
	Empty       Form = "empty"
	PEM         Form = "a PEM text"
	BareBase64  Form = "a key in base64 without its BEGIN and END lines"
	Encoded     Form = "a key file that was encoded in base64 or hex once more"
	DER         Form = "a key in DER, the binary form of PEM"
	SSH         Form = "an SSH public key"
	JWKSet      Form = "a JWK Set"
	JWK         Form = "a single JWK"
	JWKArray    Form = "an array of JWKs"
	Metadata    Form = "a discovery document"
	PEMInJSON   Form = "a JSON object with PEM texts in it"
	JSON        Form = "JSON of another kind"
	BrokenJSON  Form = "JSON with a mistake"
	QuotedJSON  Form = "JSON in quotes"
	Token       Form = "a token"
	HTML        Form = "an HTML page"
	XML         Form = "an XML document"
	Compressed  Form = "compressed data"
	Address     Form = "an address"
	FileName    Form = "the name of a file"
	UTF16       Form = "text in UTF-16, as PowerShell writes it"
	OtherText   Form = "other text"
	OtherBinary Form = "other binary data"
)

// Of returns the form of b.
func Of(b []byte) Form {
	form, text := plainForm(b)
	if form != OtherText {
		return form
	}
	// What is decoded is not decoded again: each round would have several results.
	for _, decoded := range decodings(text) {
		switch f, _ := plainForm(decoded); f {
		case DER:
			return BareBase64
		case PEM, JWKSet, JWK:
			return Encoded
		}
	}
	if isFileName(text) {
		return FileName
	}
	return OtherText
}

// plainForm returns the form of b without decoding it, and b as text without white
// space around it.
func plainForm(b []byte) (form Form, trimmed string) {
	text := strings.TrimSpace(strings.TrimPrefix(string(b), "\ufeff"))
	switch {
	case text == "":
		return Empty, text
	case text[0] == '{' && strings.Contains(text, "-----BEGIN "):
		return PEMInJSON, text
	case strings.Contains(text, "-----BEGIN "):
		return PEM, text
	case text[0] == '{' || text[0] == '[':
		return ofJSON(text), text
	case isQuoted(text) && strings.ContainsRune("{[", rune(text[1])):
		return QuotedJSON, text
	case text[0] == '<':
		start := strings.ToLower(text[:min(len(text), 1024)])
		if strings.HasPrefix(start, "<!doctype html") || strings.Contains(start, "<html") {
			return HTML, text
		}
		return XML, text
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		return Compressed, text
	case isDER(b):
		return DER, text
	case isUTF16(b):
		return UTF16, text
	case !isText(text):
		return OtherBinary, text
	}
	first, _, spaces := strings.Cut(text, " ")
	switch {
	case spaces && isSSH(first), strings.HasPrefix(text, "---- BEGIN SSH2"):
		return SSH, text
	case strings.HasPrefix(text, "eyJ") && strings.Count(text, ".") >= 2 && !spaces:
		return Token, text
	case !spaces && (strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://")):
		return Address, text
	}
	return OtherText, text
}

// ofJSON returns the form of a text that starts with a brace or bracket.
func ofJSON(text string) Form {
	if !json.Valid([]byte(text)) {
		return BrokenJSON
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		if strings.Contains(text, `"kty"`) {
			return JWKArray
		}
		return JSON
	}
	for _, m := range []struct {
		name string
		form Form
	}{{"keys", JWKSet}, {"kty", JWK}, {"jwks_uri", Metadata}} {
		if _, ok := members[m.name]; ok {
			return m.form
		}
	}
	return JSON
}

// isDER reports whether b is a public or private key, or a certificate.
func isDER(b []byte) bool {
	if len(b) < 2 || b[0] != 0x30 { // SEQUENCE
		return false
	}
	_, pkcs8 := x509.ParsePKCS8PrivateKey(b)
	_, pkcs1 := x509.ParsePKCS1PrivateKey(b)
	_, ec := x509.ParseECPrivateKey(b)
	return isPublicDER(b) || pkcs8 == nil || pkcs1 == nil || ec == nil
}

// isPublicDER reports whether b is a public key or a certificate.
func isPublicDER(b []byte) bool {
	_, pkix := x509.ParsePKIXPublicKey(b)
	_, pkcs1 := x509.ParsePKCS1PublicKey(b)
	_, certificate := x509.ParseCertificate(b)
	return pkix == nil || pkcs1 == nil || certificate == nil
}

// isSSH reports whether word is a key type of OpenSSH.
func isSSH(word string) bool {
	return slices.ContainsFunc([]string{"ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"}, func(prefix string) bool {
		return strings.HasPrefix(word, prefix)
	})
}

// decodings returns what text may encode in base64 or hex.
func decodings(text string) (all [][]byte) {
	text = strings.Join(strings.Fields(text), "")
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if decoded, err := decode(text); err == nil && len(decoded) > 0 {
			all = append(all, decoded)
		}
	}
	return all
}

// isFileName reports whether text looks like the name of a file. Base64 may start with
// a slash, so a name has to have a suffix, or a start that base64 cannot have.
func isFileName(text string) bool {
	if len(text) > 1024 || strings.ContainsAny(text, "\r\n") {
		return false
	}
	slashes := strings.ReplaceAll(text, `\`, "/")
	for _, start := range []string{"./", "../", "~/", "file:", "/run/", "/var/", "/etc/", "/home/", "/usr/", "/opt/", "/tmp/", "/mnt/", "/secrets/", "/app/"} {
		if strings.HasPrefix(slashes, start) {
			return true
		}
	}
	if len(slashes) > 2 && slashes[1:3] == ":/" {
		return true // C:\
	}
	return slices.Contains([]string{".pem", ".crt", ".cer", ".cert", ".der", ".key", ".pub", ".json", ".jwk", ".jwks", ".txt", ".secret"},
		strings.ToLower(path.Ext(slashes)))
}

// isQuoted reports whether text is between two quotation marks of the same kind, and
// more than them.
func isQuoted(text string) bool {
	end := len(text) - 1
	return end > 1 && (text[0] == '"' || text[0] == '\'') && text[end] == text[0]
}

// isUTF16 reports whether b is printable text in UTF-16 that starts with a byte order
// mark.
func isUTF16(b []byte) bool {
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case len(b)%2 != 0:
		return false
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		order = binary.BigEndian
	case !bytes.HasPrefix(b, []byte{0xff, 0xfe}):
		return false
	}
	var units []uint16
	for i := 2; i < len(b); i += 2 {
		units = append(units, order.Uint16(b[i:]))
	}
	return isText(string(utf16.Decode(units)))
}

// isText reports whether text is printable, with white space.
func isText(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool {
		return c == unicode.ReplacementChar || !unicode.IsPrint(c) && !unicode.IsSpace(c)
	})
}
