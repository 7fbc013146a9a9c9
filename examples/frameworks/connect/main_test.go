package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/demo"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/suite"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var secret = []byte("a secret of this test and of nobody else")

func start(t *testing.T, source jwtgate.KeySource) *httptest.Server {
	handler, err := newHandler(source)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// protocols maps each protocol to the options that make a client use it.
var protocols = map[string][]connect.ClientOption{
	"connect":      nil,
	"connect json": {connect.WithProtoJSON()},
	"grpc":         {connect.WithGRPC()},
	"grpc-web":     {connect.WithGRPCWeb()},
}

// call calls a procedure and returns the subject in its answer.
func call(ctx context.Context, server *httptest.Server, protocol, procedure string, authorization ...string) (string, error) {
	client := connect.NewClient[emptypb.Empty, wrapperspb.StringValue](server.Client(), server.URL+procedure, protocols[protocol]...)
	request := connect.NewRequest(&emptypb.Empty{})
	if authorization != nil {
		request.Header()["Authorization"] = authorization
	}
	if procedure != watch {
		response, err := client.CallUnary(ctx, request)
		if err != nil {
			return "", err
		}
		return response.Msg.Value, nil
	}
	stream, err := client.CallServerStream(ctx, request)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	var subject strings.Builder
	for stream.Receive() {
		subject.WriteString(stream.Msg().Value)
	}
	return subject.String(), stream.Err()
}

func TestProcedures(t *testing.T) {
	t.Parallel()
	server := start(t, keys.HS256(secret))
	alice := "Bearer " + demo.Token(secret, nil)
	writer := "Bearer " + demo.Token(secret, map[string]any{"scope": "orders:write"})
	forged := "Bearer " + demo.Token([]byte("another secret of the same length, or so"), nil)
	const ok connect.Code = 0

	for protocol := range protocols {
		for _, test := range []struct {
			name, procedure string
			authorization   []string
			code            connect.Code
			answer          string // the subject, or the text of the error
		}{
			{"public", ping, nil, ok, ""},
			{"public, with a token", ping, []string{alice}, ok, ""},
			{"no token", me, nil, connect.CodeUnauthenticated, "unauthenticated"},
			{"forged", me, []string{forged}, connect.CodeUnauthenticated, "invalid_token"},
			{"two headers", me, []string{alice, alice}, connect.CodeInvalidArgument, "invalid_request"},
			{"good", me, []string{alice}, ok, "alice"},
			{"scope missing", order, []string{alice}, connect.CodePermissionDenied, "insufficient_scope"},
			{"scope", order, []string{writer}, ok, "alice"},
			{"stream, no token", watch, nil, connect.CodeUnauthenticated, "unauthenticated"},
			{"stream, forged", watch, []string{forged}, connect.CodeUnauthenticated, "invalid_token"},
			{"stream, two headers", watch, []string{alice, alice}, connect.CodeInvalidArgument, "invalid_request"},
			{"stream, good", watch, []string{alice}, ok, "alice"},
		} {
			t.Run(protocol+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				subject, err := call(t.Context(), server, protocol, test.procedure, test.authorization...)
				if test.code == ok {
					require.NoError(t, err)
					assert.Equal(t, test.answer, subject)
					return
				}
				var refused *connect.Error
				require.ErrorAs(t, err, &refused)
				assert.Equal(t, test.code, refused.Code())
				assert.Equal(t, test.answer, refused.Message())
				assert.True(t, connect.IsWireError(err), "the server sent the error; the client did not derive it from the HTTP status")
				assert.Empty(t, subject)
			})
		}
	}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	issuer.Down(http.StatusServiceUnavailable)
	server := start(t, suite.Source(issuer))
	for protocol := range protocols {
		for _, procedure := range []string{me, watch} {
			_, err := call(t.Context(), server, protocol, procedure, "Bearer "+suite.Token(issuer, nil))
			assert.Equal(t, connect.CodeUnavailable, connect.CodeOf(err), protocol)
			assert.True(t, connect.IsWireError(err), protocol)
		}
	}
	got, header := post(t, server, me, "Bearer "+suite.Token(issuer, nil))
	assert.Equal(t, suite.Answer{Status: http.StatusServiceUnavailable, Body: `{"code":"unavailable","message":"unavailable"}`}, got)
	assert.Regexp(t, `^[1-9][0-9]*$`, header.Get("Retry-After"))
}

// TestHTTP tests the answers as curl shows them.
func TestHTTP(t *testing.T) {
	t.Parallel()
	server := start(t, keys.HS256(secret))
	got, header := post(t, server, me)
	assert.Equal(t, suite.Answer{
		Status:    http.StatusUnauthorized,
		Challenge: `Bearer realm="api"`,
		Body:      `{"code":"unauthenticated","message":"unauthenticated"}`,
	}, got)
	assert.Equal(t, "application/json", header.Get("Content-Type"))
	got, _ = post(t, server, order, "Bearer "+demo.Token(secret, nil))
	assert.Equal(t, http.StatusForbidden, got.Status)
	assert.Contains(t, got.Challenge, `scope="orders:write", error="insufficient_scope"`)
	got, _ = post(t, server, me, "Bearer "+demo.Token(secret, nil))
	assert.Equal(t, suite.Answer{Status: http.StatusOK, Body: `"alice"`}, got)

	// A request that is not an RPC gets the gate's own answer.
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+me, nil)
	require.NoError(t, err)
	got, _ = suite.Do(t, server.Client(), request)
	assert.Equal(t, http.StatusUnauthorized, got.Status)
	assert.Contains(t, got.Body, `"error":"unauthorized"`)
}

// post calls a procedure with an empty JSON message.
func post(t *testing.T, server *httptest.Server, procedure string, authorization ...string) (suite.Answer, http.Header) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+procedure, strings.NewReader("{}"))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header["Authorization"] = authorization
	return suite.Do(t, server.Client(), request)
}

func TestManyUsersAtOnce(t *testing.T) {
	t.Parallel()
	server := start(t, keys.HS256(secret))
	var users sync.WaitGroup
	for i := range 8 {
		name := fmt.Sprintf("user-%d", i)
		token := "Bearer " + demo.Token(secret, map[string]any{"sub": name})
		users.Go(func() {
			for range 10 {
				for protocol := range protocols {
					for procedure, want := range map[string]string{ping: "", me: name, watch: name} {
						subject, err := call(t.Context(), server, protocol, procedure, token)
						assert.NoError(t, err)
						assert.Equal(t, want, subject)
					}
				}
			}
		})
	}
	users.Wait()
}

func TestAttack(t *testing.T) {
	t.Parallel()
	suite.Attack(t, func(source jwtgate.KeySource) (http.Handler, error) {
		handler, err := newHandler(source)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Turn the GET of the attack into a call with an empty message.
			r.Method, r.URL.Path = http.MethodPost, me
			r.Header.Set("Content-Type", "application/proto")
			handler.ServeHTTP(w, r)
		}), err
	})
}
