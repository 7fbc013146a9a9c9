package keys_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// BenchmarkKeys measures the lookup of a key in memory, with 1 to 1,000 keys. The cost of a Go map lookup, "in a
// map", is for comparison.
func BenchmarkKeys(b *testing.B) {
	kid := func(i int) string { return fmt.Sprintf("2025-11-24-key-%d", i) }
	discovered := func(b *testing.B, issuers, size int) (*keys.Remote, string) {
		set := make([]any, size)
		for i := range set {
			set[i] = jwkOf(public(edKey())).with("kid", kid(i))
		}
		server := newTCPServer(b, nil)
		server.respond(tenants(server.url, jwkSet(set...)))
		remote, _ := server.remote()
		remote.URL, remote.FreshFor = "", time.Hour
		names := make([]string, issuers) // a gate looks up the very strings that New has named
		for i := range issuers {
			names[i] = fmt.Sprintf("%s/realms/%d", server.url, i)
			require.NoError(b, remote.Refresh(b.Context(), names[i]))
		}
		return remote, names[issuers/2]
	}
	for _, size := range []int{1, 10, 100, 1000} {
		all := map[string]*jwtgate.Key{}
		var list []*jwtgate.Key
		for i := range size {
			k := newKey(b, kid(i), "EdDSA", public(edKey()))
			all[kid(i)], list = k, append(list, k)
		}
		wanted := kid(size / 2)
		b.Run(fmt.Sprintf("in a map/keys=%d", size), func(b *testing.B) {
			for b.Loop() {
				if all[wanted] == nil {
					b.Fatal("no key")
				}
			}
		})
		lookups(b, fmt.Sprintf("Static/keys=%d", size), keys.Static(list...), issuer, wanted)
		remote, issuerOfOne := discovered(b, 1, size)
		lookups(b, fmt.Sprintf("Remote/issuers=1/keys=%d", size), remote, issuerOfOne, wanted)
		if size >= 10 {
			remote, issuer := discovered(b, 10, size/10)
			lookups(b, fmt.Sprintf("Remote/issuers=10/keys=%d", size), remote, issuer, kid(size/20))
		}
	}
}

func lookups(b *testing.B, name string, source jwtgate.KeySource, issuer, kid string) {
	ctx := b.Context()
	ask := func() {
		if ks, err := source.Keys(ctx, issuer, kid); err != nil || len(ks) != 1 {
			b.Error("no key")
		}
	}
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ask()
		}
	})
	b.Run(name+"/parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				ask()
			}
		})
	})
}
