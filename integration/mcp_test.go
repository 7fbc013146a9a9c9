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

// startMCPServer builds and starts examples/frameworks/mcp, and returns the URL of the
// server. Like TestPlayground, its tests do not see changes of the program's sources.
func startMCPServer(t *testing.T, args ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "mcp.exe")
	build := exec.Command("go", "build", "-o", program, "./mcp")
	build.Dir = "../examples/frameworks"
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
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
	issuer := startNodeProvider(t, npmDir(t))
	for mode, args := range map[string][]string{"with sessions": nil, "stateless": {"-stateless"}} {
		for _, registered := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, registered %t", mode, registered), func(t *testing.T) {
				t.Parallel()
				server := startMCPServer(t, append(args, "-issuer", issuer)...)
				var asked []string // the scopes of each authorization request
				config := &auth.AuthorizationCodeHandlerConfig{
					RedirectURL: redirectURI,
					AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
						request, err := url.Parse(args.URL)
						require.NoError(t, err)
						assert.Equal(t, server, request.Query().Get("resource"))
						scopes := strings.Fields(request.Query().Get("scope"))
						slices.Sort(scopes) // the client sends them in any order
						asked = append(asked, strings.Join(scopes, " "))
						got := signIn(t, args.URL)
						return &auth.AuthorizationResult{Code: got.Get("code"), State: got.Get("state"), Iss: got.Get("iss")}, nil
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
func signIn(t *testing.T, address string) (answer url.Values) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), redirectURI+"?") {
			answer = r.URL.Query()
			return http.ErrUseLastResponse
		}
		return nil
	}}
	response, err := browser.Get(address)
	require.NoError(t, err)
	defer response.Body.Close()
	require.NotNil(t, answer, "%s", response.Status)
	return answer
}

// TestMCPClientTypeScript does the same as TestMCPClientGo with the client of MCP's
// TypeScript SDK, which can also bind its tokens to a key.
func TestMCPClientTypeScript(t *testing.T) {
	t.Parallel()
	dir := npmDir(t)
	issuer := startNodeProvider(t, dir)
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
			server := startMCPServer(t, append(test.args, "-issuer", issuer)...)
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
