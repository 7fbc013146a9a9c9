package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// The fields of the sources are short, so that a run of 30 seconds sees keys come and go.
const (
	freshFor     = 4 * time.Second
	staleFor     = 3 * time.Second
	minInterval  = 250 * time.Millisecond
	timeout      = 1500 * time.Millisecond
	fileStaleFor = 2 * time.Second
	retryAfter   = time.Second // of the issuers that fail with 503

	audience     = "https://api.example.com"
	subjectField = "X-Soak-Subject"
	reasonField  = "X-Soak-Reason"
)

// A view is one issuer as one gate sees it. A gate knows a key when it has received a set
// with the key.
type view struct {
	gate   string
	name   string
	url    string // of the guarded handler
	issuer *issuer
	limits limits

	inFlightNoise atomic.Int32
	lastNoise     atomic.Int64 // when noise came or was answered, as a Duration since epoch

	// The mu of issuer guards these fields.
	lastGood, missing, emptySince time.Time
}

func (i *issuer) addView(v *view) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.views = append(i.views, v)
}

// receive records that the gate has received a version of the set.
func (v *view) receive(version int) {
	now := time.Now()
	i := v.issuer
	i.mu.Lock()
	defer i.mu.Unlock()
	v.lastGood, v.missing, v.emptySince = now, time.Time{}, time.Time{}
	set := i.sets[version]
	for _, k := range set {
		if k.known[v].IsZero() {
			k.known[v] = now
			i.note(v.name + " has received " + k.id)
		}
	}
	for _, k := range slices.Concat(i.published, i.retired) {
		if !slices.Contains(set, k) && k.version <= version {
			k.setGone(v, now)
		}
	}
}

// setGone records when the view has noticed that k is withdrawn. The caller holds mu.
func (k *key) setGone(v *view, now time.Time) {
	if k.gone[v].IsZero() {
		k.gone[v] = now
		k.issuer.note(v.name + " has received a set without " + k.id)
	}
}

// receiveFault records an answer by which there are no keys. The second answer with an
// empty set withdraws the keys, if it comes late enough.
func (v *view) receiveFault(fault string) {
	if fault != status404 && fault != noUsableKey && fault != emptySet {
		return
	}
	now := time.Now()
	i := v.issuer
	i.mu.Lock()
	defer i.mu.Unlock()
	if v.missing.IsZero() {
		v.missing = now
	}
	switch {
	case fault != emptySet:
	case v.emptySince.IsZero():
		v.emptySince = now
	case now.Sub(v.emptySince) >= 2*minInterval: // the gate has measured MinInterval too
		for _, k := range i.retired {
			k.setGone(v, now)
		}
	}
}

// epoch is a time with a reading of the monotonic clock.
var epoch = time.Now()

// markNoise records that there is noise now: a request that uses up the limit for unknown
// keys. change is 1 when the request is sent, and -1 when it is answered.
func (v *view) markNoise(change int32) {
	v.lastNoise.Store(int64(time.Since(epoch)))
	v.inFlightNoise.Add(change)
}

// noiseSince reports whether there was noise since t.
func (v *view) noiseSince(t time.Time) bool {
	return v.inFlightNoise.Load() > 0 || v.lastNoise.Load() >= int64(t.Sub(epoch))
}

// An observer is the transport of a Remote. It tells the views what the Remote receives.
type observer struct {
	base  *http.Transport
	views []*view
}

func (o *observer) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := o.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	for _, v := range o.views {
		if !strings.HasSuffix(v.issuer.url, "//"+r.URL.Host) {
			continue
		}
		v.receiveFault(response.Header.Get(faultHeader))
		if version, err := strconv.Atoi(response.Header.Get(versionHeader)); err == nil {
			if response.StatusCode == http.StatusNotModified {
				v.receive(version)
			} else {
				response.Body = &observedBody{response.Body, func() { v.receive(version) }}
			}
		}
	}
	return response, nil
}

// An observedBody calls ended when its end has been read.
type observedBody struct {
	io.ReadCloser
	ended func()
}

func (b *observedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && b.ended != nil {
		b.ended()
		b.ended = nil
	}
	return n, err
}

// A service is a server with several gates.
type service struct {
	server *httptest.Server
	views  []*view
	log    *ringLog
	gates  []*jwtgate.Gate
	client *http.Client // of the clients
	bases  []*http.Transport
}

// newService starts the gates. Each gate has its own view of each issuer.
func newService(issuers map[string]*issuer) *service {
	s := &service{log: &ringLog{}, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: time.Minute,
	}}
	mux := http.NewServeMux()
	s.server = httptest.NewUnstartedServer(mux)
	s.server.Start()
	add := func(name string, source func([]*view) jwtgate.KeySource, cacheSize int, of ...string) {
		var views []*view
		o := jwtgate.Options{
			Audiences: []string{audience}, CacheSize: cacheSize,
			OnDeny: func(w http.ResponseWriter, _ *http.Request, e *jwtgate.Error) {
				w.Header().Set(reasonField, fmt.Sprintf("%.300q", e.Error()))
			},
		}
		for _, i := range of {
			v := &view{gate: name, name: name + "-" + i, url: s.server.URL + "/" + name, issuer: issuers[i], limits: remoteLimits}
			if v.issuer.path != "" {
				v.limits = fileLimits
			}
			v.issuer.addView(v)
			views = append(views, v)
			o.Issuers = append(o.Issuers, v.issuer.url)
		}
		o.Keys = source(views)
		gate, err := jwtgate.New(o)
		must(err)
		for _, v := range views {
			if v.issuer.path != "" {
				v.receive(v.issuer.version) // New has read the file
			}
		}
		mux.Handle("/"+name, gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(subjectField, jwtgate.Subject(r.Context()))
		})))
		s.views = append(s.views, views...)
		s.gates = append(s.gates, gate)
	}
	discovering := func(views []*view) jwtgate.KeySource { return s.newRemote(views) }
	add("plain", discovering, 0, "healthy", "flapping", "slow")
	add("cached", discovering, 256, "healthy", "flapping", "slow")
	add("byissuer", func(views []*view) jwtgate.KeySource {
		// With the transport that Remotes have by default: its issuer observes it.
		byDefault := s.newRemote(nil)
		byDefault.Client = nil
		byDefault.URL = views[0].issuer.url + "/keys?view=" + views[0].name
		return keys.ByIssuer{
			views[0].issuer.url: byDefault,
			views[1].issuer.url: s.newRemote(views[1:2]),
			views[2].issuer.url: s.newRemote(views[2:3]),
		}
	}, 256, "healthy", "flapping", "slow")
	add("file", func(views []*view) jwtgate.KeySource {
		return &keys.File{Path: views[0].issuer.path, StaleFor: fileStaleFor, Logger: slog.New(s.log)}
	}, 64, "file")
	add("join", func(views []*view) jwtgate.KeySource {
		return keys.Join(keys.HS256(views[0].issuer.secret.private.([]byte)), s.newRemote(views))
	}, 64, "joined")
	return s
}

// newRemote returns a Remote whose fetches the views observe.
func (s *service) newRemote(views []*view) *keys.Remote {
	base := http.DefaultTransport.(*http.Transport).Clone()
	s.bases = append(s.bases, base)
	return &keys.Remote{
		Client:   &http.Client{Transport: &observer{base, views}},
		FreshFor: freshFor, StaleFor: staleFor, MinInterval: minInterval, Timeout: timeout,
		Logger: slog.New(s.log),
	}
}

// ready waits until all gates have keys.
func (s *service) ready(ctx context.Context) {
	for _, gate := range s.gates {
		must(gate.Ready(ctx))
	}
}

// closeIdle closes the idle connections, so that open descriptors can be counted.
func (s *service) closeIdle() {
	s.client.CloseIdleConnections()
	for _, base := range s.bases {
		base.CloseIdleConnections()
	}
}

// A ringLog keeps the last records of the sources, for the report of a failure.
type ringLog struct {
	mu    sync.Mutex
	lines []event
}

const keptLines = 200

func (l *ringLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *ringLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *ringLog) WithGroup(string) slog.Handler            { return l }

func (l *ringLog) Handle(_ context.Context, r slog.Record) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s", r.Level, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&text, " %s=%.300q", a.Key, a.Value.String())
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, event{r.Time, text.String()})
	if len(l.lines) > 2*keptLines {
		l.lines = slices.Clone(l.lines[keptLines:])
	}
	return nil
}

// about returns the records of the last seconds that name the issuer.
func (l *ringLog) about(i *issuer, start time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var text strings.Builder
	for _, e := range l.lines {
		about := strings.Contains(e.text, i.url) || i.path != "" && strings.Contains(e.text, i.path)
		if about && time.Since(e.at) < 6*time.Second {
			fmt.Fprintf(&text, "    %8.3f %s\n", e.at.Sub(start).Seconds(), e.text)
		}
	}
	return text.String()
}
