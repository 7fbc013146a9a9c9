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

// Samples are what benchmarks have measured, one value for each round.
type samples struct {
	config map[string]string // what the test binary says of the machine
	values map[series][]float64
}

// A series are the values of one benchmark.
type series struct {
	name string // without Benchmark and the number of processors
	cpus int
	unit string
}

const (
	nanoseconds = "ns/op"
	allocations = "allocs/op"
	allocated   = "B/op"
)

// on is a series of nanoseconds.
func on(cpus int, name string) series { return series{name, cpus, nanoseconds} }

// in is the series of another unit from the same benchmark.
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
				// benchfmt turns nanoseconds into seconds.
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

// of returns the values of a series, none if it was not measured.
func (s *samples) of(key series) spread { return s.values[key] }

// ratio returns for each round by how much one series is more than another.
func (s *samples) ratio(key, to series) spread {
	a, b := s.values[key], s.values[to]
	var ratios spread
	for i := range min(len(a), len(b)) {
		ratios = append(ratios, a[i]/b[i])
	}
	return ratios
}

// A spread are the values that the rounds came to.
type spread []float64

// median returns NaN if there are no values.
func (s spread) median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(s)-1)/2] + sorted[len(s)/2]) / 2
}

// times prints a ratio: the median, and between which values it lies.
func (s spread) times() string {
	if len(s) == 0 {
		return missing
	}
	return fmt.Sprintf("%.2f× (%.2f–%.2f)", s.median(), slices.Min(s), slices.Max(s))
}

// missing stands where there is no number.
const missing = "–"

// number prints the median in a format, or that there is none.
func (s spread) number(format string) string {
	if len(s) == 0 {
		return missing
	}
	return fmt.Sprintf(format, s.median())
}

// multiple prints the median as a ratio.
func (s spread) multiple() string {
	if s.median() < 0.1 {
		return s.number("%.1g×")
	}
	return s.number("%.2f×")
}

// micros prints the median of nanoseconds in microseconds.
func (s spread) micros() string {
	if len(s) == 0 {
		return missing
	}
	return fmt.Sprintf("%.0f", s.median()/1000)
}

// compare orders spreads by their medians, with those without one last.
func (s spread) compare(other spread) int {
	if len(s) == 0 || len(other) == 0 {
		return cmp.Compare(len(other), len(s))
	}
	return cmp.Compare(s.median(), other.median())
}
