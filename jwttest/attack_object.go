package jwttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// An object is the list of members of a JSON object. Names and values are JSON text,
// names without their quotes. They may be malformed, and names may repeat.
type object []member

type member struct{ name, value string }

// with returns a copy of o with a member replaced, or added at the end.
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

// without returns a copy of o without the members of that name.
func (o object) without(name string) object {
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool { return m.name == name })
}

// changed returns a copy of o with a member replaced or added. An empty value removes it.
func (o object) changed(name, value string) object {
	if value == "" {
		return o.without(name)
	}
	return o.with(name, value)
}

// withFirst returns a copy of o with a member added at the start, even if o has a
// member of that name.
func (o object) withFirst(name, value string) object {
	return slices.Concat(object{{name, value}}, o)
}

// withLast returns a copy of o with a member added at the end, even if o has a
// member of that name.
func (o object) withLast(name, value string) object {
	return slices.Concat(o, object{{name, value}})
}

// value returns the JSON text of the value of the first member called name, or "" if
// there is no member of that name.
func (o object) value(name string) string {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return ""
}

// String returns the JSON text.
func (o object) String() string {
	members := make([]string, len(o))
	for i, m := range o {
		members[i] = `"` + m.name + `":` + m.value
	}
	return "{" + strings.Join(members, ",") + "}"
}

// quote returns s as a JSON string with as few escapes as possible.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // never fails for a string
	return strings.TrimSuffix(b.String(), "\n")
}

// members returns n JSON members, each after a comma. format formats the number of a
// member, from 1 to n.
func members(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ","+format, i+1)
	}
	return b.String()
}

// nest returns n left brackets followed by n right brackets.
func nest(n int, left, right string) string {
	return strings.Repeat(left, n) + strings.Repeat(right, n)
}
