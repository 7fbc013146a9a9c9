package jwk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// MaxKeys is the largest number of keys that ReadSet accepts in a set.
const MaxKeys = 1000

// ReadSet returns the elements of the keys array of a JWK Set (RFC 7517 section
// 5), for [Parse] to read one by one. It refuses a document that is not a JWK Set
// or has more than [MaxKeys] keys. The array may be empty.
//
// ReadSet ignores a byte order mark before the document (RFC 8259 section 8.1 permits
// that). It ignores other members, so that a member that an issuer invents does not
// make its keys unusable. If keys occurs more than once, the last one counts.
func ReadSet(document []byte) ([]json.RawMessage, error) {
	text := bytes.TrimPrefix(document, []byte("\ufeff"))
	switch start := bytes.TrimLeft(text, " \t\r\n"); {
	case len(start) == 0:
		return nil, errors.New("it is not a JWK Set: it is empty")
	case start[0] != '{':
		first, _ := utf8.DecodeRune(start)
		return nil, fmt.Errorf("it is not a JWK Set: it starts with %+q and not with {", string(first))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	keys, err := readKeys(d)
	if err != nil {
		mark := int64(len(document) - len(text))
		return nil, fmt.Errorf("it is not a JWK Set: %w", plain(err, mark+d.InputOffset(), int64(len(document))))
	}
	if len(keys) > MaxKeys {
		return nil, fmt.Errorf("it has more than the %d keys that are read", MaxKeys)
	}
	return keys, nil
}

// readKeys returns the elements of keys. It stops after MaxKeys+1 of them.
// Reading token by token compares names exactly, which encoding/json does not do
// for the fields of a struct, and takes no memory for other members.
func readKeys(d *json.Decoder) (keys []json.RawMessage, err error) {
	if err := expect(d, json.Delim('{')); err != nil {
		return nil, err
	}
	found, isMetadata := false, false
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		if name != "keys" {
			isMetadata = isMetadata || name == "jwks_uri"
			var ignored json.RawMessage
			if err := d.Decode(&ignored); err != nil {
				return nil, err
			}
			continue
		}
		if err := expect(d, json.Delim('[')); err != nil {
			return nil, errors.New("its member keys is not an array")
		}
		keys, found = nil, true
		for d.More() {
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				return nil, err
			}
			if keys = append(keys, raw); len(keys) > MaxKeys {
				return keys, nil
			}
		}
		if _, err := d.Token(); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is data after it")
	}
	switch {
	case !found && isMetadata:
		return nil, errors.New("it is a discovery document, whose jwks_uri is the address of the set")
	case !found:
		return nil, errors.New("it has no member keys")
	}
	return keys, nil
}

// expect reads one token and returns an error if it is not want.
func expect(d *json.Decoder, want json.Delim) error {
	token, err := d.Token()
	if err == nil && token != want {
		err = fmt.Errorf("it does not start with %v", want)
	}
	return err
}

// plain returns an error of encoding/json in words that do not name its parser's state.
// offset is where the decoder stopped in a document of the given length. Versions of
// encoding/json differ in the offset of a SyntaxError, and in the error for a document
// that ends too early.
func plain(err error, offset, length int64) error {
	syntax := new(json.SyntaxError)
	switch isSyntax := errors.As(err, &syntax); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isSyntax && offset >= length:
		return errors.New("its JSON ends too early")
	case isSyntax:
		return fmt.Errorf("its JSON has a mistake after byte %d", offset)
	}
	return err
}
