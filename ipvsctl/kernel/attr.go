package kernel

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// The commands of linux/ip_vs.h that are used here.
const (
	cmdGetService = 4
	cmdGetDest    = 8
	cmdNewDaemon  = 9
	cmdDelDaemon  = 10
	cmdGetDaemon  = 11

	genlVersion = 1 // IPVS_GENL_VERSION
)

// The attributes at the top of a message.
const (
	attrService = 1
	attrDest    = 2
	attrDaemon  = 3
)

// The attributes of a service.
const (
	svcFamily    = 1
	svcProtocol  = 2
	svcAddress   = 3
	svcPort      = 4 // network byte order
	svcFWMark    = 5
	svcScheduler = 6
	svcFlags     = 7 // flags and mask
	svcTimeout   = 8
	svcNetmask   = 9 // IPv4: mask in network byte order; IPv6: prefix length
)

// The attributes of a destination.
const (
	destAddress    = 1
	destPort       = 2 // network byte order
	destForwarding = 3
	destWeight     = 4
	destUpper      = 5
	destLower      = 6
	destActive     = 7
	destInactive   = 8
	destStats      = 10
	destFamily     = 11
	destStats64    = 12
)

// The attributes of statistics. In the 64-bit form each is 8 bytes; in the old
// form the first three are 4 bytes.
const (
	statsConnections = 1
	statsPacketsIn   = 2
	statsPacketsOut  = 3
	statsBytesIn     = 4
	statsBytesOut    = 5
)

// The attributes of a sync daemon.
const (
	daemonState     = 1
	daemonInterface = 2
	daemonSyncID    = 3
	daemonMaxLen    = 4
	daemonGroup     = 5
	daemonGroup6    = 6
	daemonPort      = 7 // host byte order
	daemonTTL       = 8
)

const (
	genlHeaderLen = 4 // struct genlmsghdr
	attrHeaderLen = 4 // struct nlattr
	attrTypeMask  = 0x3fff
)

// attrs yields type and value of the netlink attributes in b, and ends at
// anything that is not a whole attribute.
func attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= attrHeaderLen {
			length := int(binary.NativeEndian.Uint16(b))
			if length < attrHeaderLen || length > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&attrTypeMask, b[attrHeaderLen:length]) {
				return
			}
			b = b[min((length+3)&^3, len(b)):] // attributes are aligned to 4 bytes
		}
	}
}

// nested returns the value of the first attribute of the given type in a
// generic netlink message.
func nested(msg []byte, typ uint16) ([]byte, error) {
	if len(msg) < genlHeaderLen {
		return nil, fmt.Errorf("netlink message of %d bytes", len(msg))
	}
	for t, value := range attrs(msg[genlHeaderLen:]) {
		if t == typ {
			return value, nil
		}
	}
	return nil, fmt.Errorf("netlink message without attribute %d", typ)
}

// uintOf returns the number in an attribute in host byte order, whatever its
// width, and 0 if it has no width of a number.
func uintOf(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.NativeEndian.Uint16(b))
	case 4:
		return uint64(binary.NativeEndian.Uint32(b))
	case 8:
		return binary.NativeEndian.Uint64(b)
	}
	return 0
}

func portOf(b []byte) uint16 {
	if len(b) != 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// stringOf returns the text before the terminating NUL.
func stringOf(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// addrOf returns the address of a union nf_inet_addr: 16 bytes, of which IPv4
// uses the first four.
func addrOf(family uint16, b []byte) (netip.Addr, error) {
	switch {
	case family == unix.AF_INET && len(b) >= 4:
		return netip.AddrFrom4([4]byte(b)), nil
	case family == unix.AF_INET6 && len(b) >= 16:
		return netip.AddrFrom16([16]byte(b)), nil
	}
	return netip.Addr{}, fmt.Errorf("address of %d bytes in family %d", len(b), family)
}

func familyOf(a netip.Addr) uint16 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
