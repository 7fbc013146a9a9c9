package main

import (
	"bufio"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A redisServer is a Redis server on loopback. It writes each entry to disk before it
// answers, as the README says.
type redisServer struct {
	t       *testing.T
	addr    string
	dir     string
	process *exec.Cmd // nil while it is down
}

// startRedis starts a server on a free port. It skips the test if redis-server is not
// installed.
func startRedis(t *testing.T) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skipf("SKIPPED: this test starts Redis: %v; install Debian's package redis-server", err)
	}
	s := &redisServer{t: t, dir: t.TempDir()}
	t.Cleanup(s.kill)
	// Another process may take the port before Redis does.
	for range 5 {
		s.addr = freeAddress(t)
		if s.start() {
			return s
		}
	}
	require.Fail(t, "redis-server did not start; see its output above")
	return nil
}

// freeAddress returns a loopback address with a port that is not in use.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// start starts a server at s.addr and reports whether it started.
func (s *redisServer) start() bool {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.addr)
	require.NoError(s.t, err)
	process := exec.Command("redis-server", "--bind", host, "--port", port, "--save", "", "--appendonly", "yes",
		"--appendfsync", "always", "--dir", s.dir, "--daemonize", "no", "--loglevel", "notice")
	output, err := process.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, process.Start())
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

// kill ends the server without a shutdown, like a power cut.
func (s *redisServer) kill() {
	if s.process == nil {
		return
	}
	// The errors say only that the process has ended.
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

// restart starts a killed server again at the same address, with the entries it had.
func (s *redisServer) restart() {
	s.t.Helper()
	require.True(s.t, s.start(), "Redis did not start again")
}

// hangingServer returns the address of a server that accepts connections and
// never answers.
func hangingServer(t *testing.T) string {
	t.Helper()
	var accepted []net.Conn
	t.Cleanup(func() { // runs after the cleanup of serveConnections
		for _, connection := range accepted {
			_ = connection.Close()
		}
	})
	return serveConnections(t, func(c net.Conn) { accepted = append(accepted, c) })
}

// serveConnections returns the address of a server that calls handle for each
// connection, one after the other.
func serveConnections(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
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
