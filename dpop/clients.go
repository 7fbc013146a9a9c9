package dpop

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/internal/cache"
	"github.com/jwtgate/jwtgate/internal/jwk"
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// A client is the key of a client and the algorithm that it signs with. It is immutable.
type client struct {
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
// signature was verified are remembered, so others cannot fill it.
type clients struct{ remembered cache.Cache[client] }

const (
	maxClients     = 1024
	maxHeaderBytes = 2 << 10 // of a header that is remembered
)

// find returns the client with the given header, or nil.
func (c *clients) find(header string) *client { return c.remembered.Find(header, cache.Hash(header)) }

// remember remembers a client whose proof had the given header.
func (c *clients) remember(header string, found *client) {
	if len(header) <= maxHeaderBytes {
		c.remembered.Put(header, cache.Hash(header), found, nil)
	}
}
