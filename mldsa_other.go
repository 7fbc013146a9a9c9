//go:build !go1.27

package jwtgate

// mldsaAlgorithms returns nothing: crypto/mldsa came with Go 1.27.
func mldsaAlgorithms() []*algorithm { return nil }
