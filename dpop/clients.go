package dpop

import (
	"crypto/sha256"
	"encoding/base64"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/jwk"
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// A client is the key of a client and the algorithm that it signs with. It is immutable.
type client struct {
	header     string // of its proofs, encoded
	hash       uint64 // of header
	thumbprint string // of the key, as in cnf.jkt
	digest     [sha256.Size]byte
	keys       []*jwtgate.Key // exactly one
}

// newClient returns the client whose key is in a header of a proof.
func newClient(h *header) (*client, error) {
	key, err := jwk.Parse(h.jwk, "")
	if err != nil {
		return nil, refused(func() string { return "jwk: " + err.Error() })
	}
	algorithm := h.Algorithm
	if key.Algorithm != "" && !sameAlgorithm(key.Algorithm, algorithm) {
		return nil, refused(func() string {
			return "alg is " + algorithm + ", and jwk is for " + logtext.QuoteUpTo(key.Algorithm, 40)
		})
	}
	if !slices.ContainsFunc(key.Algorithms, func(a string) bool { return sameAlgorithm(a, algorithm) }) {
		return nil, refused(func() string {
			return "alg is " + algorithm + ", and the key in jwk is for " + strings.Join(key.Algorithms, ", ")
		})
	}
	// NewKey refuses weak keys.
	public, err := jwtgate.NewKey("", algorithm, key.Public)
	if err != nil {
		return nil, refused(func() string { return "jwk: " + err.Error() })
	}
	digest, ok := jwk.Thumbprint(key.Public)
	if !ok {
		return nil, refusedText("jwk: the kind of key is not supported")
	}
	return &client{
		thumbprint: base64.RawURLEncoding.EncodeToString(digest[:]),
		digest:     digest,
		keys:       []*jwtgate.Key{public},
	}, nil
}

// sameAlgorithm reports whether a and b name one algorithm.
func sameAlgorithm(a, b string) bool {
	if a == "Ed25519" {
		a = "EdDSA"
	}
	if b == "Ed25519" {
		b = "EdDSA"
	}
	return a == b
}

// proofID returns what a proof of the client is remembered by. The signature is not a part
// of it: for ECDSA anybody can make a second signature from the first.
func (c *client) proofID(jti string) [sha256.Size]byte {
	return sha256.Sum256(append(c.digest[:sha256.Size:sha256.Size], jti...))
}

// clients remembers clients by the header of their proofs, which has the key. A known
// client costs neither the parsing of the header nor that of the key. Only clients whose
// signature was verified are remembered, so others cannot fill it. It has a fixed number
// of places, in sets of clientWays.
type clients struct {
	places [clientSets][clientWays]atomic.Pointer[client]
}

const (
	clientSets     = 256
	clientWays     = 4
	maxHeaderBytes = 2 << 10 // of a header that is remembered
)

// clientSeed is random, so nobody can choose headers of one set.
var clientSeed = maphash.MakeSeed()

// find returns the client with the given header, or nil.
func (c *clients) find(header string) *client {
	hash := maphash.String(clientSeed, header)
	set := &c.places[hash%clientSets]
	for i := range set {
		if found := set[i].Load(); found != nil && found.hash == hash && found.header == header {
			return found
		}
	}
	return nil
}

// remember remembers a client whose proof had the given header.
func (c *clients) remember(header string, found *client) {
	if len(header) > maxHeaderBytes {
		return
	}
	// Some servers reuse the memory of a header for the next request.
	found.header = strings.Clone(header)
	found.hash = maphash.String(clientSeed, header)
	set := &c.places[found.hash%clientSets]
	place := rand.IntN(clientWays)
	for i := range set {
		if old := set[i].Load(); old == nil || old.header == found.header {
			place = i
			break
		}
	}
	set[place].Store(found)
}
