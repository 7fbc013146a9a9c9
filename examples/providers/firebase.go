package providers

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// Firebase accepts the ID tokens that Firebase Authentication issues to the users of
// a project.
//
// All Firebase projects share the same keys. The project ID is the audience and the
// end of the issuer. It is not the project's number or name.
//
// These tokens are refused:
//
//   - custom tokens, which are for signing in to Firebase
//   - session cookies, which have another issuer and other keys
//   - tokens of the emulator, which are not signed: in tests, put your own keys into
//     the options
//
// A setting of the project says who may sign up. If it allows anonymous sign-in,
// anybody can get a token. To refuse anonymous users, write
//
//	gate.Require(jwtgate.Claim("/firebase/sign_in_provider", "password", "google.com"))
//
// To require a confirmed address, use jwtgate.Claim("email_verified", "true"). Custom
// claims are at the top level: jwtgate.Claim("admin", "true").
func Firebase(projectID string) jwtgate.Options {
	return jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{"https://securetoken.google.com/" + projectID},
		Audiences: []string{projectID},
	}
}

// FirebaseX509 is [Firebase] with the keys from the document that Google's
// documentation names: a JSON object with a certificate for each key ID. Prefer
// Firebase. FirebaseX509 shows how to read a document that is not a JWK Set.
func FirebaseX509(projectID string) jwtgate.Options {
	options := Firebase(projectID)
	options.Keys = &keys.Remote{
		URL:   "https://www.googleapis.com/robot/v1/metadata/x509/securetoken@system.gserviceaccount.com",
		Parse: parseCertificates,
	}
	return options
}

// parseCertificates ignores the dates of the certificates. A key is valid as long as
// Google publishes it, and TLS proves that the document comes from Google.
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
