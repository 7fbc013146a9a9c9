package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/jwtgate/jwtgate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A guard returns the gate of a method, or nil for a public method.
type guard func(method string) *jwtgate.Gate

// check returns ctx with the caller's token, or a gRPC status error. For a public
// method it returns ctx unchanged. It puts the authorization metadata into an
// http.Request, so that the gate reads it as strictly as a header.
func (g guard) check(ctx context.Context, method string) (context.Context, error) {
	gate := g(method)
	if gate == nil {
		return ctx, nil
	}
	r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: method}, Header: http.Header{
		"Authorization": metadata.ValueFromIncomingContext(ctx, "authorization"),
	}}
	token, err := gate.Check(r.WithContext(ctx))
	if err == nil {
		return jwtgate.NewContext(ctx, token), nil
	}
	var refusal *jwtgate.Error
	errors.As(err, &refusal) // errors of Check always have this type
	switch refusal.Status {
	case http.StatusForbidden:
		return nil, status.Error(codes.PermissionDenied, "the token does not grant this")
	case http.StatusServiceUnavailable:
		return nil, status.Error(codes.Unavailable, "the token cannot be verified at the moment")
	default:
		return nil, status.Error(codes.Unauthenticated, "this needs a valid token")
	}
}

func (g guard) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	ctx, err := g.check(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handle(ctx, request)
}

func (g guard) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, err := g.check(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handle(service, guardedStream{stream, ctx})
}

// A guardedStream is a stream whose context has the token.
type guardedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s guardedStream) Context() context.Context { return s.ctx }
