// Package headermap finds names in the header maps of requests.
package headermap

import (
	"net/http"
	"strings"
)

// Misspelled returns a key of header that is the canonical name in another spelling, or
// "". The server of net/http writes canonical names. An adapter of another server may
// write others, such as "authorization", which [http.Header.Get] does not find.
func Misspelled(header http.Header, name string) string {
	for key := range header {
		if len(key) == len(name) && key != name && strings.EqualFold(key, name) {
			return key
		}
	}
	return ""
}
