package jsonobj

import "encoding/json/jsontext"

// A text is the input of a function: a string or a byte slice.
type text interface{ string | []byte }

func unescape[T text](inner T) []byte {
	quoted := make([]byte, 0, len(inner)+2)
	quoted = append(append(append(quoted, '"'), inner...), '"')
	unquoted, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		panic(err) // the parser has accepted it
	}
	return unquoted
}
