package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/demo"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/suite"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var secret = []byte("a secret of this test and of nobody else")

// Protocol versions of MCP.
const (
	v2025March    = "2025-03-26" // the last one with batches
	v2025June     = "2025-06-18"
	v2025November = "2025-11-25"
	v2026July     = "2026-07-28" // the first one with the headers Mcp-Method and Mcp-Name
)

// A service is a server that runs.
type service struct {
	url, metadata string
}

// start starts a server on loopback. The function newHandler makes it.
func start(t *testing.T, newHandler func(resource string) (http.Handler, error)) service {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	url := "http://" + server.Listener.Addr().String()
	handler, err := newHandler(url + "/mcp")
	require.NoError(t, err)
	server.Config.Handler = handler
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections() // those of streams
		server.Close()
	})
	return service{url + "/mcp", url + "/.well-known/oauth-protected-resource/mcp"}
}

func startExample(t *testing.T, options *mcp.StreamableHTTPOptions) service {
	t.Helper()
	return start(t, func(resource string) (http.Handler, error) {
		return newHandler(keys.HS256(secret), demo.Issuer, resource, options)
	})
}

func (s service) token(subject, scope string) string {
	return demo.Token(secret, map[string]any{"aud": s.url, "sub": subject, "scope": scope})
}

// A client sends requests of the protocol by hand.
type client struct {
	service
	token, version, session string
	header                  map[string]string // further ones
}

func (c client) send(t *testing.T, method, body string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, c.url, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	for name, value := range map[string]string{
		"Authorization": "Bearer " + c.token, "Mcp-Protocol-Version": c.version, "Mcp-Session-Id": c.session,
	} {
		if strings.TrimPrefix(value, "Bearer ") != "" {
			request.Header.Set(name, value)
		}
	}
	for name, value := range c.header {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// initialize begins a session and returns c with its ID.
func (c client) initialize(t *testing.T) client {
	t.Helper()
	response := c.send(t, "POST", fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":%q,"capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`, c.version))
	require.Equal(t, http.StatusOK, response.StatusCode)
	c.session = response.Header.Get("Mcp-Session-Id")
	require.NotEmpty(t, c.session)
	response = c.send(t, "POST", `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	require.Equal(t, http.StatusAccepted, response.StatusCode)
	return c
}

// result returns the status and the last line of a response. That is the message of the
// server, in JSON.
func result(t *testing.T, response *http.Response) (int, string) {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(body)), "\n")
	return response.StatusCode, strings.TrimPrefix(lines[len(lines)-1], "data: ")
}

// callOf returns a message that calls a tool.
func callOf(tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":%q,"arguments":%s,"_meta":{}}}`, tool, argumentsOf[tool])
}

var argumentsOf = map[string]string{
	"list_notes": `{}`,
	"add_note":   `{"text":"milk"}`,
	"share_note": `{"text":"milk","with":"bob"}`,
}

// connect returns a session of the client of the SDK.
func (s service) connect(t *testing.T, token string) (*mcp.ClientSession, error) {
	t.Helper()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint:   s.url,
		HTTPClient: &http.Client{Transport: bearer(token)},
	}, nil)
	if err == nil {
		t.Cleanup(func() { _ = session.Close() })
	}
	return session, err
}

// bearer is a transport that sends a token.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

var modes = map[string]*mcp.StreamableHTTPOptions{
	"with sessions": nil,
	"stateless":     {Stateless: true},
}

// TestDiscovery tests what a client without a token learns.
// acceptance 64, 66, 67
func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := startExample(t, nil)
	response := client{service: s}.send(t, "POST", callOf("list_notes"))
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
	assert.Equal(t, []string{fmt.Sprintf(`Bearer realm="api", scope="notes:read", resource_metadata=%q`, s.metadata)}, response.Header["Www-Authenticate"])

	response, err := http.Get(s.metadata)
	require.NoError(t, err)
	defer response.Body.Close()
	var document map[string]any
	require.NoError(t, json.NewDecoder(response.Body).Decode(&document))
	assert.Equal(t, map[string]any{
		"resource":                 s.url,
		"resource_name":            "Notes",
		"authorization_servers":    []any{demo.Issuer},
		"scopes_supported":         []any{"notes:read", "notes:write", "notes:share"},
		"bearer_methods_supported": []any{"header"},
	}, document)
}

// TestTools calls each tool with the client of the SDK.
func TestTools(t *testing.T) {
	t.Parallel()
	for mode, options := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := startExample(t, options)
			for _, test := range []struct {
				scope     string
				list, add bool
				share     bool
			}{
				{scope: ""},
				{scope: "notes:share"},
				{scope: "notes:read", list: true},
				{scope: "notes:write", list: true, add: true}, // it implies notes:read
				{scope: "notes:read notes:share", list: true},
				{scope: "notes:write notes:share", list: true, add: true, share: true},
			} {
				t.Run(test.scope, func(t *testing.T) {
					t.Parallel()
					subject := "user of " + test.scope
					session, err := s.connect(t, s.token(subject, test.scope))
					if !test.list {
						require.Error(t, err)
						return
					}
					require.NoError(t, err)
					for tool, allowed := range map[string]bool{"add_note": test.add, "share_note": test.share, "no_such_tool": false} {
						_, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: json.RawMessage(argumentsOf[tool])})
						assert.Equal(t, allowed, err == nil, "%s: %v", tool, err)
						if err != nil { // the client ends its session after a 403
							session, err = s.connect(t, s.token(subject, test.scope))
							require.NoError(t, err)
						}
					}
					got, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "list_notes"})
					require.NoError(t, err)
					notes := []any{}
					if test.add {
						notes = append(notes, "milk")
					}
					assert.Equal(t, map[string]any{"subject": subject, "notes": notes}, got.StructuredContent)
				})
			}
		})
	}
}

// TestStepUp tests the refusal from which a client learns the scopes that a tool needs.
// acceptance 67, 68
func TestStepUp(t *testing.T) {
	t.Parallel()
	for mode, options := range modes {
		for tool, scope := range map[string]string{
			"add_note":   "notes:read notes:write",
			"share_note": "notes:read notes:write notes:share",
		} {
			t.Run(mode+"/"+tool, func(t *testing.T) {
				t.Parallel()
				s := startExample(t, options)
				response := client{service: s, token: s.token("alice", "notes:read"), version: v2025November}.send(t, "POST", callOf(tool))
				assert.Equal(t, http.StatusForbidden, response.StatusCode)
				assert.Equal(t, []string{fmt.Sprintf(`Bearer realm="api", scope=%q, error="insufficient_scope", `+
					`error_description="The access token does not grant what this request needs.", resource_metadata=%q`, scope, s.metadata)},
					response.Header["Www-Authenticate"])
			})
		}
	}
}

// TestSessionsAreBound tests that a user cannot use the session of another user, whatever
// the scopes.
func TestSessionsAreBound(t *testing.T) {
	t.Parallel()
	s := startExample(t, nil)
	alice := client{service: s, token: s.token("alice", "notes:write"), version: v2025November}.initialize(t)
	for name, other := range map[string]map[string]any{
		"another subject":                  {"sub": "bob"},
		"a subject with an issuer":         {"sub": demo.Issuer + `" "alice`},
		"a service that acts for the user": {"act": map[string]string{"sub": "mallory"}},
	} {
		claims := map[string]any{"aud": s.url, "scope": "notes:write"}
		for k, v := range other {
			claims[k] = v
		}
		bob := alice // with her session
		bob.token = demo.Token(secret, claims)
		for _, method := range []string{"POST", "GET", "DELETE"} {
			t.Run(name+"/"+method, func(t *testing.T) {
				response := bob.send(t, method, callOf("add_note"))
				require.Equal(t, http.StatusForbidden, response.StatusCode) // a stream would have no end
				_, text := result(t, response)
				assert.Equal(t, "session user mismatch", text)
			})
		}
	}
	status, text := result(t, alice.send(t, "POST", callOf("list_notes")))
	assert.Equal(t, http.StatusOK, status, "the session has not ended")
	assert.Contains(t, text, `"structuredContent":{"notes":[],"subject":"alice"}`)

	alice.token = s.token("alice", "notes:write") // a renewed one
	status, _ = result(t, alice.send(t, "POST", callOf("list_notes")))
	assert.Equal(t, http.StatusOK, status)
}

// TestTrapOfSessions shows why the example has bind and check. Behind a gate alone, a user
// who has the session ID of another user acts as that user.
func TestTrapOfSessions(t *testing.T) {
	t.Parallel()
	s := start(t, func(resource string) (http.Handler, error) {
		gate, err := jwtgate.New(jwtgate.Options{Keys: keys.HS256(secret), Issuers: []string{demo.Issuer}, Audiences: []string{resource}})
		server := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "v1.0.0"}, nil)
		mcp.AddTool(server, &mcp.Tool{Name: "list_notes"}, new(notes).list)
		return gate.Handler(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)), err
	})
	alice := client{service: s, token: s.token("alice", ""), version: v2025November}.initialize(t)
	bob := alice
	bob.token = s.token("bob", "")
	status, text := result(t, bob.send(t, "POST", callOf("list_notes")))
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, `"subject":"alice"`)
}

// TestTokenOfTheRequest tests that tools and rules see the token of their own request, not
// the one with which the session began.
func TestTokenOfTheRequest(t *testing.T) {
	t.Parallel()
	s := startExample(t, nil)
	alice := client{service: s, token: s.token("alice", "notes:read"), version: v2025November}.initialize(t)
	status, _ := result(t, alice.send(t, "POST", callOf("add_note")))
	require.Equal(t, http.StatusForbidden, status)

	alice.token = s.token("alice", "notes:write")
	status, text := result(t, alice.send(t, "POST", callOf("add_note")))
	assert.Equal(t, http.StatusOK, status, "the scope was granted meanwhile")
	assert.Contains(t, text, `"notes":["milk"]`)

	alice.token = s.token("alice", "notes:read")
	status, _ = result(t, alice.send(t, "POST", callOf("add_note")))
	assert.Equal(t, http.StatusForbidden, status, "the scope was taken away meanwhile")
}

// hostileCalls are bodies that call add_note in ways that a guard may overlook. With each
// goes the header Mcp-Name of a harmless tool.
var hostileCalls = map[string]string{
	"another tool than in the header": callOf("add_note"),
	"batch":                           "[" + callOf("list_notes") + "," + callOf("add_note") + "]",
	"batch of one":                    "[" + callOf("add_note") + "]",
	"name twice, the last counts":     `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"list_notes","name":"add_note","arguments":{"text":"milk"}}}`,
	"name twice, the first counts":    `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"add_note","name":"list_notes","arguments":{"text":"milk"}}}`,
	"name in another case beside it":  `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"add_note","Name":"list_notes","arguments":{"text":"milk"}}}`,
	"params twice":                    `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"list_notes"},"params":{"name":"add_note","arguments":{"text":"milk"}}}`,
	"method twice":                    `{"jsonrpc":"2.0","id":2,"method":"tools/list","method":"tools/call","params":{"name":"add_note","arguments":{"text":"milk"}}}`,
	"method in another case":          `{"jsonrpc":"2.0","id":2,"method":"tools/call","Method":"tools/list","params":{"name":"add_note","arguments":{"text":"milk"}}}`,
	"escaped name":                    `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"add_\u006eote","arguments":{"text":"milk"}}}`,
	"bytes after the message":         callOf("add_note") + callOf("list_notes"),
	"bytes before the message":        "\ufeff" + callOf("add_note"),
}

// TestHeadersDecideNothing tests that a token with notes:read adds no note, whatever the
// client writes into the headers and the body.
func TestHeadersDecideNothing(t *testing.T) {
	t.Parallel()
	for mode, options := range modes {
		s := startExample(t, options)
		for _, version := range []string{"", v2025March, v2025June, v2025November, v2026July} {
			for name, body := range hostileCalls {
				t.Run(mode+"/"+version+"/"+name, func(t *testing.T) {
					t.Parallel()
					c := client{service: s, version: version, token: s.token(t.Name(), "notes:read")}
					if mode == "with sessions" && version != "" && version != v2026July {
						c = c.initialize(t)
					}
					c.header = map[string]string{"Mcp-Method": "tools/call", "Mcp-Name": "list_notes"}
					_, _ = result(t, c.send(t, "POST", body))
					session, err := s.connect(t, c.token)
					require.NoError(t, err)
					got, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "list_notes"})
					require.NoError(t, err)
					assert.Equal(t, map[string]any{"subject": t.Name(), "notes": []any{}}, got.StructuredContent)
				})
			}
		}
	}
	t.Run("the answer is 403", func(t *testing.T) {
		s := startExample(t, modes["stateless"])
		c := client{service: s, version: v2025November, token: s.token("alice", "notes:read"), header: map[string]string{"Mcp-Name": "list_notes"}}
		status, _ := result(t, c.send(t, "POST", callOf("add_note")))
		assert.Equal(t, http.StatusForbidden, status)
	})
}

// TestTrapOfHeaders shows why the example has no rule about the header Mcp-Name. A client
// of an older protocol version passes that rule with a lie.
func TestTrapOfHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, func(resource string) (http.Handler, error) {
		gate, err := jwtgate.New(jwtgate.Options{
			Keys: keys.HS256(secret), Issuers: []string{demo.Issuer}, Audiences: []string{resource},
			Rules: []jwtgate.Rule{jwtgate.RuleFunc(func(r *http.Request, token *jwtgate.Token) error {
				if r.Header.Get("Mcp-Name") == "list_notes" {
					return nil
				}
				return jwtgate.Scope("notes:write").Check(r, token)
			})},
		})
		server := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "v1.0.0"}, nil)
		mcp.AddTool(server, &mcp.Tool{Name: "add_note"}, new(notes).add)
		return gate.Handler(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, modes["stateless"])), err
	})
	c := client{service: s, version: v2025November, token: s.token("alice", "notes:read"), header: map[string]string{"Mcp-Name": "list_notes"}}
	status, text := result(t, c.send(t, "POST", callOf("add_note")))
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, `"notes":["milk"]`)
}

// TestCheck tests that check protects the tools alone, without stepUp.
func TestCheck(t *testing.T) {
	t.Parallel()
	s := start(t, func(resource string) (http.Handler, error) {
		gate, err := jwtgate.New(jwtgate.Options{Keys: keys.HS256(secret), Issuers: []string{demo.Issuer}, Audiences: []string{resource}})
		g := &guard{gate: gate, leeway: leeway, rules: map[string][]jwtgate.Rule{}}
		server := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "v1.0.0"}, nil)
		server.AddReceivingMiddleware(g.check)
		addTool(g, server, &mcp.Tool{Name: "list_notes"}, new(notes).list)
		addTool(g, server, &mcp.Tool{Name: "add_note"}, new(notes).add, jwtgate.Scope("notes:write"))
		mcp.AddTool(server, &mcp.Tool{Name: "forgotten"}, new(notes).add)
		sdk := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, modes["stateless"])
		mux := http.NewServeMux()
		mux.Handle("/mcp", gate.Handler(g.bind(sdk)))
		mux.Handle("/unbound", gate.Handler(sdk))
		mux.Handle("/unguarded", g.bind(sdk))
		return mux, err
	})
	at := func(path string) service { return service{url: strings.TrimSuffix(s.url, "/mcp") + path} }
	for _, test := range []struct {
		name, scope, body string
		service           service
		want              string
	}{
		{"allowed", "notes:write", callOf("add_note"), s, `"notes":["milk"]`},
		{"no rules", "", callOf("list_notes"), s, `"subject":"alice"`},
		{"scope missing", "notes:read", callOf("add_note"), s, `the access token does not grant what the tool \"add_note\" needs`},
		{"tool added in another way", "notes:write", strings.Replace(callOf("add_note"), "add_note", "forgotten", 1), s, `unknown tool \"forgotten\"`},
		{"bind left out", "notes:write", callOf("list_notes"), at("/unbound"), "the call has no token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := client{service: test.service, token: s.token("alice", test.scope), version: v2025November}
			status, text := result(t, c.send(t, "POST", test.body))
			assert.Equal(t, http.StatusOK, status)
			assert.Contains(t, text, test.want)
		})
	}
	t.Run("gate left out", func(t *testing.T) {
		c := client{service: at("/unguarded"), token: s.token("alice", "notes:write"), version: v2025November}
		assert.Equal(t, http.StatusUnauthorized, c.send(t, "POST", callOf("list_notes")).StatusCode)
	})
}

// TestLeeway tests that the SDK does not refuse a token that the gate accepts.
func TestLeeway(t *testing.T) {
	t.Parallel()
	s := startExample(t, modes["stateless"])
	token := demo.Token(secret, map[string]any{"aud": s.url, "scope": "notes:read", "exp": time.Now().Add(-leeway / 3).Unix()})
	status, text := result(t, client{service: s, token: token, version: v2025November}.send(t, "POST", callOf("list_notes")))
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, `"subject":"alice"`)
}

// TestStreamEnds tests that a stream ends with its token.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	s := startExample(t, nil)
	alice := client{service: s, token: s.token("alice", "notes:read"), version: v2025November}.initialize(t)
	alice.token = demo.Token(secret, map[string]any{"aud": s.url, "scope": "notes:read", "exp": time.Now().Add(10*time.Second - leeway).Unix()})
	response := alice.send(t, "GET", "")
	require.Equal(t, http.StatusOK, response.StatusCode)
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, ": ok\n", line)
	// A stream without an end fails the test.
	defer time.AfterFunc(time.Minute, func() { _ = response.Body.Close() }).Stop()
	_, err = io.ReadAll(response.Body)
	require.NoError(t, err)
}

// TestWhatToolsSee tests that tools see the verified token of their own request in the
// context, also in a session that began with another one. They do not see the text of the
// token, which they could pass on.
func TestWhatToolsSee(t *testing.T) {
	t.Parallel()
	type sight struct {
		scopes        []string
		authorization string
	}
	seen := make(chan sight, 1)
	s := start(t, func(resource string) (http.Handler, error) {
		gate, err := jwtgate.New(jwtgate.Options{Keys: keys.HS256(secret), Issuers: []string{demo.Issuer}, Audiences: []string{resource}})
		g := &guard{gate: gate, leeway: leeway, rules: map[string][]jwtgate.Rule{}}
		server := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "v1.0.0"}, nil)
		addTool(g, server, &mcp.Tool{Name: "list_notes"}, func(ctx context.Context, call *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, noteList, error) {
			token, _ := jwtgate.FromContext(ctx)
			seen <- sight{token.Scopes, call.Extra.Header.Get("Authorization")}
			return nil, noteList{Notes: []string{}}, nil
		})
		return g.handler(server, nil), err
	})
	alice := client{service: s, token: s.token("alice", "old"), version: v2025November}.initialize(t)
	alice.token = s.token("alice", "new")
	status, _ := result(t, alice.send(t, "POST", callOf("list_notes")))
	require.Equal(t, http.StatusOK, status)
	assert.Equal(t, sight{[]string{"new"}, "Bearer checked-by-the-gate"}, <-seen)
}

// A scheme accepts all tokens that are bound to a DPoP key, without a proof.
type scheme struct{}

func (scheme) Method() string                                      { return "jkt" }
func (scheme) Confirm(*http.Request, *jwtgate.Token, string) error { return nil }
func (scheme) Scheme() string                                      { return "DPoP" }
func (scheme) Challenge() map[string]string                        { return nil }
func (scheme) SetHeader(http.Header, *http.Request)                {}

// TestOtherScheme tests that the SDK lets tokens pass that come under another scheme than
// Bearer.
func TestOtherScheme(t *testing.T) {
	t.Parallel()
	s := start(t, func(resource string) (http.Handler, error) {
		return newHandler(keys.HS256(secret), demo.Issuer, resource, modes["stateless"], scheme{})
	})
	token := demo.Token(secret, map[string]any{"aud": s.url, "scope": "notes:read", "cnf": map[string]string{"jkt": "thumbprint"}})
	for authorization, want := range map[string]int{"DPoP " + token: http.StatusOK, "Bearer " + token: http.StatusUnauthorized} {
		c := client{service: s, version: v2025November, header: map[string]string{"Authorization": authorization}}
		assert.Equal(t, want, c.send(t, "POST", callOf("list_notes")).StatusCode)
	}
}

func TestLongBody(t *testing.T) {
	t.Parallel()
	s := startExample(t, nil)
	body := strings.Repeat(" ", mcp.DefaultMaxRequestBodyBytes) + callOf("list_notes")
	response := client{service: s, token: s.token("alice", "notes:read"), version: v2025November}.send(t, "POST", body)
	assert.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
}

func TestAttack(t *testing.T) {
	t.Parallel()
	const resource = "https://mcp.example.com/mcp"
	handler, err := newHandler(keys.HS256(secret), demo.Issuer, resource, &mcp.StreamableHTTPOptions{
		Stateless: true, DisableLocalhostProtection: true, // Attack sends another Host
	})
	require.NoError(t, err)
	jwttest.Attack(t, handler, jwttest.Target{
		Key: secret, Algorithm: "HS256", Issuer: demo.Issuer, Audience: resource, Strict: true,
		Claims: map[string]any{"scope": "notes:read"},
		Routes: []jwttest.Route{{Method: "POST", Path: "/mcp", Body: callOf("list_notes"), Header: http.Header{
			"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {v2025November},
		}}},
	})
}

// TestKeysOfAnIssuer tests the server with keys that it fetches.
func TestKeysOfAnIssuer(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	s := start(t, func(resource string) (http.Handler, error) {
		return newHandler(suite.Source(issuer), demo.Issuer, resource, nil)
	})
	session, err := s.connect(t, suite.Token(issuer, map[string]any{"aud": s.url, "scope": "notes:read"}))
	require.NoError(t, err)
	_, err = session.CallTool(t.Context(), &mcp.CallToolParams{Name: "list_notes"})
	require.NoError(t, err)
}
