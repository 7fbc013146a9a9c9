package keyform

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// IsPublic reports whether a secret looks like a public key, a certificate, a PEM text or
// a JWK, in any of the forms that people copy. With a public key as the HMAC secret,
// everybody who reads the key can sign tokens (RFC 8725 section 2.1).
func IsPublic(secret []byte) bool {
	// Some settings hold a PEM text in base64 or hex, and some consoles show only
	// the base64 between its BEGIN and END lines.
	return isKeyFile(secret) || slices.ContainsFunc(decodings(string(secret)), isKeyFile)
}

// isKeyFile reports whether b is a public key or certificate in DER, an SSH public key,
// any PEM text, or any JWK or JWK Set.
func isKeyFile(b []byte) bool {
	text := strings.TrimSpace(strings.TrimPrefix(string(b), "\ufeff"))
	switch {
	case isPublicDER(b), strings.Contains(text, "-----BEGIN "):
		return true
	case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "["):
		return strings.Contains(text, `"kty"`)
	}
	first, _, more := strings.Cut(text, " ")
	return more && isSSH(first)
}

// SecretHint returns what an operator should know about an accepted secret when
// signatures fail, or "". A secret is used byte for byte, but many issuers decode
// theirs, and files end with a line break. The result contains no part of secret.
func SecretHint(secret []byte) string {
	text := string(secret)
	switch form := Of(secret); {
	case form == FileName || form == Address:
		return fmt.Sprintf("the secret looks like %s; if the issuer uses the secret that is there, read it first", form)
	case form == OtherBinary || form == UTF16:
		return "" // white space is as probable as any other byte
	case strings.HasPrefix(text, "\ufeff"):
		return "the secret starts with a byte order mark; if the issuer's does not, save it without"
	case strings.TrimRight(text, "\r\n") != text:
		return "the secret ends with a line break; if the issuer's does not, trim it"
	case strings.TrimSpace(text) != text:
		return "the secret has white space around it; if the issuer's has none, trim it"
	case isQuoted(text):
		return "the secret is in quotes; if the issuer's is not, remove them"
	case isPlaceholder(text):
		return "the secret looks like a placeholder that was not replaced"
	}
	if decoded, err := hex.DecodeString(text); err == nil && len(decoded) >= minEncoded {
		return decodeFirst("hex", text, decoded)
	}
	if decoded, ok := decodeBase64(text); ok && len(decoded) >= minEncoded {
		return decodeFirst("base64", text, decoded)
	}
	return ""
}

// isPlaceholder reports whether text is one placeholder of a shell, a template or a
// manual, such as ${SECRET}, {{ .secret }} or <your-secret>.
func isPlaceholder(text string) bool {
	for _, p := range [][2]string{{"${", "}"}, {"$(", ")"}, {"{{", "}}"}, {"<", ">"}} {
		if strings.HasPrefix(text, p[0]) && strings.HasSuffix(text, p[1]) {
			return true
		}
	}
	return false
}

// minEncoded is the length in bytes of the shortest secret that somebody may have
// encoded as text.
const minEncoded = 16

func decodeFirst(encoding, text string, decoded []byte) string {
	return fmt.Sprintf("the secret is %s text of %d characters; if the issuer uses the %d bytes that it encodes, decode it first",
		encoding, len(text), len(decoded))
}

// decodeBase64 decodes base64 of either alphabet (RFC 4648 sections 4 and 5), with or
// without padding. ok is false for a text that is probably a passphrase, although its
// characters are in the alphabet. Random base64 without padding has capital and small
// letters and digits, and mostly another one of these kinds after each character.
func decodeBase64(text string) (decoded []byte, ok bool) {
	unpadded := strings.TrimRight(text, "=")
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	decoded, err := encoding.Strict().DecodeString(unpadded)
	if err != nil || strings.ContainsAny(text, "\r\n") || len(text) != len(unpadded) && len(text)%4 != 0 {
		return nil, false
	}
	if len(text) != len(unpadded) {
		return decoded, true
	}
	var has [4]bool
	changes, last := 0, -1
	for _, c := range text {
		kind := 3
		switch {
		case 'A' <= c && c <= 'Z':
			kind = 0
		case 'a' <= c && c <= 'z':
			kind = 1
		case '0' <= c && c <= '9':
			kind = 2
		}
		if has[kind] = true; last >= 0 && kind != last {
			changes++
		}
		last = kind
	}
	return decoded, has[0] && has[1] && has[2] && changes*5 >= len(text)*2
}
