package jws

import "errors"

// Reasons for a refusal. Their texts contain no part of the input.
var (
	ErrSegments  = errors.New("not three non-empty base64url segments")
	ErrEncoding  = errors.New("segment is not canonical base64url")
	ErrCritical  = errors.New("header has crit")
	ErrEncrypted = errors.New("token is encrypted")
	ErrNested    = errors.New("content is itself a JWT")
)
