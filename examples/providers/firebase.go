package providers

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Firebase accepts the ID tokens that Firebase Authentication gives to the
// users of a project.
//
// All projects of the world share the keys. The project ID is both the end
// of the issuer and the audience; it is not the project's number or name.
//
// Custom tokens and session cookies are refused: the former are for signing
// in to Firebase, the latter have another issuer and other keys. So are the
// tokens of the emulator, which are not signed: in tests, put keys of your
// own into the options.
//
// Who may sign up is a setting of the project. Where it allows anonymous
// sign-in, everybody has a token; tell them apart by
//
//	gate.Require(jwtgate.Claim("/firebase/sign_in_provider", "password", "google.com"))
//
// and whether an address was confirmed by jwtgate.Claim("email_verified",
// "true"). Custom claims stand beside the others: jwtgate.Claim("admin",
// "true").
func Firebase(projectID string) jwtgate.Options {
	return jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{"https://securetoken.google.com/" + projectID},
		Audiences: []string{projectID},
	}
}

// FirebaseX509 is [Firebase] with the keys from where Google's documentation
// has them: a JSON object of certificates by key ID. Prefer Firebase; this
// is how any document that is not a JWK Set is read.
func FirebaseX509(projectID string) jwtgate.Options {
	options := Firebase(projectID)
	options.Keys = &keys.Remote{
		URL:   "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com",
		Parse: parseCertificates,
	}
	return options
}

// parseCertificates does not look at the dates of the certificates. That
// Google publishes them now is what makes the keys good, and TLS says that
// it is Google.
func parseCertificates(document []byte) ([]*jwtgate.Key, error) {
	var certificates map[string]string
	if err := json.Unmarshal(document, &certificates); err != nil {
		return nil, err
	}
	var found []*jwtgate.Key
	for id, text := range certificates {
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			return nil, fmt.Errorf("certificate %q is not PEM", id)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %q: %w", id, err)
		}
		key, err := jwtgate.NewKey(id, "RS256", certificate.PublicKey)
		if err != nil {
			return nil, err
		}
		found = append(found, key)
	}
	return found, nil
}
