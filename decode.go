package jwtgate

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/jwtgate/jwtgate/internal/jsonobj"
	"github.com/jwtgate/jwtgate/internal/logtext"
)

// checkFolding returns an error if encoding/json would store two members of one object
// in claims in the same field of the value that v points to. claims are accepted
// claims, so their outermost object has no such members.
func checkFolding(claims string, v any) error {
	if v == nil || !jsonobj.Folds(claims) {
		return nil
	}
	return foldingIn(claims, reflect.ValueOf(v))
}

// foldingIn is checkFolding for raw, a JSON value, that encoding/json would store in v.
// Where encoding/json would store raw in a new value, v is the zero value of its type.
func foldingIn(raw string, v reflect.Value) error {
	raw = strings.TrimSpace(raw)
	for range maxIndirections {
		switch {
		case decodesItself(v.Type()):
			return nil
		case v.Kind() == reflect.Pointer && v.IsNil():
			v = reflect.Zero(v.Type().Elem())
		case v.Kind() == reflect.Pointer:
			v = v.Elem()
		case v.Kind() == reflect.Interface && v.Elem().Kind() == reflect.Pointer:
			v = v.Elem() // encoding/json stores raw in the value that this pointer points to
		case raw[0] == '{':
			return foldingInObject(raw, v)
		case raw[0] == '[':
			return foldingInArray(raw, v)
		default:
			return nil
		}
	}
	return fmt.Errorf("jwtgate: cannot decode the claims: %s has too many pointers", v.Type())
}

// maxIndirections limits the pointers to pointers that foldingIn follows. A type such
// as "type P *P" has no end of them.
const maxIndirections = 100

// decodesItself reports whether t, or a pointer to it, has its own method to decode
// JSON. encoding/json then does not look into the value.
func decodesItself(t reflect.Type) bool {
	if t.Kind() == reflect.Interface {
		return false
	}
	unmarshaler := reflect.TypeFor[json.Unmarshaler]()
	return t.Implements(unmarshaler) || reflect.PointerTo(t).Implements(unmarshaler)
}

func foldingInObject(raw string, v reflect.Value) error {
	if kind := v.Kind(); kind != reflect.Struct && kind != reflect.Map {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(raw), &members); err != nil {
		return err
	}
	if v.Kind() == reflect.Map { // a map has an entry for each spelling
		for _, value := range members {
			if err := foldingIn(string(value), reflect.Zero(v.Type().Elem())); err != nil {
				return err
			}
		}
		return nil
	}
	for _, field := range appendFields(nil, v, map[reflect.Type]bool{}) {
		found := ""
		for name, value := range members {
			if !strings.EqualFold(name, field.name) {
				continue
			}
			if found != "" {
				return fmt.Errorf("jwtgate: cannot decode the claims into a %s: the members %s and %s of one object differ only in letter case, "+
					"and encoding/json would store both in one field; use a map", v.Type(), logtext.Quote(min(name, found)), logtext.Quote(max(name, found)))
			}
			found = name
			if err := foldingIn(string(value), field.value); err != nil {
				return err
			}
		}
	}
	return nil
}

func foldingInArray(raw string, v reflect.Value) error {
	kind := v.Kind()
	if kind != reflect.Slice && kind != reflect.Array {
		return nil
	}
	if kind == reflect.Slice {
		v = v.Slice(0, v.Cap()) // encoding/json reuses the elements beyond the length too
	}
	elements, _ := jsonobj.Elements(raw, nil)
	for i, element := range elements {
		into := reflect.Zero(v.Type().Elem())
		if i < v.Len() {
			into = v.Index(i)
		}
		if err := foldingIn(element, into); err != nil {
			return err
		}
	}
	return nil
}

// A structField is a field by the name that it has in JSON.
type structField struct {
	name  string
	value reflect.Value
}

// appendFields appends the fields of the struct v, and of the structs that are embedded
// in it, to fields. It appends more fields than encoding/json fills: also those that
// are hidden by a field of an outer struct. seen are the types that it has looked at.
func appendFields(fields []structField, v reflect.Value, seen map[reflect.Type]bool) []structField {
	if seen[v.Type()] {
		return fields
	}
	seen[v.Type()] = true
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(tag, ",")
		if name != "" {
			fields = append(fields, structField{name, value})
		}
		if f.Anonymous && name == "" || !isPlainName(name) {
			embedded := value
			if embedded.Kind() == reflect.Pointer && !embedded.IsNil() {
				embedded = embedded.Elem()
			} else if embedded.Kind() == reflect.Pointer {
				embedded = reflect.Zero(embedded.Type().Elem())
			}
			if f.Anonymous && embedded.Kind() == reflect.Struct {
				fields = appendFields(fields, embedded, seen)
				continue
			}
			fields = append(fields, structField{f.Name, value})
		}
	}
	return fields
}

// isPlainName reports whether name is a name that encoding/json accepts in a tag. It
// may be false for an unusual name that encoding/json accepts too.
func isPlainName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("-_.:/#@+", c)
	})
}
