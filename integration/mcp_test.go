package integration_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// buildMCPServer builds examples/frameworks/mcp and returns the path of the program. As with
// TestPlayground, go test does not see changes of the program's sources.
func buildMCPServer(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "mcp.exe")
	build := exec.Command("go", "build", "-o", program, "./mcp")
	build.Dir = "../examples/frameworks"
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// startMCPServer starts the program and returns the URL of the server.
func startMCPServer(t *testing.T, program string, args ...string) string {
	t.Helper()
	line := startProgram(t, exec.Command(program, append([]string{"-addr", "127.0.0.1:0"}, args...)...), "http://")
	return line[strings.Index(line, "http://"):]
}

// redirectURI is that of the clients of the authorization server in testdata/npm. Nothing
// listens there.
const redirectURI = "http://127.0.0.1:9/callback"

// TestMCPClientGo signs in with the client of MCP's Go SDK. The client has no token, and
// learns all it needs from the answers of the server. It signs its user in once more when a
// tool needs more scopes.
// acceptance 64, 68
func TestMCPClientGo(t *testing.T) {
	t.Parallel()
	issuer, program := startNodeProvider(t, npmDir(t)), buildMCPServer(t)
	for mode, args := range map[string][]string{"with sessions": nil, "stateless": {"-stateless"}} {
		for _, registered := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, registered %t", mode, registered), func(t *testing.T) {
				t.Parallel()
				server := startMCPServer(t, program, append(args, "-issuer", issuer)...)
				var asked []string // the scopes of each authorization request
				config := &auth.AuthorizationCodeHandlerConfig{
					RedirectURL: redirectURI,
					AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
						request, err := url.Parse(args.URL)
						if err != nil {
							return nil, err
						}
						assert.Equal(t, server, request.Query().Get("resource"))
						scopes := strings.Fields(request.Query().Get("scope"))
						slices.Sort(scopes) // the client sends them in any order
						asked = append(asked, strings.Join(scopes, " "))
						got, err := signIn(ctx, args.URL)
						return &auth.AuthorizationResult{Code: got.Get("code"), State: got.Get("state"), Iss: got.Get("iss")}, err
					},
				}
				if registered {
					config.PreregisteredClient = &oauthex.ClientCredentials{ClientID: "app"}
				} else {
					config.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
						ClientName: "test", RedirectURIs: []string{redirectURI}, TokenEndpointAuthMethod: "none",
						GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"},
					}}
				}
				handler, err := auth.NewAuthorizationCodeHandler(config)
				require.NoError(t, err)
				session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).
					Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: server, OAuthHandler: handler}, nil)
				require.NoError(t, err)
				defer session.Close()

				for _, call := range []struct {
					tool      string
					arguments map[string]any
					notes     []any
				}{
					{"list_notes", nil, []any{}},
					{"add_note", map[string]any{"text": "milk"}, []any{"milk"}},
					{"share_note", map[string]any{"text": "tea", "with": "bob"}, []any{"milk"}},
				} {
					got, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: call.tool, Arguments: call.arguments})
					require.NoError(t, err, call.tool)
					assert.Equal(t, map[string]any{"subject": "alice", "notes": call.notes}, got.StructuredContent)
				}
				assert.Equal(t, []string{"notes:read", "notes:read notes:write", "notes:read notes:share notes:write"}, asked)
			})
		}
	}
}

// signIn follows the redirects of an authorization request as a browser does, and returns
// the query of the last one, to redirectURI.
func signIn(ctx context.Context, address string) (answer url.Values, err error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), redirectURI+"?") {
			answer = r.URL.Query()
			return http.ErrUseLastResponse
		}
		return nil
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := browser.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if answer == nil {
		return nil, fmt.Errorf("status %d of %s", response.StatusCode, response.Request.URL)
	}
	return answer, nil
}

// TestMCPClientTypeScript does the same as TestMCPClientGo with the client of MCP's
// TypeScript SDK, which can also bind its tokens to a key.
func TestMCPClientTypeScript(t *testing.T) {
	t.Parallel()
	dir := npmDir(t)
	issuer, program := startNodeProvider(t, dir), buildMCPServer(t)
	for _, test := range []struct {
		name   string
		args   []string
		dpop   bool
		scheme string
	}{
		{"with sessions", nil, false, "Bearer"},
		{"stateless", []string{"-stateless"}, false, "Bearer"},
		{"with sessions, bound to a key", []string{"-dpop"}, true, "DPoP"},
		{"stateless, bound to a key", []string{"-stateless", "-dpop"}, true, "DPoP"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := startMCPServer(t, program, append(test.args, "-issuer", issuer)...)
			type signIn struct{ Scope, Resource string }
			type noteList struct {
				Subject string
				Notes   []string
			}
			var got struct {
				SignIns          []signIn
				Schemes          []string
				List, Add, Share noteList
			}
			node(t, dir, "mcp.mjs", map[string]any{"url": server, "dpop": test.dpop}, &got)
			assert.Equal(t, []signIn{
				{"notes:read", server}, {"notes:read notes:write", server}, {"notes:read notes:write notes:share", server},
			}, got.SignIns)
			assert.Equal(t, []string{test.scheme}, got.Schemes)
			assert.Equal(t, noteList{"alice", []string{}}, got.List)
			assert.Equal(t, noteList{"alice", []string{"milk"}}, got.Add)
			assert.Equal(t, noteList{"alice", []string{"milk"}}, got.Share)
		})
	}
}
