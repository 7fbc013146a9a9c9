package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// connections is the number of clients. Each client sends its next request when it
// has the answer to the last one (a closed loop).
const connections = 16

// BenchmarkLoad measures a server on loopback that is never idle. Its clients run
// in the same process, so they share the processors with the server.
func BenchmarkLoad(b *testing.B) {
	for _, alg := range loadAlgorithms {
		for _, guard := range loadGuards() {
			b.Run("alg="+alg+"/lib="+guard.name, func(b *testing.B) {
				clients := newClients(b, guard.handler(b, alg), goodToken(alg))
				b.ResetTimer()
				start := time.Now()
				latencies, err := clients.send(b.N)
				elapsed := time.Since(start)
				b.StopTimer()
				require.NoError(b, err)

				slices.Sort(latencies)
				b.ReportMetric(float64(b.N)/elapsed.Seconds(), "req/s")
				b.ReportMetric(float64(latencies[len(latencies)/2]), "p50-ns")
				b.ReportMetric(float64(latencies[len(latencies)*99/100]), "p99-ns")
			})
		}
	}
}

// BenchmarkPairedLoad measures the ratio of the throughput with a guard to that without
// one. Both servers run, and the clients turn to them alternately.
func BenchmarkPairedLoad(b *testing.B) {
	const batch = 1000 // requests
	guards := loadGuards()
	for _, p := range loadPairs {
		b.Run(p.String(), func(b *testing.B) {
			seconds := func(name string) func() float64 {
				guard := guards[slices.IndexFunc(guards, func(g peer) bool { return g.name == name })]
				clients := newClients(b, guard.handler(b, p.alg), goodToken(p.alg))
				return func() float64 {
					start := time.Now()
					_, err := clients.send(batch)
					require.NoError(b, err)
					return time.Since(start).Seconds()
				}
			}
			guarded, open := seconds(p.lib), seconds(p.to)
			var with, without float64
			for b.Loop() {
				with += guarded()
				without += open()
			}
			reportRatio(b, without/with)
		})
	}
}

// loadGuards returns some of the peers, and a handler without a guard.
func loadGuards() []peer {
	guards := []peer{{name: "none", handler: func(testing.TB, string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, subject) })
	}}}
	for _, p := range peers {
		switch p.name {
		case "jwtgate", "jwtgate-cached", "golang-jwt", "auth0":
			guards = append(guards, p)
		}
	}
	return guards
}

// clients have one connection each.
type clients []*client

type client struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
}

// newClients starts a server and connects to it. The clients send token. Server and connections close when tb
// ends.
func newClients(tb testing.TB, handler http.Handler, token string) clients {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute} // only stops a hang
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(listener) })
	tb.Cleanup(func() {
		server.Close()
		serving.Wait()
	})

	r := newRequest(token)
	r.Host = listener.Addr().String()
	var request bytes.Buffer
	require.NoError(tb, r.Write(&request))

	all := make(clients, connections)
	for i := range all {
		conn, err := net.Dial("tcp", r.Host)
		require.NoError(tb, err)
		tb.Cleanup(func() { conn.Close() })
		all[i] = &client{conn, bufio.NewReader(conn), request.Bytes()}
		require.NoError(tb, all[i].send()) // this request is not measured
	}
	return all
}

// send sends n requests in total, and returns the time that each took.
func (all clients) send(n int) ([]time.Duration, error) {
	var left atomic.Int64
	left.Store(int64(n))
	var group sync.WaitGroup
	latencies, errs := make([][]time.Duration, len(all)), make([]error, len(all))
	for i, c := range all {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				start := time.Now()
				if errs[i] = c.send(); errs[i] != nil {
					return
				}
				latencies[i] = append(latencies[i], time.Since(start))
			}
		})
	}
	group.Wait()
	return slices.Concat(latencies...), errors.Join(errs...)
}

// send sends a request and reads the answer, which must be a 204. A 204 has no body,
// so the answer ends with the first empty line.
func (c *client) send() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	for first := true; ; first = false {
		line, err := c.reader.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case first && !bytes.HasPrefix(line, []byte("HTTP/1.1 204 ")):
			return fmt.Errorf("the answer is %q", line)
		case len(line) == len("\r\n"):
			return nil
		}
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	for _, alg := range loadAlgorithms {
		for _, guard := range loadGuards() {
			latencies, err := newClients(t, guard.handler(t, alg), goodToken(alg)).send(100)
			require.NoError(t, err)
			assert.Len(t, latencies, 100)
			assert.Positive(t, slices.Min(latencies))
		}
	}
}

func TestLoadNoticesARefusal(t *testing.T) {
	t.Parallel()
	var answered atomic.Int64
	_, err := newClients(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if answered.Add(1) > connections {
			unauthorized(w)
			return
		}
		answer(w, subject)
	}), "token").send(1)
	assert.ErrorContains(t, err, "401")
}
