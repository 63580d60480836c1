package wire

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var (
	ourMAC   = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x01}
	theirMAC = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x02}
	address  = netip.MustParseAddr("192.0.2.100")
)

// The packets as they must be on the wire:
// hardware, protocol, lengths, operation | sender MAC, IP | target MAC, IP.
const (
	announcement = "0001 0800 06 04 0001 | 020000000001 c0000264 | 000000000000 c0000264"
	replyForm    = "0001 0800 06 04 0002 | 020000000001 c0000264 | 020000000001 c0000264"
	question     = "0001 0800 06 04 0001 | 020000000001 00000000 | 000000000000 c0000264"
	answer       = "0001 0800 06 04 0002 | 020000000002 c0000264 | 020000000001 00000000"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestARPPackets(t *testing.T) {
	got, err := gratuitous(address, ourMAC)
	if err != nil || len(got) != 2 ||
		!bytes.Equal(got[0], unhex(t, announcement)) || !bytes.Equal(got[1], unhex(t, replyForm)) {
		t.Errorf("gratuitous: %x, %v", got, err)
	}
	if got, err := probe(address, ourMAC); err != nil || !bytes.Equal(got, unhex(t, question)) {
		t.Errorf("probe: %x, %v", got, err)
	}
	for _, bad := range []struct {
		ip  netip.Addr
		mac net.HardwareAddr
	}{
		{netip.MustParseAddr("2001:db8::1"), ourMAC},
		{netip.Addr{}, ourMAC},
		{address, nil},
	} {
		if got, err := gratuitous(bad.ip, bad.mac); err == nil {
			t.Errorf("gratuitous(%v, %v) = %x, want an error", bad.ip, bad.mac, got)
		}
		if got, err := probe(bad.ip, bad.mac); err == nil {
			t.Errorf("probe(%v, %v) = %x, want an error", bad.ip, bad.mac, got)
		}
	}
}

func TestParseClaim(t *testing.T) {
	theirs := claim{ip: address, mac: [6]byte(theirMAC)}
	for _, tt := range []struct {
		name, packet string
		want         claim
		ok           bool
	}{
		{"reply", answer, theirs, true},
		{"request", strings.Replace(answer, "0002 |", "0001 |", 1), theirs, true},
		{"padded", answer + strings.Repeat("00", 18), theirs, true},
		{"probe", question, claim{}, false},
		{"not Ethernet", "0006" + answer[4:], claim{}, false},
		{"not IPv4", strings.Replace(answer, "0800", "86dd", 1), claim{}, false},
		{"long hardware address", strings.Replace(answer, " 06 ", " 08 ", 1) + "00000000", claim{}, false},
		{"no protocol address", strings.Replace(answer, " 04 ", " 00 ", 1), claim{}, false},
		{"lengths beyond the packet", strings.Replace(answer, " 06 04 ", " ff ff ", 1), claim{}, false},
		{"cut off", answer[:len(answer)-2], claim{}, false},
		{"empty", "", claim{}, false},
	} {
		got, ok := parseClaim(unhex(t, tt.packet))
		if ok != tt.ok || got != tt.want {
			t.Errorf("%s: %v, %t; want %v, %t", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzParseClaim(f *testing.F) {
	f.Add(unhex(f, announcement))
	f.Add(unhex(f, answer))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := parseClaim(b); ok && (!c.ip.Is4() || c.ip.IsUnspecified()) {
			t.Errorf("claim %v", c)
		}
	})
}

// A flood of claims must not become a flood of reports.
func TestHeard(t *testing.T) {
	other := netip.MustParseAddr("192.0.2.101")
	a := &Announcer{}
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	c := claim{ip: address, mac: [6]byte(theirMAC)}
	expect := func(what string, want bool, ms int, c claim) {
		t.Helper()
		if got := a.heard(at(ms), c); got != want {
			t.Errorf("%s: reported %t, want %t", what, got, want)
		}
	}
	expect("nothing is watched", false, 0, c)
	a.SetWatched(address)
	expect("watched", true, 1, c)
	expect("again, at once", false, 2, c)
	expect("another address", false, 3, claim{ip: other, mac: c.mac})
	a.SetWatched(address, other)
	expect("the set grew", false, 4, c)
	expect("the new one", true, 5, claim{ip: other, mac: c.mac})
	expect("again, a second later", true, 1001, c)
	a.SetWatched()
	expect("no longer watched", false, 5000, c)
}

func TestProbeNeedsWatch(t *testing.T) {
	a := &Announcer{port: port[*finders]{ifname: "eth0"}, probes: map[*probing]struct{}{}}
	if _, err := a.Probe(t.Context(), address); err == nil || !strings.Contains(err.Error(), ErrNotWatching.Error()) {
		t.Errorf("Probe: %v", err)
	}
	if len(a.probes) != 0 {
		t.Error("the probe is still registered")
	}
}
