package dpop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/cache"
	"github.com/jwtgate/jwtgate/internal/logtext"
	"github.com/jwtgate/jwtgate/internal/typednil"
)

// A Verifier checks DPoP proofs (RFC 9449). It is a [jwtgate.SchemeConfirmer]: put a
// pointer to it into [jwtgate.Options.Confirm]. [jwtgate.New] reports mistakes in its
// fields. A Verifier with mistakes refuses every proof.
//
// The fields are read when the Verifier is used for the first time, and must not change
// afterwards. A Verifier must not be copied after that. Its methods are safe for concurrent
// use. Several gates may share a Verifier, and then share its memory of used proofs.
type Verifier struct {
	_ struct{} // keyed literals only: fields will be added

	// URLs are the URLs under which clients call this service: scheme, host and the start
	// of the path, such as "https://api.example.com". Required. To accept a proof, the
	// Verifier compares its htu with one of URLs followed by the path of the request line.
	//
	// If a proxy takes a prefix off the path, write it here: "https://example.com/orders"
	// for a service that gets /42 for https://example.com/orders/42. See the package
	// documentation.
	URLs []string
	// Algorithms lists the accepted algorithms of proofs. They are named in each challenge.
	// nil means ES256, EdDSA and PS256. EdDSA and Ed25519 are two names of one algorithm
	// (RFC 9864): a list with one of them accepts and offers both.
	Algorithms []string
	// MaxAge limits the age of proofs, by their iat. 0 means 1 minute, the minimum is a
	// second, and the maximum is 5 minutes. iat may be up to 30 seconds ahead. MaxAge does
	// not matter with NonceKeys: there the age of the nonce counts.
	MaxAge time.Duration
	// NonceKeys switches nonces on (RFC 9449 section 9): random secrets of 32 bytes or more,
	// the same on each server of a fleet. Nonces are made with the first key, and accepted if
	// they were made with any. To replace a key, add the new one as the second on all
	// servers. Then make it the first on all. Remove the old one three minutes later.
	//
	// A nonce is good for one to two minutes by the clock of this service. So a client cannot
	// make proofs in advance, and it is not refused because its clock is wrong.
	NonceKeys [][]byte
	// Replays remembers which proofs have been used. nil means the memory of this process:
	// up to a million proofs of the last minutes. That is enough for a single server. Two
	// servers with memories of their own would each accept the same proof once.
	//
	// The memory never forgets a proof that is still accepted. When it is full, requests are
	// answered with 503. A client that sends thousands of good proofs a second can fill it:
	// limit the rate of each client with other middleware.
	Replays Replays
	// Now returns the current time, for tests. nil means [time.Now].
	Now func() time.Time

	setup sync.Once
	ready *checker // nil if the fields cannot be used
	wrong error    // why they cannot be used
}

const (
	method        = "jkt"  // RFC 9449 section 6.1
	scheme        = "DPoP" // RFC 9449 section 7.1
	headerName    = "Dpop" // the key of DPoP in a header map
	leeway        = 30 * time.Second
	defaultMaxAge = time.Minute
	minMaxAge     = time.Second
	maxMaxAge     = 5 * time.Minute
	maxProofBytes = 8 << 10
)

var _ interface {
	jwtgate.SchemeConfirmer
	jwtgate.ConfirmerChecker
} = (*Verifier)(nil)

// Method returns "jkt", the member of cnf with the thumbprint of the client's key (RFC
// 9449 section 6.1).
func (v *Verifier) Method() string { return method }

// Scheme returns "DPoP".
func (v *Verifier) Scheme() string { return scheme }

// Challenge returns the accepted algorithms as algs (RFC 9449 section 7.1).
func (v *Verifier) Challenge() map[string]string {
	c, err := v.checker()
	if err != nil {
		return nil
	}
	return map[string]string{"algs": strings.Join(c.algorithms, " ")}
}

// CheckConfirmer returns the mistakes in the fields of v, or nil.
func (v *Verifier) CheckConfirmer() error {
	_, err := v.checker()
	return err
}

// Confirm returns nil if r has a good proof of the key whose thumbprint is value, and if
// the proof has not been used before. See the package documentation for the checks.
func (v *Verifier) Confirm(r *http.Request, _ *jwtgate.Token, value string) error {
	c, err := v.checker()
	if err != nil {
		return fmt.Errorf("%w: %w", jwtgate.ErrUnavailable, err)
	}
	return c.check(r, value)
}

// SetHeader sets DPoP-Nonce if nonces are on and the proof of r does not have the newest
// one. It then also sets Cache-Control to no-store if it is not set, because a stored answer
// would have an old nonce (RFC 9449 section 8.2). A handler may replace it.
func (v *Verifier) SetHeader(h http.Header, r *http.Request) {
	c, err := v.checker()
	if err != nil || c.nonces == nil {
		return
	}
	newest := c.nonces.at(c.now()).newest
	if nonceOf(r) == newest {
		return
	}
	h["Dpop-Nonce"] = []string{newest}
	if len(h["Cache-Control"]) == 0 {
		h["Cache-Control"] = []string{"no-store"}
	}
}

// Format prints the URLs of v and no secret, for every verb.
func (v *Verifier) Format(f fmt.State, _ rune) {
	if v == nil {
		fmt.Fprint(f, "nil dpop.Verifier")
		return
	}
	fmt.Fprintf(f, "dpop.Verifier for %s", logtext.List(v.URLs, 96))
}

// Stats returns how full the memory for used proofs is.
func (v *Verifier) Stats() Stats {
	c, err := v.checker()
	if err != nil || c.memory == nil {
		return Stats{}
	}
	return c.memory.stats()
}

// A checker has the fields of a Verifier in the form in which they are used.
type checker struct {
	urls       []string // in normal form, without a slash at the end
	algorithms []string
	maxAge     time.Duration
	nonces     *nonceMaker // nil if nonces are off
	replays    Replays     // nil if memory is used
	memory     *memory
	now        func() time.Time
	clients    clients
	readers    sync.Pool // of *reader
}

// checker returns the checker of v, or why the fields of v cannot be used.
func (v *Verifier) checker() (*checker, error) {
	if v == nil {
		return nil, errors.New("dpop.Verifier: it is nil")
	}
	v.setup.Do(func() {
		var errs []error
		if v.ready, errs = newChecker(v); len(errs) > 0 {
			v.ready, v.wrong = nil, errors.Join(errs...)
		}
	})
	return v.ready, v.wrong
}

func newChecker(v *Verifier) (_ *checker, problems []error) {
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("dpop.Verifier."+format, args...))
	}
	c := &checker{
		clients: clients{cache.New[client](maxClients)},
		maxAge:  cmp.Or(v.MaxAge, defaultMaxAge),
		nonces:  newNonceMaker(v.NonceKeys),
		replays: v.Replays,
		now:     v.Now,
	}
	if len(v.URLs) == 0 {
		add(`URLs: the list is empty; list how clients call this service, such as "https://api.example.com"`)
	}
	for _, address := range v.URLs {
		u, err := parseURL(address)
		if err != nil {
			add("URLs: %.200q %w", address, err)
			continue
		}
		if slices.Contains(c.urls, u) {
			add("URLs: %.200q is there twice; remove one", address)
		}
		c.urls = append(c.urls, u)
	}
	var err error
	if c.algorithms, err = algorithmNames(v.Algorithms); err != nil {
		add("Algorithms: %w", err)
	}
	switch {
	case v.MaxAge < 0:
		add("MaxAge: %v is negative; use 0 for %v", v.MaxAge, defaultMaxAge)
	case v.MaxAge > 0 && v.MaxAge < minMaxAge:
		add("MaxAge: %s", logtext.TooShort(v.MaxAge, minMaxAge))
	case v.MaxAge > maxMaxAge:
		add("MaxAge: %v is more than %v: whoever sees a proof could use it for so long on a server that does not know it", v.MaxAge, maxMaxAge)
	}
	if v.NonceKeys != nil && len(v.NonceKeys) == 0 {
		add("NonceKeys: the list is empty; leave the field out to do without nonces")
	}
	for i, key := range v.NonceKeys {
		if len(key) < minNonceKey {
			add("NonceKeys: key %d has %d bytes; use %d or more: openssl rand -hex %d", i+1, len(key), minNonceKey, minNonceKey)
		}
		if slices.ContainsFunc(v.NonceKeys[:i], func(other []byte) bool { return string(other) == string(key) }) {
			add("NonceKeys: key %d is there twice; remove one", i+1)
		}
	}
	switch {
	case v.Replays == nil:
		c.memory = newMemory(maxRemembered)
	case typednil.Is(v.Replays):
		add("Replays: it is a nil %T; leave the field out to use the memory of this process", v.Replays)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if len(problems) > 0 {
		return nil, problems
	}
	if _, err := newReader(c.algorithms); err != nil {
		return nil, []error{fmt.Errorf("dpop.Verifier: %w", err)}
	}
	c.readers.New = func() any {
		r, err := newReader(c.algorithms)
		if err != nil {
			panic(err) // it has worked above
		}
		return r
	}
	return c, nil
}

// algorithmNames returns the names of the accepted algorithms. Clients know EdDSA or
// Ed25519, so both are offered.
func algorithmNames(list []string) (names []string, err error) {
	if list == nil {
		list = []string{"ES256", "EdDSA", "PS256"}
	}
	if len(list) == 0 {
		return nil, errors.New("the list is empty; leave the field out for ES256, EdDSA and PS256")
	}
	for _, name := range list {
		switch name {
		case "EdDSA", "Ed25519":
			if !slices.Contains(names, "EdDSA") {
				names = append(names, "EdDSA", "Ed25519")
			}
		case "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512":
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		default:
			// RFC 9449 section 4.3: an asymmetric algorithm, never none.
			return nil, fmt.Errorf("%.40q is not an asymmetric algorithm that is supported; choose from ES256, ES384, ES512, EdDSA, Ed25519, PS256, PS384, PS512, RS256, RS384, RS512", name)
		}
	}
	return names, nil
}

// check makes all checks of the proof of r, the cheap ones first. jkt is the thumbprint
// that the token is bound to.
func (c *checker) check(r *http.Request, jkt string) error {
	if r.Method == "" {
		return refused(func() string {
			return "there is no request that a proof could be for; a token that is bound to a DPoP key needs Handler, Optional or Check"
		})
	}
	text, err := proofText(r)
	if err != nil {
		return err
	}
	now := c.now()
	p, err := c.read(text)
	if err != nil {
		return err
	}
	until, err := c.checkClaims(p, r, now)
	if err != nil {
		return err
	}
	client := p.client
	if client == nil {
		if client, err = newClient(&p.header); err != nil {
			return err
		}
	}
	if client.thumbprint != jkt {
		// RFC 9449 section 7.1: the token is wrong for this client, not the proof.
		return fmt.Errorf("%w: the proof is of the key with the thumbprint %s, and the token is bound to %s", jwtgate.ErrClaim, client.thumbprint, logtext.QuoteUpTo(jkt, 64))
	}
	if err := c.checkSignature(r.Context(), text, p, client, now); err != nil {
		return err
	}
	return c.use(r.Context(), client, p.jti, until, now)
}

// use records that the proof is used, and refuses it if it has been used before. It comes
// last, so that a request that is refused for another reason uses no proof up.
func (c *checker) use(ctx context.Context, client *client, jti string, until, now time.Time) error {
	id := client.proofID(jti)
	var fresh bool
	var err error
	if c.memory != nil {
		fresh, err = c.memory.use(id, until, now)
	} else {
		fresh, err = c.replays.Use(ctx, id, until)
	}
	if err != nil {
		// A status of its own: whatever the store's error wraps, it is an outage.
		return &jwtgate.Error{
			Status: http.StatusServiceUnavailable,
			Err:    fmt.Errorf("%w: dpop.Verifier: looking for used proofs: %w", jwtgate.ErrUnavailable, logtext.Error(err)),
		}
	}
	if !fresh {
		return refused(func() string {
			return "jti is " + logtext.QuoteUpTo(jti, 64) + ", and the proof with it has been used before; wanted is a new proof for each request"
		})
	}
	return nil
}
