package vrrp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// These tests prove sentences of RFC 9568 that no other test has for its own; the
// table in conformance_test.go says which test proves which.

// TestOwnerNeedsNoElection is sections 5.2.4 and 6.4.1: priority 255, and no
// other, is that of the owner, who starts as the active router.
func TestOwnerNeedsNoElection(t *testing.T) {
	for _, tt := range []struct {
		priority uint8
		want     State
	}{{1, Backup}, {100, Backup}, {254, Backup}, {255, Active}} {
		m, _ := run(config(priority(tt.priority)), startup)
		if got := m.Role().State; got != tt.want {
			t.Errorf("priority %d starts as %v, want %v", tt.priority, got, tt.want)
		}
	}
}

// TestReserveIsSentAsZero is section 5.2.6.
func TestReserveIsSentAsZero(t *testing.T) {
	for interval := MinInterval; interval <= MaxInterval; interval += 13 * centisecond {
		a := Advert{VRID: 255, Priority: 255, Interval: interval, Addresses: vip}
		b, err := a.Append(nil, ChecksumMessageOnly, src1, group)
		if err != nil {
			t.Fatal(err)
		}
		if b[4]&0xf0 != 0 {
			t.Errorf("interval %v: byte 4 is %#x", interval, b[4])
		}
	}
}

// TestEveryBitCounts is sections 5.2.8 and 7.1: whatever bit of a message is
// damaged, it is discarded.
func TestEveryBitCounts(t *testing.T) {
	v4, v6 := Header{Src: src1, Dst: group, TTL: TTL}, Header{Src: src6, Dst: group6, TTL: TTL}
	for wire, h := range map[string]Header{
		"31336401 0064 0572 c0000264":                   v4, // with the pseudo-header
		"31336401 0064 a802 c0000264":                   v4, // without
		"31ffff03 0fff 0ff8 c0000264 c0000265 c6336407": v4, // without, three addresses
		"31336402 0064 dfc9 " + linkLocal6 + global6:    v6,
		vector6: v6, // the trailer, too
	} {
		good := unhex(t, wire)
		if _, _, err := Parse(good, h); err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(good) {
			b := append([]byte(nil), good...)
			b[bit/8] ^= 1 << (bit % 8)
			if a, _, err := Parse(b, h); err == nil {
				t.Errorf("%s with bit %d flipped is taken for %+v", wire, bit, a)
			}
		}
	}
}

// TestFieldsComeFromTheConfiguration is section 7.2.
func TestFieldsComeFromTheConfiguration(t *testing.T) {
	m, _ := run(config(nil), startup, input{400 * ms, Timeout{}})
	want := Advert{VRID: 51, Priority: 100, Interval: 100 * ms, Addresses: vip}
	if diff := cmp.Diff(want, m.Advert(100), cmpAddr); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want.Priority, want.Interval, want.Addresses = 120, time.Second, addrs("10.77.0.100", "10.77.0.101")
	m.Step(epoch.Add(410*ms), Reconfigure{Config{VRID: 51, Priority: 120, Interval: time.Second, Addresses: want.Addresses}})
	if diff := cmp.Diff(want, m.Advert(120), cmpAddr); diff != "" {
		t.Errorf("after a reload (-want +got):\n%s", diff)
	}
	m.Step(epoch.Add(420*ms), Shutdown{})
	want.Priority = 0
	if diff := cmp.Diff(want, m.Advert(0), cmpAddr); diff != "" {
		t.Errorf("release (-want +got):\n%s", diff)
	}
}

// TestTieBreakIsUnsigned is section 6.4.3: of two active routers with the same
// priority the one with the higher address stays, as unsigned numbers in network
// order.
func TestTieBreakIsUnsigned(t *testing.T) {
	for _, tt := range []struct{ lower, higher string }{
		{"10.77.0.9", "10.77.0.10"},            // not as text
		{"10.77.0.2", "10.77.1.1"},             // the first bytes weigh most
		{"127.255.255.255", "128.0.0.0"},       // not as signed numbers
		{"1.0.0.255", "255.0.0.1"},             // not in the order of a little-endian host
		{"223.255.255.254", "223.255.255.255"}, // the last bit
		{"fe80::9", "fe80::10"},
		{"fe80::7fff:ffff:ffff:ffff", "fe80::8000:0:0:0"}, // not as signed numbers
		{"fe80::1:0:0:2", "fe80::2:0:0:1"},
	} {
		low, high := netip.MustParseAddr(tt.lower), netip.MustParseAddr(tt.higher)
		cfg := config(nil)
		if low.Is6() {
			cfg.Addresses = vip6
		}
		for _, self := range []netip.Addr{low, high} {
			other := low
			want := Active
			if self == low {
				other, want = high, Backup
			}
			m, _ := run(cfg, input{0, Startup{self}}, input{400 * ms, Timeout{}}, input{450 * ms, heard(other, 100)})
			if got := m.Role().State; got != want {
				t.Errorf("%v hears %v and is %v, want %v", self, other, got, want)
			}
		}
	}
}

// TestAdverTimerGoesOn is section 6.4.3: an advertisement each interval, for as
// long as the router is active.
func TestAdverTimerGoesOn(t *testing.T) {
	m, _ := run(config(nil), startup, input{400 * ms, Timeout{}})
	for i := range 100 {
		at := 500*ms + time.Duration(i)*100*ms
		wantDeadline(t, m, at)
		step(t, m, at-1, Timeout{}, "")
		step(t, m, at, Timeout{}, "advert 100")
	}
}

// TestYieldStopsAdverTimer is section 6.4.3: a router that has yielded does not
// advertise when Adver_Timer would have fired.
func TestYieldStopsAdverTimer(t *testing.T) {
	m, _ := run(config(nil), startup, input{400 * ms, Timeout{}}, input{450 * ms, heard(lower, 200)})
	step(t, m, 500*ms, Timeout{}, "")
	if at := m.Status().AdvertAt; !at.IsZero() {
		t.Errorf("Adver_Timer runs until %v", at)
	}
	step(t, m, 550*ms, Timeout{}, "note, backup") // the end of the hold
	step(t, m, 600*ms, Timeout{}, "")
	wantDeadline(t, m, 450*ms+360937500)
}

// TestShutdownStopsTimers is sections 6.4.2 and 6.4.3: no timer runs in
// Initialize, and nothing but a Startup ends it.
func TestShutdownStopsTimers(t *testing.T) {
	for _, before := range [][]input{{startup}, {startup, {400 * ms, Timeout{}}}} {
		m, _ := run(config(nil), append(before, input{450 * ms, Shutdown{}})...)
		wantDeadline(t, m, -1)
		for at := 500 * ms; at < 2*time.Second; at += 100 * ms {
			step(t, m, at, Timeout{}, "")
			step(t, m, at, heard(lower, 0), "")
			step(t, m, at, heard(lower, 1), "")
		}
		step(t, m, 2*time.Second, Startup{self}, "backup")
		wantDeadline(t, m, 2*time.Second+360937500)
	}
}

// TestMismatchIsNotDropped is section 7.1: another interval and other addresses
// are worth a note, and the advertisement counts.
func TestMismatchIsNotDropped(t *testing.T) {
	other := heardEvery(lower, 200, 300*ms)
	other.Advert.Addresses = addrs("10.77.0.101", "10.77.0.102")
	m, _ := run(config(nil), startup)
	step(t, m, 100*ms, other, "note, note")
	wantDeadline(t, m, 100*ms+V3.activeDownInterval(100, 300*ms))
	step(t, m, 400*ms, other, "") // said once
	wantDeadline(t, m, 400*ms+V3.activeDownInterval(100, 300*ms))
	if got := m.Status(); got.Counters.AdvertsReceived != 2 || !got.Heard.IntervalDiffers || !got.Heard.AddressesDiffer {
		t.Errorf("status %+v", got)
	}
	same, _ := run(config(nil), startup)
	step(t, same, 100*ms, heard(lower, 200), "")
}

// TestTwoOwners is section 8.3.2 and erratum 8298: two routers with priority 255
// are a mistake that both tell the operator, and the addresses decide.
func TestTwoOwners(t *testing.T) {
	low, _ := run(config(priority(255)), input{0, Startup{lower}})
	high, _ := run(config(priority(255)), input{0, Startup{higher}})
	step(t, low, 150*ms, heard(higher, 255), "advert 255, backup hold")
	if got, want := low.Role().Cause, "10.77.0.10 has the same priority 255 and the higher address"; got != want {
		t.Errorf("cause %q, want %q", got, want)
	}
	step(t, high, 150*ms, heard(lower, 255), "advert 255, note, announce")
	// The note is not repeated for each of many.
	for i := range 9 {
		step(t, high, 151*ms+time.Duration(i)*ms, heard(lower, 255), "")
	}
	if got := high.Status(); got.Role.State != Active || got.Counters.Rivals != 10 {
		t.Errorf("status %+v", got)
	}
}
