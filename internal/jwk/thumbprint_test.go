package jwk_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/internal/jwk"
)

// The modulus of the key in RFC 7638 section 3.1.
const modulus7638 = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"

func TestThumbprint(t *testing.T) {
	t.Parallel()
	padded, err := base64.RawURLEncoding.DecodeString(modulus7638)
	require.NoError(t, err)
	longer := base64.RawURLEncoding.EncodeToString(append([]byte{0, 0}, padded...))
	for _, tt := range []struct{ name, raw, want string }{
		{"RFC 7638 section 3.1", `{"kty":"RSA","n":"` + modulus7638 + `","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"with zeros before modulus and exponent", `{"kty":"RSA","n":"` + longer + `","e":"AAEAAQ"}`, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"RFC 8037 appendix A.3", `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
		{"RFC 9449 section 6.1", `{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}`, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key, err := jwk.Parse([]byte(tt.raw), "")
			require.NoError(t, err)
			thumbprint, ok := jwk.Thumbprint(key.Public)
			assert.True(t, ok)
			assert.Equal(t, tt.want, base64.RawURLEncoding.EncodeToString(thumbprint[:]))
		})
	}
	for _, public := range []crypto.PublicKey{nil, (*rsa.PublicKey)(nil), &rsa.PublicKey{}, (*ecdsa.PublicKey)(nil), &ecdsa.PublicKey{}, &ecdsa.PublicKey{Curve: elliptic.P224()}, ed25519.PrivateKey{}} {
		_, ok := jwk.Thumbprint(public)
		assert.False(t, ok, "%T", public)
	}
}
