package witness

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// Cases returns the cases. They share nothing, so that each can run many times.
func Cases() []*Case {
	return []*Case{
		{Name: "plain", method: "GET", target: "/path?a=1;b", serve: hello},
		{Name: "HEAD", method: "HEAD", target: "/", serve: hello},
		{Name: "no content", method: "DELETE", target: "/", serve: func(_ *exchange, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		}},
		{Name: "nothing written", method: "GET", target: "/", serve: func(*exchange, http.ResponseWriter, *http.Request) {}},
		{Name: "headers and status", method: "GET", target: "/", serve: func(_ *exchange, w http.ResponseWriter, _ *http.Request) {
			w.Header()["X-Two"] = []string{"1", "2"}
			w.Header().Set("Content-Encoding", "br")
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "short and stout")
			w.Header().Set("X-Late", "not sent")
		}},
		{Name: "large body", method: "GET", target: "/", serve: func(e *exchange, w http.ResponseWriter, _ *http.Request) {
			n, err := io.Copy(w, strings.NewReader(strings.Repeat("0123456789", 100_000)))
			e.handler("copied %d, %v", n, err)
		}},
		{Name: "body with a length", method: "POST", target: "/", body: text("hello"), length: 5, serve: readBody},
		{Name: "body without a length", method: "POST", target: "/", body: text("hello"), serve: readBody},
		{Name: "body that is not read", method: "POST", target: "/", body: text("hello"), serve: hello},
		{Name: "body that is too long", method: "POST", target: "/", body: text(strings.Repeat("x", 1000)),
			serve: func(e *exchange, w http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 3)) // tells the server to close the connection
				e.handler("%v", err)
				http.Error(w, "too long", http.StatusRequestEntityTooLarge)
			}},
		{Name: "flush", method: "GET", target: "/", serve: func(e *exchange, w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "first,")
			e.handler("flush: %v", http.NewResponseController(w).Flush())
			e.wait(r)
			io.WriteString(w, "second")
		}},
		{Name: "hijack", HTTP1: true, method: "GET", target: "/", serve: func(e *exchange, w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			e.handler("hijack: %v", err)
			if err == nil {
				io.WriteString(conn, "HTTP/1.1 299 Hijacked\r\nConnection: close\r\n\r\nraw")
				conn.Close()
			}
		}},
		{Name: "informational responses", method: "GET", target: "/", serve: func(_ *exchange, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			w.WriteHeader(http.StatusProcessing)
			io.WriteString(w, "done")
		}},
		{Name: "expect 100-continue", HTTP1: true, method: "POST", target: "/", header: map[string]string{"Expect": "100-continue"},
			body: text("hello"), serve: readBody},
		{Name: "trailers of the request", RequestTrailers: true, method: "POST", target: "/", body: withTrailers, serve: readBody},
		{Name: "trailers after a form", RequestTrailers: true, method: "POST", target: "/",
			header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: withTrailers,
			serve: func(e *exchange, w http.ResponseWriter, r *http.Request) {
				e.handler("parse: %v, %v", r.ParseForm(), r.Form)
				readBody(e, w, r)
			}},
		{Name: "trailers of the response", method: "GET", target: "/", serve: func(e *exchange, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, "body")
			w.Header().Set("X-Sum", "42")
			w.Header().Set(http.TrailerPrefix+"X-Unannounced", "43")
		}},
		{Name: "trailers of the response, after a flush", method: "GET", target: "/", serve: func(e *exchange, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, "body")
			e.handler("flush: %v", http.NewResponseController(w).Flush())
			w.Header().Set("X-Sum", "42")
			w.Header().Set(http.TrailerPrefix+"X-Unannounced", "43")
		}},
		{Name: "form of a query", method: "GET", target: "/?a=1&a=2", serve: func(e *exchange, _ http.ResponseWriter, r *http.Request) {
			e.handler("a is %q", r.FormValue("a"))
		}},
		{Name: "form of a body", method: "POST", target: "/?a=1", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
			body: text("a=2&b=3"), serve: func(e *exchange, _ http.ResponseWriter, r *http.Request) {
				e.handler("b is %q", r.PostFormValue("b"))
			}},
		{Name: "upload", method: "POST", target: "/?a=1", header: multipartHeader, body: text(multipartBody), serve: upload},
		{Name: "upload, part by part", method: "POST", target: "/", header: multipartHeader, body: text(multipartBody),
			serve: func(e *exchange, _ http.ResponseWriter, r *http.Request) {
				reader, err := r.MultipartReader()
				e.handler("reader: %v", err)
				if err == nil {
					part, err := reader.NextPart()
					e.handler("part: %q, %v", part.FormName(), err)
				}
			}},
		{Name: "upload, and files removed by the handler", method: "POST", target: "/", header: multipartHeader, body: text(multipartBody),
			serve: func(e *exchange, w http.ResponseWriter, r *http.Request) {
				upload(e, w, r)
				e.handler("remove: %v", r.MultipartForm.RemoveAll())
				r.MultipartForm = nil
			}},
		{Name: "upload and panic", recover: true, method: "POST", target: "/", header: multipartHeader, body: text(multipartBody),
			serve: func(e *exchange, w http.ResponseWriter, r *http.Request) {
				upload(e, w, r)
				panic("after the upload")
			}},
		{Name: "upload by a route", method: "POST", target: "/files/7", header: multipartHeader, body: text(multipartBody),
			patterns: []string{"POST /files/{id}"}, serve: upload},
		{Name: "panic", method: "GET", target: "/", serve: func(*exchange, http.ResponseWriter, *http.Request) { panic("of the handler") }},
		{Name: "panic with ErrAbortHandler", method: "GET", target: "/", serve: func(*exchange, http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}},
		{Name: "panic in the middle of a body", method: "GET", target: "/", serve: func(e *exchange, w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "half")
			e.handler("flush: %v", http.NewResponseController(w).Flush())
			e.wait(r)
			panic(http.ErrAbortHandler)
		}},
		{Name: "panic, recovered", recover: true, method: "GET", target: "/", serve: func(*exchange, http.ResponseWriter, *http.Request) {
			panic(errors.New("of the handler"))
		}},
		{Name: "panic in a route, recovered", recover: true, method: "GET", target: "/users/7/a/b", patterns: []string{"GET /users/{id}/{rest...}"},
			serve: func(*exchange, http.ResponseWriter, *http.Request) { panic("of the route") }},
		{Name: "route", method: "GET", target: "/users/7/a/b", patterns: []string{"GET /users/{id}/{rest...}", "/"}, serve: hello},
		{Name: "route of a host", method: "GET", target: "/users/%2F%7B", patterns: []string{"service.example/users/{id}/{$}", "service.example/users/{id}"}, serve: hello},
		{Name: "route with the end of the path", method: "GET", target: "/users/7/", patterns: []string{"/users/{id}/{$}"}, serve: hello},
		{Name: "route without wildcards", method: "GET", target: "/users", patterns: []string{"GET /users"}, serve: hello},
		{Name: "route whose handler changes a path value", method: "GET", target: "/users/7", patterns: []string{"/users/{id}"},
			serve: func(_ *exchange, _ http.ResponseWriter, r *http.Request) { r.SetPathValue("id", "8") }},
		{Name: "no route", method: "GET", target: "/nowhere", patterns: []string{"/users/{id}"}, serve: hello},
		{Name: "route for another method", method: "POST", target: "/users/7", patterns: []string{"GET /users/{id}"}, serve: hello},
		{Name: "route with a redirect", method: "GET", target: "/users/7", patterns: []string{"/users/{id}/"}, serve: hello},
		{Name: "deadlines", method: "POST", target: "/", body: text("hello"), serve: func(e *exchange, w http.ResponseWriter, r *http.Request) {
			controller := http.NewResponseController(w)
			e.handler("write deadline: %v", controller.SetWriteDeadline(time.Now().Add(time.Hour)))
			e.handler("read deadline: %v", controller.SetReadDeadline(time.Now().Add(time.Hour)))
			readBody(e, w, r)
		}},
		{Name: "read deadline that has passed", method: "POST", target: "/", body: untilFirstByte, serve: func(e *exchange, w http.ResponseWriter, r *http.Request) {
			e.handler("deadline: %v", http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)))
			_, err := io.Copy(io.Discard, r.Body)
			e.handler("deadline exceeded: %t", errors.Is(err, os.ErrDeadlineExceeded))
			w.Header().Set("Connection", "close")
			io.WriteString(w, "too slow")
		}},
		{Name: "full duplex", method: "POST", target: "/", body: untilFirstByte, serve: func(e *exchange, w http.ResponseWriter, r *http.Request) {
			controller := http.NewResponseController(w)
			err := controller.EnableFullDuplex()
			e.handler("full duplex: %v", errors.Is(err, http.ErrNotSupported))
			one := make([]byte, 1)
			_, err = io.ReadFull(r.Body, one)
			e.handler("read %q, %v", one, err)
			fmt.Fprintf(w, "got %s,", one)
			e.handler("flush: %v", controller.Flush())
			readBody(e, w, r)
		}},
		{Name: "client that goes away", method: "GET", target: "/", onFirstByte: func(e *exchange) { e.cancel() },
			serve: func(e *exchange, w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "first")
				e.handler("flush: %v", http.NewResponseController(w).Flush())
				<-r.Context().Done()
				e.handler("context: %v", r.Context().Err())
			}},
	}
}

func hello(_ *exchange, w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "hello, %s", r.URL.Path)
}

func readBody(e *exchange, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	e.handler("body %q, %v", body, err)
	e.handler("trailer %s", sorted(r.Trailer))
	fmt.Fprintf(w, "%d bytes", len(body))
}

// multipartBody has a value and a file, which is stored in a temporary file if it is
// parsed with the limit 0.
var multipartBody = "--x\r\nContent-Disposition: form-data; name=v\r\n\r\nvalue\r\n" +
	"--x\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n" + strings.Repeat("f", 1000) + "\r\n--x--\r\n"

var multipartHeader = map[string]string{"Content-Type": "multipart/form-data; boundary=x"}

func upload(e *exchange, w http.ResponseWriter, r *http.Request) {
	e.handler("parse: %v", r.ParseMultipartForm(0))
	files, err := os.ReadDir(os.TempDir())
	e.handler("%d files, %v", len(files), err)
	io.WriteString(w, r.FormValue("v"))
}

func text(s string) func(*exchange, *http.Request) io.Reader {
	return func(*exchange, *http.Request) io.Reader { return strings.NewReader(s) }
}

// withTrailers returns a body with an announced and an unannounced trailer.
func withTrailers(_ *exchange, r *http.Request) io.Reader {
	r.Trailer = http.Header{"X-Announced": nil}
	return io.MultiReader(strings.NewReader("hello"), readerFunc(func([]byte) (int, error) {
		r.Trailer["X-Announced"], r.Trailer["X-Unannounced"] = []string{"1"}, []string{"2"}
		return 0, io.EOF
	}))
}

// untilFirstByte returns a body whose second half is sent when the client has read a
// byte of the response.
func untilFirstByte(e *exchange, r *http.Request) io.Reader {
	return io.MultiReader(strings.NewReader("1"), readerFunc(func([]byte) (int, error) {
		e.wait(r)
		return 0, io.EOF
	}), strings.NewReader("234"))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
