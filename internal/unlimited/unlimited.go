// Package unlimited lets package jwttest have a keys.Remote that fetches for every
// unknown key ID. Users of package keys cannot turn that limit off.
package unlimited

// Remote removes the limit of unknown key IDs from a *keys.Remote that has not been
// used yet. Package keys sets this variable when it is initialised.
var Remote func(remote any)
