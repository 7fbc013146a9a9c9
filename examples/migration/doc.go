// Package migration shows how services move to jwtgate from golang-jwt used by
// hand, auth0/go-jwt-middleware, labstack/echo-jwt and go-chi/jwtauth. README.md
// has the notes.
//
// Each library has two files, before and after, and each of the two makes the
// same service. The tests send both the same requests, and compare the answers
// with what the notes say:
//
//	go -C examples/migration test ./...
package migration
