package main

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/demo"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The procedures of the service. Their messages are well-known types of protobuf, so
// no generated code is needed.
const (
	ping  = "/demo.v1.Demo/Ping"
	me    = "/demo.v1.Demo/Me"
	watch = "/demo.v1.Demo/Watch"
	order = "/demo.v1.Demo/Order"
)

// subject takes the place of your procedures.
func subject(ctx context.Context, _ *emptypb.Empty) (*wrapperspb.StringValue, error) {
	return wrapperspb.String(jwtgate.Subject(ctx)), nil
}

// subjects takes the place of your streams.
func subjects(ctx context.Context, _ *emptypb.Empty, stream *connect.ServerStream[wrapperspb.StringValue]) error {
	return stream.Send(wrapperspb.String(jwtgate.Subject(ctx)))
}

// printCurl prints requests for the service at url, in the Connect protocol.
func printCurl(url string, secret []byte) {
	const anonymous = "curl -i -H \"Content-Type: application/json\" -d {} %s%s\n"
	const withToken = "curl -i -H \"Content-Type: application/json\" -d {} -H \"Authorization: Bearer %s\" %s%s\n"
	fmt.Printf(anonymous, url, ping)
	fmt.Printf(anonymous, url, me)
	fmt.Printf(withToken, demo.Token(secret, nil), url, me)
	fmt.Printf(withToken, demo.Token(secret, nil), url, order)
	fmt.Printf(withToken, demo.Token(secret, map[string]any{"scope": "orders:write"}), url, order)
}
