package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jwtgate/jwtgate/examples/internal/demo"
)

// A result is the response to a request, and what the server logged meanwhile.
type result struct {
	status    int
	subject   string // as the handler saw it; "" if the request was refused or had no token
	challenge string // WWW-Authenticate
	reason    string // why the request was refused: from the log, because the response does not say it
}

// The challenges that the gate sends (RFC 6750 section 3). The challenge for a request
// without a token has no error code.
const (
	bare         = `Bearer realm="api"`
	expired      = bare + `, error="invalid_token", error_description="The access token has expired."`
	invalid      = bare + `, error="invalid_token", error_description="The access token is not valid."`
	insufficient = bare + `, scope="orders:write", error="insufficient_scope", ` +
		`error_description="The access token does not grant what this request needs."`
)

// A trial is a request and its expected result.
type trial struct {
	method, path string
	token        string         // describes the token in the table
	claims       map[string]any // changes to the claims of a good token; nil: send no token
	tampered     bool           // replace the signature with that of another token
	want         result
}

// trials returns the rows of the table.
func trials() []trial {
	good := map[string]any{}
	past := map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}
	elsewhere := map[string]any{"aud": "https://mail.example.com"}
	mallory := map[string]any{"sub": "mallory"}
	writer := map[string]any{"scope": "orders:read orders:write"}
	return []trial{
		{"GET", "/", "none", nil, false, result{200, "", "", ""}},
		{"GET", "/orders", "valid", good, false, result{200, "alice", "", ""}},
		{"GET", "/orders", "none", nil, false, result{401, "", bare, "no_token"}},
		{"GET", "/orders", "expired", past, false, result{401, "", expired, "expired"}},
		{"GET", "/orders", "wrong audience", elsewhere, false, result{401, "", invalid, "audience"}},
		{"GET", "/orders", "tampered", mallory, true, result{401, "", invalid, "signature"}},
		{"GET", "/api/orders", "valid", good, false, result{200, "alice", "", ""}},
		{"GET", "/api/nothing", "none", nil, false, result{401, "", bare, "no_token"}},
		{"POST", "/api/orders", "missing scope", good, false, result{403, "", insufficient, "forbidden"}},
		{"POST", "/api/orders", "valid with scope", writer, false, result{200, "alice", "", ""}},
	}
}

// printTable sends each request and prints the result. It returns an error that
// lists the rows with an unexpected result.
func printTable(ctx context.Context, out io.Writer, url string, issuer *demo.Issuer, log *auditLog) error {
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()

	fmt.Fprintln(out, "The client gets STATUS and CHALLENGE, which the table shows without realm and error_description.")
	fmt.Fprintln(out, "REASON is not in the answer. The server logs it, and the table takes it from the log.")
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REQUEST\tTOKEN\tSTATUS\tSUBJECT\tCHALLENGE\tREASON")
	var wrong []error
	for _, t := range trials() {
		got, err := t.send(ctx, client, url, issuer)
		if err != nil {
			return errors.Join(table.Flush(), err)
		}
		got.reason = log.takeReason()
		fmt.Fprintf(table, "%s %s\t%s\t%d\t%s\t%s\t%s\n",
			t.method, t.path, t.token, got.status, dash(got.subject), dash(shorten(got.challenge)), dash(got.reason))
		if got != t.want {
			wrong = append(wrong, fmt.Errorf("%s %s, token %s: got %+v, want %+v", t.method, t.path, t.token, got, t.want))
		}
	}
	return errors.Join(table.Flush(), errors.Join(wrong...))
}

// shorten returns a challenge without its realm and its description, so that the table
// fits into a terminal.
func shorten(challenge string) string {
	challenge, _, _ = strings.Cut(challenge, `, error_description=`)
	challenge = strings.Replace(challenge, bare+", ", "Bearer ", 1)
	return strings.Replace(challenge, bare, "Bearer", 1)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// send sends the request, with a new token unless t.claims is nil.
func (t trial) send(ctx context.Context, client *http.Client, url string, issuer *demo.Issuer) (result, error) {
	request, err := http.NewRequestWithContext(ctx, t.method, url+t.path, nil)
	if err != nil {
		return result{}, err
	}
	if t.claims != nil {
		token := tokenOf(issuer, t.claims)
		if t.tampered {
			genuine := tokenOf(issuer, nil)
			token = token[:strings.LastIndex(token, ".")] + genuine[strings.LastIndex(genuine, "."):]
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}

	response, err := client.Do(request)
	if err != nil {
		return result{}, err
	}
	defer response.Body.Close()
	// A refusal is a JSON object too. It has no subject.
	var body struct {
		Subject string `json:"subject"`
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		return result{}, fmt.Errorf("%s %s: reading the answer: %w", t.method, t.path, err)
	}
	return result{status: response.StatusCode, subject: body.Subject, challenge: response.Header.Get("WWW-Authenticate")}, nil
}

// tokenOf returns a token that lets alice read her orders. The claims in changes are added
// or replaced.
func tokenOf(issuer *demo.Issuer, changes map[string]any) string {
	claims := map[string]any{"aud": audience, "sub": "alice", "scope": "orders:read"}
	maps.Copy(claims, changes)
	return issuer.Token(claims)
}

// printCurl prints requests for the reader to send.
func printCurl(out io.Writer, url string, issuer *demo.Issuer) error {
	token := tokenOf(issuer, map[string]any{"scope": "orders:read orders:write"})
	_, err := fmt.Fprintf(out, `
The server keeps running, and logs here. Try it from another terminal. The token is valid for an hour:

curl -i -H "Authorization: Bearer %[2]s" %[1]s/orders

curl -i -X POST -H "Authorization: Bearer %[2]s" %[1]s/api/orders

curl -i %[1]s/orders

Ctrl-C stops the server.
`, url, token)
	return err
}
