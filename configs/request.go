package configs

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// The host and the path of an HTTP check become one URL, so each must be what
// it says and nothing of the other.

// httpHost accepts what a Host field has (RFC 9110, section 7.2): a host name
// or an address, and a port if it is not that of the protocol.
func httpHost(e element) (string, bool) {
	s, ok := text(e)
	if !ok || isHost(s) {
		return s, ok
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Is6() && isHost("["+s+"]") {
		e.refuse("an address of a URL", fmt.Sprintf("write it in brackets: %q", "["+s+"]"))
		return "", false
	}
	e.refuse("a host name, with or without a port", `write for example "www.example.com" or "www.example.com:8080"`)
	return "", false
}

// isHost reports whether s is a host[:port] of a URL.
func isHost(s string) bool {
	host, port, hasPort := s, "", false
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, port, hasPort = s[:i], s[i+1:], true
	}
	if n, err := strconv.ParseUint(port, 10, 16); hasPort && (err != nil || n == 0) {
		return false
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		a, err := netip.ParseAddr(inner)
		return ok && err == nil && a.Is6() && a.Zone() == ""
	}
	return isDomain(host)
}

// isDomain reports whether s is a domain name (RFC 1123, section 2.1, and the
// underscores that people use) or an IPv4 address. What ends in a number can
// only be an address.
func isDomain(s string) bool {
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, label := range labels {
		if len(label) > 63 || !isBareKey(label) {
			return false
		}
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		a, err := netip.ParseAddr(s)
		return err == nil && a.Is4()
	}
	return len(s) <= 253
}

var rootedPath = word("a path from the root", `write for example "/healthz"`, 2048, visibleRooted)

// httpPath accepts the path of a request with its query, if it has one.
func httpPath(e element) (string, bool) {
	s, ok := rootedPath(e)
	if !ok {
		return "", false
	}
	if strings.Contains(s, "#") {
		e.refuse("sent whole: what follows a # never leaves the client", `remove it, or write the # as "%23"`)
		return "", false
	}
	if _, err := url.ParseRequestURI(s); err != nil {
		e.refuse("a path: a % begins an escape of two hexadecimal digits", `write a % itself as "%25"`)
		return "", false
	}
	return s, true
}
