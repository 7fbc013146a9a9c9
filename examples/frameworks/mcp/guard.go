package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A guard guards an MCP server with a gate. It has four parts, from the outside to the
// inside:
//
//   - gate verifies the token of each HTTP request.
//   - stepUp answers with 403 and the scopes that are needed, so that a client can ask
//     for them.
//   - bind binds each session to the user who began it.
//   - check decides whether a tool may be called. It runs where the SDK knows the tool.
type guard struct {
	gate   *jwtgate.Gate
	leeway time.Duration // of the gate
	rules  map[string][]jwtgate.Rule
}

// handler returns the handler of server, guarded.
func (g *guard) handler(server *mcp.Server, options *mcp.StreamableHTTPOptions) http.Handler {
	server.AddReceivingMiddleware(g.check)
	sdk := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, options)
	return g.gate.Handler(g.stepUp(g.bind(sdk)))
}

// addTool adds a tool that only tokens may call that pass all of rules. Without rules,
// each token that passes the gate may call it. A tool that is added in another way cannot
// be called.
func addTool[In, Out any](g *guard, server *mcp.Server, tool *mcp.Tool, call mcp.ToolHandlerFor[In, Out], rules ...jwtgate.Rule) {
	g.rules[tool.Name] = rules
	mcp.AddTool(server, tool, call)
}

// bind gives the SDK the user of each request. The SDK then refuses a request whose user
// is not the one who began the session. Without bind, whoever learns the ID of a session
// could read its messages, answer its questions and end it.
//
// bind also ends a stream when its token expires. It needs tokens that do: leave
// Options.AllowNoExpiry out.
func (g *guard) bind(next http.Handler) http.Handler {
	userOf := func(ctx context.Context, _ string, _ *http.Request) (*auth.TokenInfo, error) {
		token, ok := jwtgate.FromContext(ctx)
		if !ok {
			return nil, auth.ErrInvalidToken
		}
		return &auth.TokenInfo{
			// Two issuers may have the same subject, and a service that acts for a user is not
			// the user. The client may change: clients register again when the user signs in
			// again. The SDK binds no session if UserID is empty.
			UserID:     fmt.Sprintf("%q %q %q", token.Issuer, token.Subject, token.Actor),
			Scopes:     token.Scopes,
			Expiration: token.Expires,
			Extra:      map[string]any{"token": token},
		}, nil
	}
	// The SDK checks the expiry again. With another leeway than that of the gate, it would
	// refuse tokens that the gate has accepted, with a 401 that has no challenge.
	bound := auth.RequireBearerToken(userOf, &auth.RequireBearerTokenOptions{ClockSkew: g.leeway})(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := jwtgate.FromContext(r.Context())
		if !ok {
			g.gate.Deny(w, r, jwtgate.ErrNoToken)
			return
		}
		ctx, cancel := context.WithDeadline(r.Context(), token.Expires.Add(g.leeway))
		defer cancel()
		r = r.Clone(ctx)
		// The SDK shows the header to the tools. They need no token, and must not pass it on
		// to other services. The SDK accepts no scheme but Bearer, such as DPoP.
		r.Header.Set("Authorization", "Bearer checked-by-the-gate")
		bound.ServeHTTP(w, r)
	})
}

// check checks the rules of a tool before the SDK calls the tool. It also puts the token of
// the request into the context. In a session the SDK passes on the context of the request
// that began the session, whose token may be an older one, with other scopes.
func (g *guard) check(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, request mcp.Request) (mcp.Result, error) {
		token := tokenOf(request)
		ctx = jwtgate.NewContext(ctx, token)
		call, ok := request.(*mcp.CallToolRequest)
		if !ok {
			return next(ctx, method, request)
		}
		rules, known := g.rules[call.Params.Name]
		if !known {
			return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: fmt.Sprintf("unknown tool %q", call.Params.Name)}
		}
		if token == nil {
			return nil, errors.New("the call has no token")
		}
		for _, rule := range rules {
			// The rules see the header, and no method and no URL.
			if err := rule.Check((&http.Request{Header: request.GetExtra().Header}).WithContext(ctx), token); err != nil {
				return nil, fmt.Errorf("the access token does not grant what the tool %q needs", call.Params.Name)
			}
		}
		return next(ctx, method, request)
	}
}

// tokenOf returns the token of the HTTP request that request came with, or nil.
func tokenOf(request mcp.Request) *jwtgate.Token {
	extra := request.GetExtra()
	if extra == nil || extra.TokenInfo == nil {
		return nil
	}
	token, _ := extra.TokenInfo.Extra["token"].(*jwtgate.Token)
	return token
}

// stepUp refuses calls of tools whose rules the token does not pass. The answer is 403
// with the scopes that are needed, with which clients can sign the user in again. check
// could only answer with an error inside a response with status 200.
//
// stepUp reads the body and not the header Mcp-Name. Clients of protocol versions before
// 2026-07-28 may write anything into that header. stepUp is a help for clients all the
// same, and check is what protects the tools: it cannot read a body in another way than
// the SDK.
func (g *guard) stepUp(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mcp.DefaultMaxRequestBodyBytes))
		if err != nil {
			status := http.StatusBadRequest
			if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
				status = http.StatusRequestEntityTooLarge
			}
			http.Error(w, http.StatusText(status), status)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var rules []jwtgate.Rule
		for name := range calledTools(body) {
			rules = append(rules, g.rules[name]...)
		}
		if len(rules) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		g.gate.Require(rules...).Handler(next).ServeHTTP(w, r)
	})
}

// calledTools returns the names of the tools that the messages in body call.
func calledTools(body []byte) map[string]bool {
	var batch []json.RawMessage // of protocol version 2025-03-26
	if json.Unmarshal(body, &batch) != nil {
		batch = []json.RawMessage{body}
	}
	names := map[string]bool{}
	for _, text := range batch {
		message, err := jsonrpc.DecodeMessage(text)
		request, ok := message.(*jsonrpc.Request)
		if err != nil || !ok || request.Method != "tools/call" {
			continue
		}
		var params struct{ Name string }
		if json.Unmarshal(request.Params, &params) == nil {
			names[params.Name] = true
		}
	}
	return names
}
