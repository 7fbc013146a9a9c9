// Package unlimited lets package jwttest make a keys.Remote that fetches for every
// unknown key ID. Users of package keys cannot turn off the limit of these fetches.
package unlimited

// Remote turns off the limit of remote, a *keys.Remote that has not been used yet.
// Package keys sets this variable when it is initialised.
var Remote func(remote any)
