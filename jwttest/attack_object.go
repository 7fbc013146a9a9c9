package jwttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// An object is a JSON object in the making. Names and values stand as they
// will be written, so that both may be wrong, and names may repeat.
type object []member

type member struct{ name, value string }

// with returns the object with a member replaced, or added at the end.
func (o object) with(name, value string) object {
	o = slices.Clone(o)
	for i := range o {
		if o[i].name == name {
			o[i].value = value
			return o
		}
	}
	return append(o, member{name, value})
}

func (o object) without(name string) object {
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool { return m.name == name })
}

// before and behind add a member whether or not there is one of its name.
func (o object) withFirst(name, value string) object {
	return slices.Concat(object{{name, value}}, o)
}

func (o object) withLast(name, value string) object {
	return slices.Concat(o, object{{name, value}})
}

// value returns the member's value as it is written, "" if there is none.
func (o object) value(name string) string {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return ""
}

func (o object) String() string {
	members := make([]string, len(o))
	for i, m := range o {
		members[i] = `"` + m.name + `":` + m.value
	}
	return "{" + strings.Join(members, ",") + "}"
}

// quote returns s as a JSON string, with no more escapes than it needs.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can always be written
	return strings.TrimSuffix(b.String(), "\n")
}

// members returns n members with a comma before each, for a format with their
// number.
func members(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ","+format, i+1)
	}
	return b.String()
}

// nest returns n pairs of brackets around nothing.
func nest(n int, left, right string) string {
	return strings.Repeat(left, n) + strings.Repeat(right, n)
}
