package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// A library takes part in the comparison. name is its name in the benchmarks, label
// its name in the report. The report prints the versions of modules.
type library struct {
	name, label string
	modules     []string
}

var libraries = []library{
	{name: "bare", label: "bare cryptography"},
	{name: "bare-reset", label: "bare HMAC, keyed once"},
	{name: "jwtgate", label: "jwtgate"},
	{name: "jwtgate-cached", label: "jwtgate with CacheSize"},
	{"golang-jwt", "golang-jwt by hand", []string{"github.com/golang-jwt/jwt/v5"}},
	{"echo-jwt", "echo-jwt in echo", []string{"github.com/labstack/echo-jwt/v5", "github.com/labstack/echo/v5"}},
	{"go-jose", "go-jose by hand", []string{"github.com/go-jose/go-jose/v4"}},
	{"go-oidc", "go-oidc by hand", []string{"github.com/coreos/go-oidc/v3"}},
	{"jwx", "jwx v3 by hand", []string{"github.com/lestrrat-go/jwx/v3"}},
	{"jwx4", "jwx v4 by hand", []string{"github.com/lestrrat-go/jwx/v4"}},
	{"jwtauth", "go-chi/jwtauth", []string{"github.com/go-chi/jwtauth/v5"}},
	{"auth0", "auth0/go-jwt-middleware", []string{"github.com/auth0/go-jwt-middleware/v3"}},
	{"mcp", "MCP go-sdk, golang-jwt", []string{"github.com/modelcontextprotocol/go-sdk"}},
}

// contextLabels name the context operations that every middleware needs.
var contextLabels = []library{
	{name: "WithContext", label: "r.WithContext"},
	{name: "WithValue", label: "r.WithContext, context.WithValue"},
}

// modules returns the modules of the libraries that were measured.
func (s *samples) modules() (modules []string) {
	for _, l := range libraries {
		if s.measured(l) {
			modules = append(modules, l.modules...)
		}
	}
	return modules
}

// measured reports whether l was measured. jwx v4 is not, before Go 1.27.
func (s *samples) measured(l library) bool {
	return slices.ContainsFunc(algorithms, func(alg string) bool { return len(s.of(on(1, accept(alg, l.name)))) > 0 })
}

// algorithms are the algorithms in the comparison.
var algorithms = []string{"HS256", "RS256", "ES256", "EdDSA"}

// loadAlgorithms are the algorithms of the tokens that a server under load gets.
var loadAlgorithms = []string{"HS256", "RS256"}

// refusals are the bad tokens. A gate can refuse the first five before it verifies a
// signature.
var refusals = []string{"unknown-kid", "alg-none", "alg-confusion", "no-dots", "bad-base64", "forged", "expired"}

// dpopAccepted are good requests with a DPoP proof: their token is remembered, or new.
// dpopRefused are proofs that are refused before their signature is verified.
var (
	dpopAccepted = []string{"remembered", "new"}
	dpopRefused  = []string{"method", "url", "ath", "typ", "nonce"}
)

// A pair is two contenders that are measured alternately. The result is a ratio.
type pair struct{ alg, lib, to string }

func (p pair) String() string { return "alg=" + p.alg + "/lib=" + p.lib + "/to=" + p.to }

// pairs returns the pairs that limits are about.
func pairs(alg string) []pair {
	all := []pair{{alg, "jwtgate", "bare"}, {alg, "jwtgate-cached", "WithContext"}, {alg, "jwtgate-cached", "WithValue"}}
	if alg == "HS256" {
		all = append(all, pair{alg, "jwtgate", "bare-reset"}, pair{alg, "golang-jwt", "jwtgate"})
	}
	return all
}

// loadPairs are the pairs of guards of a server under load.
var loadPairs = []pair{{"HS256", "jwtgate-cached", "none"}, {"HS256", "jwtgate", "none"}}

func dpopCase(name string) series { return on(1, "DPoP/case="+name) }

func accept(alg, lib string) string   { return "Accept/alg=" + alg + "/lib=" + lib }
func parallel(alg, lib string) string { return "AcceptParallel/alg=" + alg + "/lib=" + lib }
func refuse(bad, lib string) string   { return "Refuse/case=" + bad + "/lib=" + lib }

// writeReport prints the results, and whether jwtgate stays within its limits.
func writeReport(w io.Writer, d description, s *samples) error {
	fmt.Fprintf(w, "%s, %s, %s\n%s\nmedians of %d rounds\n", d.machine, d.platform, d.date, strings.Join(d.versions, ", "), d.rounds)
	tables := []func(*tabwriter.Writer, *samples){accepted, refused, scaling, load, limits}
	for _, table := range tables {
		fmt.Fprintln(w)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		table(t, s)
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// row prints the cells of a row of a table.
func row(t *tabwriter.Writer, cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) }

func accepted(t *tabwriter.Writer, s *samples) {
	row(t, "ACCEPT: the whole middleware, a token of 12 claims, one core")
	for _, alg := range algorithms {
		row(t, alg, "ns", "of bare", "of jwtgate", "allocs", "bytes")
		for _, l := range libraries {
			key := on(1, accept(alg, l.name))
			if len(s.of(key)) == 0 {
				continue
			}
			row(t, "  "+l.label,
				s.of(key).number("%.0f"),
				s.ratio(key, on(1, accept(alg, "bare"))).multiple(),
				s.ratio(key, on(1, accept(alg, "jwtgate"))).multiple(),
				s.of(key.in(allocations)).number("%.0f"),
				s.of(key.in(allocated)).number("%.0f"))
		}
	}
	row(t, "none", "ns", "", "", "allocs", "bytes")
	for _, c := range contextLabels {
		key := on(1, "Context/what="+c.name)
		row(t, "  "+c.label, s.of(key).number("%.0f"), "", "", s.of(key.in(allocations)).number("%.0f"), s.of(key.in(allocated)).number("%.0f"))
	}
}

func refused(t *tabwriter.Writer, s *samples) {
	row(t, "REFUSE: the whole middleware for RS256 with its answer, one core, ns")
	row(t, append([]string{""}, refusals...)...)
	for _, l := range slices.Concat([]library{{name: "jwtgate-check", label: "jwtgate, Check only"}}, libraries) {
		cells := []string{"  " + l.label}
		for _, bad := range refusals {
			cells = append(cells, s.of(on(1, refuse(bad, l.name))).number("%.0f"))
		}
		if slices.ContainsFunc(cells[1:], func(c string) bool { return c != missing }) {
			row(t, cells...)
		}
	}
}

func scaling(t *tabwriter.Writer, s *samples) {
	row(t, "TWO CORES: throughput of two cores, as a multiple of one core")
	row(t, append([]string{""}, algorithms...)...)
	for _, l := range libraries {
		if !s.measured(l) {
			continue
		}
		cells := []string{"  " + l.label}
		for _, alg := range algorithms {
			name := parallel(alg, l.name)
			cells = append(cells, s.ratio(on(1, name), on(2, name)).multiple())
		}
		row(t, cells...)
	}
	for _, c := range contextLabels {
		row(t, "  "+c.label, s.contextScaling(c.name).multiple())
	}
}

func (s *samples) contextScaling(what string) spread {
	name := "ContextParallel/what=" + what
	return s.ratio(on(1, name), on(2, name))
}

func load(t *tabwriter.Writer, s *samples) {
	row(t, "LOAD: a server on loopback; its clients are in the same process")
	for _, alg := range loadAlgorithms {
		row(t, alg, "requests/s", "of no guard", "p50 µs", "p99 µs")
		for _, l := range slices.Concat([]library{{name: "none", label: "no guard"}}, libraries) {
			key := underLoad(alg, l.name)
			if len(s.of(key)) == 0 {
				continue
			}
			row(t, "  "+l.label, s.of(key).number("%.0f"), s.ratio(key, underLoad(alg, "none")).multiple(), s.of(key.in("p50-ns")).micros(), s.of(key.in("p99-ns")).micros())
		}
	}
}

// underLoad returns the series of requests per second of a server under load.
func underLoad(alg, lib string) series {
	return series{"Load/alg=" + alg + "/lib=" + lib, runtime.NumCPU(), "req/s"}
}

// limits prints the limits that jwtgate sets for its own time and memory, and whether
// they are met.
// A row without a limit explains the row above.
func limits(t *tabwriter.Writer, s *samples) {
	section := func(title string) { row(t, title, "", "", "") }
	row(t, "LIMITS", "limit", "measured (least–most)", "")
	atMost := func(what string, limit float64, measured spread) {
		row(t, "  "+what, fmt.Sprintf("≤ %.4g×", limit), measured.times(), verdict(measured.median() <= limit))
	}
	atLeast := func(what string, limit float64, measured spread) {
		row(t, "  "+what, fmt.Sprintf("≥ %.4g×", limit), measured.times(), verdict(measured.median() >= limit))
	}
	count := func(what string, limit float64, measured spread) {
		row(t, "  "+what, fmt.Sprintf("≤ %.0f", limit), measured.number("%.0f"), verdict(measured.median() <= limit))
	}
	paired := func(alg, lib, to string) spread {
		return s.of(series{"Paired/" + pair{alg, lib, to}.String(), 1, pairedRatio})
	}
	beside := func(what string, measured spread) { row(t, "    "+what, "", measured.times(), "") }
	gate := func(alg string) series { return on(1, accept(alg, "jwtgate")) }
	allocs := func(key series) spread { return s.of(key.in(allocations)) }

	section("uncached, whole middleware")
	atMost("HS256, of bare crypto/hmac", 4, paired("HS256", "jwtgate", "bare"))
	beside("of crypto/hmac keyed once", paired("HS256", "jwtgate", "bare-reset"))
	atLeast("HS256, time of golang-jwt by hand", 5, paired("HS256", "golang-jwt", "jwtgate"))
	count("HS256, allocations", 10, allocs(gate("HS256")))
	for _, alg := range algorithms[1:] {
		atMost(alg+", of bare verification", 1.08, paired(alg, "jwtgate", "bare"))
	}

	section("remembered token, with CacheSize")
	for _, alg := range algorithms {
		key, name := on(1, accept(alg, "jwtgate-cached")), parallel(alg, "jwtgate-cached")
		atMost(alg+", of r.WithContext", 3, paired(alg, "jwtgate-cached", "WithContext"))
		beside("of r.WithContext, context.WithValue", paired(alg, "jwtgate-cached", "WithValue"))
		count(alg+", allocations", 3, allocs(key))
		atLeast(alg+", throughput of two cores", 1.8, s.ratio(on(1, name), on(2, name)))
	}
	for _, c := range contextLabels {
		beside("throughput of two cores, "+c.label, s.contextScaling(c.name))
	}

	section("a server under load, HS256: throughput, of that without a guard")
	for _, l := range []struct {
		name, what string
		limit      float64
	}{{"jwtgate-cached", "token remembered", 0.97}, {"jwtgate", "token not remembered", 0.9}} {
		key := underLoad("HS256", l.name)
		atLeast(l.what, l.limit, s.of(series{"PairedLoad/" + pair{"HS256", l.name, "none"}.String(), runtime.NumCPU(), pairedRatio}))
		for _, percentile := range []string{"p50", "p99"} {
			beside(percentile+", of that without a guard", s.ratio(key.in(percentile+"-ns"), underLoad("HS256", "none").in(percentile+"-ns")))
		}
	}

	section("refusals, as multiples of one HS256 acceptance by jwtgate")
	for _, bad := range refusals[:5] {
		decision := on(1, refuse(bad, "jwtgate-check"))
		atMost(bad+", the decision", 1, s.ratio(decision, gate("HS256")))
		atMost(bad+", with the answer", 1, s.ratio(on(1, refuse(bad, "jwtgate")), gate("HS256")))
		beside("the decision, of bare crypto/hmac", s.ratio(decision, on(1, accept("HS256", "bare"))))
	}

	section("refusals, bytes allocated for a token of 1 KiB and of 15 KiB")
	for _, bad := range []string{"unknown-kid", "wrong-alg", "bad-base64", "forged"} {
		of := func(size string) spread {
			return s.of(on(1, "RefuseSize/case="+bad+"/size="+size+"/lib=jwtgate").in(allocated))
		}
		short, long := of("1024"), of("15360")
		// 1 % of the difference is allowed: the garbage collector empties pools now
		// and then, and filling them again allocates.
		const limit = (15360 - 1024) / 100
		met := long.median()-short.median() <= limit
		row(t, "  "+bad, fmt.Sprintf("≤ %d more", limit), short.number("%.0f")+" and "+long.number("%.0f"), verdict(met))
	}

	section("DPoP with ES256, whole middleware, as multiples of one verification by golang-jwt")
	ofProof := func(name string) spread { return s.ratio(dpopCase(name), dpopCase("bare")) }
	atMost("token remembered, client known", 1.15, ofProof(dpopAccepted[0]))
	atMost("token not remembered, client known", 2.2, ofProof(dpopAccepted[1]))
	for _, name := range dpopRefused {
		atMost("refused for its "+name+", with the answer", 0.2, ofProof(name))
	}

	section("claims")
	atMost("16 KiB with 1000, of 1.6 KiB with 100", 10, s.ratio(on(1, "Claims/claims=1000/lib=jwtgate"), on(1, "Claims/claims=100/lib=jwtgate")))

	section("ES256 token bound to a certificate")
	mtls := func(token string) series { return on(1, "MTLS/token="+token) }
	atMost("not remembered, of the same token unbound", 1.05, s.ratio(mtls("bound"), mtls("unbound")))
	beside("remembered, of the same token unbound", s.ratio(mtls("bound-cached"), mtls("unbound-cached")))
	beside("SHA-256 of the certificate, of the remembered unbound token", s.ratio(mtls("sha256"), mtls("unbound-cached")))

	section("a cache of 10,000")
	cache := func(unit string) series { return series{"Cache", 1, unit} }
	atMost("memory, of tokens and claims", 2, s.ratio(cache("held-B/entry"), cache("needed-B/entry")))
	count("of 30,000 tokens still remembered, at least", 10_000, s.of(cache("hits")))
	row(t, "    bytes for each of its 10,000 places", "", s.of(cache("held-B/entry")).number("%.0f"), "")
	row(t, "    further bytes for each after another 30,000 tokens", "", s.of(cache("grown-B/entry")).number("%.1f"), "")
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "NOT met"
}
