// Own measures what jwtgate gains from its own code where the standard library
// has a counterpart. It takes about a minute:
//
//	go -C bench run ./own             # all replacements
//	go -C bench run ./own base64 json # some of them
//
// Each folder of testdata is one replacement. Its files have the paths of the
// files of jwtgate that they replace. For each replacement the benchmark of
// this package is built twice, with jwtgate as it is and with the replacement,
// and both run alternately. A run is 30 short measurements, and the shortest
// time counts: other processes disturb that one least. The ratio is the median
// of the ratios of adjacent runs. No timing makes the command fail.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

const benchmarks = "github.com/jwtgate/jwtgate/bench/own" // this package

// A replacement does the work of jwtgate's own code with the standard library.
type replacement struct {
	name    string // of its folder in testdata
	own     string // what it replaces
	library string
	json2   bool // the toolchain must have encoding/json/jsontext
}

var replacements = []replacement{
	{name: "base64", own: "base64url decoder", library: "encoding/base64"},
	{name: "json", own: "JSON parser", library: "encoding/json"},
	{name: "jsonv2", own: "JSON parser", library: "encoding/json/jsontext", json2: true},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("own: ")
	rounds := flag.Int("rounds", 60, "number of paired runs for each replacement")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, flag.Args(), *rounds); err != nil {
		log.Fatal(err)
	}
}

// run compares the named replacements, or all of them, and prints a table.
func run(ctx context.Context, names []string, rounds int) error {
	if rounds < 1 {
		return errors.New("-rounds must be positive")
	}
	for _, name := range names {
		if !slices.ContainsFunc(replacements, func(r replacement) bool { return r.name == name }) {
			return fmt.Errorf("no replacement is called %q", name)
		}
	}
	library, err := libraryDir(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "jwtgate-own-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	fmt.Printf("One request with HS256 through the middleware, %s, %s/%s, %d pairs of runs\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, rounds)
	const row = "%-20s %-23s %9s %9s   %s\n"
	fmt.Printf(row, "own code", "library", "own ns", "lib ns", "lib/own (quartiles)")
	for _, r := range replacements {
		if len(names) > 0 && !slices.Contains(names, r.name) {
			continue
		}
		own, lib, err := r.build(ctx, dir, library)
		if err != nil {
			return err
		}
		c, err := alternate(ctx, own, lib, rounds)
		if err != nil {
			return err
		}
		fmt.Printf(row, r.own, r.library, fmt.Sprintf("%.0f", c.own), fmt.Sprintf("%.0f", c.library),
			fmt.Sprintf("%.3f (%.3f to %.3f)", c.ratio, c.low, c.high))
	}
	return nil
}

// build compiles the benchmark with the code of jwtgate and with r.
func (r replacement) build(ctx context.Context, dir, library string) (own, lib string, err error) {
	overlay := filepath.Join(dir, r.name+".json")
	if err := r.writeOverlay(overlay, library); err != nil {
		return "", "", err
	}
	own, lib = filepath.Join(dir, r.name+"-own.exe"), filepath.Join(dir, r.name+"-lib.exe")
	environment := r.environment(ctx)
	for _, arguments := range [][]string{
		{"test", "-c", "-o", own, benchmarks},
		{"test", "-c", "-o", lib, "-overlay", overlay, benchmarks},
	} {
		if _, err := output(ctx, environment, "go", arguments...); err != nil {
			return "", "", err
		}
	}
	return own, lib, nil
}

// writeOverlay writes the file that makes the go command read r in place of
// the files of the library in the given folder.
func (r replacement) writeOverlay(file, library string) error {
	here, err := output(context.Background(), nil, "go", "list", "-f", "{{.Dir}}", benchmarks)
	if err != nil {
		return err
	}
	root := filepath.Join(here, "testdata", r.name)
	var overlay struct{ Replace map[string]string }
	overlay.Replace = make(map[string]string)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		replaced := filepath.Join(library, name)
		overlay.Replace[replaced] = path
		_, err = os.Stat(replaced) // without the replaced file, nothing would be compared
		return err
	})
	if err != nil {
		return err
	}
	content, err := json.Marshal(overlay)
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o600)
}

// environment returns the environment to compile r in. encoding/json/jsontext
// is an experiment before Go 1.27.
func (r replacement) environment(ctx context.Context) []string {
	environment := os.Environ()
	if !r.json2 {
		return environment
	}
	if _, err := output(ctx, environment, "go", "list", "encoding/json/jsontext"); err == nil {
		return environment
	}
	experiments := strings.TrimPrefix(os.Getenv("GOEXPERIMENT")+",jsonv2", ",")
	return append(environment, "GOEXPERIMENT="+experiments)
}

// libraryDir returns the folder of jwtgate's sources.
func libraryDir(ctx context.Context) (string, error) {
	return output(ctx, nil, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/jwtgate/jwtgate")
}

// A comparison is of times in ns. The ratios are of the library's time to the
// time of jwtgate's own code: the median and the quartiles.
type comparison struct {
	own, library     float64
	low, ratio, high float64
}

// alternate runs two test binaries alternately and compares their times.
func alternate(ctx context.Context, own, lib string, rounds int) (c comparison, err error) {
	pair := [2]string{own, lib}
	var times [2][]float64
	for round := range rounds {
		for i := range pair {
			i = (i + round) % 2 // each of them goes first in every other round
			t, err := measure(ctx, pair[i])
			if err != nil {
				return c, err
			}
			times[i] = append(times[i], t)
		}
	}
	return compare(times[0], times[1]), nil
}

func compare(own, library []float64) comparison {
	ratios := make([]float64, len(own))
	for i := range own {
		ratios[i] = library[i] / own[i]
	}
	return comparison{
		own: quantile(own, 0.5), library: quantile(library, 0.5),
		low: quantile(ratios, 0.25), ratio: quantile(ratios, 0.5), high: quantile(ratios, 0.75),
	}
}

// quantile interpolates between the two nearest values.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}

var result = regexp.MustCompile(`(?m)^BenchmarkMiddleware\s+\d+\s+([\d.]+) ns/op`)

// measure runs a test binary and returns the time of one request in ns.
func measure(ctx context.Context, binary string) (float64, error) {
	out, err := output(ctx, nil, binary, "-test.run=^$", "-test.bench=^BenchmarkMiddleware$",
		"-test.cpu=1", "-test.count=30", "-test.benchtime=2ms")
	if err != nil {
		return 0, err
	}
	shortest := math.Inf(1)
	for _, match := range result.FindAllStringSubmatch(out, -1) {
		t, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			return 0, err
		}
		shortest = min(shortest, t)
	}
	if math.IsInf(shortest, 1) {
		return 0, fmt.Errorf("no result in the output of the benchmark:\n%s", out)
	}
	return shortest, nil
}

// output returns the standard output of a command without the final newline.
// The error contains the standard error.
func output(ctx context.Context, environment []string, name string, arguments ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, name, arguments...)
	command.Env, command.Stdout, command.Stderr = environment, &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(arguments, " "), err, &stdout, &stderr)
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}
