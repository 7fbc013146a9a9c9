package main

import (
	"context"
	"fmt"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/demo"
	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

// A service answers with the caller's subject.
type service struct {
	pb.UnimplementedTestServiceServer
}

// EmptyCall is public.
func (service) EmptyCall(context.Context, *pb.Empty) (*pb.Empty, error) {
	return &pb.Empty{}, nil
}

// UnaryCall is guarded.
func (service) UnaryCall(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return &pb.SimpleResponse{Username: jwtgate.Subject(ctx)}, nil
}

// CacheableUnaryCall requires a scope.
func (service) CacheableUnaryCall(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return &pb.SimpleResponse{Username: jwtgate.Subject(ctx)}, nil
}

// StreamingOutputCall is guarded.
func (service) StreamingOutputCall(_ *pb.StreamingOutputCallRequest, stream grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	return stream.Send(&pb.StreamingOutputCallResponse{
		Payload: &pb.Payload{Body: []byte(jwtgate.Subject(stream.Context()))},
	})
}

// printLines prints calls of the service at addr.
func printLines(addr string, secret []byte) {
	token, writer := demo.Token(secret, nil), demo.Token(secret, map[string]any{"scope": "orders:write"})
	for _, call := range []struct{ token, method string }{
		{token, "UnaryCall"}, {token, "StreamingOutputCall"}, {token, "CacheableUnaryCall"}, {writer, "CacheableUnaryCall"},
	} {
		fmt.Printf("grpcurl -plaintext -H \"Authorization: Bearer %s\" %s grpc.testing.TestService/%s\n\n", call.token, addr, call.method)
	}
}
