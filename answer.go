package jwtgate

import (
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An answerer writes the answers to refused requests.
type answerer struct {
	challenges challenges
	bindings   *bindings                                        // nil in the answerer of a Gate that New did not make
	onDeny     func(http.ResponseWriter, *http.Request, *Error) // nil: the standard body
}

// defaultRealm is the realm of challenges if Options.Realm is empty: a challenge
// needs at least one parameter (RFC 6750 section 3).
const defaultRealm = "api"

// deny writes the answer that e describes. r may be nil.
func (a *answerer) deny(w http.ResponseWriter, r *http.Request, e *Error) {
	header := w.Header()
	if p := passageOf(r); p.isBy(w) {
		setHeader(header, "Content-Encoding", p.encoding)
	}
	dropBodyHeaders(header)
	encoding := header["Content-Encoding"]
	code, description := describe(e)
	values := [4]string{"no-store"} // one allocation for the values of all headers
	header["Cache-Control"] = values[0:1:1]
	if e.Status == http.StatusServiceUnavailable {
		values[1] = retryAfter(e.RetryAfter)
		header["Retry-After"] = values[1:2:2]
	} else {
		challenges := slices.Clip(a.challenges.append(values[1:1:2], r, e, code, description))
		if given := slices.Clip(header["Www-Authenticate"]); len(given) > 0 {
			for _, c := range challenges {
				if !slices.Contains(given, c) {
					given = append(given, c)
				}
			}
			challenges = given
		}
		header["Www-Authenticate"] = challenges
	}
	if a.bindings != nil {
		a.bindings.setHeaders(header, r)
	}
	if a.onDeny != nil {
		d := &denialWriter{ResponseWriter: w, status: e.Status, encoding: encoding}
		shown := *e // OnDeny may change its copy
		a.callOnDeny(d, r, &shown)
		if d.wroteHeader {
			return
		}
		dropBodyHeaders(header)
		setHeader(header, "Content-Encoding", encoding)
		d.restoreHeader()
	}
	values[2], values[3] = "application/json", "nosniff"
	header["Content-Type"] = values[2:3:3]
	header["X-Content-Type-Options"] = values[3:4:4]
	w.WriteHeader(e.Status)
	if r == nil || r.Method != http.MethodHead {
		// JSON does not need to escape any character of these two texts.
		_, _ = w.Write([]byte(`{"error":"` + code + `","error_description":"` + description + `"}` + "\n"))
	}
}

// callOnDeny calls OnDeny. It hides the conditions of the request and the range that
// the client wants: they are about the resource, not about the body of a refusal.
// With them, http.ServeFile would answer 304, 412 or 206 instead of serving the page.
func (a *answerer) callOnDeny(d *denialWriter, r *http.Request, e *Error) {
	if r == nil || !slices.ContainsFunc(conditionHeaders[:], func(name string) bool { return r.Header[name] != nil }) {
		a.onDeny(d, r, e)
		return
	}
	copied := copyRequest(r, r.Context())
	copied.Header = r.Header.Clone()
	for _, name := range conditionHeaders {
		delete(copied.Header, name)
	}
	defer handBack(r, copied)
	a.onDeny(d, copied, e)
}

// conditionHeaders are the headers of RFC 9110 sections 13.1 and 14.2.
var conditionHeaders = [...]string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range"}

// dropBodyHeaders removes headers that describe another body than the one of the
// refusal. A handler or OnDeny may have set them. Content-Encoding may belong to
// middleware that compresses every body: see passage.
func dropBodyHeaders(header http.Header) {
	for _, name := range [...]string{"Content-Length", "Etag", "Last-Modified"} {
		delete(header, name)
	}
}

// setHeader sets a header to values, or removes it if there are none.
func setHeader(header http.Header, name string, values []string) {
	if len(values) == 0 {
		delete(header, name)
		return
	}
	header[name] = values
}

// A passage records the ResponseWriter with which a request passed a gate. Deny, and a
// nested gate that refuses, learn from it who has set the Content-Encoding that they find:
//
//   - What was set before the request passed belongs to middleware outside the gate
//     that compresses whatever is written. Removing it would make the refusal
//     unreadable. A gate that no gate is outside of therefore keeps Content-Encoding.
//   - What the handler has set since belongs to the body that it meant to send. Keeping
//     it would make the refusal unreadable.
//   - If the handler has another ResponseWriter than the gate had, middleware inside the
//     gate may compress. Then Deny keeps Content-Encoding, as [http.Error] does.
//
// The zero value is the passage of no request.
type passage struct {
	writer   http.ResponseWriter
	encoding []string // the Content-Encoding that was set
}

func (p *passage) record(w http.ResponseWriter) {
	p.writer = w
	if header := w.Header(); len(header) > 0 {
		p.encoding = header["Content-Encoding"]
	}
}

// passageOf returns the passage of r through the innermost gate that verified its
// token. r may be nil.
func passageOf(r *http.Request) passage {
	if r != nil {
		if c, ok := r.Context().Value(contextKey{}).(*tokenContext); ok {
			return c.passage
		}
	}
	return passage{}
}

// isBy reports whether the request passed with w. Package httpsnoop makes
// ResponseWriters that are structs, and comparing those may panic.
func (p passage) isBy(w http.ResponseWriter) bool {
	return p.writer != nil && reflect.ValueOf(w).Comparable() && reflect.ValueOf(p.writer).Comparable() && p.writer == w
}

// retryAfter returns d in whole seconds, rounded up, and at least 1 (RFC 9110
// section 10.2.3).
func retryAfter(d time.Duration) string {
	if d == 0 {
		d = 5 * time.Second
	}
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}

// A denialWriter is the ResponseWriter of OnDeny. It does not let OnDeny answer with a
// status that means success: see Options.OnDeny.
type denialWriter struct {
	http.ResponseWriter // for Header

	status      int      // of the denial
	encoding    []string // the Content-Encoding before OnDeny was called
	wroteHeader bool
}

func (d *denialWriter) WriteHeader(status int) {
	switch {
	case status == http.StatusSwitchingProtocols, status == http.StatusNotModified,
		status >= 200 && status < 300 && !carriesErrors(d.Header().Get("Content-Type")):
		status = d.status
	case status < 200: // informational, not yet the answer
		d.ResponseWriter.WriteHeader(status)
		return
	}
	d.wroteHeader = true
	d.restoreHeader()
	d.ResponseWriter.WriteHeader(status)
}

// restoreHeader sets again what OnDeny has removed. http.ServeFile removes both headers
// if it cannot serve the file.
func (d *denialWriter) restoreHeader() {
	header := d.Header()
	if len(header["Cache-Control"]) == 0 {
		header["Cache-Control"] = []string{"no-store"}
	}
	if len(header["Content-Encoding"]) == 0 {
		setHeader(header, "Content-Encoding", d.encoding)
	}
}

// carriesErrors reports whether contentType is of a protocol that sends errors with
// status 200: gRPC, gRPC-Web, and streams of Connect. Clients of these protocols find
// the error in the trailers or in the body.
func carriesErrors(contentType string) bool {
	contentType, _, _ = strings.Cut(contentType, ";")
	contentType = strings.ToLower(strings.TrimSpace(contentType))
	name, _, _ := strings.Cut(contentType, "+") // the part after the plus is the encoding of messages
	switch name {
	case "application/grpc", "application/grpc-web", "application/grpc-web-text":
		return true
	case "application/connect":
		return name != contentType // a stream always names the encoding
	}
	return false
}

func (d *denialWriter) Write(p []byte) (int, error) {
	if !d.wroteHeader {
		d.WriteHeader(d.status)
	}
	return d.ResponseWriter.Write(p)
}

// Flush sends the status of the denial first, because the underlying writer would
// send 200.
func (d *denialWriter) Flush() {
	if !d.wroteHeader {
		d.WriteHeader(d.status)
	}
	// A writer that cannot flush sends everything when the handler returns.
	_ = http.NewResponseController(d.ResponseWriter).Flush()
}
