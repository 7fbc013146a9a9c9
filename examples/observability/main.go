// Observability exports the decisions of a gate and the state of its keys as
// OpenTelemetry metrics and traces, with alerts for Prometheus and a dashboard for
// Grafana.
//
//	go run .          # in this directory, which is a separate module
//	go run . -trace   # also prints the spans, a few seconds later
//
// It prints curl lines with a token. Send some of them, then run
//
//	curl -s http://127.0.0.1:9464/metrics | grep ^jwtgate
//
// The parts to copy are telemetry.go and newService. The issuer of the tokens runs in
// the same process. README.md describes the labels, the alert rules and the dashboard.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/examples/internal/demo"
	"github.com/jwtgate/jwtgate/keys"
)

// audience is the name of this API. The aud claim of each token must contain it.
const audience = "https://api.example.com"

// orders is the name of the service in Prometheus and in the traces.
var orders = resource.NewSchemaless(attribute.String("service.name", "orders"))

// A service has two handlers for two listeners: the API, and the metrics, which only
// Prometheus should be able to reach.
type service struct{ api, metrics http.Handler }

// newService returns a service that trusts the tokens of one issuer. tracers makes its
// spans.
func newService(issuer string, logger *slog.Logger, tracers trace.TracerProvider) (*service, error) {
	registry := prometheus.NewRegistry()
	reader, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registry),
		otelprometheus.WithoutScopeInfo(), // adds no labels for the scope
		// alerts.yml and dashboard.json use the metric names that this strategy makes.
		otelprometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes))
	if err != nil {
		return nil, err
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(orders))
	meter := provider.Meter(scope)
	measure, err := observeDecisions(meter)
	if err != nil {
		return nil, err
	}
	remote := &keys.Remote{Logger: logger}
	if err := observeKeys(meter, remote); err != nil {
		return nil, err
	}
	audit := jwtgate.AuditLog(logger)
	gate, err := jwtgate.New(jwtgate.Options{
		Keys:      remote,
		Issuers:   []string{issuer},
		Audiences: []string{audience},
		CacheSize: 1000,
		Observe: func(ctx context.Context, e jwtgate.Event) {
			measure(ctx, e)
			audit(ctx, e)
		},
	})
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", gate.Optional(http.HandlerFunc(showSubject)))
	mux.Handle("GET /orders", gate.Handler(http.HandlerFunc(showSubject)))
	mux.Handle("POST /orders", gate.Require(jwtgate.Scope("orders:write")).Handler(http.HandlerFunc(showSubject)))

	// otelhttp wraps the gates, so that they find the span in the context of the request.
	api := otelhttp.NewHandler(mux, "orders",
		otelhttp.WithTracerProvider(tracers),
		// Discard the metrics of otelhttp: they have a label with the Host header, which
		// clients choose. If you want them, set otelhttp.WithServerName.
		otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()))

	metrics := http.NewServeMux()
	metrics.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return &service{api, metrics}, nil
}

// showSubject takes the place of your handlers. Behind a gate, Subject is the user's ID.
func showSubject(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	err := json.NewEncoder(w).Encode(map[string]string{"subject": jwtgate.Subject(r.Context())})
	if err != nil {
		log.Print(err) // the client closed the connection
	}
}

func main() {
	api := flag.String("addr", "127.0.0.1:8080", "`address` of the API")
	metrics := flag.String("metrics", "127.0.0.1:9464", "`address` of the metrics")
	spans := flag.Bool("trace", false, "print the spans")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *api, *metrics, *spans)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "observability:", err)
		os.Exit(1)
	}
}

// run prints curl lines and serves the API and the metrics until ctx ends. If spans is
// set, it also prints the spans.
func run(ctx context.Context, out io.Writer, apiAddr, metricsAddr string, spans bool) (err error) {
	// The servers and the tracer are shut down after ctx has ended, so Shutdown needs
	// another context.
	shutdownContext := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	}
	issuer, err := demo.StartIssuer()
	if err != nil {
		return err
	}
	defer issuer.Close()

	var tracers trace.TracerProvider = tracenoop.NewTracerProvider()
	if spans {
		exporter, err := stdouttrace.New(stdouttrace.WithWriter(out), stdouttrace.WithPrettyPrint())
		if err != nil {
			return err
		}
		provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(orders))
		defer func() {
			ctx, cancel := shutdownContext()
			defer cancel()
			err = errors.Join(err, provider.Shutdown(ctx))
		}()
		tracers = provider
	}
	service, err := newService(issuer.URL, slog.Default(), tracers)
	if err != nil {
		return err
	}

	apiListener, err := net.Listen("tcp", apiAddr)
	if err != nil {
		return err
	}
	defer apiListener.Close()
	metricsListener, err := net.Listen("tcp", metricsAddr)
	if err != nil {
		return err
	}
	defer metricsListener.Close()
	err = printCurl(out, "http://"+apiListener.Addr().String(), "http://"+metricsListener.Addr().String(), issuer)
	if err != nil {
		return err
	}
	api, metrics := newServer(service.api), newServer(service.metrics)
	stopped := make(chan error, 2)
	go func() { stopped <- api.Serve(apiListener) }()
	go func() { stopped <- metrics.Serve(metricsListener) }()
	select {
	case <-ctx.Done():
	case err = <-stopped:
	}

	// Let requests in progress finish.
	ctx, cancel := shutdownContext()
	defer cancel()
	return errors.Join(err, api.Shutdown(ctx), metrics.Shutdown(ctx))
}

func newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
	}
}

// printCurl prints requests for the reader to send.
func printCurl(out io.Writer, api, metrics string, issuer *demo.Issuer) error {
	token := issuer.Token(map[string]any{"aud": audience, "sub": "alice", "scope": "orders:read", "jti": rand.Text()})
	_, err := fmt.Fprintf(out, `The token is valid for an hour. The first request is allowed. The others are refused: no scope, no token, a bad token.

curl -i -H "Authorization: Bearer %[3]s" %[1]s/orders

curl -i -X POST -H "Authorization: Bearer %[3]s" %[1]s/orders

curl -i %[1]s/orders

curl -i -H "Authorization: Bearer e30.e30.e30" %[1]s/orders

The metrics of these requests:

curl -s %[2]s/metrics | grep ^jwtgate

Ctrl-C stops the servers.
`, api, metrics, token)
	return err
}
