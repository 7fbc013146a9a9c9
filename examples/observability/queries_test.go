package main

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	grafana "github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A history holds the samples of each series of a service, like the database of
// Prometheus.
type history map[string]*series

type series struct {
	labels  labels.Labels
	samples []chunks.Sample
}

// add adds a sample. It also sets the labels that Prometheus adds.
func (h history) add(metric labels.Labels, at time.Time, value float64) {
	metric = labels.NewBuilder(metric).Set("job", "orders").Set("instance", "127.0.0.1:9464").Labels()
	key := metric.String()
	if h[key] == nil {
		h[key] = &series{labels: metric}
	}
	h[key].samples = append(h[key].samples, sample{at.UnixMilli(), value})
}

// scrape adds the current metrics of s with the given time.
func (h history) scrape(s *testService, at time.Time) {
	s.t.Helper()
	_, families := s.scrape()
	for _, family := range families {
		samples, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{}, family)
		require.NoError(s.t, err)
		for _, sample := range samples {
			metric := map[string]string{}
			for name, value := range sample.Metric {
				metric[string(name)] = string(value)
			}
			h.add(labels.FromMap(metric), at, float64(sample.Value))
		}
	}
}

// query evaluates an expression at a given time.
func (h history) query(t *testing.T, expr string, at time.Time) promql.Vector {
	t.Helper()
	querier := &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		var set seriesSet
		for _, s := range h {
			if matches(s.labels, matchers) {
				set.next = append(set.next, storage.NewListSeries(s.labels, s.samples))
			}
		}
		return &set
	}}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute})
	defer engine.Close()
	query, err := engine.NewInstantQuery(context.Background(), &storage.MockQueryable{MockQuerier: querier}, nil, expr, at)
	require.NoError(t, err, expr)
	defer query.Close()
	vector, err := query.Exec(context.Background()).Vector()
	require.NoError(t, err, expr)
	return append(promql.Vector(nil), vector...)
}

func matches(metric labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(metric.Get(m.Name)) {
			return false
		}
	}
	return true
}

// A seriesSet is a storage.SeriesSet that reads from a list.
type seriesSet struct {
	at   storage.Series
	next []storage.Series
}

func (s *seriesSet) Next() bool {
	if len(s.next) == 0 {
		return false
	}
	s.at, s.next = s.next[0], s.next[1:]
	return true
}
func (s *seriesSet) At() storage.Series                { return s.at }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// A sample is a chunks.Sample with a float value.
type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// rules returns the alert rules by name. It parses them with the parser of promtool.
func rules(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	content, err := os.ReadFile("alerts.yml")
	require.NoError(t, err)
	groups, errs := rulefmt.Parse(content, false, model.LegacyValidation)
	require.Empty(t, errs)
	all := map[string]rulefmt.Rule{}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			require.NotContains(t, all, rule.Alert)
			all[rule.Alert] = rule
		}
	}
	return all
}

// A panel is a panel of the dashboard, with the fields that the tests use.
type panel struct {
	Title       string
	Targets     []json.RawMessage
	Options     json.RawMessage
	FieldConfig struct {
		Defaults struct{ Custom json.RawMessage }
	}
}

// panels returns the panels of the dashboard. It fails the test if the dashboard has a
// field that Grafana's schema does not have.
func panels(t *testing.T) []panel {
	t.Helper()
	content, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	//lint:ignore SA1019 All versions of Grafana can import this older schema.
	var d dashboard.Dashboard
	require.Empty(t, d.UnmarshalJSONStrict(content)) // an empty list of errors is not nil
	require.NoError(t, d.Validate())
	var all struct{ Panels []panel }
	require.NoError(t, json.Unmarshal(content, &all))
	require.NotEmpty(t, all.Panels)
	return all.Panels
}

// targets returns the queries of p.
func (p panel) targets(t *testing.T) (all []grafana.Dataquery) {
	t.Helper()
	for _, raw := range p.Targets {
		var target grafana.Dataquery
		require.Empty(t, target.UnmarshalJSONStrict(raw))
		// Replace the variables of Grafana by possible values.
		target.Expr = strings.NewReplacer("$__rate_interval", "5m", "$job", ".*").Replace(target.Expr)
		require.NotContains(t, target.Expr, "$")
		all = append(all, target)
	}
	require.NotEmpty(t, all)
	return all
}

// scrapes returns the history of a service with two scrapes, the last at end. Before each
// scrape the service gets a request of every kind.
func scrapes(t *testing.T) (h history, end time.Time) {
	t.Helper()
	s := newTestService(t)
	h, end = history{}, time.Unix(1_800_000_000, 0)
	for _, at := range []time.Time{end.Add(-time.Minute), end} {
		s.everyKind()
		s.issuer.Down(503)
		s.unknownKeys(503)
		h.scrape(s, at)
	}
	return h, end
}

// Each series that a query selects by name and labels must exist.
func TestQueriesFindTheirSeries(t *testing.T) {
	t.Parallel()
	h, end := scrapes(t)
	queries := map[string]string{}
	for _, p := range panels(t) {
		for _, target := range p.targets(t) {
			queries[p.Title+" "+*target.RefId] = target.Expr
		}
	}
	for name, rule := range rules(t) {
		queries[name] = rule.Expr
	}
	used := map[string]bool{}
	for name, query := range queries {
		expr, err := parser.ParseExpr(query)
		require.NoError(t, err, name)
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			if selector, ok := node.(*parser.VectorSelector); ok {
				used[selector.Name] = true
				assert.NotEmpty(t, h.query(t, selector.String(), end), "%s: %s", name, selector)
			}
			return nil
		})
	}
	assert.Len(t, used, 9, "there is a metric that neither the dashboard nor a rule uses: %v", used)
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	h, end := scrapes(t)
	for _, p := range panels(t) {
		var options timeseries.Options
		require.Empty(t, options.UnmarshalJSONStrict(p.Options), p.Title)
		var custom timeseries.FieldConfig
		require.Empty(t, custom.UnmarshalJSONStrict(p.FieldConfig.Defaults.Custom), p.Title)
		for _, target := range p.targets(t) {
			found := h.query(t, target.Expr, end)
			assert.NotEmpty(t, found, target.Expr)
			for _, sample := range found {
				assert.GreaterOrEqual(t, sample.F, 0.0, target.Expr) // fails for NaN too
				if strings.HasSuffix(p.Title, " share") || strings.HasPrefix(p.Title, "Share ") {
					assert.Positive(t, sample.F, target.Expr)
					assert.Less(t, sample.F, 1.0, target.Expr)
				}
				for _, label := range legendLabel.FindAllStringSubmatch(*target.LegendFormat, -1) {
					assert.NotEmpty(t, sample.Metric.Get(label[1]), "%s in the legend of %s", label[0], p.Title)
				}
			}
		}
	}
}

var legendLabel = regexp.MustCompile(`\{\{(\w+)}}`)

// Each series of a case has a value for each minute of the day before end, in the
// notation of promtool.
func TestAlerts(t *testing.T) {
	t.Parallel()
	const (
		allow       = `jwtgate_decisions_total{result="allow", reason="none"} `
		expired     = `jwtgate_decisions_total{result="deny", reason="expired"} `
		unavailable = `jwtgate_decisions_total{result="unavailable", reason="unavailable"} `
		canceled    = `jwtgate_decisions_total{result="canceled", reason="canceled"} `
		age         = `jwtgate_keys_age_seconds{issuer="https://auth.example.com/"} `
		usable      = `jwtgate_keys_usable_for_seconds{issuer="https://auth.example.com/"} `
		clock       = `jwtgate_clock_ahead_seconds{issuer="https://auth.example.com/"} `
		failures    = `jwtgate_keys_fetch_failures_total{issuer="https://auth.example.com/"} `
	)
	fired := map[string]bool{}
	all := rules(t)
	for name, test := range map[string]struct {
		series []string
		want   []string
	}{
		"all is well":                 {[]string{allow + "0+100x1440", expired + "0+5x1440", unavailable + "0x1440", age + "240x1440", usable + "86760x1440", clock + "-1x1440", failures + "3x1440"}, nil},
		"no more requests":            {[]string{allow + "100x1440", expired + "5x1440", age + "240x239 240+60x1200", usable + "86760x239 86760-60x1200", failures + "3x1440"}, nil},
		"a new service":               {[]string{expired + "_x1435 0+5x4"}, nil},
		"a few unavailable":           {[]string{allow + "0+1000x1440", unavailable + "0+5x1440"}, nil},
		"many unavailable":            {[]string{allow + "0+1000x1440", unavailable + "0x1429 0+50x10"}, []string{"JwtgateCannotVerify"}},
		"many clients go away":        {[]string{allow + "0+1000x1440", canceled + "0x1429 0+500x10"}, nil},
		"all unavailable":             {[]string{unavailable + "0+10x1440"}, []string{"JwtgateCannotVerify"}},
		"many refusals, as always":    {[]string{allow + "0+10x1440", expired + "0+10x1440"}, nil},
		"twice as many refusals":      {[]string{allow + "0+90x1440", expired + "0+10x1419 14210+22x19"}, nil},
		"five times as many":          {[]string{allow + "0+90x1440", expired + "0+10x1419 14290+100x19"}, []string{"JwtgateRefusalsRise"}},
		"the first refusals":          {[]string{allow + "0+100x1440", expired + "0x1419 0+50x20"}, []string{"JwtgateRefusalsRise"}},
		"a few first refusals":        {[]string{allow + "0+1000x1440", expired + "0x1419 0+20x20"}, nil},
		"more traffic":                {[]string{allow + "0+10x1419 15190+1000x20", expired + "0+1x1419 1519+100x20"}, nil},
		"ten minutes' outage":         {[]string{age + "240x1429 240+60x10", failures + "3x1429 3+2x10"}, nil},
		"half an hour's outage":       {[]string{age + "240x1414 240+60x25", usable + "86760x1414 86760-60x25", failures + "3x1414 3+2x25"}, []string{"JwtgateKeysStale"}},
		"a day's outage":              {[]string{age + "240x179 240+60x1260", usable + "86760x179 86760-60x1260", failures + "3x179 3+2x1260"}, []string{"JwtgateKeysRunningOut", "JwtgateKeysStale"}},
		"the issuer deletes its keys": {[]string{age + "240x1429 240+60x10", usable + "86760x1429 600-60x9", failures + "3x1429 3+2x10"}, []string{"JwtgateKeysRunningOut"}},
		"a wrong clock":               {[]string{clock + "-3600x1440"}, []string{"JwtgateClockIsOff"}},
		"a clock a little off":        {[]string{clock + "30x1440"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h, end := history{}, time.Unix(1_800_000_000, 0)
			for _, description := range test.series {
				metric, values, err := parser.ParseSeriesDesc(description)
				require.NoError(t, err)
				for minute, value := range values {
					if !value.Omitted {
						h.add(metric, end.Add(time.Duration(minute-1440)*time.Minute), value.Value)
					}
				}
			}
			var got []string
			for name, rule := range all {
				if len(h.query(t, rule.Expr, end)) > 0 {
					got = append(got, name)
					fired[name] = true
				}
			}
			assert.ElementsMatch(t, test.want, got)
		})
	}
	assert.Len(t, fired, len(all), "a rule without a case")
}
