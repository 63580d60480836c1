package configs

import (
	"net/netip"
	"strings"
)

// weight accepts what may be added to a priority.
func weight(e element) (int, bool) {
	if e.value == int64(0) {
		e.fail("0 changes nothing", "write a weight from -253 to 253, or leave it out: then a failure is a fault")
		return 0, false
	}
	return whole(-253, 253)(e)
}

// anyAddress accepts an address that a host can have, of either family.
func anyAddress(e element) (netip.Addr, bool) {
	s, ok := text(e)
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		e.refuse("an IP address", `write for example "10.77.0.1"`)
		return netip.Addr{}, false
	}
	return a, e.usable(a)
}

// destination accepts the destination of a route, of either family.
func destination(e element) (netip.Prefix, bool) {
	s, ok := text(e)
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		e.refuse("the destination of a route", `write for example "0.0.0.0/0"`)
	case p.Addr().Is4In6():
		e.refuse("plain", "write an IPv4 prefix")
	case p != p.Masked():
		e.refuse("a network", `write "`+p.Masked().String()+`"`)
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

var (
	trackedFile = word("the absolute path of a file", `write for example "/etc/tandem/maintenance"`, 4095, visibleRooted)
	// processName follows TASK_COMM_LEN of the kernel.
	processName = word("the name of a process", "write it as in /proc/PID/comm, where the kernel keeps 15 characters", 15,
		func(s string) bool { return printable(s) && strings.TrimSpace(s) == s })
)

// Limits of a command, far below those of execve(2).
const (
	maxArgs    = 64
	maxCommand = 8 << 10 // bytes
)

// command accepts a program and its arguments. No shell reads them.
func command(e element) (Command, bool) {
	const remedy = `write the program and each argument, for example ["/usr/lib/tandem/check-uplink", "eth1"]`
	if _, ok := e.value.(string); ok {
		e.fail("is one string, and no shell would take it apart", remedy)
		return "", false
	}
	var args []string
	ok := true
	for _, a := range e.elements(remedy) {
		s, isText := text(a)
		switch {
		case !isText:
		case !printable(s):
			a.refuse("printable", "write an argument without control characters")
		case len(args) == 0 && (s == "" || s[0] != '/'):
			a.refuse("the absolute path of a program", `write for example "/usr/lib/tandem/check-uplink"; there is no search path`)
		default:
			args = append(args, s)
			continue
		}
		ok = false
		args = append(args, s)
	}
	c := commandOf(args)
	switch list, isList := e.value.([]any); {
	case isList && len(list) == 0:
		e.fail("is empty", remedy)
		return "", false
	case len(args) > maxArgs || len(c) > maxCommand:
		e.fail("is too long", "write at most 64 arguments of 8192 bytes in all; put the rest into the script")
		return "", false
	}
	return c, ok && isListValue(e)
}

func isListValue(e element) bool { _, ok := e.value.([]any); return ok }

// printable reports whether s is text without control characters.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd })
}
