package kernel

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"tandem/ipvsctl"
)

// inAddr is a union nf_inet_addr.
func inAddr(s string) []byte {
	b := make([]byte, 16)
	copy(b, netip.MustParseAddr(s).AsSlice())
	return b
}

func serviceMessage(family uint16, address string, netmask []byte, more ...*nl.RtAttr) []byte {
	attr := nl.NewRtAttr(attrService, nil)
	attr.AddRtAttr(svcFamily, nl.Uint16Attr(family))
	attr.AddRtAttr(svcProtocol, nl.Uint16Attr(unix.IPPROTO_TCP))
	attr.AddRtAttr(svcAddress, inAddr(address))
	attr.AddRtAttr(svcPort, []byte{0, 80})
	attr.AddRtAttr(svcScheduler, nl.ZeroTerminated("wlc"))
	attr.AddRtAttr(svcFlags, append(nl.Uint32Attr(0x3), nl.Uint32Attr(0xffffffff)...))
	attr.AddRtAttr(svcTimeout, nl.Uint32Attr(300))
	attr.AddRtAttr(svcNetmask, netmask)
	for _, a := range more {
		attr.AddChild(a)
	}
	return message(attr)
}

func TestParseService(t *testing.T) {
	want := ipvsctl.Service{
		ServiceKey:  ipvsctl.ServiceKey{Protocol: ipvsctl.TCP, Address: netip.MustParseAddrPort("10.77.0.100:80")},
		Scheduler:   "wlc",
		Flags:       ipvsctl.Persistent | 0x2,
		Persistence: 300,
		Netmask:     24,
	}
	four := serviceMessage(unix.AF_INET, "10.77.0.100", []byte{255, 255, 255, 0})
	if got, marked, err := parseService(four); got != want || marked || err != nil {
		t.Errorf("IPv4: %+v, %v, %v", got, marked, err)
	}

	want.Address, want.Netmask = netip.MustParseAddrPort("[fd00::100]:80"), 64
	six := serviceMessage(unix.AF_INET6, "fd00::100", nl.Uint32Attr(64))
	if got, marked, err := parseService(six); got != want || marked || err != nil {
		t.Errorf("IPv6: %+v, %v, %v", got, marked, err)
	}

	fwmark := nl.NewRtAttr(attrService, nil)
	fwmark.AddRtAttr(svcFamily, nl.Uint16Attr(unix.AF_INET))
	fwmark.AddRtAttr(svcFWMark, nl.Uint32Attr(7))
	if _, marked, err := parseService(message(fwmark)); !marked || err != nil {
		t.Errorf("firewall mark: %v, %v", marked, err)
	}
}

func serverMessage(more ...*nl.RtAttr) []byte {
	attr := nl.NewRtAttr(attrDest, nil)
	attr.AddRtAttr(destAddress, inAddr("10.0.0.11"))
	attr.AddRtAttr(destPort, []byte{0x1f, 0x90})
	attr.AddRtAttr(destForwarding, nl.Uint32Attr(3))
	attr.AddRtAttr(destWeight, nl.Uint32Attr(70_000))
	attr.AddRtAttr(destUpper, nl.Uint32Attr(500))
	attr.AddRtAttr(destLower, nl.Uint32Attr(400))
	attr.AddRtAttr(destActive, nl.Uint32Attr(11))
	attr.AddRtAttr(destInactive, nl.Uint32Attr(12))
	for _, a := range more {
		attr.AddChild(a)
	}
	return message(attr)
}

// counters is an attribute with statistics; first is the number of bytes of the
// first three.
func counters(typ, first int) *nl.RtAttr {
	attr := nl.NewRtAttr(typ, nil)
	for i := statsConnections; i <= statsBytesOut; i++ {
		value := nl.Uint64Attr(uint64(i))
		if i <= statsPacketsOut && first == 4 {
			value = nl.Uint32Attr(uint32(i))
		} else if first == 8 {
			value = nl.Uint64Attr(uint64(i) << 40)
		}
		attr.AddRtAttr(i, value)
	}
	return attr
}

func TestParseServer(t *testing.T) {
	plain := ipvsctl.Server{
		Address: netip.MustParseAddrPort("10.0.0.11:8080"), Weight: 70_000,
		Forwarding: ipvsctl.Direct, Upper: 500, Lower: 400,
	}
	family := nl.NewRtAttr(destFamily, nl.Uint16Attr(unix.AF_INET))
	old := ipvsctl.ServerStats{Active: 11, Inactive: 12, Connections: 1, PacketsIn: 2, PacketsOut: 3, BytesIn: 4, BytesOut: 5}
	wide := ipvsctl.ServerStats{
		Active: 11, Inactive: 12, Connections: 1 << 40,
		PacketsIn: 2 << 40, PacketsOut: 3 << 40, BytesIn: 4 << 40, BytesOut: 5 << 40,
	}
	tests := []struct {
		name   string
		family uint16 // of the service
		msg    []byte
		stats  ipvsctl.ServerStats
	}{
		{"64-bit counters win", unix.AF_INET, serverMessage(family, counters(destStats, 4), counters(destStats64, 8)), wide},
		{"whatever the order", unix.AF_INET, serverMessage(counters(destStats64, 8), counters(destStats, 4), family), wide},
		{"without 64-bit counters", unix.AF_INET, serverMessage(family, counters(destStats, 4)), old},
		{"without family, from before Linux 3.18", unix.AF_INET, serverMessage(counters(destStats, 4)), old},
		{"IPv4 server of an IPv6 service", unix.AF_INET6, serverMessage(family, counters(destStats, 4)), old},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseServer(tt.msg, tt.family)
			if err != nil {
				t.Fatal(err)
			}
			if got.Server != plain {
				t.Errorf("got %+v, want %+v", got.Server, plain)
			}
			if got.stats != tt.stats {
				t.Errorf("got %+v, want %+v", got.stats, tt.stats)
			}
		})
	}
}

// TestParseCut cuts messages at every length: each either fails or is
// understood, and what fails leaves nothing half read.
func TestParseCut(t *testing.T) {
	service := serviceMessage(unix.AF_INET6, "fd00::100", nl.Uint32Attr(64))
	for n := range service {
		// A cut attribute cuts the one around it: its length is wrong then.
		if got, _, err := parseService(service[:n]); err == nil || got != (ipvsctl.Service{}) {
			t.Errorf("service of %d bytes: %+v, %v", n, got, err)
		}
	}
	server := serverMessage()
	for n := range server {
		if got, err := parseServer(server[:n], unix.AF_INET); err == nil || got != (countedServer{}) {
			t.Errorf("server of %d bytes: %+v, %v", n, got, err)
		}
	}
}

func TestNetmaskBothWays(t *testing.T) {
	for _, address := range []string{"10.0.0.1", "fd00::1"} {
		addr := netip.MustParseAddr(address)
		for length := 1; length <= addr.BitLen(); length++ {
			b := nl.Uint32Attr(netmask(addr, uint32(length)))
			if got := prefixLen(familyOf(addr), b); got != uint32(length) {
				t.Errorf("%s/%d is %x and came back as %d", addr, length, b, got)
			}
		}
		if got := prefixLen(familyOf(addr), nl.Uint32Attr(netmask(addr, 0))); got != uint32(addr.BitLen()) {
			t.Errorf("%s without a length became /%d", addr, got)
		}
	}
	b := make([]byte, 4)
	binary.NativeEndian.PutUint32(b, netmask(netip.MustParseAddr("10.0.0.1"), 20))
	if [4]byte(b) != [4]byte{255, 255, 240, 0} {
		t.Errorf("mask of /20 goes out as % x", b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(serviceMessage(unix.AF_INET, "10.77.0.100", []byte{255, 255, 255, 0}))
	f.Add(serviceMessage(unix.AF_INET6, "fd00::100", nl.Uint32Attr(64)))
	f.Add(serverMessage(counters(destStats, 4), counters(destStats64, 8)))
	f.Add(message(Daemon{Role: Master, Interface: "eth0", Group: defaultGroup}.attr()))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if s, marked, err := parseService(msg); err == nil && !marked && !s.Address.IsValid() {
			t.Errorf("service without address: %+v", s)
		}
		if s, err := parseServer(msg, unix.AF_INET); err == nil && !s.Address.IsValid() {
			t.Errorf("server without address: %+v", s)
		}
		if d, err := parseDaemon(msg); err == nil && d.Role != Master && d.Role != Backup {
			t.Errorf("daemon without role: %+v", d)
		}
	})
}
