package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/demo"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/suite"
	"github.com/jwtgate/jwtgate/jwttest"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	reflectpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

var secret = []byte("a secret of this test and of nobody else")

// connectTo starts the service on loopback and returns a connection to it.
func connectTo(t *testing.T, source jwtgate.KeySource) *grpc.ClientConn {
	server, err := newServer(source)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		assert.NoError(t, <-ended)
	})
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close()) })
	return conn
}

// call calls a method and returns the subject in its answer.
func call(ctx context.Context, conn *grpc.ClientConn, method string, md ...string) (string, error) {
	ctx = metadata.AppendToOutgoingContext(ctx, md...)
	client := pb.NewTestServiceClient(conn)
	switch method {
	case pb.TestService_EmptyCall_FullMethodName:
		_, err := client.EmptyCall(ctx, &pb.Empty{})
		return "", err
	case pb.TestService_StreamingOutputCall_FullMethodName:
		stream, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{})
		if err != nil {
			return "", err
		}
		response, err := stream.Recv()
		if err != nil {
			return "", err
		}
		if _, err := stream.Recv(); err != io.EOF {
			return "", fmt.Errorf("the stream has a second message or failed: %v", err)
		}
		return string(response.Payload.Body), nil
	default:
		response := new(pb.SimpleResponse)
		err := conn.Invoke(ctx, method, &pb.SimpleRequest{}, response)
		return response.Username, err
	}
}

const (
	public = pb.TestService_EmptyCall_FullMethodName
	me     = pb.TestService_UnaryCall_FullMethodName
	order  = pb.TestService_CacheableUnaryCall_FullMethodName
	watch  = pb.TestService_StreamingOutputCall_FullMethodName
)

func TestMethods(t *testing.T) {
	t.Parallel()
	conn := connectTo(t, keys.HS256(secret))
	alice := "Bearer " + demo.Token(secret, nil)
	writer := "Bearer " + demo.Token(secret, map[string]any{"scope": "orders:write"})
	forged := "Bearer " + demo.Token([]byte("another secret of the same length, or so"), nil)

	for _, test := range []struct {
		name, method string
		metadata     []string
		code         codes.Code
		answer       string // the subject, or the text of the status
	}{
		{"public", public, nil, codes.OK, ""},
		{"public, with a bad token", public, []string{"authorization", forged}, codes.OK, ""},
		{"no token", me, nil, codes.Unauthenticated, "this needs a valid token"},
		{"another scheme", me, []string{"authorization", "Basic YWxpY2U6c2VjcmV0"}, codes.Unauthenticated, "this needs a valid token"},
		{"no scheme", me, []string{"authorization", alice[len("Bearer "):]}, codes.Unauthenticated, "this needs a valid token"},
		{"forged", me, []string{"authorization", forged}, codes.Unauthenticated, "this needs a valid token"},
		{"two values, the first good", me, []string{"authorization", alice, "authorization", forged}, codes.Unauthenticated, "this needs a valid token"},
		{"two values, the last good", me, []string{"authorization", forged, "authorization", alice}, codes.Unauthenticated, "this needs a valid token"},
		{"the same value twice", me, []string{"authorization", alice, "Authorization", alice}, codes.Unauthenticated, "this needs a valid token"},
		{"in one value", me, []string{"authorization", alice + ", " + alice}, codes.Unauthenticated, "this needs a valid token"},
		{"elsewhere", me, []string{"token", alice, "grpc-authorization", alice}, codes.Unauthenticated, "this needs a valid token"},
		{"good", me, []string{"authorization", alice}, codes.OK, "alice"},
		{"good, in capitals", me, []string{"Authorization", alice}, codes.OK, "alice"},
		{"scope missing", order, []string{"authorization", alice}, codes.PermissionDenied, "the token does not grant this"},
		{"scope", order, []string{"authorization", writer}, codes.OK, "alice"},
		{"stream, no token", watch, nil, codes.Unauthenticated, "this needs a valid token"},
		{"stream, forged", watch, []string{"authorization", forged}, codes.Unauthenticated, "this needs a valid token"},
		{"stream, two values", watch, []string{"authorization", alice, "authorization", alice}, codes.Unauthenticated, "this needs a valid token"},
		{"stream, good", watch, []string{"authorization", alice}, codes.OK, "alice"},
		{"a method without a case in newServer", pb.TestService_UnimplementedCall_FullMethodName, nil, codes.Unauthenticated, "this needs a valid token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			answer, err := call(t.Context(), conn, test.method, test.metadata...)
			assert.Equal(t, test.code, status.Code(err))
			if err != nil {
				assert.Empty(t, answer)
				answer = status.Convert(err).Message()
			}
			assert.Equal(t, test.answer, answer)
		})
	}
}

func TestReflectionIsGuarded(t *testing.T) {
	t.Parallel()
	stream, err := reflectpb.NewServerReflectionClient(connectTo(t, keys.HS256(secret))).ServerReflectionInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, stream.CloseSend())
	_, err = stream.Recv()
	assert.Equal(t, codes.Unauthenticated, status.Code(err))
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	issuer.Down(http.StatusServiceUnavailable)
	conn := connectTo(t, suite.Source(issuer))
	for _, method := range []string{me, watch} {
		_, err := call(t.Context(), conn, method, "authorization", "Bearer "+suite.Token(issuer, nil))
		assert.Equal(t, codes.Unavailable, status.Code(err))
		assert.Equal(t, "the token cannot be verified at the moment", status.Convert(err).Message())
	}
}

func TestManyUsersAtOnce(t *testing.T) {
	t.Parallel()
	conn := connectTo(t, keys.HS256(secret))
	var users sync.WaitGroup
	for i := range 8 {
		name := fmt.Sprintf("user-%d", i)
		token := "Bearer " + demo.Token(secret, map[string]any{"sub": name})
		users.Go(func() {
			for range 25 {
				for _, method := range []string{me, watch} {
					subject, err := call(t.Context(), conn, method, "authorization", token)
					assert.NoError(t, err)
					assert.Equal(t, name, subject)
				}
				_, err := call(t.Context(), conn, me)
				assert.Equal(t, codes.Unauthenticated, status.Code(err))
			}
		})
	}
	users.Wait()
}
