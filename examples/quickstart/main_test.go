package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate/examples/internal/demo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests that call run are not parallel: run sets the default logger.

func TestTable(t *testing.T) {
	var out, logs bytes.Buffer
	require.NoError(t, run(t.Context(), &out, &logs, true))
	assert.Empty(t, logs.String(), "nothing is logged among the rows")

	introduction, table, ok := strings.Cut(out.String(), "\n\n")
	require.True(t, ok)
	assert.Contains(t, introduction, "REASON is not in the answer. The server logs it")
	for line := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, len(strings.TrimSuffix(line, "\n")), 120, line)
	}
	var rows [][]string
	for line := range strings.Lines(table) {
		rows = append(rows, regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(line), -1))
	}
	const (
		invalid      = `Bearer error="invalid_token"`
		insufficient = `Bearer scope="orders:write", error="insufficient_scope"`
	)
	assert.Equal(t, [][]string{
		{"REQUEST", "TOKEN", "STATUS", "SUBJECT", "CHALLENGE", "REASON"},
		{"GET /", "none", "200", "-", "-", "-"},
		{"GET /orders", "valid", "200", "alice", "-", "-"},
		{"GET /orders", "none", "401", "-", "Bearer", "no_token"},
		{"GET /orders", "expired", "401", "-", invalid, "expired"},
		{"GET /orders", "wrong audience", "401", "-", invalid, "audience"},
		{"GET /orders", "tampered", "401", "-", invalid, "signature"},
		{"GET /api/orders", "valid", "200", "alice", "-", "-"},
		{"GET /api/nothing", "none", "401", "-", "Bearer", "no_token"},
		{"POST /api/orders", "missing scope", "403", "-", insufficient, "forbidden"},
		{"POST /api/orders", "valid with scope", "200", "alice", "-", "-"},
	}, rows)
}

// The log has the reason of a refusal, and the answer has not. The client gets the same answer for
// two reasons.
func TestReasonIsInTheLogOnly(t *testing.T) {
	issuer, err := demo.StartIssuer()
	require.NoError(t, err)
	defer issuer.Close()
	handler, err := newHandler(issuer.URL)
	require.NoError(t, err)
	audit := &auditLog{Handler: slog.NewTextHandler(io.Discard, nil)}
	slog.SetDefault(slog.New(audit))

	var answers []http.Response
	for _, test := range []struct {
		reason  string
		changes map[string]any
	}{
		{"audience", map[string]any{"aud": "https://mail.example.com"}},
		{"issuer", map[string]any{"iss": "https://other.example.com"}},
	} {
		token := tokenOf(issuer, test.changes)
		r := httptest.NewRequest(http.MethodGet, "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		assert.Equal(t, http.StatusUnauthorized, w.Code)
		assert.Equal(t, test.reason, audit.takeReason())
		assert.Empty(t, audit.takeReason(), "the reason of one refusal is not that of the next")
		assert.NotContains(t, fmt.Sprint(w.Header(), w.Body), test.reason)
		answers = append(answers, *w.Result())
	}
	assert.Equal(t, answers[0].Header, answers[1].Header)
}

func TestTableReportsWrongRows(t *testing.T) {
	t.Parallel()
	issuer, err := demo.StartIssuer()
	require.NoError(t, err)
	defer issuer.Close()
	server := httptest.NewServer(http.HandlerFunc(showSubject)) // without a gate
	defer server.Close()

	var out bytes.Buffer
	err = printTable(t.Context(), &out, server.URL, issuer, new(auditLog))
	require.ErrorContains(t, err, `GET /orders, token expired: got {status:200 subject: challenge: reason:}, want {status:401`)
	assert.NotContains(t, err.Error(), "GET /, token none", "this row is right")
	_, table, _ := strings.Cut(out.String(), "\n\n")
	assert.Equal(t, len(trials())+1, strings.Count(table, "\n"), "wrong rows are printed too")
}

func TestTableWithoutServer(t *testing.T) {
	t.Parallel()
	issuer, err := demo.StartIssuer()
	require.NoError(t, err)
	defer issuer.Close()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	require.Error(t, printTable(t.Context(), io.Discard, server.URL, issuer, new(auditLog)))
}

func TestCurlLinesUntilInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	reader, writer := io.Pipe()
	var logs bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, writer, &logs, false)
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
	assert.Contains(t, logs.String(), `msg="jwtgate: allow"`)
	assert.Contains(t, logs.String(), "reason=no_token")
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
