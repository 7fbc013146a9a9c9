// Package redistest starts Redis servers, and servers that only seem to be one, for tests.
package redistest

import (
	"bufio"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A Server is a Redis server on loopback.
type Server struct {
	Addr string

	t       *testing.T
	dir     string
	options []string
	process *exec.Cmd // nil while it is down
}

// Start starts a server on a free port, with further options of redis-server. It skips
// the test if redis-server is not installed.
func Start(t *testing.T, options ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skipf("SKIPPED: this test starts Redis: %v; install Debian's package redis-server", err)
	}
	s := &Server{t: t, dir: t.TempDir(), options: options}
	t.Cleanup(s.Kill)
	// Another process may take the port before Redis does.
	for range 5 {
		s.Addr = FreeAddress(t)
		if s.start() {
			return s
		}
	}
	t.Fatal("redis-server did not start; see its output above")
	return nil
}

// FreeAddress returns a loopback address with a port that is not in use.
func FreeAddress(t *testing.T) string {
	t.Helper()
	listener := listen(t)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return listener.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// start starts a server at s.Addr and reports whether it started.
func (s *Server) start() bool {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	arguments := []string{"--bind", host, "--port", port, "--save", "", "--dir", s.dir, "--daemonize", "no", "--loglevel", "notice"}
	process := exec.Command("redis-server", slices.Concat(arguments, s.options)...)
	output, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for scanner := bufio.NewScanner(output); scanner.Scan(); {
		if lines = append(lines, scanner.Text()); strings.Contains(scanner.Text(), "Ready to accept connections") {
			// The rest of the output is not read. Its few lines fit into the buffer of the pipe.
			s.process = process
			return true
		}
	}
	s.t.Logf("redis-server has ended: %v\n%s", process.Wait(), strings.Join(lines, "\n"))
	return false
}

// Kill ends the server without a shutdown, like a power cut.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	// The errors say only that the process has ended.
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

// Restart starts a killed server again at the same address, with the entries that it has on
// disk.
func (s *Server) Restart() {
	s.t.Helper()
	if !s.start() {
		s.t.Fatal("Redis did not start again")
	}
}

// HangingServer returns the address of a server that accepts connections and
// never answers.
func HangingServer(t *testing.T) string {
	t.Helper()
	var accepted []net.Conn
	t.Cleanup(func() { // runs after the cleanup of ServeConnections
		for _, connection := range accepted {
			_ = connection.Close()
		}
	})
	return ServeConnections(t, func(c net.Conn) { accepted = append(accepted, c) })
}

// ServeConnections returns the address of a server that calls handle for each
// connection, one after the other.
func ServeConnections(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener := listen(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			handle(connection)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return listener.Addr().String()
}
