//go:build go1.27

package jwk_test

import (
	"crypto/mldsa"
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/internal/jwk"
)

func TestParse_MLDSA(t *testing.T) {
	t.Parallel()
	for _, p := range []mldsa.Parameters{mldsa.MLDSA44(), mldsa.MLDSA65(), mldsa.MLDSA87()} {
		private, err := mldsa.GenerateKey(p)
		require.NoError(t, err)
		pub := private.PublicKey().Bytes()
		text := func(pub []byte) []byte {
			return fmt.Appendf(nil, `{"kty":"AKP","alg":%q,"pub":%q,"priv":null}`, p, base64.RawURLEncoding.EncodeToString(pub))
		}
		k, err := jwk.Parse(text(pub), "")
		require.NoError(t, err)
		assert.True(t, private.PublicKey().Equal(k.Public))
		assert.Equal(t, []string{p.String()}, k.Algorithms)
		assert.Equal(t, p.String(), k.Algorithm)
		for _, length := range []int{len(pub) - 1, len(pub) + 1} {
			_, err = jwk.Parse(text(append(pub, 0)[:length]), "")
			require.EqualError(t, err, fmt.Sprintf("pub has %d bytes, and a key for %s has %d", length, p, len(pub)))
		}
	}
	assert.Nil(t, jwk.Algorithms((*mldsa.PublicKey)(nil)))
	assert.Nil(t, jwk.Algorithms(&mldsa.PublicKey{}))
}
