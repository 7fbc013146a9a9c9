package mtls

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/headermap"
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// A Verifier checks that the client of a request has the certificate that the token is
// bound to (RFC 8705 section 3). It is a [jwtgate.Confirmer] for the member x5t#S256 of cnf.
// The zero Verifier takes the certificate of the TLS connection. A Verifier is safe for
// concurrent use.
//
// The error of a refusal wraps [jwtgate.ErrProof]. The answer is 401 invalid_token.
type Verifier struct {
	// Thumbprint returns the SHA-256 of the client's certificate in DER. It returns an
	// error if the request has no certificate, or not exactly one. nil means the first
	// certificate that the client sent in the TLS handshake, also if the session was
	// resumed.
	//
	// Set Thumbprint only behind a proxy that ends TLS: [ClientCert], [XFCC] or a function
	// of your own. Read "Behind a proxy" in the package documentation first. Thumbprint
	// must be safe for concurrent use. An error that wraps [jwtgate.ErrUnavailable] is
	// answered with 503. New calls Thumbprint once, with a request that has no header.
	Thumbprint func(*http.Request) ([sha256.Size]byte, error)
}

var _ jwtgate.ConfirmerChecker = Verifier{}

// Method returns "x5t#S256".
func (v Verifier) Method() string { return "x5t#S256" }

// Confirm returns nil if the SHA-256 of the client's certificate is value, in base64url
// without padding (RFC 8705 section 3.1).
func (v Verifier) Confirm(r *http.Request, _ *jwtgate.Token, value string) error {
	thumbprint, err := v.thumbprint(r)
	switch {
	case errors.Is(err, jwtgate.ErrProof):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", jwtgate.ErrProof, err)
	}
	// The text is compared, not the bytes, so that there is one way to write the value.
	var text [43]byte
	base64.RawURLEncoding.Encode(text[:], thumbprint[:])
	if subtle.ConstantTimeCompare(text[:], []byte(value)) != 1 {
		return refused(func() string { return mismatch(string(text[:]), value) })
	}
	return nil
}

func mismatch(got, wanted string) string {
	if len(wanted) != len(got) {
		return fmt.Sprintf("x5t#S256 of cnf is %s; it must be the SHA-256 of a certificate in %d characters of base64url without padding",
			logtext.QuoteUpTo(wanted, 80), len(got))
	}
	return fmt.Sprintf("the client's certificate has the SHA-256 %q, and the token is bound to %s: the certificate was renewed, or another client sent the token",
		got, logtext.QuoteUpTo(wanted, 48))
}

// CheckConfirmer returns an error if Thumbprint does not return an error for a request
// without a certificate.
func (v Verifier) CheckConfirmer() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("mtls.Verifier: Thumbprint panics for a request without a certificate (%.100v); it must return an error", p)
		}
	}()
	if _, err := v.thumbprint(&http.Request{URL: &url.URL{}, Header: http.Header{}}); err == nil {
		return errors.New("mtls.Verifier: Thumbprint accepts a request without a certificate; it must return an error")
	}
	return nil
}

func (v Verifier) thumbprint(r *http.Request) ([sha256.Size]byte, error) {
	if v.Thumbprint != nil {
		return v.Thumbprint(r)
	}
	switch {
	case r.TLS == nil:
		return refuse("the token is bound to a certificate, and the request did not come over TLS; behind a proxy that ends TLS, set mtls.Verifier.Thumbprint")
	case len(r.TLS.PeerCertificates) == 0:
		return refuse("the token is bound to a certificate, and the client sent none; " +
			"if no client sends one, set tls.Config.ClientAuth to tls.RequestClientCert")
	}
	// The first certificate is the client's own. The handshake proves nothing about the
	// keys of the others.
	return sha256.Sum256(r.TLS.PeerCertificates[0].Raw), nil
}

// ClientCert returns the SHA-256 of the certificate in the header Client-Cert (RFC 9440
// section 2): one line with the DER between colons, in base64 with padding. It is for
// Verifier.Thumbprint.
//
// Use ClientCert only if all requests come through a proxy that removes the header of
// clients. Otherwise a client can claim any certificate (see the package documentation).
func ClientCert(r *http.Request) ([sha256.Size]byte, error) {
	value, err := header(r, "Client-Cert")
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	if value == "::" {
		return refuse("Client-Cert is ::, so the client sent no certificate to the proxy")
	}
	encoded, opened := strings.CutPrefix(value, ":")
	encoded, closed := strings.CutSuffix(encoded, ":")
	// Package base64 ignores line breaks.
	if !opened || !closed || strings.ContainsAny(encoded, "\r\n") {
		return refuse("Client-Cert is not one byte sequence, base64 between two colons (RFC 9440 section 2.1)")
	}
	der, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return refuse("Client-Cert does not have base64 with padding between its colons (RFC 9440 section 2.1)")
	}
	return sha256.Sum256(der), nil
}

// XFCC returns the SHA-256 of the certificate in the header X-Forwarded-Client-Cert of
// Envoy: the value of Hash. The header must be one line with one element, which has one
// Hash. XFCC is for Verifier.Thumbprint.
//
// Use XFCC only if all requests come through an Envoy with forward_client_cert_details:
// SANITIZE_SET. Otherwise a client can claim any certificate (see the package
// documentation).
func XFCC(r *http.Request) ([sha256.Size]byte, error) {
	value, err := header(r, "X-Forwarded-Client-Cert")
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	// Envoy does not quote URI and DNS, which the client chooses in a certificate of its
	// own. Those can have a Hash, a comma and a quote that hides what follows. So the
	// characters "Hash=" may occur once, wherever that is.
	if strings.Count(strings.ToLower(value), "hash=") > 1 {
		return refuse("X-Forwarded-Client-Cert has more than one Hash; let Envoy replace what clients send, with SANITIZE_SET")
	}
	hash := ""
	for rest := value; rest != ""; {
		var p pair
		var ok bool
		p, rest, ok = cutPair(rest)
		switch {
		case !ok:
			return refuse(`X-Forwarded-Client-Cert is not a list of pairs such as Hash=...;Subject="..."`)
		case p.end == ',':
			return refuse("X-Forwarded-Client-Cert has more than one element; let Envoy replace what clients send, with SANITIZE_SET")
		case p.name == "Hash":
			hash = p.value
		}
	}
	digest, err := hex.DecodeString(hash)
	if err != nil || len(digest) != sha256.Size {
		return refuse("X-Forwarded-Client-Cert has no Hash of 64 hexadecimal digits")
	}
	return [sha256.Size]byte(digest), nil
}

// A pair is a name with its value in an element of X-Forwarded-Client-Cert.
type pair struct {
	name, value string
	end         byte // the comma or semicolon after it; 0 at the end of the header
}

// cutPair cuts the first pair off text. A value is in quotes if it has a comma, a
// semicolon or an equals sign. In quotes, a backslash comes before a quote.
func cutPair(text string) (p pair, rest string, ok bool) {
	var after string
	if p.name, after, ok = strings.Cut(text, "="); !ok || strings.ContainsAny(p.name, `,;"`) {
		return p, "", false
	}
	length := strings.IndexAny(after, ",;")
	if strings.HasPrefix(after, `"`) {
		length = 1
		for length < len(after) && after[length] != '"' {
			if after[length] == '\\' {
				length++
			}
			length++
		}
		if length++; length > len(after) {
			return p, "", false
		}
	} else if length < 0 {
		length = len(after)
	}
	if p.value = after[:length]; p.value == "" || p.value[0] != '"' {
		ok = !strings.Contains(p.value, `"`)
	}
	if rest = after[length:]; rest != "" {
		p.end, rest = rest[0], rest[1:]
		ok = ok && (p.end == ',' || p.end == ';')
	}
	return p, rest, ok
}

// header returns the value of the header with the given canonical name. There must be one
// line of it, and no other spelling of the name in the map, as an adapter between a server
// and the gate may write it.
func header(r *http.Request, name string) (string, error) {
	if key := headermap.Misspelled(r.Header, name); key != "" {
		return "", refused(func() string {
			return "the header map must have the key " + name + ", as http.Header.Set writes it, but an adapter wrote " + logtext.Quote(key)
		})
	}
	switch lines := r.Header[name]; {
	case len(lines) > 1:
		return "", refused(func() string {
			return fmt.Sprintf("the request has %d lines of %s, wanted is one; let the proxy replace what clients send", len(lines), name)
		})
	case len(lines) == 0 || lines[0] == "":
		return "", refused(func() string {
			return "the token is bound to a certificate, and the request has no " + name + ", which the proxy sends if the client has a certificate"
		})
	case len(lines[0]) > maxHeaderBytes:
		return "", refused(func() string { return fmt.Sprintf("%s has more than %d bytes", name, maxHeaderBytes) })
	default:
		return lines[0], nil
	}
}

// maxHeaderBytes is the length of the longest header that is read. Certificates have
// up to a few kilobytes.
const maxHeaderBytes = 64 << 10

// refused returns an ErrProof. explain returns the details for the log.
func refused(explain func() string) error { return logtext.Explained(jwtgate.ErrProof, explain) }

// refuse returns no thumbprint, and a refusal with the given details.
func refuse(details string) ([sha256.Size]byte, error) {
	return [sha256.Size]byte{}, refused(func() string { return details })
}
