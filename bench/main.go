// Bench compares jwtgate with other libraries, in one run on one machine. It also
// reports whether jwtgate stays within the limits that it sets for its own time
// and memory. A run takes about five minutes, during which the machine should be
// idle:
//
//	go -C bench run .
//	go -C bench run . -o results.txt -svg chart.svg
//
// The command go -C bench run ./own compares jwtgate's own decoder and
// parser with the standard library.
//
// The benchmarks are in the tests of this package. A run compiles them once and
// runs all of them in several rounds, so that the libraries alternate. Each number
// is the median of the rounds. Each ratio compares two benchmarks of the same round.
package main

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	var o options
	flag.IntVar(&o.rounds, "rounds", 10, "how many `times` to run all benchmarks")
	flag.DurationVar(&o.benchtime, "benchtime", 60*time.Millisecond, "how long each benchmark runs in a round")
	flag.StringVar(&o.raw, "o", "", "write the output of the benchmarks to this `file`, for benchstat")
	flag.StringVar(&o.chart, "svg", "", "write a chart to this `file`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		log.Fatal("bench: ", err)
	}
}

type options struct {
	rounds     int
	benchtime  time.Duration
	raw, chart string
}

// run runs the benchmarks and writes the report. Its progress messages go to progress.
func run(ctx context.Context, o options, report, progress io.Writer) (err error) {
	if o.rounds < 1 || o.benchtime <= 0 {
		return errors.New("-rounds and -benchtime must be more than 0")
	}
	raw := io.Discard
	if o.raw != "" {
		file, createErr := os.Create(o.raw)
		if createErr != nil {
			return createErr
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		raw = file
	}
	dir, err := os.MkdirTemp("", "jwtgate-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	binary := filepath.Join(dir, "bench.test.exe") // Windows needs .exe; other systems ignore it
	fmt.Fprintln(progress, "compiling")
	if _, err := output(ctx, "go", "test", "-c", "-o", binary, "."); err != nil {
		return err
	}
	s := new(samples)
	for round := range o.rounds {
		fmt.Fprintf(progress, "round %d of %d\n", round+1, o.rounds)
		// The benchmarks of connections need more time than the others.
		out, err := measure(ctx, binary, o.benchtime.String(), (10 * o.benchtime).String())
		if err != nil {
			return err
		}
		if _, err := raw.Write(out); err != nil {
			return err
		}
		if err := s.add(bytes.NewReader(out)); err != nil {
			return err
		}
	}

	about, err := describe(ctx, binary, s, o)
	if err != nil {
		return err
	}
	if err := writeReport(report, about, s); err != nil {
		return err
	}
	if o.chart == "" {
		return nil
	}
	return writeChart(o.chart, about, s)
}

// measure runs all benchmarks once and returns their output.
func measure(ctx context.Context, binary, benchtime, loadtime string) (all []byte, err error) {
	for _, of := range []struct{ pattern, benchtime, cpu string }{
		{"^Benchmark(Context|Accept|Paired|Refuse|RefuseSize|Claims|DPoP|MTLS)$", benchtime, "1"},
		{"^Benchmark(Context|Accept)Parallel$", benchtime, "1,2"},
		{"^Benchmark(Paired)?Load$", loadtime, strconv.Itoa(runtime.NumCPU())},
		{"^BenchmarkCache$", "1x", "1"},
	} {
		out, err := output(ctx, binary, "-test.run=^$", "-test.bench="+of.pattern, "-test.benchtime="+of.benchtime, "-test.cpu="+of.cpu)
		if err != nil {
			return nil, err
		}
		all = append(all, out...)
	}
	return all, nil
}

// output returns the standard output of a command. If the command fails, the error
// contains everything that it has printed.
func output(ctx context.Context, name string, arguments ...string) ([]byte, error) {
	var out, problems bytes.Buffer
	command := exec.CommandContext(ctx, name, arguments...)
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(arguments, " "), err, &out, &problems)
	}
	return out.Bytes(), nil
}

// A description says where the numbers come from.
type description struct {
	machine  string // "AMD EPYC, 2 cores"
	platform string // "linux/amd64, go1.26.8"
	date     string
	rounds   int
	versions []string // "golang-jwt/jwt v5.3.1"
}

func describe(ctx context.Context, binary string, s *samples, o options) (description, error) {
	d := description{
		machine: fmt.Sprintf("%s, %d cores", cmp.Or(s.config["cpu"], "unknown processor"), runtime.NumCPU()),
		date:    time.Now().Format(time.DateOnly),
		rounds:  o.rounds,
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return d, err
	}
	d.platform = fmt.Sprintf("%s/%s, %s", s.config["goos"], s.config["goarch"], info.GoVersion)

	modules := s.modules()
	out, err := output(ctx, "go", append([]string{"list", "-m", "-f", "{{.Version}}"}, modules...)...)
	if err != nil {
		return d, err
	}
	d.versions = []string{"jwtgate of this checkout"}
	for i, version := range strings.Fields(string(out)) {
		name := strings.TrimPrefix(modules[i], "github.com/")
		major, _, _ := strings.Cut(version, ".")
		d.versions = append(d.versions, strings.TrimSuffix(name, "/"+major)+" "+version)
	}
	return d, nil
}
