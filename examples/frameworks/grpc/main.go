// Grpc guards methods of a gRPC service with jwtgate. The interceptors in guard.go work
// for any service.
//
//	go run ./grpc
//
// prints grpcurl lines with tokens.
package main

import (
	"crypto/rand"
	"flag"
	"log"
	"net"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing" // takes the place of your generated code
	"google.golang.org/grpc/reflection"
)

// newServer returns the service. It verifies tokens with keys from source.
func newServer(source jwtgate.KeySource) (*grpc.Server, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      source,
		Issuers:   []string{"https://auth.example.com/"},
		Audiences: []string{"https://api.example.com"},
	})
	if err != nil {
		return nil, err
	}
	writers := gate.Require(jwtgate.Scope("orders:write"))
	g := guard(func(method string) *jwtgate.Gate {
		switch method {
		case pb.TestService_EmptyCall_FullMethodName:
			return nil
		case pb.TestService_CacheableUnaryCall_FullMethodName:
			return writers
		}
		return gate // a new method is guarded unless it gets a case above
	})
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(g.unary), grpc.ChainStreamInterceptor(g.stream))
	pb.RegisterTestServiceServer(server, service{})
	reflection.Register(server) // for grpcurl
	return server, nil
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()

	// In production pass &keys.Remote{}, which discovers the issuer's keys.
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	server, err := newServer(keys.HS256(secret))
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	printLines(*addr, secret)
	log.Fatal(server.Serve(listener))
}
