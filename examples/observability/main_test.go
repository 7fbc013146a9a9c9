package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/jwtgate/jwtgate/jwttest"
)

// A testService is a service on loopback that trusts an issuer on loopback.
type testService struct {
	t            *testing.T
	issuer       *jwttest.Issuer
	api, metrics *httptest.Server
	spans        *tracetest.InMemoryExporter
}

func newTestService(t *testing.T) *testService {
	t.Helper()
	s := &testService{t: t, issuer: jwttest.NewIssuer(t), spans: tracetest.NewInMemoryExporter()}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans))
	service, err := newService(s.issuer.URL, slog.New(slog.DiscardHandler), tracers)
	require.NoError(t, err)
	s.api, s.metrics = httptest.NewServer(service.api), httptest.NewServer(service.metrics)
	t.Cleanup(s.api.Close)
	t.Cleanup(s.metrics.Close)
	return s
}

// send sends a request with the given Authorization lines and asserts the status of the
// answer.
func (s *testService) send(status int, method, path string, authorization ...string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.api.URL+path, nil)
	require.NoError(s.t, err)
	request.Header["Authorization"] = authorization
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	require.NoError(s.t, response.Body.Close())
	require.Equal(s.t, status, response.StatusCode)
}

// scrape returns the metrics as Prometheus gets them: the text, and the same text
// parsed.
func (s *testService) scrape() (text string, families map[string]*dto.MetricFamily) {
	s.t.Helper()
	response, err := http.Get(s.metrics.URL + "/metrics")
	require.NoError(s.t, err)
	defer response.Body.Close()
	require.Equal(s.t, http.StatusOK, response.StatusCode)
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err = parser.TextToMetricFamilies(strings.NewReader(string(body)))
	require.NoError(s.t, err)
	return string(body), families
}

// values returns the samples of a metric by their labels, which are written without
// braces.
func (s *testService) values(name string) map[string]float64 {
	s.t.Helper()
	_, families := s.scrape()
	all := map[string]float64{}
	if families[name] == nil {
		return all
	}
	samples, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{}, families[name])
	require.NoError(s.t, err)
	for _, sample := range samples {
		key := model.LabelSet(sample.Metric).Clone()
		if string(key[model.MetricNameLabel]) == name {
			delete(key, model.MetricNameLabel)
		}
		all[strings.Trim(key.String(), "{}")] = float64(sample.Value)
	}
	return all
}

// everyKind sends requests that are allowed, anonymous and denied. The denials have six
// reasons. unknownKeys and an outage add one reason each.
func (s *testService) everyKind() {
	s.t.Helper()
	good := "Bearer " + s.issuer.Token(nil)
	s.send(200, "GET", "/orders", good)
	s.send(200, "GET", "/orders", good)
	s.send(200, "GET", "/orders", good)
	s.send(403, "POST", "/orders", good)
	s.send(200, "GET", "/")
	s.send(401, "GET", "/orders")
	s.send(400, "GET", "/orders", good, good)
	s.send(401, "GET", "/orders", "Bearer "+s.issuer.Token(map[string]any{"exp": time.Now().Add(-time.Hour)}))
	s.send(401, "GET", "/orders", "Bearer "+s.issuer.Forge(nil, nil))
	s.send(401, "GET", "/orders", "Bearer no.token.at-all")
}

// unknownKeys sends three tokens with key IDs that the issuer does not have. The service
// must have fetched once before. keys.Remote may fetch twice for unknown keys and bad
// signatures together. Then the limit is reached.
func (s *testService) unknownKeys(status int) {
	s.t.Helper()
	for _, kid := range []string{"made-up-1", "made-up-2", "made-up-3"} {
		s.send(status, "GET", "/orders", "Bearer "+s.issuer.Sign(map[string]any{"kid": kid}, nil))
	}
}

func TestScrape(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	label := `issuer="` + s.issuer.URL + `"`
	assert.Equal(t, map[string]float64{label: 0}, s.values("jwtgate_keys_in_use"))
	assert.Empty(t, s.values("jwtgate_keys_age_seconds"), "there are no keys")
	assert.Equal(t, map[string]float64{label: 0}, s.values("jwtgate_keys_fetch_failures_total"), "the series must exist before the first failure, or increase() would not see it")

	s.everyKind()
	s.unknownKeys(401)
	assert.Equal(t, map[string]float64{
		`cached="false", reason="none", result="allow"`:       1,
		`cached="true", reason="none", result="allow"`:        2,
		`cached="true", reason="forbidden", result="deny"`:    1,
		`cached="false", reason="none", result="anonymous"`:   1,
		`cached="false", reason="no_token", result="deny"`:    1,
		`cached="false", reason="request", result="deny"`:     1,
		`cached="false", reason="expired", result="deny"`:     1,
		`cached="false", reason="signature", result="deny"`:   1,
		`cached="false", reason="malformed", result="deny"`:   1,
		`cached="false", reason="unknown_key", result="deny"`: 3,
	}, s.values("jwtgate_decisions_total"))

	durations := s.values("jwtgate_decision_duration_seconds")
	const name = `__name__="jwtgate_decision_duration_seconds`
	for labels, count := range map[string]float64{
		`cached="false", result="allow"`: 1, `cached="true", result="allow"`: 2, `cached="false", result="anonymous"`: 1,
		`cached="true", result="deny"`: 1, `cached="false", result="deny"`: 8,
	} {
		assert.Equal(t, count, durations[name+`_count", `+labels], labels)
		sum := durations[name+`_sum", `+labels]
		assert.Positive(t, sum, labels)
		assert.Less(t, sum, 60*count, "seconds")
		within := strings.Replace(labels, ", ", `, le="10", `, 1)
		assert.Equal(t, count, durations[name+`_bucket", `+within], "the buckets are for seconds")
	}

	assert.Equal(t, map[string]float64{label: 1}, s.values("jwtgate_keys_in_use"))
	assert.Equal(t, map[string]float64{label: 3}, s.values("jwtgate_keys_fetches_total")) // for the keys, for the bad signature, and in search of an unknown key
	assert.Equal(t, map[string]float64{label: 0}, s.values("jwtgate_keys_fetch_failures_total"))
	assert.Equal(t, map[string]float64{label: 2}, s.values("jwtgate_keys_limited_lookups_total"))
	age := s.values("jwtgate_keys_age_seconds")[label]
	assert.Positive(t, age)
	assert.Less(t, age, 60.0, "seconds")
	assert.InDelta(t, 24*3600+600, s.values("jwtgate_keys_usable_for_seconds")[label], 60, "seconds")
	assert.Equal(t, map[string]float64{label: 0}, s.values("jwtgate_clock_ahead_seconds"))
	assert.Equal(t, map[string]float64{`service_name="orders"`: 1}, s.values("target_info"))
}

func TestScrapeInAnOutage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before func(*testService)
		keys   float64
	}{
		"from the start":        {func(*testService) {}, 0},
		"after keys were there": {func(s *testService) { s.send(200, "GET", "/orders", "Bearer "+s.issuer.Token(nil)) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTestService(t)
			label := `issuer="` + s.issuer.URL + `"`
			test.before(s)
			old := "Bearer " + s.issuer.Token(nil)
			s.issuer.Down(503)
			s.issuer.Rotate()
			s.send(503, "GET", "/orders", "Bearer "+s.issuer.Token(nil))

			decisions := s.values("jwtgate_decisions_total")
			assert.Equal(t, 1.0, decisions[`cached="false", reason="unavailable", result="unavailable"`])
			for labels := range decisions {
				assert.NotContains(t, labels, "deny", "it is not the client's fault")
			}
			assert.Equal(t, map[string]float64{label: 1}, s.values("jwtgate_keys_fetch_failures_total"))
			assert.Equal(t, map[string]float64{label: test.keys}, s.values("jwtgate_keys_in_use"))
			assert.Len(t, s.values("jwtgate_keys_age_seconds"), int(test.keys))
			if test.keys > 0 {
				s.send(200, "GET", "/orders", old)
			}
		})
	}
}

// A client that goes away while keys are fetched is no outage of the service.
func TestClientThatGoesAway(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	s.issuer.Down(0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+s.issuer.Token(nil))
	s.api.Config.Handler.ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, map[string]float64{`cached="false", reason="canceled", result="canceled"`: 1}, s.values("jwtgate_decisions_total"))
}

// Clients cannot add series or labels, and the metrics contain no data from a token.
func TestMetricsContainNoTokenData(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	const subject, id, kid = "somebody-in-particular", "token-in-particular", "key-in-particular"
	claims := map[string]any{"sub": subject, "jti": id, "scope": "scope-in-particular"}
	token := s.issuer.Token(claims)
	send := func(header http.Header, path string) {
		request, err := http.NewRequestWithContext(t.Context(), "GET", s.api.URL+path, nil)
		require.NoError(t, err)
		request.Header = header
		request.Host = "host-in-particular"
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
	}
	send(http.Header{"Authorization": {"Bearer " + token}}, "/orders")
	_, families := s.scrape()
	series := len(s.values("jwtgate_decisions_total"))
	for _, header := range []http.Header{
		{"Authorization": {"Bearer " + s.issuer.Sign(map[string]any{"kid": kid}, claims)}},
		{"Authorization": {"Bearer " + s.issuer.Forge(map[string]any{"kid": kid, "typ": "type-in-particular"}, claims)}},
		{"Authorization": {token}},
		{"Authorization": {"Bearer " + token, "Bearer " + token}},
	} {
		for _, path := range []string{"/orders", "/orders?access_token=" + token, "/" + token} {
			send(header, path)
		}
	}

	text, after := s.scrape()
	assert.NotContains(t, text, "in-particular")
	for segment := range strings.SplitSeq(token, ".") {
		assert.NotContains(t, text, segment)
	}
	assert.Equal(t, slices.Sorted(maps.Keys(families)), slices.Sorted(maps.Keys(after)))
	assert.LessOrEqual(t, len(s.values("jwtgate_decisions_total")), series+3, "unknown_key, no_token, request")

	labels := map[string]bool{}
	for name, family := range after {
		if !strings.HasPrefix(name, "jwtgate_") {
			assert.Equal(t, "target_info", name, "metrics of other libraries")
			continue
		}
		for _, m := range family.Metric {
			for _, pair := range m.Label {
				labels[pair.GetName()] = true
			}
		}
	}
	assert.Equal(t, []string{"cached", "issuer", "reason", "result"}, slices.Sorted(maps.Keys(labels)))
}

func TestSpans(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	good := "Bearer " + s.issuer.Token(map[string]any{"sub": "somebody-in-particular", "jti": "token-in-particular"})
	s.send(200, "GET", "/orders", good)
	s.send(403, "POST", "/orders", good)
	s.send(200, "GET", "/")
	s.send(404, "GET", "/nothing")
	s.issuer.Down(0)
	s.issuer.Rotate()
	s.send(503, "GET", "/orders", "Bearer "+s.issuer.Token(nil))

	type span struct {
		name, result, reason string
		cached               bool
		code                 codes.Code
	}
	want := []span{
		{"GET /orders", "allow", "none", false, codes.Unset},
		{"POST /orders", "deny", "forbidden", true, codes.Unset},
		{"GET /{$}", "anonymous", "none", false, codes.Unset},
		{"GET", "", "", false, codes.Unset}, // no gate has seen this request
		{"GET /orders", "unavailable", "unavailable", false, codes.Error},
	}
	s.api.Close() // a span ends shortly after its answer; Close waits for that
	var got []span
	for _, stub := range s.spans.GetSpans() {
		attributes := attribute.NewSet(stub.Attributes...)
		value := func(key attribute.Key) attribute.Value {
			v, _ := attributes.Value(key)
			return v
		}
		got = append(got, span{stub.Name, value("jwtgate.result").AsString(), value("jwtgate.reason").AsString(),
			value("jwtgate.cached").AsBool(), stub.Status.Code})
		assert.Empty(t, stub.Events)
		for _, a := range stub.Attributes {
			assert.NotContains(t, a.Value.String(), "in-particular", a.Key)
			assert.NotContains(t, a.Value.String(), good[len("Bearer "):], a.Key)
		}
	}
	assert.ElementsMatch(t, want, got)
}

func TestRun(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, writer, "127.0.0.1:0", "127.0.0.1:0", true)
		writer.CloseWithError(err) // so that the scan below ends if run fails
		ended <- err
	}()

	var lines []string
	out := bufio.NewReader(reader)
	for {
		line, err := out.ReadString('\n')
		require.NoError(t, err)
		if strings.HasPrefix(line, "curl ") {
			lines = append(lines, strings.TrimSpace(line))
		}
		if strings.HasPrefix(line, "Ctrl-C") {
			break
		}
	}
	printed := make(chan string, 1)
	go func() {
		rest, err := io.ReadAll(out)
		assert.NoError(t, err)
		printed <- string(rest)
	}()

	require.Len(t, lines, 5)
	client := &http.Client{Timeout: time.Minute}
	for i, want := range []struct {
		status int
		body   string
	}{
		{http.StatusOK, `{"subject":"alice"}`},
		{http.StatusForbidden, `"insufficient_scope"`},
		{http.StatusUnauthorized, `"unauthorized"`},
		{http.StatusUnauthorized, `"invalid_token"`},
		{http.StatusOK, `jwtgate_decisions_total{cached="false",reason="none",result="allow"} 1` + "\n"},
	} {
		response, err := client.Do(requestOf(t, lines[i]))
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, want.status, response.StatusCode, lines[i])
		assert.Contains(t, string(body), want.body, lines[i])
	}
	client.CloseIdleConnections()

	interrupt()
	require.NoError(t, <-ended)
	spans := <-printed
	assert.Equal(t, 4, strings.Count(spans, `"jwtgate.result"`), "one for each request to the API")
	_, err := client.Do(requestOf(t, lines[0]))
	require.Error(t, err, "the server still answers")
}

func TestRunWithoutAPort(t *testing.T) {
	t.Parallel()
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	address := taken.Listener.Addr().String()
	require.Error(t, run(t.Context(), io.Discard, address, "127.0.0.1:0", false))
	require.Error(t, run(t.Context(), io.Discard, "127.0.0.1:0", address, false))
}

var curlLine = regexp.MustCompile(`^curl -[is](?: -X ([A-Z]+))?(?: -H "([^:"]+): ([^"]+)")? (http://\S+)(?: \| grep \^jwtgate)?$`)

// requestOf returns the request that a curl line sends.
func requestOf(t *testing.T, line string) *http.Request {
	t.Helper()
	parts := curlLine.FindStringSubmatch(line)
	require.NotNil(t, parts, line)
	request, err := http.NewRequestWithContext(t.Context(), parts[1], parts[4], nil)
	require.NoError(t, err)
	if parts[2] != "" {
		request.Header.Set(parts[2], parts[3])
	}
	return request
}
