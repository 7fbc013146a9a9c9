// Command soak uses gates for minutes while the keys of their issuers change and the
// issuers fail, and judges each answer. It needs no network: issuers, gates and clients
// are in this process, and speak HTTP over loopback.
//
//	go run ./.ci/soak -for 10m             a long run
//	go run ./.ci/soak -for 30s -seed 7     the same acts as in another run with this seed
//
// Clients send good tokens of old and new keys, tokens of withdrawn keys, and forged
// tokens. Meanwhile keys rotate, quietly and in floods of bad tokens, and issuers are down,
// slow or broken. A judge knows for each token whether it is good. An answer is wrong
// unless the token deserves it, or the documentation of package keys states a window in
// which it may occur. The program counts the answers in each window.
//
// After the run, memory, goroutines and open files must be where they were after the
// warm-up. The exit status is 1 if anything is wrong. The first wrong answers are then
// printed with what happened around them.
//
// No verdict depends on the speed of the machine. The windows begin and end with events,
// and become longer by what this process measures of its own stalls.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func main() {
	duration := flag.Duration("for", time.Minute, "how long the clients send requests, the warm-up included")
	seed := flag.Uint64("seed", mathrand.Uint64(), "the same `number` chooses the same acts")
	flag.Parse()
	fmt.Printf("soak: -for %v -seed %d\n", *duration, *seed)
	dir, err := os.MkdirTemp("", "soak")
	must(err)
	problems := newSoak(*seed, dir).run(*duration)
	os.RemoveAll(dir)
	if len(problems) > 0 {
		fmt.Printf("\nFAILED, with -seed %d\n", *seed)
		for _, problem := range problems {
			fmt.Printf("\n%s\n", problem)
		}
		os.Exit(1)
	}
	fmt.Println("\nok")
}

// A soak is one run.
type soak struct {
	seed    uint64
	rands   uint64 // how many generators were made
	issuers map[string]*issuer
	service *service
	tally   *tally
	stalls  stallMeter
	stop    chan struct{} // ends stalls
	resumed time.Time     // when load was called last
}

func newSoak(seed uint64, dir string) *soak {
	s := &soak{seed: seed, tally: newTally(), stop: make(chan struct{})}
	s.issuers = map[string]*issuer{
		"healthy":  newIssuer("healthy", 0),
		"flapping": newIssuer("flapping", 0),
		"slow":     newIssuer("slow", 150*time.Millisecond),
		"joined":   newIssuer("joined", 0),
		"file":     newFileIssuer("file", filepath.Join(dir, "keys.json")),
	}
	joined := s.issuers["joined"]
	secret := make([]byte, 32)
	rand.Read(secret)
	joined.secret = &key{issuer: joined, method: jwt.SigningMethodHS256, private: secret, known: map[*view]time.Time{}, gone: map[*view]time.Time{}}
	joined.addTokens(joined.secret)
	s.service = newService(s.issuers)
	go s.stalls.watch(s.stop)
	return s
}

// rand returns a new random generator, which the seed determines.
func (s *soak) rand() *mathrand.Rand {
	s.rands++
	return mathrand.New(mathrand.NewPCG(s.seed, s.rands))
}

// run sends requests for d and returns what was wrong.
func (s *soak) run(d time.Duration) (problems []string) {
	ctx := context.Background()
	s.service.ready(ctx)
	// In the warm-up caches, buffers and pools get their size.
	warmUp := min(d/5, 20*time.Second)
	s.load(ctx, warmUp)
	before := s.settle(nil)
	s.load(ctx, d-warmUp)
	after := s.settle(&before)
	close(s.stop)

	s.tally.print()
	fmt.Printf("\nlongest stall of this process: %v\n", s.stalls.overall().Round(time.Millisecond))
	fmt.Printf("after the warm-up: %v\nat the end:        %v\n", before, after)
	if wrong := s.tally.failed(); wrong > 0 {
		problems = append(problems, fmt.Sprintf("%d answers are wrong. The first ones:", wrong))
		problems = append(problems, s.tally.failures...)
	}
	return append(problems, after.growth(before)...)
}

// load lets clients send requests for d, while the issuers act.
func (s *soak) load(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	s.resumed = time.Now()
	var clients sync.WaitGroup
	clients.Add(6 + len(s.service.views))
	for range 6 {
		go s.work(ctx, s.rand(), &clients, s.service.views, 10*time.Millisecond)
	}
	for _, v := range s.service.views {
		go s.beat(ctx, s.rand(), &clients, v)
	}
	var directors sync.WaitGroup
	for _, part := range []struct {
		issuer string
		first  []act // so that a run of 30 seconds has them
		acts   []act
	}{
		{"healthy", replacements, slices.Concat(rotations, replacements)},
		{"slow", nil, rotations},
		{"flapping", []act{longOutage}, slices.Concat(rotations, outages)},
		{"joined", outages[:1], slices.Concat(rotations, outages)},
		{"file", nil, fileActs},
	} {
		r := s.rand()
		directors.Go(func() { s.direct(ctx, r, s.issuers[part.issuer], part.first, part.acts) })
	}
	for ctx.Err() == nil {
		if sleep(ctx, 10*time.Second) {
			fmt.Printf("%s; %v\n", s.tally.line(), used())
		}
	}
	directors.Wait()
	clients.Wait()
}

// resources are what this process uses.
type resources struct {
	heap       uint64 // bytes after a garbage collection
	goroutines int
	files      int // open file descriptors; 0 if the system does not tell
}

func (r resources) String() string {
	return fmt.Sprintf("heap %.1f MiB, %d goroutines, %d open files", float64(r.heap)/(1<<20), r.goroutines, r.files)
}

func used() resources {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, _ := os.ReadDir("/proc/self/fd")
	return resources{m.HeapAlloc, runtime.NumGoroutine(), len(files)}
}

// growth returns what r has more than before allows. A heap that grows by 100 bytes for
// each request exceeds the slack in a run of ten minutes.
func (r resources) growth(before resources) (problems []string) {
	if r.heap > before.heap+before.heap/2+8<<20 {
		problems = append(problems, "the heap has grown")
	}
	if r.goroutines > before.goroutines+slackCount {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		problems = append(problems, "there are more goroutines:\n"+string(stacks[:min(len(stacks), 8000)]))
	}
	if r.files > before.files+slackCount {
		problems = append(problems, "there are more open files")
	}
	return problems
}

const slackCount = 3

// settle closes idle connections and returns what is used then. Fetches and connections
// end on goroutines of their own, so settle waits: until nothing changes, or, if before is
// not nil, until no more is used than before.
func (s *soak) settle(before *resources) resources {
	last := resources{}
	for try := 0; ; try++ {
		s.service.closeIdle()
		time.Sleep(timeout / 2)
		runtime.GC()
		runtime.GC() // what finalizers and pools held
		now := used()
		switch {
		case before != nil && len(now.growth(*before)) == 0:
			return now
		case before == nil && try > 3 && now.goroutines == last.goroutines && now.files == last.files:
			return now
		case try == 40:
			return now
		}
		last = now
	}
}

// act counts an act of an issuer.
func (t *tally) act(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.acts[name]++
}

// print prints the final tables.
func (t *tally) print() {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Printf("\n%-50s %9s %9s %9s\n", "tokens", "200", "401", "503")
	for _, kind := range slices.Sorted(maps.Keys(t.kinds)) {
		k := t.kinds[kind]
		fmt.Printf("%-50s %9d %9d %9d\n", kind, k.ok, k.unauthorized, k.unavailable)
	}
	fmt.Printf("\n%-78s %7s  %s\n", "windows that the documentation states", "answers", "latest")
	for _, reason := range slices.Sorted(maps.Keys(t.windows)) {
		w := t.windows[reason]
		fmt.Printf("%-78s %7d  %v\n", reason, w.answers, w.latest.Round(time.Millisecond))
	}
	var acts []string
	for _, name := range slices.Sorted(maps.Keys(t.acts)) {
		acts = append(acts, fmt.Sprintf("%d %s", t.acts[name], name))
	}
	fmt.Printf("\nacts: %s\n\n%d requests\n", strings.Join(acts, ", "), t.requests)
	for _, what := range []string{badAccepted, goodRefused, otherWrong} {
		fmt.Printf("%d %s\n", t.wrong[what], what)
	}
}
