package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/dpop"
	"github.com/jwtgate/jwtgate/examples/internal/redistest"
	"github.com/jwtgate/jwtgate/examples/internal/syncbuf"
	"github.com/jwtgate/jwtgate/jwttest"
)

// A service is two running servers with the handler of newHandler, and a client of them.
type service struct {
	t       *testing.T
	issuer  *jwttest.Issuer
	replays *redisReplays
	servers [2]*server
	client  *jwttest.Prover
	nonce   string // that the client uses
	token   string // bound to the key of client
	now     time.Time
}

// A server is one of the servers. It records its log and the events of its gate.
type server struct {
	*httptest.Server
	handler atomic.Pointer[http.Handler]
	logged  *syncbuf.Buffer

	mu     sync.Mutex
	events []jwtgate.Event
}

const longPatience = 30 * time.Second // for tests in which nothing hangs

// serve starts a service whose memory of used proofs is in the Redis at addr.
func serve(t *testing.T, addr string, patience time.Duration, nonceKeys ...[]byte) *service {
	t.Helper()
	s := &service{t: t, issuer: jwttest.NewIssuer(t), replays: newReplays(addr, patience), now: time.Now()}
	t.Cleanup(func() { _ = s.replays.close() })
	for i := range s.servers {
		s.servers[i] = &server{logged: &syncbuf.Buffer{}}
		s.servers[i].Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			(*s.servers[i].handler.Load()).ServeHTTP(w, r)
		}))
		t.Cleanup(s.servers[i].Close)
		s.start(i, nonceKeys...)
	}
	s.client = jwttest.NewProver(t)
	s.client.URL = serviceURL
	s.token = s.issuer.Token(map[string]any{"cnf": s.client.Confirmation()})
	return s
}

// start starts server i with these nonce keys, as if it had been deployed again.
func (s *service) start(i int, nonceKeys ...[]byte) {
	s.t.Helper()
	options := s.issuer.Options()
	options.CacheSize = 100
	options.Now = func() time.Time { return s.now } // no period of nonces ends during a test
	audit := jwtgate.AuditLog(slog.New(slog.NewTextHandler(s.servers[i].logged, nil)))
	options.Observe = func(ctx context.Context, e jwtgate.Event) {
		audit(ctx, e)
		s.servers[i].mu.Lock()
		defer s.servers[i].mu.Unlock()
		s.servers[i].events = append(s.servers[i].events, e)
	}
	handler, err := newHandler(options, nonceKeys, s.replays)
	require.NoError(s.t, err)
	s.servers[i].handler.Store(&handler)
}

// take makes the client use a nonce.
func (s *service) take(nonce string) {
	s.nonce = nonce
	s.client.TakeNonce(http.Header{"Dpop-Nonce": {nonce}})
}

// proof returns a new proof of the client for GET /orders.
func (s *service) proof() string {
	r := httptest.NewRequest("GET", "/orders", nil)
	s.client.Prove(r, s.token)
	return r.Header.Get("DPoP")
}

// An answer is the answer to a request.
type answer struct {
	status int
	code   string // the error code of the challenge for DPoP
	nonce  string // DPoP-Nonce
	retry  string // Retry-After
	body   string
}

// send sends GET /orders with a proof to server i.
func (s *service) send(i int, proof string) answer {
	return s.sendAs(i, "DPoP "+s.token, proof)
}

func (s *service) sendAs(i int, authorization, proof string) answer {
	r, err := http.NewRequestWithContext(s.t.Context(), "GET", s.servers[i].URL+"/orders", nil)
	if !assert.NoError(s.t, err) {
		return answer{}
	}
	r.Header.Set("Authorization", authorization)
	if proof != "" {
		r.Header.Set("DPoP", proof)
	}
	response, err := s.servers[i].Client().Do(r)
	if !assert.NoError(s.t, err) {
		return answer{}
	}
	return s.read(response)
}

func (s *service) read(response *http.Response) answer {
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	assert.NoError(s.t, err)
	a := answer{status: response.StatusCode, nonce: response.Header.Get("DPoP-Nonce"), retry: response.Header.Get("Retry-After"), body: string(body)}
	if m := regexp.MustCompile(`^DPoP .* error="([^"]*)"`).FindStringSubmatch(response.Header.Get("WWW-Authenticate")); m != nil {
		a.code = m[1]
	}
	return a
}

// get sends GET /orders like a client library, which tries again with a new nonce.
func (s *service) get(i int) answer {
	s.t.Helper()
	client := &http.Client{Transport: s.client.Transport(s.servers[i].Client().Transport, s.token), Timeout: time.Minute}
	response, err := client.Get(s.servers[i].URL + "/orders")
	require.NoError(s.t, err)
	return s.read(response)
}

// signIn gets the client its first nonce.
func (s *service) signIn(i int) {
	s.t.Helper()
	a := s.send(i, s.proof())
	require.Equal(s.t, "use_dpop_nonce", a.code)
	s.take(a.nonce)
	require.Equal(s.t, http.StatusOK, s.send(i, s.proof()).status)
}

// reason returns the reason of the latest decision of server i.
func (s *service) reason(i int) string {
	s.servers[i].mu.Lock()
	defer s.servers[i].mu.Unlock()
	var e *jwtgate.Error
	if errors.As(s.servers[i].events[len(s.servers[i].events)-1].Err, &e) {
		return e.Reason()
	}
	return ""
}

// passed returns how many requests the gates let through.
func (s *service) passed() (n int) {
	for _, server := range s.servers {
		server.mu.Lock()
		defer server.mu.Unlock()
		for _, e := range server.events {
			if e.Err == nil {
				n++
			}
		}
	}
	return n
}

var oldKey, newKey = bytes.Repeat([]byte("o"), 32), bytes.Repeat([]byte("n"), 32)

// The servers accept each other's nonces and refuse each other's proofs.
func TestTwoServers(t *testing.T) { // acceptance 77, 79
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, oldKey)
	first := s.send(0, s.proof())
	assert.Equal(t, http.StatusUnauthorized, first.status)
	assert.Equal(t, "use_dpop_nonce", first.code)
	require.NotEmpty(t, first.nonce)

	s.take(first.nonce)
	proof := s.proof()
	passed := s.send(1, proof)
	assert.Equal(t, http.StatusOK, passed.status)
	assert.Equal(t, "orders of alice\n", passed.body)
	for range 2 {
		for i := range s.servers {
			replayed := s.send(i, proof)
			assert.Equal(t, http.StatusUnauthorized, replayed.status)
			assert.Equal(t, "invalid_dpop_proof", replayed.code)
			assert.Equal(t, "proof", s.reason(i))
			assert.Contains(t, s.servers[i].logged.String(), "has been used before")
			assert.NotContains(t, s.servers[i].logged.String(), proof)
		}
	}
	assert.Equal(t, http.StatusOK, s.send(0, s.proof()).status, "another proof")

	stolen := s.sendAs(0, "Bearer "+s.token, "")
	assert.Equal(t, http.StatusUnauthorized, stolen.status)
	assert.Equal(t, 2, s.passed())
}

// A request that is refused for another reason uses no proof up.
func TestRefusedRequestUsesNoProof(t *testing.T) {
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, oldKey)
	s.signIn(0)
	proof := s.proof()
	thief := s.issuer.Token(map[string]any{"sub": "eve"}) // not bound
	assert.Equal(t, http.StatusUnauthorized, s.sendAs(0, "DPoP "+thief, proof).status)
	assert.Equal(t, http.StatusUnauthorized, s.sendAs(1, "Bearer "+s.token, proof).status)
	assert.Equal(t, http.StatusOK, s.send(1, proof).status)
}

// Of many requests with one proof at the same time, on both servers, one passes.
func TestReplaysAtTheSameTime(t *testing.T) { // acceptance 79
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, oldKey)
	s.signIn(0)
	for range 5 {
		proof := s.proof()
		var passed, refused atomic.Int32
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() {
				switch a := s.send(i%2, proof); {
				case a.status == http.StatusOK:
					passed.Add(1)
				case a.status == http.StatusUnauthorized && a.code == "invalid_dpop_proof":
					refused.Add(1)
				}
			})
		}
		group.Wait()
		assert.EqualValues(t, 1, passed.Load())
		assert.EqualValues(t, 99, refused.Load())
	}
}

// The memory is by key and jti: a client cannot use up the proofs of another.
func TestSameIDOfTwoClients(t *testing.T) { // acceptance 79
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, oldKey)
	s.signIn(0)
	tokens, proofs := [2]string{}, [2]string{}
	for i := range tokens {
		c, err := newClient()
		require.NoError(t, err)
		c.nonce = s.nonce
		thumbprint, err := c.thumbprint()
		require.NoError(t, err)
		tokens[i] = "DPoP " + s.issuer.Token(map[string]any{"cnf": map[string]any{"jkt": thumbprint}})
		proof, err := c.proof("GET", serviceURL+"/orders", strings.TrimPrefix(tokens[i], "DPoP "))
		require.NoError(t, err)
		changed, _, err := jwt.NewParser().ParseUnverified(proof, jwt.MapClaims{})
		require.NoError(t, err)
		changed.Claims.(jwt.MapClaims)["jti"] = "1"
		proofs[i], err = changed.SignedString(c.key)
		require.NoError(t, err)
	}
	for _, want := range []int{http.StatusOK, http.StatusUnauthorized} {
		assert.Equal(t, want, s.sendAs(0, tokens[0], proofs[0]).status)
		assert.Equal(t, want, s.sendAs(1, tokens[1], proofs[1]).status)
	}
}

// The nonce key is replaced on one server after the other, as in README.md. No request is
// refused on the way. In the end, nonces of the old key are refused.
func TestNonceKeyRotation(t *testing.T) { // acceptance 77
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, oldKey)
	s.signIn(0)
	madeWithOldKey := s.nonce
	// The client uses the newest nonce of the last server for the next one.
	each := func(what string) {
		t.Helper()
		for _, i := range []int{0, 1, 1, 0, 0, 1} {
			a := s.send(i, s.proof())
			assert.Equal(t, http.StatusOK, a.status, "%s: server %d: %s", what, i, a.code)
			if a.nonce != "" {
				s.take(a.nonce)
			}
		}
	}
	each("before")
	for _, keys := range [][][]byte{{oldKey, newKey}, {newKey, oldKey}} {
		for i := range s.servers {
			s.start(i, keys...)
			each("on the way")
		}
	}
	assert.NotEqual(t, madeWithOldKey, s.nonce, "the servers gave the client a nonce of the new key")
	newest := s.nonce

	// A client that comes back with an old nonce is accepted while the old key is there.
	s.take(madeWithOldKey)
	a := s.send(0, s.proof())
	assert.Equal(t, http.StatusOK, a.status)
	assert.Equal(t, newest, a.nonce, "the answer has the newest nonce")

	s.take(newest)
	for i := range s.servers {
		s.start(i, newKey)
		each("the old key is removed")
	}
	s.take(madeWithOldKey)
	for i := range s.servers {
		a := s.send(i, s.proof())
		assert.Equal(t, http.StatusUnauthorized, a.status)
		assert.Equal(t, "use_dpop_nonce", a.code)
		assert.Equal(t, newest, a.nonce)
	}
	assert.Equal(t, http.StatusOK, s.get(1).status, "a client library tries again by itself")
}

// If a step of the rotation is left out, clients try more often, and nobody is locked out.
func TestNonceKeyReplacedAtOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, oldKey)
	s.signIn(0)
	s.start(1, newKey)
	for _, i := range []int{0, 1, 0, 1, 1, 0} {
		assert.Equal(t, http.StatusOK, s.get(i).status)
	}
}

func TestRedisDies(t *testing.T) { // acceptance 82
	t.Parallel()
	redis := startRedis(t)
	s := serve(t, redis.Addr, longPatience, oldKey)
	s.signIn(0)
	require.Equal(t, http.StatusOK, s.get(1).status)
	used := s.proof()
	require.Equal(t, http.StatusOK, s.send(0, used).status)
	before := s.passed()

	redis.Kill()
	waiting := s.proof()
	for i := range s.servers {
		for _, proof := range []string{waiting, used, s.proof()} {
			a := s.send(i, proof)
			assert.Equal(t, http.StatusServiceUnavailable, a.status)
			assert.Equal(t, "5", a.retry)
			assert.Empty(t, a.code, "nothing is wrong with the proof")
			assert.Contains(t, a.body, "temporarily_unavailable")
			assert.Equal(t, "unavailable", s.reason(i))
			assert.Contains(t, s.servers[i].logged.String(), "level=ERROR")
			assert.Contains(t, s.servers[i].logged.String(), "looking for used proofs")
		}
		// What is wrong without the memory is still refused as such.
		assert.Equal(t, http.StatusUnauthorized, s.send(i, "").status)
		assert.Equal(t, http.StatusUnauthorized, s.send(i, waiting+"A").status)
		assert.Equal(t, http.StatusUnauthorized, s.sendAs(i, "Bearer "+s.token, waiting).status)
		assert.Equal(t, http.StatusUnauthorized, s.sendAs(i, "DPoP "+s.issuer.Forge(nil, nil), waiting).status)
	}
	assert.Equal(t, before, s.passed(), "nobody gets in")

	redis.Restart()
	// After many failures go-redis tries to connect only once a second.
	require.Eventually(t, func() bool { return s.get(0).status == http.StatusOK }, time.Minute, 10*time.Millisecond)
	assert.Equal(t, http.StatusOK, s.get(1).status)
	assert.Equal(t, http.StatusOK, s.send(1, waiting).status, "503 has not used the proof up")
	for i := range s.servers {
		assert.Equal(t, "invalid_dpop_proof", s.send(i, used).code, "Redis has kept what was used before")
		assert.Equal(t, "invalid_dpop_proof", s.send(i, waiting).code)
	}
}

// If Redis accepts connections and never answers, a request waits no longer than patience.
func TestRedisHangs(t *testing.T) {
	t.Parallel()
	s := serve(t, redistest.HangingServer(t), 50*time.Millisecond, oldKey)
	s.take(s.send(0, s.proof()).nonce)
	// Send more requests than the pool has connections.
	var group sync.WaitGroup
	for i := range 100 {
		proof := s.proof()
		group.Go(func() { assert.Equal(t, http.StatusServiceUnavailable, s.send(i%2, proof).status) })
	}
	group.Wait()
	assert.Zero(t, s.passed())
}

// A command is sent once: a second one would take the proof of the first for used.
func TestRedisClosesConnections(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	addr := redistest.ServeConnections(t, func(c net.Conn) {
		connections.Add(1)
		_ = c.Close()
	})
	replays := newReplays(addr, longPatience)
	defer replays.close()
	fresh, err := replays.Use(t.Context(), [32]byte{1}, time.Now().Add(time.Minute))
	require.Error(t, err)
	assert.False(t, fresh)
	assert.EqualValues(t, 1, connections.Load())
}

// An entry stays in Redis as long as a proof is accepted, and no longer. The clock of
// Redis does not matter.
func TestEntries(t *testing.T) {
	t.Parallel()
	replays := newReplays(startRedis(t).Addr, longPatience)
	defer replays.close()
	id := [32]byte{1, 2, 3}
	until := time.Now().Add(150 * time.Second)
	for _, want := range []bool{true, false, false} {
		fresh, err := replays.Use(t.Context(), id, until)
		require.NoError(t, err)
		assert.Equal(t, want, fresh)
	}
	rest, err := replays.client.PTTL(t.Context(), proofKey(id)).Result()
	require.NoError(t, err)
	assert.LessOrEqual(t, rest, 150*time.Second)
	assert.GreaterOrEqual(t, rest, time.Until(until)-2*time.Millisecond)

	fresh, err := replays.Use(t.Context(), [32]byte{4}, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	assert.True(t, fresh)
	fresh, err = replays.Use(t.Context(), [32]byte{5}, until)
	require.NoError(t, err)
	assert.True(t, fresh, "another proof")
}

// The Verifier keeps a proof in Redis until its nonce has ended, and longer.
func TestProofsAreKept(t *testing.T) {
	t.Parallel()
	s := serve(t, startRedis(t).Addr, longPatience, oldKey)
	s.signIn(0)
	keys, err := s.replays.client.Keys(t.Context(), "orders:proof:*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	rest, err := s.replays.client.PTTL(t.Context(), keys[0]).Result()
	require.NoError(t, err)
	// A nonce of this minute is good until the end of the next one.
	assert.Greater(t, rest, 80*time.Second)
	assert.LessOrEqual(t, rest, 150*time.Second)
	assert.NotContains(t, keys[0], s.token)
}

// A disconnect of the client is not an outage.
func TestClientHasGone(t *testing.T) {
	t.Parallel()
	// go-redis does not notice that a client has gone: it waits for as long as patience.
	s := serve(t, redistest.HangingServer(t), time.Second, oldKey)
	s.take(s.send(0, s.proof()).nonce)
	ctx, leave := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer leave()
	r, err := http.NewRequestWithContext(ctx, "GET", s.servers[0].URL+"/orders", nil)
	require.NoError(t, err)
	s.client.Prove(r, s.token)
	_, err = s.servers[0].Client().Do(r)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Eventually(t, func() bool { return s.reason(0) == "canceled" }, time.Minute, time.Millisecond)
	assert.NotContains(t, s.servers[0].logged.String(), "level=ERROR")
}

func TestNewHandler(t *testing.T) {
	t.Parallel()
	replays := newReplays("127.0.0.1:1", patience)
	defer replays.close()
	issuer := jwttest.NewIssuer(t)
	_, err := newHandler(issuer.Options(), [][]byte{[]byte("short")}, replays)
	require.ErrorContains(t, err, "NonceKeys: key 1 has 5 bytes")
	_, err = newHandler(issuer.Options(), [][]byte{oldKey}, (*redisReplays)(nil))
	require.ErrorContains(t, err, "Replays")
	var _ dpop.Replays = replays
}

func TestReadNonceKeys(t *testing.T) {
	t.Parallel()
	const one, two = "6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f", "6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e"
	for name, test := range map[string]struct {
		text string
		want [][]byte
		err  string
	}{
		"one":              {one + "\n", [][]byte{oldKey}, ""},
		"no line break":    {one, [][]byte{oldKey}, ""},
		"two, in order":    {two + "\n" + one + "\n", [][]byte{newKey, oldKey}, ""},
		"comments":         {"# since May\r\n\r\n  " + one + "  \r\n", [][]byte{oldKey}, ""},
		"nothing":          {"\n# none\n", nil, "no key; make one with: openssl rand -hex 32"},
		"not hexadecimal":  {"\n" + one[1:] + "s\n", nil, "line 2 is not a hexadecimal number"},
		"half a character": {one[1:], nil, "line 1 is not a hexadecimal number"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readNonceKeys([]byte(test.text))
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				assert.NotContains(t, err.Error(), one[1:])
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
}

func TestProgram(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	file := filepath.Join(t.TempDir(), "nonce.keys")
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("6f", 32)+"\n"), 0o600))
	ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
	defer interrupt()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, writer, redis.Addr, file, time.Millisecond)
		writer.CloseWithError(err) // so that the scans below end if run fails
		ended <- err
	}()
	lines := bufio.NewScanner(reader)
	// until reads lines up to one with the given end.
	until := func(end string) (read []string) {
		t.Helper()
		for lines.Scan() {
			if read = append(read, lines.Text()); strings.HasSuffix(lines.Text(), end) {
				return read
			}
		}
		require.Fail(t, "the output has ended", "wanted %q: %v", end, lines.Err())
		return nil
	}
	want := []string{"401 use_dpop_nonce", "200 orders of alice", "401 invalid_dpop_proof", "401 invalid_dpop_proof", "401 invalid_token"}
	got := slices.DeleteFunc(until("Ctrl-C ends the program."), func(line string) bool { return !strings.Contains(line, ":  ") })
	require.Len(t, got, len(want), "%q", got)
	for i := range want {
		assert.True(t, strings.HasSuffix(got[i], " "+want[i]), "%q, want %q", got[i], want[i])
	}
	until("200 orders of alice")
	redis.Kill()
	until("503 Service Unavailable")
	redis.Restart()
	until("200 orders of alice")
	interrupt()
	go func() { _, _ = io.Copy(io.Discard, reader) }() // run may write one more line
	require.NoError(t, <-ended)
}

func TestProgramFails(t *testing.T) {
	t.Parallel()
	addr := redistest.FreeAddress(t)
	_, port, _ := strings.Cut(addr, ":")
	err := run(t.Context(), io.Discard, addr, "", time.Second)
	require.ErrorContains(t, err, "no Redis answers at "+addr)
	require.ErrorContains(t, err, "redis-server --port "+port+" --bind 127.0.0.1 ")

	err = run(t.Context(), io.Discard, redistest.HangingServer(t), "", time.Second)
	require.ErrorContains(t, err, "no Redis answers at ")
	err = run(t.Context(), io.Discard, "localhost", "", time.Second)
	require.ErrorContains(t, err, "-redis: ")

	file := filepath.Join(t.TempDir(), "nonce.keys")
	err = run(t.Context(), io.Discard, addr, file, time.Second)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	err = run(t.Context(), io.Discard, addr, file, time.Second)
	require.ErrorContains(t, err, file+": no key")
}

// startRedis starts a Redis that writes each entry to disk before it answers, as the README
// says.
func startRedis(t *testing.T) *redistest.Server {
	t.Helper()
	return redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
}
