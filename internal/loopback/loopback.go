// Package loopback recognises this machine in URLs.
package loopback

import (
	"net"
	"strings"
)

// Is reports whether host is this machine: an IP address of loopback, or localhost. Names
// below .localhost (RFC 6761 section 6.3) do not count, because some machines ask a
// resolver for them.
func Is(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
