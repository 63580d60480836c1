package configs

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// The functions of this file turn one value into what it means, or record why
// it means nothing. Those that return a function are given the bounds first.

func text(e element) (string, bool) {
	s, ok := e.value.(string)
	if !ok {
		e.refuse("a string", "put it in double quotes")
	}
	return s, ok
}

// word accepts a string of at most so many bytes of which valid holds.
func word(what, remedy string, most int, valid func(s string) bool) func(element) (string, bool) {
	return func(e element) (string, bool) {
		s, ok := text(e)
		if ok && (s == "" || len(s) > most || !valid(s)) {
			e.refuse(what, remedy)
			return "", false
		}
		return s, ok
	}
}

var (
	// name is for what appears in logs, metrics and command lines.
	name = word("a name", "use 1 to 63 letters, digits, dots, dashes and underscores", 63,
		func(s string) bool { return isBareKey(strings.ReplaceAll(s, ".", "-")) })
	// interfaceName follows dev_valid_name of the kernel's net/core/dev.c and
	// its IFNAMSIZ.
	interfaceName = word("the name of an interface", "use 1 to 15 characters without space, slash or colon", 15,
		func(s string) bool { return visible(s) && !strings.ContainsAny(s, "/:") && s != "." && s != ".." })
	filePath = word("the absolute path of a file", `write for example "/etc/tandem/vrrp.key"`, 4095, visibleRooted)
	// sun_path of sockaddr_un (unix(7)) has room for 107 bytes.
	socketPath = word("the absolute path of a socket", `write for example "`+defaultSocket+`", at most 107 characters`, 107, visibleRooted)
)

// visible reports whether s is printable ASCII without spaces.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func visibleRooted(s string) bool { return s[0] == '/' && visible(s) }

// groupName accepts a name, or an empty string for no group.
func groupName(e element) (string, bool) {
	if e.value == "" {
		return "", true
	}
	return name(e)
}

func oneOf(options ...string) func(element) (string, bool) {
	return func(e element) (string, bool) {
		s, _ := e.value.(string)
		for _, option := range options {
			if s == option {
				return s, true
			}
		}
		e.fail(describe(e.value)+" is not supported", meant(s, options, "write one of"))
		return "", false
	}
}

func whole[T uint8 | uint16 | uint32 | int32 | int64 | int](least, most T) func(element) (T, bool) {
	return func(e element) (T, bool) {
		n, ok := e.value.(int64)
		if !ok || n < int64(least) || n > int64(most) {
			remedy := "write one in that range"
			if _, quoted := e.value.(string); quoted {
				remedy = "write one, without quotes"
			}
			e.refuse(fmt.Sprintf("a whole number from %d to %d", least, most), remedy)
			return 0, false
		}
		return T(n), true
	}
}

// span accepts a duration from least to most in whole steps.
func span(least, most, step time.Duration) func(element) (time.Duration, bool) {
	return func(e element) (time.Duration, bool) {
		s, _ := e.value.(string)
		d, err := time.ParseDuration(s)
		switch {
		case err != nil:
			e.refuse("a duration", fmt.Sprintf("write for example %q", exampleDuration(e.value)))
		case d < least || d > most:
			e.refuse("in range", fmt.Sprintf("write a duration from %q to %q", short(least), short(most)))
		case d%step != 0:
			e.refuse("a multiple of "+short(step), fmt.Sprintf("write %q", short(d.Round(step))))
		default:
			return d, true
		}
		return 0, false
	}
}

// intervals are the shortest interval of a version of VRRP, the longest, and the
// step. Max Advertise Interval has 12 bits of centiseconds (RFC 9568, section
// 5.2.7), Advertisement Interval 8 bits of seconds (RFC 3768, section 5.3.6).
func intervals(version uint8) (least, most, step time.Duration) {
	if version == 2 {
		return time.Second, 255 * time.Second, time.Second
	}
	return 10 * time.Millisecond, 4095 * 10 * time.Millisecond, 10 * time.Millisecond
}

func intervalOf(version uint8) func(element) (time.Duration, bool) {
	return span(intervals(version))
}

// password accepts a text and does not show it in an error.
func password(e element) (Secret, bool) {
	s, ok := e.value.(string)
	if !ok || s == "" || len(s) > 63 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		e.fail("is not a password", "write 1 to 63 letters, digits and signs in double quotes, of which 8 count")
		return "", false
	}
	return Secret(s), true
}

// exampleDuration is what someone who wrote value most likely meant: a number
// without its unit is taken for seconds.
func exampleDuration(value any) string {
	if d, err := time.ParseDuration(fmt.Sprint(value) + "s"); err == nil && d > 0 {
		return short(d)
	}
	return "1s"
}

// short is d without the zero units of Duration.String: 1m, not 1m0s.
func short(d time.Duration) string {
	s := d.String()
	if d%time.Minute == 0 && d != 0 {
		s = strings.TrimSuffix(s, "0s")
	}
	if d%time.Hour == 0 && d != 0 {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// lease accepts "off", "auto" or a duration. Auto comes back as a negative
// duration, for it depends on the interval of the adverts.
func lease(e element) (time.Duration, bool) {
	switch e.value {
	case "off":
		return 0, true
	case "auto":
		return autoLease, true
	}
	if s, ok := e.value.(string); ok {
		if _, err := time.ParseDuration(s); err == nil {
			return span(minLease, maxLease, time.Second)(e)
		}
	}
	e.refuse("a lease", `write "auto", "off" or a duration, for example "5s"`)
	return 0, false
}

// address accepts an IPv4 address that a host can have.
func address(e element) (netip.Addr, bool) {
	s, ok := text(e)
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		e.refuse("an IP address", `write for example "10.77.0.1"`)
		return netip.Addr{}, false
	}
	if !a.Is4() {
		e.refuse("an IPv4 address", "write it as address6, if it is the one that IPv6 adverts are sent from")
		return netip.Addr{}, false
	}
	return a, e.usable(a)
}

// endpoint accepts the address and port of a real server, of either family.
func endpoint(e element) (netip.AddrPort, bool) {
	s, ok := text(e)
	if !ok {
		return netip.AddrPort{}, false
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Port() == 0 {
		example := netip.MustParseAddrPort("10.77.0.11:80")
		if ip, err := netip.ParseAddr(s); err == nil {
			example = netip.AddrPortFrom(ip, 80)
		}
		e.refuse("an address and port", fmt.Sprintf("write for example %q", example))
		return netip.AddrPort{}, false
	}
	if !e.usable(a.Addr()) {
		return netip.AddrPort{}, false
	}
	if a.Addr().Is6() && a.Addr().IsLinkLocalUnicast() {
		e.fail(describe(s)+" is a link-local address, which IPVS does not know on which interface to find", "write a global address")
		return netip.AddrPort{}, false
	}
	return a, true
}

// linkLocal accepts the address that a director sends its IPv6 adverts from.
func linkLocal(e element) (netip.Addr, bool) {
	s, ok := text(e)
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() || a.Is4In6() || !a.IsLinkLocalUnicast() {
		e.refuse("an IPv6 link-local address", `write that of the interface, for example "fe80::1"; adverts are sent from no other`)
		return netip.Addr{}, false
	}
	return a, e.usable(a)
}

// prefix accepts a virtual address with its prefix length, or without: then it
// is a single host's.
func prefix(e element) (netip.Prefix, bool) {
	s, ok := text(e)
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(s)
	if !strings.Contains(s, "/") {
		var a netip.Addr
		a, err = netip.ParseAddr(s)
		p = netip.PrefixFrom(a, a.BitLen())
	}
	switch {
	case err != nil:
		e.refuse("an IP address", `write for example "10.77.0.100/32"`)
	case p.Bits() == 0:
		e.refuse("in range", fmt.Sprintf("write a prefix length from 1 to %d", p.Addr().BitLen()))
	case p.Bits() < p.Addr().BitLen()-1 && p.Addr() == p.Masked().Addr() && !p.Addr().IsUnspecified():
		e.refuse("the address of a host but of the network", fmt.Sprintf("write for example %q", netip.PrefixFrom(p.Addr().Next(), p.Bits())))
	case e.usable(p.Addr()):
		return p, true
	}
	return netip.Prefix{}, false
}

// usable records why no host can have a as its address on a network.
func (e element) usable(a netip.Addr) bool {
	var kind string
	switch {
	case a.Is4In6():
		e.refuse("plain", fmt.Sprintf("write the IPv4 address %q", a.Unmap()))
		return false
	case a.Zone() != "":
		kind = "a scoped address"
	case a.IsUnspecified():
		kind = "the unspecified address"
	case a.IsLoopback():
		kind = "a loopback address"
	case a.IsMulticast():
		kind = "a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		kind = "the broadcast address"
	default:
		return true
	}
	e.fail(describe(e.value)+" is "+kind, "write an address that a host on the network has")
	return false
}
