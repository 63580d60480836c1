//go:build lab

package native

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"tandem/integration/elect"
	"tandem/integration/lab"
	"tandem/vrrp"
)

// What a flood is asked for, and the least that proves something.
const (
	floodRate  = 100_000 // packets a second
	floodLeast = 5_000
	floodTime  = 1500 * time.Millisecond
	// answersMost is how often an active router answers a flood of releases in that
	// time: once a millisecond, and some of its own.
	answersMost = 1600
)

// advert is an advertisement of the stranger, in tandem's own form.
func advert(t *testing.T, src netip.Addr, vrid, priority uint8) []byte {
	t.Helper()
	a := vrrp.Advert{VRID: vrid, Priority: priority, Interval: 100 * time.Millisecond, Addresses: []netip.Addr{elect.Address(elect.DefaultVRID)}}
	b, err := a.Append(nil, vrrp.ChecksumPseudoHeader, src, netip.AddrFrom4([4]byte{224, 0, 0, 18}))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFlood has a stranger send as many packets as it can to the active and to the
// backup. No role changes, the active's advertisements keep their time and are bounded,
// the log stays short, and status counts what was dropped by its reason.
func TestFlood(t *testing.T) {
	const vrid = elect.DefaultVRID
	_, s := start(t, elect.Options{Advert: 100 * time.Millisecond, Members: pair()})
	stranger := s.Client.Addr(lab.LAN)
	broken := advert(t, stranger, vrid, 254)
	broken[7] ^= 1
	var many [][]byte
	for host := 100; host < 200; host++ {
		src := lab.Addr(lab.LAN, host)
		many = append(many, elect.Packet(src, vrrp.TTL, advert(t, src, vrid, 50)))
	}
	var heard [2]uint64 // advertisements, at the end of the latest flood that is heard
	one := func(ttl uint8, payload []byte) [][]byte { return [][]byte{elect.Packet(stranger, ttl, payload)} }
	for _, flood := range []struct {
		name    string
		packets [][]byte
		reason  vrrp.DropReason // 0: they are heard, as rivals or releases
	}{
		{"wrong checksum", one(vrrp.TTL, broken), vrrp.DropBadChecksum},
		{"another VRID", one(vrrp.TTL, advert(t, stranger, 77, 254)), vrrp.DropUnknownVRID},
		{"truncated", one(vrrp.TTL, advert(t, stranger, vrid, 254)[:10]), vrrp.DropTruncated},
		{"through a router", one(vrrp.TTL-1, advert(t, stranger, vrid, 254)), vrrp.DropBadTTL},
		{"lower priority", one(vrrp.TTL, advert(t, stranger, vrid, 50)), 0},
		{"lower priority, many sources", many, 0},
		{"priority 0", one(vrrp.TTL, advert(t, stranger, vrid, 0)), 0},
	} {
		t.Run(flood.name, func(t *testing.T) {
			watch := elect.NewWatch(elect.MAC(s.Directors[0]))
			tap, err := elect.NewTap(s.Switch(lab.LAN), s.Directors[1].Name, watch.See, elect.MAC(s.Directors[0]), elect.MAC(s.Directors[1]))
			if err != nil {
				t.Fatal(err)
			}
			lines := [2]int{len(s.Daemon(0).Lines()), len(s.Daemon(1).Lines())}
			ctx, cancel := context.WithTimeout(t.Context(), floodTime)
			defer cancel()
			sent, err := elect.Flood(ctx, s.Client, flood.packets, floodRate)
			if err != nil {
				t.Fatal(err)
			}
			if err := tap.Close(); err != nil {
				t.Error(err)
			}
			rate, calm := float64(sent)/floodTime.Seconds(), watch.Calm()
			t.Logf("%.0f packets a second; %d advertisements, longest gap between them %v", rate, calm.Adverts, calm.Gap.Round(10*time.Microsecond))
			if rate < floodLeast {
				t.Errorf("%.0f packets a second prove nothing: %d are wanted", rate, floodLeast)
			}
			if calm.Changes > 0 || calm.Gap >= 300*time.Millisecond || calm.Adverts < 10 {
				t.Errorf("%d advertisements, %d role changes, longest gap %v", calm.Adverts, calm.Changes, calm.Gap)
			}
			if calm.Adverts > answersMost {
				t.Errorf("%d advertisements in %v, more than one a millisecond", calm.Adverts, floodTime)
			}
			for i, want := range []string{"active", "backup"} {
				snap, err := s.Status(i)
				if err != nil {
					t.Fatal(err)
				}
				r := snap.Routers[0]
				if r.State != want || r.Transitions != uint64(1-i) {
					t.Errorf("%s is %s, became active %d times", snap.Node, r.State, r.Transitions)
				}
				if more := len(s.Daemon(i).Lines()) - lines[i]; more > 10 {
					t.Errorf("%s logged %d lines", snap.Node, more)
				}
				if flood.reason == 0 {
					if r.Adverts.Received < heard[i]+floodLeast/10 {
						t.Errorf("%s heard %d advertisements, of %d sent", snap.Node, r.Adverts.Received-heard[i], sent)
					}
					heard[i] = r.Adverts.Received
					continue
				}
				var counted uint64
				for _, d := range snap.Drops {
					if d.Reason == flood.reason.String() && d.Interface == lab.LAN {
						counted = d.Packets
					}
				}
				if counted < floodLeast/10 {
					t.Errorf("%s counts %d packets dropped for %v, of %d sent", snap.Node, counted, flood.reason, sent)
				}
			}
		})
	}
	snap, err := s.Status(0)
	if err != nil || snap.Routers[0].Adverts.Rivals < floodLeast/10 {
		t.Errorf("the active counts %d advertisements of rivals (%v)", snap.Routers[0].Adverts.Rivals, err)
	}
}
