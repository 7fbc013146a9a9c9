// MCP guards a server of the Model Context Protocol with jwtgate. The server has notes,
// and tools with different scopes.
//
//	go run ./mcp
//
// prints curl lines with tokens. With
//
//	go run ./mcp -issuer https://auth.example.com
//
// the server accepts the tokens of that issuer. MCP clients then sign their users in
// there.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/jwtgate/jwtgate/examples/frameworks/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const leeway = 30 * time.Second

// newHandler returns the service. Clients know it as resource, a URL with the path /mcp.
// It verifies tokens of issuer with keys from source. With confirm, it accepts only tokens
// that are bound to a key.
func newHandler(source jwtgate.KeySource, issuer, resource string, options *mcp.StreamableHTTPOptions, confirm ...jwtgate.Confirmer) (http.Handler, error) {
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      source,
		Issuers:   []string{issuer},
		Audiences: []string{resource}, // tokens for other services are refused (RFC 8707)
		Leeway:    leeway,
		Confirm:   confirm,
		Resource:  resource,
		Metadata: map[string]any{
			"resource_name":    "Notes",
			"scopes_supported": []string{"notes:read", "notes:write", "notes:share"},
		},
	})
	if err != nil {
		return nil, err
	}
	// Who may write notes may read them too. A challenge names the first alternative, which
	// is the smallest one.
	reader := jwtgate.AnyOf(jwtgate.Scope("notes:read"), jwtgate.Scope("notes:write"))
	g := &guard{gate: gate.Require(reader), leeway: leeway, rules: map[string][]jwtgate.Rule{}}
	server := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "v1.0.0"}, nil)
	var notes notes
	addTool(g, server, &mcp.Tool{Name: "list_notes", Description: "List your notes."}, notes.list)
	addTool(g, server, &mcp.Tool{Name: "add_note", Description: "Add a note."}, notes.add, jwtgate.Scope("notes:write"))
	addTool(g, server, &mcp.Tool{Name: "share_note", Description: "Add a note for another user."}, notes.share,
		jwtgate.Scope("notes:write", "notes:share"))

	mux := http.NewServeMux()
	mux.Handle(gate.Metadata())
	mux.Handle("/mcp", g.handler(server, options))
	return mux, nil
}

// notes takes the place of your tools. It has the notes of each user.
type notes struct {
	mu   sync.Mutex
	byID map[string][]string
}

type noteList struct {
	Subject string   `json:"subject" jsonschema:"whose notes these are"`
	Notes   []string `json:"notes"`
}

// list returns the notes of the caller. A tool gets the token from its context, as a
// handler does.
func (n *notes) list(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, noteList, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	subject := jwtgate.Subject(ctx)
	return nil, noteList{subject, append([]string{}, n.byID[subject]...)}, nil
}

type newNote struct {
	Text string `json:"text"`
}

func (n *notes) add(ctx context.Context, call *mcp.CallToolRequest, note newNote) (*mcp.CallToolResult, noteList, error) {
	n.addFor(jwtgate.Subject(ctx), note.Text)
	return n.list(ctx, call, struct{}{})
}

type sharedNote struct {
	Text string `json:"text"`
	With string `json:"with" jsonschema:"the user who gets the note"`
}

func (n *notes) share(ctx context.Context, call *mcp.CallToolRequest, note sharedNote) (*mcp.CallToolResult, noteList, error) {
	n.addFor(note.With, note.Text)
	return n.list(ctx, call, struct{}{})
}

func (n *notes) addFor(subject, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byID == nil {
		n.byID = map[string][]string{}
	}
	n.byID[subject] = append(n.byID[subject], text)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	resource := flag.String("resource", "", "`URL` by which clients know the server; http://ADDRESS/mcp if empty")
	issuer := flag.String("issuer", "", "`URL` of the issuer of the tokens; the program prints tokens of its own if empty")
	stateless := flag.Bool("stateless", false, "have no sessions")
	bound := flag.Bool("dpop", false, "accept only tokens that are bound to a DPoP key")
	flag.Parse()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	if *resource == "" {
		*resource = "http://" + listener.Addr().String() + "/mcp"
	}
	fmt.Printf("The MCP server is %s\n\n", *resource)

	var confirm []jwtgate.Confirmer
	if *bound {
		nonceKey := make([]byte, 32)
		rand.Read(nonceKey) // never fails
		confirm = append(confirm, &dpop.Verifier{URLs: []string{strings.TrimSuffix(*resource, "/mcp")}, NonceKeys: [][]byte{nonceKey}})
	}
	var source jwtgate.KeySource = &keys.Remote{}
	if *issuer == "" {
		secret := make([]byte, 32)
		rand.Read(secret) // never fails
		source = keys.HS256(secret)
		*issuer = demo.Issuer
		printCurl(*resource, secret)
	}
	handler, err := newHandler(source, *issuer, *resource, &mcp.StreamableHTTPOptions{Stateless: *stateless}, confirm...)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(listener))
}

// printCurl prints calls of a tool: without a token, with a token that lacks a scope, and
// the first message of a session.
func printCurl(resource string, secret []byte) {
	token := func(scope string) string {
		return demo.Token(secret, map[string]any{"aud": resource, "scope": scope})
	}
	const types = "-H \"Content-Type: application/json\" -H \"Accept: application/json, text/event-stream\""
	const add = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add_note","arguments":{"text":"hello"}}}`
	const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":` +
		`{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}`
	fmt.Printf("curl -i %s -d '%s' %s\n\n", types, add, resource)
	fmt.Printf("curl -i -H \"Authorization: Bearer %s\" %s -d '%s' %s\n\n", token("notes:read"), types, add, resource)
	fmt.Printf("curl -i -H \"Authorization: Bearer %s\" %s -d '%s' %s\n\n", token("notes:write"), types, initialize, resource)
	fmt.Printf("In an MCP client, set the URL to %s and the header Authorization to\nBearer %s\n", resource, token("notes:write notes:share"))
}
