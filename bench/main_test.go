package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The report uses the names of the benchmarks. After one iteration of each benchmark
// it has a number everywhere.
func TestReportFindsWhatWasMeasured(t *testing.T) {
	t.Parallel()
	out, err := measure(t.Context(), os.Args[0], "1x", "1x")
	require.NoError(t, err)
	s := new(samples)
	require.NoError(t, s.add(bytes.NewReader(out)))

	var report strings.Builder
	require.NoError(t, writeReport(&report, description{}, s))
	var without []string
	for line := range strings.Lines(report.String()) {
		if slices.Contains(strings.Fields(line), missing) {
			without = append(without, strings.Join(strings.Fields(line), " "))
		}
	}
	// Both rows are in the table of two cores. A single iteration can take any time,
	// so a ratio may be printed as 2e-05.
	require.Len(t, without, 2, report.String())
	assert.Regexp(t, `^bare HMAC, keyed once [0-9.e+-]+× – – –$`, without[0])
	assert.Regexp(t, `^go-oidc by hand – [0-9.e+-]+× [0-9.e+-]+× [0-9.e+-]+×$`, without[1])

	var named []string
	for _, bad := range badTokens {
		named = append(named, bad.name)
	}
	assert.Equal(t, refusals, named)
	for _, p := range peers {
		assert.True(t, slices.ContainsFunc(libraries, func(l library) bool { return l.name == p.name }), p.name)
	}
}

const ofOneRound = `goos: linux
goarch: amd64
pkg: example
cpu: Example & Sons <CPU>
BenchmarkAccept/alg=HS256/lib=bare 	1000	100.0 ns/op	512 B/op	6 allocs/op
BenchmarkAccept/alg=HS256/lib=jwtgate 	1000	300.0 ns/op	1056 B/op	3 allocs/op
BenchmarkAccept/alg=HS256/lib=golang-jwt 	1000	1200 ns/op	4424 B/op	64 allocs/op
BenchmarkPaired/alg=HS256/lib=jwtgate/to=bare 	60	1.500 ratio
BenchmarkPaired/alg=HS256/lib=golang-jwt/to=jwtgate 	60	4.000 ratio
BenchmarkAcceptParallel/alg=HS256/lib=jwtgate-cached 	1000	200.0 ns/op
BenchmarkAcceptParallel/alg=HS256/lib=jwtgate-cached-2 	1000	100.0 ns/op
PASS
`

// canned returns samples of three rounds. The bare check takes 100, 200 and 600 ns.
func canned(t *testing.T) *samples {
	s := new(samples)
	for _, ns := range []string{"100.0", "200.0", "600.0"} {
		out := strings.Replace(ofOneRound, "100.0", ns, 1)
		require.NoError(t, s.add(strings.NewReader(out)))
	}
	return s
}

func TestSamples(t *testing.T) {
	t.Parallel()
	s := canned(t)
	bare, gate := on(1, accept("HS256", "bare")), on(1, accept("HS256", "jwtgate"))
	assert.Equal(t, spread{100, 200, 600}, s.of(bare))
	assert.Equal(t, spread{3, 3, 3}, s.of(gate.in(allocations)))
	// The ratios of each round, not the ratio of the medians.
	assert.Equal(t, spread{3, 1.5, 0.5}, s.ratio(gate, bare))
	assert.Equal(t, "1.50× (0.50–3.00)", s.ratio(gate, bare).times())
	cached := parallel("HS256", "jwtgate-cached")
	assert.Equal(t, spread{2, 2, 2}, s.ratio(on(1, cached), on(2, cached)))
	assert.Equal(t, "Example & Sons <CPU>", s.config["cpu"])

	assert.Equal(t, 2.5, spread{4, 1, 2, 3}.median())
	assert.True(t, math.IsNaN(spread{}.median()))
	assert.Equal(t, missing, s.ratio(gate, on(2, "Nothing")).times())

	assert.Error(t, s.add(strings.NewReader("BenchmarkBroken 1000 fast\n")))
	assert.ErrorIs(t, s.add(io.MultiReader(strings.NewReader("goos: linux\n"), broken{})), errBroken)
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

func TestReport(t *testing.T) {
	t.Parallel()
	var report strings.Builder
	require.NoError(t, writeReport(&report, description{machine: "Example, 2 cores", versions: []string{"a v1", "b v2"}, rounds: 3}, canned(t)))
	lines := map[string]bool{}
	for line := range strings.Lines(report.String()) {
		lines[strings.Join(strings.Fields(line), " ")] = true
	}
	for _, want := range []string{
		"a v1, b v2",
		"medians of 3 rounds",
		"jwtgate 300 1.50× 1.00× 3 1056",
		"HS256, of bare crypto/hmac ≤ 4× 1.50× (1.50–1.50) met",
		"HS256, time of golang-jwt by hand ≥ 5× 4.00× (4.00–4.00) NOT met",
		"HS256, allocations ≤ 10 3 met",
		"HS256, throughput of two cores ≥ 1.8× 2.00× (2.00–2.00) met",
		"RS256, of bare verification ≤ 1.08× – NOT met", // without a number the limit is not met
	} {
		assert.True(t, lines[want], "%s\nis not a line of\n%s", want, report.String())
	}
}

func TestChart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "chart.svg")
	d := description{machine: "Example & Sons <CPU>, 2 cores", versions: []string{"a v1", "b v2"}, rounds: 3}
	require.NoError(t, writeChart(file, d, canned(t)))
	svg, err := os.ReadFile(file)
	require.NoError(t, err)

	var texts []string
	for decoder := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if text, ok := token.(xml.CharData); ok {
			texts = append(texts, string(text))
		}
	}
	for _, want := range []string{"HS256", "golang-jwt by hand", "6.00×", "1.2 µs", "1.50×", "300 ns", "a v1 · b v2"} {
		assert.Contains(t, texts, want)
	}
	assert.Contains(t, strings.Join(texts, ""), "Example & Sons <CPU>, 2 cores")
}

func TestRunRefusesNothingToDo(t *testing.T) {
	t.Parallel()
	assert.Error(t, run(t.Context(), options{rounds: 0, benchtime: 1}, io.Discard, io.Discard))
	assert.Error(t, run(t.Context(), options{rounds: 1, benchtime: 0}, io.Discard, io.Discard))
}
