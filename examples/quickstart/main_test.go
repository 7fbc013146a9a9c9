package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, true))

	var rows [][]string
	for line := range strings.Lines(out.String()) {
		rows = append(rows, regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(line), -1))
	}
	const (
		invalid      = `Bearer realm="api", error="invalid_token", error_description="The access token is not valid."`
		expired      = `Bearer realm="api", error="invalid_token", error_description="The access token has expired."`
		insufficient = `Bearer realm="api", scope="orders:write", error="insufficient_scope", error_description="The access token does not grant what this request needs."`
	)
	assert.Equal(t, [][]string{
		{"REQUEST", "TOKEN", "STATUS", "SUBJECT", "CHALLENGE"},
		{"GET /", "none", "200", "-", "-"},
		{"GET /orders", "valid", "200", "alice", "-"},
		{"GET /orders", "none", "401", "-", `Bearer realm="api"`},
		{"GET /orders", "expired", "401", "-", expired},
		{"GET /orders", "wrong audience", "401", "-", invalid},
		{"GET /orders", "tampered", "401", "-", invalid},
		{"GET /api/orders", "valid", "200", "alice", "-"},
		{"GET /api/nothing", "none", "401", "-", `Bearer realm="api"`},
		{"POST /api/orders", "missing scope", "403", "-", insufficient},
		{"POST /api/orders", "valid with scope", "200", "alice", "-"},
	}, rows)
}

func TestTableReportsWrongRows(t *testing.T) {
	t.Parallel()
	issuer, err := startIssuer()
	require.NoError(t, err)
	defer issuer.close()
	server := httptest.NewServer(http.HandlerFunc(showSubject)) // without a gate
	defer server.Close()

	var out bytes.Buffer
	err = printTable(t.Context(), &out, server.URL, issuer)
	require.ErrorContains(t, err, `GET /orders, token expired: got {status:200 subject: challenge:}, want {status:401`)
	assert.NotContains(t, err.Error(), "GET /, token none", "this row is right")
	assert.Equal(t, len(trials())+1, strings.Count(out.String(), "\n"), "wrong rows are printed too")
}

func TestTableWithoutServer(t *testing.T) {
	t.Parallel()
	issuer, err := startIssuer()
	require.NoError(t, err)
	defer issuer.close()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	require.Error(t, printTable(t.Context(), io.Discard, server.URL, issuer))
}

func TestCurlLinesUntilInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, writer, false)
		writer.CloseWithError(err) // so that the scan below ends if run fails
		ended <- err
	}()

	var lines []string
	for scanner := bufio.NewScanner(reader); scanner.Scan(); {
		if strings.HasPrefix(scanner.Text(), "curl ") {
			lines = append(lines, scanner.Text())
		}
		if strings.HasPrefix(scanner.Text(), "Ctrl-C") {
			break
		}
	}
	require.Len(t, lines, 3)
	client := &http.Client{Timeout: time.Minute}
	for i, want := range []struct {
		status int
		body   string
	}{
		{http.StatusOK, `{"subject":"alice"}`},
		{http.StatusOK, `{"subject":"alice"}`},
		{http.StatusUnauthorized, `{"error":"unauthorized","error_description":"This request needs an access token."}`},
	} {
		response, err := client.Do(requestOf(t, lines[i]))
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, want.status, response.StatusCode, lines[i])
		assert.JSONEq(t, want.body, string(body), lines[i])
	}
	client.CloseIdleConnections()

	again := requestOf(t, lines[0])
	interrupt()
	require.NoError(t, <-ended)
	_, err := client.Do(again)
	require.Error(t, err, "the server still answers")
}

var curlLine = regexp.MustCompile(`^curl -i(?: -X ([A-Z]+))?(?: -H "([^:"]+): ([^"]+)")? (http://\S+)$`)

// requestOf returns the request that a curl line sends.
func requestOf(t *testing.T, line string) *http.Request {
	t.Helper()
	parts := curlLine.FindStringSubmatch(line)
	require.NotNil(t, parts, line)
	request, err := http.NewRequestWithContext(t.Context(), parts[1], parts[4], nil)
	require.NoError(t, err)
	if parts[2] != "" {
		request.Header.Set(parts[2], parts[3])
	}
	return request
}
