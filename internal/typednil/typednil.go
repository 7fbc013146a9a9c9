// Package typednil finds nil values inside interfaces.
package typednil

import "reflect"

// Is reports whether v is nil or contains a nil pointer, function, map, slice or
// channel. v == nil is false for an interface that contains a nil value.
func Is(v any) bool {
	if v == nil {
		return true
	}
	switch value := reflect.ValueOf(v); value.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return value.IsNil()
	}
	return false
}
