package keys_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/keys"
)

// FuzzRemote lets an issuer answer anything. It checks that
//
//   - only https URLs are requested,
//   - keys are used only if the metadata names the issuer, and only if JWKS accepts the set,
//   - the next fetch is no sooner than after 48 seconds, and starts once FreshFor has nearly passed.
func FuzzRemote(f *testing.F) {
	const issuer = "https://auth.example.com/tenant"
	good := metadata(issuer, "https://keys.example.com/jwks")
	f.Add(good, oneKeySet("1", edKey()), 200, "max-age=300", "7")
	f.Add(good, oneKeySet("1", edKey()), 200, `no-store, MAX-AGE="60`, "-1")
	f.Add(good, jwkSet(jwkOf(public(edKey())), 1, "x"), 200, "max-age=99999999999999999999", "99999999999999999999")
	f.Add(good, jwkSet(), 404, "", "")
	f.Add(metadata(issuer, "http://keys.example.com/jwks"), oneKeySet("1", edKey()), 200, "", "")
	f.Add(metadata(issuer+"/", "https://keys.example.com/jwks"), oneKeySet("1", edKey()), 304, "", "")
	f.Add([]byte(`{"issuer":"`+issuer+`","issuer":1,"jwks_uri":"//[::1]:0?#"}`), []byte(`{"keys":[{}],"keys":[]}`), 200, ",,=", "")
	f.Fuzz(func(t *testing.T, metadata, set []byte, status int, cacheControl, age string) {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int32
			remote := &keys.Remote{Client: &http.Client{Transport: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				assert.Equal(t, "https", r.URL.Scheme)
				w := httptest.NewRecorder()
				if r.URL.String() == issuer+openIDConfiguration {
					w.Write(metadata)
					return w.Result(), nil
				}
				asked.Add(1)
				w.Header()["Cache-Control"], w.Header()["Age"] = []string{cacheControl}, []string{age}
				if status < 200 || status > 999 {
					return nil, errors.New("no such status")
				}
				w.WriteHeader(status)
				w.Write(set)
				return w.Result(), nil
			})}}
			if remote.Refresh(t.Context(), issuer) != nil {
				_, err := remote.Keys(t.Context(), issuer, "")
				assert.Error(t, err)
				return
			}
			var members map[string]any
			require.NoError(t, json.Unmarshal(metadata, &members))
			assert.Equal(t, issuer, members["issuer"])
			assert.Equal(t, members["jwks_uri"], remote.Stats()[0].URL)
			assert.Equal(t, 200, status)
			assert.Equal(t, lookUp(t, keys.JWKS(set), issuer, ""), lookUp(t, remote, issuer, ""))

			require.Equal(t, int32(1), asked.Load())
			time.Sleep(35 * time.Second) // less than three fifths of a minute, the shortest max-age
			lookUp(t, remote, issuer, "")
			synctest.Wait()
			assert.Equal(t, int32(1), asked.Load(), "fetched again too early")
			time.Sleep(8 * time.Minute)
			lookUp(t, remote, issuer, "")
			synctest.Wait()
			assert.Equal(t, int32(2), asked.Load())
		})
	})
}
