// Package migration shows how to move a service to jwtgate from golang-jwt,
// auth0/go-jwt-middleware, labstack/echo-jwt or go-chi/jwtauth. README.md describes the
// steps and what changes.
//
// For each library there are two files, before and after, with the same service. The
// tests send the same requests to both and compare the answers with README.md:
//
//	go -C examples/migration test ./...
package migration
