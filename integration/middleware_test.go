package integration_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/handlers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/jwttest"
)

// Refusals of the gate and of a handler are readable with CompressHandler of gorilla/handlers.
// acceptance 60
func TestRefusalsBehindCompressHandler(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	standard := func(code string) string { return `{"error":"` + code + `"` }
	for _, tt := range []struct {
		name                                       string
		onDeny                                     func(http.ResponseWriter, *http.Request, *jwtgate.Error)
		gateRefuses, handlerDenies, handlerEncoded string // the start of the body
	}{
		{"the standard body", nil, standard("unauthorized"), standard("insufficient_scope"), standard("insufficient_scope")},
		{"a body of OnDeny", func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) { io.WriteString(w, "a page") },
			"a page", "a page", "a page"},
		{"OnDeny that writes nothing", func(w http.ResponseWriter, _ *http.Request, _ *jwtgate.Error) {
			w.Header().Set("Content-Encoding", "br")
		}, standard("unauthorized"), standard("insufficient_scope"), standard("insufficient_scope")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			options := issuer.Options()
			options.OnDeny = tt.onDeny
			gate, err := jwtgate.New(options)
			require.NoError(t, err)
			mux := http.NewServeMux()
			mux.HandleFunc("/denied", func(w http.ResponseWriter, r *http.Request) { gate.Deny(w, r, jwtgate.ErrForbidden) })
			mux.HandleFunc("/encoded", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "br")
				gate.Deny(w, r, jwtgate.ErrForbidden)
			})
			for name, handler := range map[string]http.Handler{
				"outside":           handlers.CompressHandler(gate.Handler(mux)),
				"inside":            gate.Handler(handlers.CompressHandler(mux)),
				"outside otelhttp":  handlers.CompressHandler(otelhttp.NewHandler(gate.Handler(mux), "test")),
				"between two gates": gate.Handler(handlers.CompressHandler(gate.Handler(mux))),
			} {
				server := httptest.NewServer(handler)
				t.Cleanup(server.Close)
				for _, request := range []struct {
					path, token, body string
					status            int
				}{
					{"/denied", "", tt.gateRefuses, 401},
					{"/denied", issuer.Token(nil), tt.handlerDenies, 403},
					{"/encoded", issuer.Token(nil), tt.handlerEncoded, 403},
				} {
					if (name == "inside" || name == "between two gates") && request.path == "/encoded" {
						continue // as with http.Error: Deny cannot know that CompressHandler has not set this one
					}
					r, err := http.NewRequest(http.MethodGet, server.URL+request.path, nil)
					require.NoError(t, err)
					r.Header.Set("Accept-Encoding", "gzip") // switches the transport's own decompression off
					if request.token != "" {
						r.Header.Set("Authorization", "Bearer "+request.token)
					}
					response, err := client.Do(r)
					require.NoError(t, err)
					var body io.Reader = response.Body
					if encoding := response.Header.Get("Content-Encoding"); encoding != "" {
						require.Equal(t, "gzip", encoding, name)
						body, err = gzip.NewReader(response.Body)
						require.NoError(t, err)
					} else if name != "inside" && name != "between two gates" {
						t.Errorf("%s: the answer is not compressed, so the test shows nothing", name)
					}
					text, err := io.ReadAll(body)
					require.NoError(t, err)
					response.Body.Close()
					assert.Equal(t, request.status, response.StatusCode, name)
					assert.Contains(t, string(text), request.body, name)
				}
			}
		})
	}
}

// The spans and metrics of otelhttp have the route that a mux behind the gate has chosen.
// acceptance 58
func TestTelemetryHasTheRoute(t *testing.T) {
	t.Parallel()
	issuer := jwttest.NewIssuer(t)
	gate, err := jwtgate.New(issuer.Options())
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(http.ResponseWriter, *http.Request) {})
	for name, handler := range map[string]http.Handler{"with a gate": gate.Handler(mux), "without": mux} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spans, metrics := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
			server := httptest.NewServer(otelhttp.NewHandler(handler, "",
				otelhttp.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))),
				otelhttp.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(metrics)))))
			defer server.Close()
			r, err := http.NewRequest(http.MethodGet, server.URL+"/orders/7", nil)
			require.NoError(t, err)
			r.Header.Set("Authorization", "Bearer "+issuer.Token(nil))
			response, err := client.Do(r)
			require.NoError(t, err)
			response.Body.Close()
			assert.Equal(t, 200, response.StatusCode)
			server.Close() // waits until the span has ended
			require.Len(t, spans.Ended(), 1)
			assert.Equal(t, "GET /orders/{id}", spans.Ended()[0].Name())

			var data metricdata.ResourceMetrics
			require.NoError(t, metrics.Collect(t.Context(), &data))
			var routes []string
			for _, scope := range data.ScopeMetrics {
				for _, metric := range scope.Metrics {
					if histogram, ok := metric.Data.(metricdata.Histogram[float64]); ok {
						for _, point := range histogram.DataPoints {
							route, _ := point.Attributes.Value("http.route")
							routes = append(routes, route.AsString())
						}
					}
				}
			}
			assert.Equal(t, []string{"/orders/{id}"}, routes)
		})
	}
}
