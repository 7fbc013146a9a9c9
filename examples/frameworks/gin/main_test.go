package main

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/suite"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	m.Run()
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	suite.Test(t, suite.Serve(newHandler))
}

func TestAttack(t *testing.T) {
	t.Parallel()
	suite.Attack(t, newHandler)
}

// TestUploadIsRemoved fails for a guard that sets c.Request to a copy with another
// context: net/http deletes the files of an upload only for its own request.
func TestUploadIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	issuer := jwttest.NewIssuer(t)
	gate, err := jwtgate.New(issuer.Options())
	require.NoError(t, err)
	files := func() int {
		entries, err := os.ReadDir(os.TempDir())
		require.NoError(t, err)
		return len(entries)
	}
	during := 0
	r := gin.New()
	r.POST("/", guard(gate), func(c *gin.Context) {
		assert.NoError(t, c.Request.ParseMultipartForm(0)) // 0: write all files to disk
		during = files()
	})
	server := httptest.NewServer(r)
	defer server.Close()

	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "file.txt")
	require.NoError(t, err)
	_, err = part.Write([]byte("content"))
	require.NoError(t, err)
	require.NoError(t, form.Close())
	request, err := http.NewRequestWithContext(t.Context(), "POST", server.URL, &body)
	require.NoError(t, err)
	request.Header.Set("Content-Type", form.FormDataContentType())
	request.Header.Set("Authorization", "Bearer "+issuer.Token(nil))
	got, _ := suite.Do(t, server.Client(), request)
	require.Equal(t, http.StatusOK, got.Status)
	server.Close() // waits for the request to end
	assert.Equal(t, 1, during)
	assert.Zero(t, files())
}
