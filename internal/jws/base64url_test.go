package jws_test

import (
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate/internal/jws"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func TestAppendDecoded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, segment, want string }{
		{"one byte", "YQ", "a"},
		{"two bytes", "YWI", "ab"},
		{"three bytes", "YWJj", "abc"},
		{"four bytes", "YWJjZA", "abcd"},
		{"characters of base64url that base64 does not have", "-_-_", "\xfb\xff\xbf"},
		{"empty", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := jws.AppendDecoded(nil, []byte(tt.segment))
			require.NoError(t, err)
			assert.Equal(t, tt.want, string(got))
			got, err = jws.AppendDecoded([]byte("before "), []byte(tt.segment))
			require.NoError(t, err)
			assert.Equal(t, "before "+tt.want, string(got))
		})
	}
	for _, tt := range []struct{ name, segment string }{
		// acceptance 14
		{"trailing bits after one byte", "YR"},
		{"trailing bits after two bytes", "YWJ"},
		{"trailing bits after four bytes", "YWJjZB"},
		{"all trailing bits set", "Y_"},
		{"one character", "Y"},
		{"one character too many", "YWJjZ"},
		{"padding", "YQ=="},
		{"part of the padding", "YQ="},
		{"the standard alphabet", "+/+/"},
		{"a dot", "YW.I"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := jws.AppendDecoded([]byte("before "), []byte(tt.segment))
			assert.ErrorIs(t, err, jws.ErrEncoding)
			assert.Equal(t, "before ", string(got))
		})
	}
}

// A segment of two or three characters is accepted only if encoding the result gives the same
// segment. Each value therefore has exactly one accepted encoding.
//
// acceptance 14
func TestAppendDecoded_OneSpelling(t *testing.T) {
	t.Parallel()
	values := 0
	for _, a := range alphabet {
		for _, b := range alphabet {
			segments := []string{string(a) + string(b)}
			for _, c := range alphabet {
				segments = append(segments, string(a)+string(b)+string(c))
			}
			for _, segment := range segments {
				decoded, err := jws.AppendDecoded(nil, []byte(segment))
				if err != nil {
					continue
				}
				values++
				if again := base64.RawURLEncoding.EncodeToString(decoded); again != segment {
					t.Errorf("%q is accepted, but the encoding is %q", segment, again)
				}
			}
		}
	}
	assert.Equal(t, 1<<8+1<<16, values, "each value of one or two bytes has one encoding")
}

// acceptance 13: Cut does not validate characters. AppendDecoded refuses every byte outside the
// alphabet at every position.
func TestAppendDecoded_Alphabet(t *testing.T) {
	t.Parallel()
	for size := range 27 {
		for at := range size {
			for b := range 256 {
				segment := bytes.Repeat([]byte("A"), size)
				segment[at] = byte(b)
				got, err := jws.AppendDecoded(nil, segment)
				want, wantErr := decode(segment)
				if wantErr != nil {
					assert.ErrorIs(t, err, jws.ErrEncoding, "%q", segment)
				} else if assert.NoError(t, err, "%q", segment) {
					assert.Equal(t, string(want), string(got), "%q", segment)
				}
			}
		}
	}
}

// decode decodes a segment with encoding/base64 and refuses line breaks, which encoding/base64
// skips.
func decode(segment []byte) ([]byte, error) {
	if i := bytes.IndexAny(segment, "\r\n"); i >= 0 {
		return nil, base64.CorruptInputError(i)
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(string(segment))
	if err != nil {
		return nil, err // without the bytes decoded before the error
	}
	return decoded, nil
}

// FuzzAppendDecoded compares AppendDecoded with encoding/base64.
func FuzzAppendDecoded(f *testing.F) {
	for _, seed := range []string{"", "A", "YQ", "YR", "YWI", "YWJ", "YWJj", "YWJjZA", "eyJhbGciOiJIUzI1NiJ9", "eyJhbGci\nOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1Ni.9", "eyJhbGciOiJIUzI1NiJ9=", "-_-_-_-_-_\xff"} {
		f.Add([]byte("before"), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, before, segment []byte) {
		// The fuzzer may pass two slices of one array, so appending to before may overwrite
		// segment.
		before = bytes.Clone(before)
		kept, asked := bytes.Clone(before), bytes.Clone(segment)
		got, err := jws.AppendDecoded(before, segment)
		require.Equal(t, asked, segment, "the segment is not written to")
		want, wantErr := decode(segment)
		if wantErr != nil {
			require.ErrorIs(t, err, jws.ErrEncoding)
		} else {
			require.NoError(t, err)
		}
		require.Equal(t, string(kept)+string(want), string(got))
	})
}
