package keys

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/jwtgate/jwtgate/internal/keyform"
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// notPEM returns the error for content that is not the PEM text of keys, or nil if its
// form is that of a PEM text.
func notPEM(content []byte) error {
	form := keyform.Of(content)
	advice := ""
	switch form {
	case keyform.PEM:
		return nil
	case keyform.Empty:
		return errors.New("the PEM text is empty; was a file or a setting not loaded?")
	case keyform.JWKSet:
		advice = "use keys.JWKS"
	case keyform.JWK, keyform.JWKArray:
		advice = wrapInSet
	case keyform.BareBase64:
		advice = "put -----BEGIN PUBLIC KEY----- and -----END PUBLIC KEY----- on lines before and after it"
	case keyform.PEMInJSON:
		advice = "pass one PEM text alone"
	case keyform.Encoded:
		advice = "decode it first"
	case keyform.DER:
		advice = "convert it with: openssl pkey -pubin -inform DER"
	case keyform.SSH:
		advice = "convert it with: ssh-keygen -e -m PKCS8 -f key.pub"
	default:
		advice = adviceForBoth(form)
	}
	return fmt.Errorf("it has no PEM block: it is %s; %s", form, advice)
}

// notJWKS returns a better error than err for a document that is no JWK Set.
func notJWKS(document []byte, err error) error {
	form := keyform.Of(document)
	advice := ""
	switch form {
	case keyform.JWKSet, keyform.JSON, keyform.BrokenJSON, keyform.OtherText, keyform.OtherBinary:
		return err
	case keyform.Empty:
		return errors.New("it is not a JWK Set: it is empty; was a file or a setting not loaded?")
	case keyform.PEM:
		advice = "use keys.PEM"
	case keyform.JWK, keyform.JWKArray:
		advice = wrapInSet
	case keyform.Metadata:
		advice = "its jwks_uri is the address of the set, which keys.Remote finds by itself"
	case keyform.PEMInJSON:
		advice = "ask the issuer for its JWK Set"
	case keyform.HTML:
		advice = `a JWK Set starts with {"keys":[`
	case keyform.Encoded:
		advice = "decode it first"
	case keyform.BareBase64, keyform.DER, keyform.SSH:
		advice = "keys.PEM reads a key in PEM"
	default:
		advice = adviceForBoth(form)
	}
	return fmt.Errorf("it is not a JWK Set: it is %s; %s", form, advice)
}

const wrapInSet = `put {"keys":[...]} around it and use keys.JWKS`

// adviceForBoth returns what to do with a form that is neither PEM nor a JWK Set.
func adviceForBoth(form keyform.Form) string {
	switch form {
	case keyform.Address:
		return "keys.Remote fetches the JWK Set of an address"
	case keyform.FileName:
		return "keys.File reads a file"
	case keyform.QuotedJSON:
		return "remove the quotes, and what escapes quotes inside"
	case keyform.UTF16:
		return "save it as UTF-8"
	case keyform.XML:
		return "if it is SAML metadata, ask the issuer for its JWK Set"
	case keyform.Token:
		return "it is signed with a key and is not the key; ask the issuer for its JWK Set"
	}
	return "a public key starts with -----BEGIN PUBLIC KEY-----"
}

// notDocument returns a better error than err for a response that is not what was
// wanted. It names the form of the body, and its media type if that explains the form.
func notDocument(body []byte, header http.Header, wanted string, err error) error {
	form := keyform.Of(body[:min(len(body), maxFormBytes)])
	switch form {
	case keyform.JWKSet, keyform.Metadata, keyform.JSON, keyform.BrokenJSON:
		return err
	case keyform.JWK, keyform.JWKArray, keyform.Empty:
		return fmt.Errorf("it is %s, not %s", form, wanted)
	}
	mediaType := "no Content-Type"
	if t := header.Get("Content-Type"); t != "" {
		mediaType = logtext.Value(fmt.Sprintf("%.60s", t))
	}
	return fmt.Errorf("it is %s (%s), not %s", form, mediaType, wanted)
}

// maxFormBytes is how much of a response is read to name its form, so that a hostile
// response costs little.
const maxFormBytes = 4 << 10
