// Package witness serves requests, and records what the client, the handler, and
// middleware outside see. Tests compare the records with and without a middleware
// between the two: a middleware is invisible if the records are equal.
package witness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Case is a request, and a handler that uses some feature of net/http.
type Case struct {
	Name string
	// HTTP1 is set if only HTTP/1.1 has the feature.
	HTTP1 bool
	// RequestTrailers is set if the request has trailers.
	RequestTrailers bool

	method, target string
	header         map[string]string
	body           func(*exchange, *http.Request) io.Reader // nil: no body
	length         int64                                    // of the body; 0 if it is not announced
	onFirstByte    func(*exchange)                          // called when the client has read a byte of the body
	recover        bool                                     // middleware outside recovers from panics
	serve          func(*exchange, http.ResponseWriter, *http.Request)
	patterns       []string // if there are any, a mux with these routes calls serve
}

// A Record is what was seen, one observation in each string. It lacks what differs between two
// runs of the same exchange, such as the header Date and port numbers.
type Record struct {
	Client  []string // the response, the informational responses before it, trailers
	Handler []string // the request, and the results of what the handler calls
	Outside []string // the request before and after, the value of a panic
	Files   []string // temporary files that are left behind
}

// A Start starts a server. stop stops it and returns when no handler runs.
type Start func(http.Handler) (url string, client http.RoundTripper, stop func())

// An exchange is one request and its answer, while they are being recorded.
type exchange struct {
	mu     sync.Mutex
	record Record

	cancel    context.CancelFunc // of the client's request
	firstByte chan struct{}      // closed when the client has read a byte of the body
}

func (e *exchange) note(lines *[]string, format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	*lines = append(*lines, fmt.Sprintf(format, args...))
}

// handler notes what the handler sees.
func (e *exchange) handler(format string, args ...any) { e.note(&e.record.Handler, format, args...) }

// client notes what the client sees.
func (e *exchange) client(format string, args ...any) { e.note(&e.record.Client, format, args...) }

// outside notes what the middleware outside sees.
func (e *exchange) outside(format string, args ...any) { e.note(&e.record.Outside, format, args...) }

// wait returns when the client has read a byte of the body, or has gone away.
func (e *exchange) wait(r *http.Request) {
	select {
	case <-e.firstByte:
	case <-r.Context().Done():
	}
}

// Run sends the request of c, with the given header, and returns what was seen. The
// server's handler is a recorder around middleware, which is around the handler of c.
//
// Run counts the files in os.TempDir, which must be empty and used by nobody else.
func (c *Case) Run(start Start, middleware func(http.Handler) http.Handler, header http.Header) (Record, error) {
	// A test that hangs ends here. No machine is so slow that it gets here otherwise.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e := &exchange{cancel: cancel, firstByte: make(chan struct{})}
	served := make(chan struct{})
	inner := middleware(c.handler(e))
	url, client, stop := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(served)
		defer func() {
			if c.recover {
				if value := recover(); value != nil {
					e.outside("panic: %v", value)
					http.Error(w, "recovered", http.StatusInternalServerError)
				}
			}
			e.outside("after: %s", describe(r))
		}()
		e.outside("before: %s", describe(r))
		inner.ServeHTTP(w, r)
	}))

	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, e.trace()), c.method, url+c.target, nil)
	if err != nil {
		stop()
		return Record{}, err
	}
	r.Host = "service.example"
	maps.Copy(r.Header, header)
	r.Header.Set("Accept-Encoding", "identity")
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	if c.body != nil {
		r.Body, r.ContentLength = io.NopCloser(c.body(e, r)), -1
	}
	if c.length > 0 {
		r.ContentLength = c.length
	}
	c.exchange(e, client, r)
	<-served
	stop()
	files, err := os.ReadDir(os.TempDir())
	for range files {
		e.record.Files = append(e.record.Files, "a file")
	}
	return e.record, err
}

// handler returns the handler of c, which records in e.
func (c *Case) handler(e *exchange) http.Handler {
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.handler("%s", features(w))
		e.handler("before: %s", describe(r))
		defer func() { e.handler("after: %s", describe(r)) }()
		c.serve(e, w, r)
	})
	if len(c.patterns) == 0 {
		return serve
	}
	mux := http.NewServeMux()
	for _, pattern := range c.patterns {
		mux.Handle(pattern, serve)
	}
	return mux
}

// exchange sends r and reads the response.
func (c *Case) exchange(e *exchange, client http.RoundTripper, r *http.Request) {
	response, err := client.RoundTrip(r)
	if err != nil {
		e.client("no response")
		return
	}
	e.client("%s %d", response.Proto, response.StatusCode)
	response.Header.Del("Date")
	e.client("header %s", sorted(response.Header))
	e.client("length %d, transfer encoding %q, close %t", response.ContentLength, response.TransferEncoding, response.Close)

	first := make([]byte, 1)
	n, err := io.ReadFull(response.Body, first)
	if n > 0 {
		close(e.firstByte)
		if c.onFirstByte != nil {
			c.onFirstByte(e)
		}
		var rest []byte
		rest, err = io.ReadAll(response.Body)
		first = append(first, rest...)
	} else {
		first = nil
	}
	response.Body.Close()
	if err != nil && !errors.Is(err, io.EOF) {
		e.client("the body ends in an error")
	}
	if len(first) > 200 {
		e.client("body of %d bytes", len(first))
	} else {
		e.client("body %q", first)
	}
	e.client("trailer %s", sorted(response.Trailer))
}

// trace notes informational responses.
func (e *exchange) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		Got100Continue: func() { e.client("100 Continue") },
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			if status != http.StatusContinue {
				e.client("%d %s", status, sorted(http.Header(header)))
			}
			return nil
		},
	}
}

// describe returns what can be seen in r.
func describe(r *http.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %s, ", r.Method, r.RequestURI, r.URL, r.Proto)
	fmt.Fprintf(&b, "host %s, close %t, TLS %t, address %t, ", r.Host, r.Close, r.TLS != nil, r.RemoteAddr != "")
	fmt.Fprintf(&b, "header %s, length %d, transfer encoding %q, ", sorted(r.Header), r.ContentLength, r.TransferEncoding)
	fmt.Fprintf(&b, "body %T, trailer %s, ", r.Body, sorted(r.Trailer))
	fmt.Fprintf(&b, "pattern %q, id %q, rest %q, ", r.Pattern, r.PathValue("id"), r.PathValue("rest"))
	fmt.Fprintf(&b, "form %t %v, post form %t %v, ", r.Form != nil, r.Form, r.PostForm != nil, r.PostForm)
	fmt.Fprintf(&b, "multipart form %t", r.MultipartForm != nil)
	if r.MultipartForm != nil {
		fmt.Fprintf(&b, " %v %d", r.MultipartForm.Value, len(r.MultipartForm.File))
	}
	_, deadline := r.Context().Deadline()
	fmt.Fprintf(&b, ", server %t, local address %t, deadline %t, context %v", r.Context().Value(http.ServerContextKey) != nil,
		r.Context().Value(http.LocalAddrContextKey) != nil, deadline, r.Context().Err())
	return b.String()
}

// features returns what w can do.
func features(w http.ResponseWriter) string {
	_, flusher := w.(http.Flusher)
	_, hijacker := w.(http.Hijacker)
	_, readerFrom := w.(io.ReaderFrom)
	_, stringWriter := w.(io.StringWriter)
	_, pusher := w.(http.Pusher)
	return fmt.Sprintf("%T: flusher %t, hijacker %t, reader-from %t, string writer %t, pusher %t", w, flusher, hijacker, readerFrom, stringWriter, pusher)
}

// sorted returns h on one line. An empty header is the same as nil.
func sorted(h http.Header) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		fmt.Fprintf(&b, "%s=%q ", name, h[name])
	}
	return b.String()
}
