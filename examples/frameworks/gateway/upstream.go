package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"time"
)

// startUpstream starts the service behind the gateway and returns its URL. The service
// trusts the header X-User.
func startUpstream() *url.URL {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(hello), ReadHeaderTimeout: 5 * time.Second}
	go func() { log.Fatal(server.Serve(listener)) }()
	return &url.URL{Scheme: "http", Host: listener.Addr().String()}
}

// hello takes the place of the handlers of your service.
func hello(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "subject: %q\n", r.Header.Get("X-User"))
}
