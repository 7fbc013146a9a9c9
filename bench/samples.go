package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"golang.org/x/perf/benchfmt"
)

// samples are the results of the benchmarks, with one value for each round.
type samples struct {
	config map[string]string // what the test binary prints about the machine
	values map[series][]float64
}

// A series identifies the values of one benchmark in one unit.
type series struct {
	name string // without Benchmark and the number of processors
	cpus int
	unit string
}

const (
	nanoseconds = "ns/op"
	allocations = "allocs/op"
	allocated   = "B/op"
	pairedRatio = "ratio"
)

// on returns the series of nanoseconds of a benchmark on the given number of processors.
func on(cpus int, name string) series { return series{name, cpus, nanoseconds} }

// in returns the series of the same benchmark in another unit.
func (k series) in(unit string) series {
	k.unit = unit
	return k
}

// add reads the output of one process.
func (s *samples) add(output io.Reader) error {
	if s.values == nil {
		s.config, s.values = map[string]string{}, map[series][]float64{}
	}
	reader := benchfmt.NewReader(output, "benchmarks")
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			return record
		case *benchfmt.Result:
			for _, c := range record.Config {
				s.config[c.Key] = string(c.Value)
			}
			key := series{name: record.Name.String(), cpus: 1}
			if _, parts := record.Name.Parts(); len(parts) > 0 && parts[len(parts)-1][0] == '-' {
				suffix := string(parts[len(parts)-1])
				key.name = key.name[:len(key.name)-len(suffix)]
				var err error
				if key.cpus, err = strconv.Atoi(suffix[1:]); err != nil {
					return fmt.Errorf("the name of benchmark %s: %w", record.Name, err)
				}
			}
			for _, v := range record.Values {
				// benchfmt converts nanoseconds to seconds.
				value := v.Value
				if key.unit = v.Unit; v.OrigUnit != "" {
					value, key.unit = v.OrigValue, v.OrigUnit
				}
				s.values[key] = append(s.values[key], value)
			}
		}
	}
	return reader.Err()
}

// of returns the values of a series. The result is empty if the series was not measured.
func (s *samples) of(key series) spread { return s.values[key] }

// ratio returns, for each round, the value of key divided by the value of to.
func (s *samples) ratio(key, to series) spread {
	a, b := s.values[key], s.values[to]
	var ratios spread
	for i := range min(len(a), len(b)) {
		ratios = append(ratios, a[i]/b[i])
	}
	return ratios
}

// A spread has one value for each round.
type spread []float64

// median returns NaN if there are no values.
func (s spread) median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(s)-1)/2] + sorted[len(s)/2]) / 2
}

// times formats a ratio: the median, and the least and the greatest value.
func (s spread) times() string {
	if len(s) == 0 {
		return missing
	}
	return fmt.Sprintf("%.2f× (%.2f–%.2f)", s.median(), slices.Min(s), slices.Max(s))
}

// missing is printed in place of a number that was not measured.
const missing = "–"

// number formats the median. It returns missing if there is no value.
func (s spread) number(format string) string {
	if len(s) == 0 {
		return missing
	}
	return fmt.Sprintf(format, s.median())
}

// multiple formats the median as a ratio.
func (s spread) multiple() string {
	if s.median() < 0.1 {
		return s.number("%.1g×")
	}
	return s.number("%.2f×")
}

// micros formats the median of nanoseconds in microseconds.
func (s spread) micros() string {
	if len(s) == 0 {
		return missing
	}
	return fmt.Sprintf("%.0f", s.median()/1000)
}

// compare orders spreads by their medians. A spread without values comes last.
func (s spread) compare(other spread) int {
	if len(s) == 0 || len(other) == 0 {
		return cmp.Compare(len(other), len(s))
	}
	return cmp.Compare(s.median(), other.median())
}
