package jwttest

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
)

// counted returns a handler that calls next, and records that the server called it.
func (a *attack) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.reached.Store(true)
		a.serving.RLock()
		defer a.serving.RUnlock()
		next.ServeHTTP(w, r)
	})
}

// An answer is what a service has answered to one request.
type answer struct {
	status int    // 0 means that there is no answer
	gotIn  bool   // by Target.GotIn
	err    error  // why there is no answer, or errPanic
	stack  string // of a panic
	header http.Header
	forced verdict // by the script of a case; passed means that the answer decides
}

// newAnswer returns the answer of a response, and calls Target.GotIn.
func (a *attack) newAnswer(response *http.Response) answer {
	defer response.Body.Close()
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxBodyBytes), response.Body}
	a.answering.Lock()
	defer a.answering.Unlock()
	return answer{status: response.StatusCode, gotIn: a.gotIn(response), header: response.Header}
}

// maxBodyBytes is how much of an answer's body Target.GotIn can read.
const maxBodyBytes = 1 << 20

// errPanic is the error of an answer whose handler panicked.
var errPanic = errors.New("the handler panicked")

// errAborted is the error of callHandler for a handler that panics with
// [http.ErrAbortHandler], after which a server closes the connection.
var errAborted = errors.New("the handler closed the connection")

// callHandler sends a request by calling the handler.
func (a *attack) callHandler(ctx context.Context, r request) answer {
	w := finalRecorder{httptest.NewRecorder()}
	w.Code = 0 // until the handler answers
	done := make(chan answer, 1)
	go func() {
		defer func() {
			switch p := recover(); p {
			case nil:
				w.WriteHeader(http.StatusOK) // does nothing if the handler has answered
				done <- answer{}
			case http.ErrAbortHandler:
				done <- answer{err: errAborted}
			default:
				done <- panicAnswer(p, stackOfPanic())
			}
		}()
		a.handler.ServeHTTP(w, r.http(ctx))
	}()
	select {
	case got := <-done:
		if w.Code == 0 || errors.Is(got.err, errPanic) {
			return got
		}
		answered := a.newAnswer(w.Result())
		answered.err = got.err
		return answered
	case <-ctx.Done():
		return answer{err: os.ErrDeadlineExceeded}
	}
}

// A finalRecorder ignores informational statuses (RFC 9110 section 15.2), which an
// httptest.ResponseRecorder takes for the answer.
type finalRecorder struct{ *httptest.ResponseRecorder }

func (w finalRecorder) WriteHeader(status int) {
	if !isInformational(status) {
		w.ResponseRecorder.WriteHeader(status)
	}
}

func isInformational(status int) bool {
	return status >= 100 && status < 200 && status != http.StatusSwitchingProtocols
}

// errNotSent is the error of sendOverTCP if there is no connection, which is not the
// fault of the handler.
var errNotSent = errors.New("cannot connect to the server on loopback")

// sendOverTCP sends a request over a new connection.
func (a *attack) sendOverTCP(ctx context.Context, r request) answer {
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", a.address)
	if err != nil {
		return answer{err: fmt.Errorf("%w: %w", errNotSent, err)}
	}
	defer connection.Close()
	deadline, _ := ctx.Deadline()
	if err := connection.SetDeadline(deadline); err != nil {
		return answer{err: fmt.Errorf("%w: %w", errNotSent, err)}
	}
	// A server may answer and close the connection before it has read the whole
	// request. Write then fails although there is an answer to read.
	_, writeErr := connection.Write(r.bytes())
	answers := bufio.NewReader(connection)
	response, err := http.ReadResponse(answers, &http.Request{Method: r.method})
	for err == nil && isInformational(response.StatusCode) {
		response, err = http.ReadResponse(answers, &http.Request{Method: r.method})
	}
	if p, ok := a.panics.take(); ok {
		return p
	}
	if err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			err = cmp.Or(writeErr, err)
		}
		return answer{err: err}
	}
	return a.newAnswer(response)
}

// panics keeps the last panic of a handler, which a client over TCP sees only as a closed
// connection.
type panics struct {
	mu   sync.Mutex
	last *answer
}

// recorded returns a handler that calls next and keeps its panics, except those with
// [http.ErrAbortHandler].
func (p *panics) recorded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch value := recover(); value {
			case nil:
			case http.ErrAbortHandler:
				panic(value)
			default:
				got := panicAnswer(value, stackOfPanic())
				p.mu.Lock()
				p.last = &got
				p.mu.Unlock()
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// take returns the last panic and forgets it.
func (p *panics) take() (answer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.last
	p.last = nil
	if last == nil {
		return answer{}, false
	}
	return *last, true
}

func panicAnswer(value any, stack string) answer {
	return answer{err: fmt.Errorf("%w: %v", errPanic, value), stack: stack}
}

// maxFrames is how many functions stackOfPanic returns.
const maxFrames = 10

// stackOfPanic returns the functions that a panic has passed, innermost first, each
// with its file and line. It must be called by the deferred function that recovers. The
// functions of the runtime and of this package are left out.
func stackOfPanic() string {
	counters := make([]uintptr, 100)
	frames := runtime.CallersFrames(counters[:runtime.Callers(1, counters)])
	var lines []string
	panicked := false
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			panicked, lines = true, nil
		case !panicked, strings.HasPrefix(frame.Function, "runtime."):
		case strings.HasPrefix(frame.Function, thisPackage), len(lines) == maxFrames:
			return strings.Join(lines, "\n")
		default:
			lines = append(lines, fmt.Sprintf("%s %s:%d", frame.Function, frame.File, frame.Line))
		}
		if !more {
			return strings.Join(lines, "\n")
		}
	}
}

// thisPackage begins the names of the functions that call the handler.
const thisPackage = "github.com/jwtgate/jwtgate/jwttest.(*"
