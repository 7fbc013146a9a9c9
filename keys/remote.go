package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/logtext"
	"github.com/jwtgate/jwtgate/internal/unlimited"
)

// Remote is a source that fetches keys from the issuer over HTTP, and follows
// their rotation. The keys are a JWK Set (RFC 7517 section 5). If URL is empty,
// Remote discovers the address of the set from the issuer, by OpenID Connect
// Discovery or RFC 8414:
//
//	gate, err := jwtgate.New(jwtgate.Options{
//		Keys:      &keys.Remote{},
//		Issuers:   []string{"https://auth.example.com/"},
//		Audiences: []string{"https://api.example.com"},
//	})
//
// Discovered keys of one issuer never verify tokens of another, so one Remote is
// enough for several issuers, at most 1,000. The keys of a URL serve all issuers,
// except for a JWK with an issuer member, as Entra ID publishes it.
//
// # Discovery
//
// Without URL, each fetch first looks for the metadata of the issuer, which has the
// address of its keys. For the issuer https://auth.example.com/a it asks in this order:
//
//  1. https://auth.example.com/a/.well-known/openid-configuration
//     (OpenID Connect Discovery 1.0 section 4.1)
//  2. https://auth.example.com/.well-known/oauth-authorization-server/a
//     (RFC 8414 section 3.1)
//  3. https://auth.example.com/.well-known/openid-configuration/a
//     (RFC 8414 section 5)
//
// For an issuer without a path the third is the first, and is asked once. The first
// acceptable answer counts. Metadata is acceptable if its issuer is the trusted one,
// character by character, and its jwks_uri may be fetched. Anything else leads to the
// next address: an HTML page, a redirect to another origin, any status other than 200,
// the metadata of another issuer, or no connection. An address that does not answer leads
// to the next one after three fifths of the time that is left of Timeout. If no address
// has acceptable metadata, the fetch fails as in an outage of the issuer, and the error
// says for each address what is wrong.
//
// The second and the third address are not below the path of the issuer. A server that
// controls /.well-known of the host can answer there for all issuers on the host, at any
// time that the first address fails. If you do not trust that server with the keys, set
// URL. A server or tenant that controls another path cannot answer for the issuer.
//
// If discovery fails, the fetch asks for the keys where the last successful discovery of
// the issuer has found them. It also asks there if discovery takes longer than a fifth of
// Timeout. It uses that answer if discovery has not ended after three fifths of Timeout. That
// address, and the keys from it, are used for FreshFor plus StaleFor after the discovery,
// because the issuer may have left the address since. If the keys do not come in time after
// a discovery, the next fetch asks for them without another one, unless FreshFor has
// passed.
//
// # When it fetches
//
// Requests are answered from memory. These trigger a fetch:
//
//   - A request while there are no keys: the first request of an issuer, or the first
//     one after the end of StaleFor. It waits for the keys.
//   - The first request after a random time between three and four fifths of FreshFor.
//     It is answered with the keys that are there, and the fetch runs in the
//     background. The random time keeps many processes from fetching at once.
//   - An unknown kid: a token names a key that is not there. Its request waits for
//     the fetch, so that tokens with a new key are accepted at once.
//   - A bad signature: none of the keys verifies a token, with or without kid, or the key
//     with its kid is for another algorithm. Its request waits for the fetch, so that a
//     key is found that was replaced under its kid, or in a set without kids. If the fetch
//     brings no such key or fails, the token is refused with 401.
//   - [Remote.Refresh].
//
// A fetch for an unknown kid, for a bad signature or by Refresh asks caches on the way not
// to answer. A token of an untrusted issuer triggers no fetch.
//
// The limits for each issuer are:
//
//   - There is at most one fetch at a time. Requests share it, and it goes on if
//     they are cancelled.
//   - Unknown kids trigger at most two fetches in quick succession, and then one
//     each MinInterval. The first fetch that finds the key it was made for does not
//     count, and neither do due fetches and those of Refresh.
//   - Bad signatures trigger one fetch each MinInterval. These fetches count as for
//     unknown kids, so that there are no more of both together, and always count.
//   - A kid that three requests or more have named may be searched beyond that limit:
//     in all one such kid each 2 seconds, and three in quick succession. The second one
//     needs ten requests and the third one thirty, so that a flood of kids that each
//     come a few times does not delay a key that all clients use.
//   - A kid that was searched in vain is not searched again for 30 seconds. That time ends
//     after MinInterval if 30 requests have named the kid again, or twice as many for each
//     further search in vain. A key should therefore be published before its first use.
//   - Beyond the limits, tokens with an unknown kid or a bad signature are refused
//     without a fetch.
//   - A token with a bad signature waits for a fetch only while fetches succeed, and at
//     most 1,000 of them wait at a time. Others are refused at once. Only the request with
//     the token waits.
//
// All issuers of a Remote together have at most 32 fetches at once. The others wait for
// their turn, and have their whole Timeout from then on. At most 16 fetches are for issuers
// whose last fetch failed, or that only a token has named and whose keys were never fetched:
// issuers that hang leave slots to the others. A fetch makes its requests over one
// connection, if the server allows that. While some of its requests have no answer, a fetch
// has up to four in flight, each of which may have a connection. A Client that ignores the
// context of its requests can exceed these limits.
//
// # When the issuer is down
//
// The keys of the last successful fetch stay in use for FreshFor plus StaleFor. A
// request that needs other keys is answered with 503 and Retry-After; its token is
// not refused. After a failure, the Remote waits before the next fetch: half a
// second, then twice as long for each further failure up to 30 seconds, or up to 5
// seconds while there are no keys, minus a random part of up to half of it. If the
// issuer answers 429 or 503 with Retry-After, the Remote waits as long as that, but at
// most 5 minutes, or one minute while there are no keys.
//
// An issuer that answers is not down, but it may answer without keys:
//
//   - It publishes no usable key: its key set has only keys that cannot be used, or the
//     status is 404 or 410. The keys stay in use for FreshFor after the first such answer,
//     and StaleFor does not count.
//   - Its key set is empty. With Use, keys for another use do not count. The keys
//     stay in use until another fetch, at least MinInterval later, brings an empty set
//     again. From then on they are withdrawn, and their tokens are refused with 401.
//     Without a second answer the first case applies.
//
// The log receives an error about such an answer at once. An issuer that has not
// published a key yet is down in either case.
//
// New does not fetch, so a program starts even if its issuer is down. To make the
// start fail, call Refresh or [jwtgate.Gate.Ready].
//
// # With TrustIssuer
//
// A Remote without URL asks an issuer that Options.TrustIssuer accepts for its keys
// before the token is verified. That is harmless if TrustIssuer compares with a
// list. If it accepts names that anybody can make up, forged issuers compete with
// new genuine ones. Two limits bound that.
//
// The first limit is on fetches for issuers that only a token has named and whose
// keys were never fetched: a hundred of these fetches may fail, and then there is
// one each second, for whichever request comes first. Requests beyond the limit are
// answered with 503. The limit is for all these issuers together. Fetches that succeed
// do not count, and neither do issuers that New or Refresh has named. Issuers whose
// keys are there are not affected.
//
// The second limit is on issuers: a Remote keeps at most 1,000. For a new one it
// forgets, in this order,
//
//  1. an issuer without keys;
//  2. the issuer whose keys have been due for a refresh for the longest time,
//     without a request for them.
//
// It never forgets an issuer that New has named, an issuer whose keys are not yet due
// for a refresh, or an issuer with keys whose last fetch failed. If that leaves no
// room, requests of the new issuer are answered with 503.
//
// # What it refuses
//
//   - plain http other than to loopback, unless InsecureHTTP is set;
//   - redirects to another origin, and more than three redirects;
//   - a response with a status other than 200 and 304, with more than 1 MiB, or
//     with more than 1,000 keys;
//   - a discovery document that names another issuer, or an address of the keys that is
//     not acceptable;
//   - a set without a usable key.
//
// A key that cannot be used is skipped, as by [JWKS], and logged once.
//
// # Concurrency
//
// A Remote is safe for concurrent use and must not be copied. Fields must not be
// changed after first use, and passing the Remote to [jwtgate.New] is a use. A Remote
// holds no goroutine and no connection while it does not fetch, apart from what Client
// keeps.
type Remote struct {
	// URL is the address of the JWK Set. If it is empty, a fetch reads the
	// discovery document of the issuer, which has the address, as the section
	// Discovery describes. The address of the issuer belongs in jwtgate.Options.Issuers, not
	// in URL. URL appears in logs, so it must not contain a secret.
	URL string
	// Client makes the requests. Set it for a private CA, credentials or a proxy.
	// nil means a client with a copy of [http.DefaultTransport] for each fetch, as it was
	// at the first fetch of the process. There an attempt to connect takes at most 3
	// seconds, for all addresses of the host together. A Client that adds credentials must
	// check the host of each request: redirects to another origin are not followed, but a
	// discovery document may name keys on any host.
	//
	// The request for the keys closes its connection, which usually is that of discovery
	// too. Discovery may leave an idle connection to Client, which the next fetch closes: if it
	// fails after it has succeeded before, and the first time that the keys are on another
	// host or that discovery is slow. Set IdleConnTimeout of the transport, as
	// http.DefaultTransport does.
	Client *http.Client
	// Use is what the keys must be for. "" means keys whose use member is sig, or that
	// have none. "jwt-svid" is for URL with the bundle of a SPIFFE trust domain: it means
	// keys of that use only, and the others are ignored. New refuses other values, and
	// Use beside Parse.
	Use string
	// Algorithms are for keys without alg. Each such key verifies those
	// algorithms of the list that its kind can verify. nil means RS256, the
	// algorithm of the curve (ES256, ES384, ES512), and EdDSA.
	Algorithms []string

	// FreshFor is how long keys are used before they are fetched again: 0 means
	// 10 minutes, and the minimum is a second. The Cache-Control header of a response
	// can shorten it (RFC 9111 section 5.2.2), but not to less than a minute. A max-age
	// of more than a day counts as a day. With Use "jwt-svid", the spiffe_refresh_hint of
	// the bundle can shorten it in the same way.
	FreshFor time.Duration
	// StaleFor is how much longer keys are used while no new keys can be fetched,
	// or while no request comes: 0 means 24 hours, a negative value means no
	// longer, and the minimum is a second. FreshFor and StaleFor together bound how
	// long a key that the issuer has withdrawn is still accepted during an outage. They
	// include the time in which the machine was suspended.
	StaleFor time.Duration
	// MinInterval limits the fetches that unknown key IDs and bad signatures trigger:
	// after the first two, there is at most one each MinInterval, and at most one each 2
	// seconds for key IDs that several requests have named. It bounds how long a key
	// that was replaced under its ID is not found. 0 means 5 seconds, and the minimum
	// is a millisecond.
	MinInterval time.Duration
	// Timeout bounds a fetch as a whole, discovery included, from when the fetch has its
	// turn among those of other issuers. It also bounds the time that a request waits for
	// keys: 0 means 5 seconds, and the minimum is a millisecond.
	Timeout time.Duration

	// InsecureHTTP permits plain http beyond loopback. Anybody on the network
	// path can then replace the keys, so set it only in a network that is trusted
	// as a whole.
	InsecureHTTP bool
	// Parse returns the keys of a response. nil means that responses are JWK Sets.
	// Parse is called on a goroutine of the Remote, and only if the response differs
	// from that of the last successful fetch. With several issuers, several goroutines may
	// call it at once; for one issuer there is one call at a time.
	Parse func([]byte) ([]*jwtgate.Key, error)
	// Logger receives a record of the first fetch, of changed keys with the IDs that came
	// and went, of recovery, and of each skipped key: once, and not for each request. It
	// receives a record of the first fetch that fails, another one every 15 minutes
	// while fetches fail, and one when the keys are no longer used. At level Debug it
	// receives a record of every fetch. nil means [slog.Default].
	Logger *slog.Logger

	unlimited bool // for package jwttest: unknown key IDs and bad signatures are not limited

	issuers atomic.Pointer[issuerTable]

	mu        sync.Mutex    // guards changes of issuers, and settings; locked before issuerKeys.mu
	settings  *settings     // made from the fields when the first issuer is admitted
	newcomers newcomerLimit // has its own lock
}

const (
	defaultFreshFor    = 10 * time.Minute
	defaultStaleFor    = 24 * time.Hour
	defaultMinInterval = 5 * time.Second
	defaultTimeout     = 5 * time.Second

	// A shorter duration is a number whose unit was forgotten.
	minFreshFor = time.Second      // also of StaleFor
	minTimeout  = time.Millisecond // also of MinInterval
)

func init() {
	unlimited.Remote = func(remote any) { remote.(*Remote).unlimited = true }
}

// Format prints where the keys come from, whatever the verb.
func (r *Remote) Format(s fmt.State, _ rune) { fmt.Fprint(s, r.name()) }

// Keys returns the keys of issuer. If there are no keys, or none with the ID kid,
// Keys fetches them as far as the limits allow. It waits for the fetch until ctx
// ends, but not longer than Timeout. An error means that it is not known whether
// there is such a key.
func (r *Remote) Keys(ctx context.Context, issuer, kid string) ([]*jwtgate.Key, error) {
	k := r.issuers.Load().find(issuer)
	if k == nil {
		var err error
		if k, err = r.admit(issuer, namedByToken); err != nil {
			return nil, err
		}
	}
	// The usual case is answered here. A function for it would not be inlined, and
	// its calls take a tenth of the time.
	if s := k.current.Load(); !s.actionDue.Load() {
		if found, ok := s.byID[kid]; ok {
			return found, nil
		}
		if found, conclusive := s.find(issuer, kid); conclusive {
			return found, nil
		}
	}
	return k.fromIssuer(ctx, issuer, kid)
}

// Recheck returns keys of issuer that are not among tried and that may have signed a token
// with kid and algorithm. If there are none, it fetches the keys as far as the limits
// allow, and waits for the fetch until ctx ends, but not longer than Timeout. It does not
// fetch for a kid that is not there, because Keys has done that. While fetches fail, it
// returns at once.
func (r *Remote) Recheck(ctx context.Context, issuer, kid, algorithm string, tried []*jwtgate.Key) []*jwtgate.Key {
	k := r.issuers.Load().find(issuer)
	if k == nil || r.hasNone(algorithm) || ctx.Err() != nil {
		return nil
	}
	return k.recheck(ctx, issuer, wanted{kid, algorithm}, tried)
}

// hasNone reports whether the Remote never has a key for algorithm: a JWK Set has no
// secrets.
func (r *Remote) hasNone(algorithm string) bool { return r.Parse == nil && isSecret(algorithm) }

// Refresh fetches the keys of issuer, whatever the limits, and returns why that
// failed. It waits for a fetch that begins after the call. If URL is set, issuer
// does not matter.
//
// Call it to fail at start if the issuer is down, to fetch the keys of tenants
// that the program knows and New does not, or when the issuer notifies the program
// of new keys.
func (r *Remote) Refresh(ctx context.Context, issuer string) error {
	k, err := r.admit(issuer, namedByRefresh)
	if err != nil {
		return err
	}
	return k.refresh(ctx)
}

// Stats returns the counters of each issuer that the Remote keeps, sorted by
// issuer: those that New has named, and those that it was asked for. If URL is set,
// there is a single element. Stats returns nil before first use.
func (r *Remote) Stats() []RemoteStats {
	var all []RemoteStats
	for _, k := range r.issuers.Load().sorted() {
		all = append(all, k.stats())
	}
	return all
}

// CheckIssuers returns an error for each field, and for each issuer, that cannot
// be used. It does not fetch. The Remote never forgets an issuer that CheckIssuers
// has accepted.
func (r *Remote) CheckIssuers(issuers []string) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("keys.Remote: "+format, args...)) }
	for _, d := range []struct {
		field        string
		value, least time.Duration
	}{
		{"FreshFor", r.FreshFor, minFreshFor},
		{"StaleFor", max(r.StaleFor, 0), minFreshFor},
		{"MinInterval", r.MinInterval, minTimeout},
		{"Timeout", r.Timeout, minTimeout},
	} {
		switch {
		case d.value < 0:
			bad("%s: %v is negative; leave it out for the default", d.field, d.value)
		case d.value > 0 && d.value < d.least:
			bad("%s: %s", d.field, logtext.TooShort(d.value, d.least))
		}
	}
	if r.Algorithms != nil && len(r.Algorithms) == 0 {
		bad("Algorithms: the list is empty; leave the field out for the default")
	}
	for _, name := range r.Algorithms {
		if strings.HasPrefix(name, "ML-DSA-") {
			bad("Algorithms: %q is not for keys without alg, because a key of ML-DSA has one (RFC 9964); leave it out", name)
		} else if !slices.Contains(publicKeyAlgorithms, name) {
			bad("Algorithms: %q is not one of %s", name, strings.Join(publicKeyAlgorithms, ", "))
		}
	}
	if err := checkUse("keys.Remote", r.Use, r.Parse != nil); err != nil {
		errs = append(errs, err)
	}
	if r.Parse != nil && r.Algorithms != nil {
		bad("Algorithms: it has no effect beside Parse, which chooses the algorithm of each key; leave it out")
	}
	if r.URL != "" {
		if _, err := r.client().parseURL(r.URL); err != nil {
			bad("URL: %w", err)
		}
		issuers = []string{""}
	} else {
		for _, issuer := range issuers {
			if issuer == "" {
				bad("URL: it is empty, so keys would be discovered from iss, which Options.AnyIssuer leaves unchecked; set it")
			} else if _, err := r.client().parseIssuer(issuer); err != nil {
				bad("the issuer %q cannot be asked for its keys: %w; set URL if they are elsewhere", issuer, err)
			}
		}
	}
	for _, issuer := range issuers {
		if len(errs) > 0 {
			break
		}
		if _, err := r.admit(issuer, namedByOptions); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// publicKeyAlgorithms are the algorithms that a public key can verify.
var publicKeyAlgorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
}

func (r *Remote) name() string {
	if r == nil || r.URL == "" {
		return "keys.Remote"
	}
	return "keys.Remote " + logtext.URL(r.URL)
}

func (r *Remote) client() client { return client{http: r.Client, insecureHTTP: r.InsecureHTTP} }

// newSettings returns the fields with their defaults. A duration that cannot be meant
// becomes the default too: CheckIssuers refuses it, but is not always called.
func (r *Remote) newSettings() *settings {
	atLeast := func(least, d, otherwise time.Duration) time.Duration {
		if d < least {
			return otherwise
		}
		return d
	}
	s := &settings{
		name: r.name(),
		fetcher: fetcher{
			client: r.client(), url: r.URL, use: r.Use, algorithms: r.Algorithms, parse: r.Parse,
			freshFor: min(atLeast(minFreshFor, r.FreshFor, defaultFreshFor), century),
			staleFor: min(atLeast(minFreshFor, r.StaleFor, defaultStaleFor), century),
		},
		minInterval: min(atLeast(minTimeout, r.MinInterval, defaultMinInterval), century),
		timeout:     atLeast(minTimeout, r.Timeout, defaultTimeout),
		slots:       new(fetchSlots),
		logger:      r.Logger,
	}
	s.unlimited = r.unlimited
	if r.StaleFor < 0 {
		s.fetcher.staleFor = 0
	}
	return s
}

// namedBy is who has named an issuer to a Remote.
type namedBy int

const (
	namedByToken   namedBy = iota // a token that is not verified yet and that Options.TrustIssuer has accepted
	namedByRefresh                // the program, by calling Refresh
	namedByOptions                // the program, in the Options of New
)

var (
	errNewcomers = errors.New("keys.Remote: too many issuers are without keys; this one has to wait for its turn")
	errFull      = fmt.Errorf("keys.Remote: there are keys of %d issuers in use, which is the limit", maxIssuers)
)

// admit returns the keys of issuer. It adds the issuer to the table if it is not
// there, as far as the limits allow.
func (r *Remote) admit(issuer string, by namedBy) (*issuerKeys, error) {
	if r.URL != "" {
		issuer, by = "", namedByOptions
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	table := r.issuers.Load()
	if k := table.find(issuer); k != nil {
		if by == namedByOptions {
			k.namedByNew.Store(true)
		}
		return k, nil
	}
	now := time.Now()
	if r.URL == "" {
		// The limit comes first: it costs less than parsing a forged issuer.
		if by == namedByToken && !r.newcomers.take(now) {
			return nil, &outage{errNewcomers, newcomerInterval}
		}
		if _, err := r.client().parseIssuer(issuer); err != nil {
			return nil, fmt.Errorf("keys.Remote: the issuer %.100q cannot be asked for its keys: %w", issuer, err)
		}
	}
	if r.settings == nil {
		r.settings = r.newSettings()
	}
	k := &issuerKeys{settings: r.settings, newcomers: &r.newcomers, issuer: issuer}
	k.current.Store(new(snapshot))
	k.namedByNew.Store(by == namedByOptions)
	if by == namedByToken {
		k.newcomerTokens = 1
	}
	if table = table.with(k, r.URL != "", now); table == nil {
		return nil, &outage{errFull, time.Minute}
	}
	r.issuers.Store(table)
	return k, nil
}
