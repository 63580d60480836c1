//go:build lab

package native

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/integration/elect"
	"tandem/integration/lab"
)

// slack is how much later than the protocol says something may be here: a broken
// design is later, a busy machine hardly ever.
const slack = 60 * time.Millisecond

// TestTakeover has the active's host die, and the active stop: the successor's first
// advertisement is where RFC 9568 puts it, and its first gratuitous ARP right after.
func TestTakeover(t *testing.T) {
	const advert = 100 * time.Millisecond
	const skew = (256 - 100) * advert / 256
	for _, tt := range []struct {
		name string
		end  func(*elect.Segment) error
		wait time.Duration // from the last advertisement
	}{
		{"death of the host", func(s *elect.Segment) error { return s.Directors[0].Kill() }, 3*advert + skew},
		{"stop", func(s *elect.Segment) error { return s.Daemon(0).Signal(syscall.SIGTERM) }, skew},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, s := start(t, elect.Options{Advert: advert, Members: pair()})
			var w elect.Witness
			tap, err := elect.NewTap(s.Client, lab.LAN, w.See)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * advert)
			if err := tt.end(s); err != nil {
				t.Fatal(err)
			}
			var last, first, garp time.Time
			eventually(t, s, "the successor announces the address", func() (bool, error) {
				last, first, garp = w.Takeover(elect.MAC(s.Directors[0]), elect.MAC(s.Directors[1]))
				return !garp.IsZero(), nil
			})
			eventually(t, s, "the successor holds the address", s.HoldsAll(1))
			if err := tap.Close(); err != nil {
				t.Error(err)
			}
			took, announced := first.Sub(last), garp.Sub(first)
			t.Logf("first advertisement after %v, RFC 9568 says %v; gratuitous ARP %v later", took.Round(10*time.Microsecond), tt.wait, announced.Round(10*time.Microsecond))
			// Its timer starts when the packet is read, a little after the wire had it.
			if took < tt.wait || took > tt.wait+slack {
				t.Errorf("first advertisement after %v, want %v to %v", took, tt.wait, tt.wait+slack)
			}
			if announced < 0 || announced > slack {
				t.Errorf("first gratuitous ARP %v after the advertisement", announced)
			}
		})
	}
}

// TestTwoOtherRouters has two keepaliveds with tandem's VRID, and addresses of their
// own each. tandem follows whichever is active, and status says what is wrong.
func TestTwoOtherRouters(t *testing.T) {
	other := func(last byte) []elect.Router {
		return []elect.Router{{VRID: elect.DefaultVRID, Addresses: []netip.Addr{elect.Address(last)}}}
	}
	_, s := start(t, elect.Options{Members: []elect.Member{
		{Speaker: elect.Keepalived{}, Priority: 200, Routers: other(61)},
		{Speaker: elect.Tandem{}, Priority: 100},
		{Speaker: elect.Keepalived{}, Priority: 150, Routers: other(63)},
	}})
	explained := func(active int) func() (bool, error) {
		peer := s.Directors[active].Addr(lab.LAN)
		return func() (bool, error) {
			snap, err := s.Status(1)
			if err != nil || snap.Routers[0].State != "backup" || snap.Routers[0].Peer == nil || snap.Routers[0].Peer.Address != peer {
				return false, err
			}
			want := peer.String() + " advertises other addresses than this router has"
			return strings.Contains(strings.Join(snap.Routers[0].Remarks, "\n"), want), nil
		}
	}
	noted := func(active int, address netip.Addr) {
		t.Helper()
		want := s.Directors[active].Addr(lab.LAN).String() + " advertises the addresses [" + address.String() + "]"
		eventually(t, s, "the log says: "+want, func() (bool, error) { return strings.Contains(s.Daemon(1).Output(), want), nil })
	}
	eventually(t, s, "status explains the active's addresses", explained(0))
	noted(0, elect.Address(61))
	if err := s.Directors[0].Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, "status explains those of the next", explained(2))
	if out, status, err := s.Run(1, "status"); err != nil || status != 0 || !strings.Contains(out, "advertises other addresses") {
		t.Errorf("status: %d, %v:\n%s", status, err, out)
	}
	if ok, err := s.HoldsNone(1)(); !ok || err != nil {
		t.Errorf("tandem holds its address beside another active (%v)", err)
	}
}

// TestInterfaceVanishes takes the interface away from the active and gives it a new
// one: the backup takes over, the fault is named, and the router joins again and
// takes its role back, all in one process.
func TestInterfaceVanishes(t *testing.T) {
	_, s := start(t, elect.Options{Members: pair()})
	if err := s.Directors[0].RemoveDevice(lab.LAN); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, s, "the backup takes over", s.HoldsAll(1))
	t.Logf("the backup holds the address %v after the interface was gone", took.Round(time.Millisecond))
	eventually(t, s, "the fault is named", func() (bool, error) {
		snap, err := s.Status(0)
		return err == nil && snap.Routers[0].State == "init" && strings.Contains(snap.Routers[0].Fault, lab.LAN), err
	})
	if err := s.Directors[0].RestoreDevice(lab.LAN); err != nil {
		t.Fatal(err)
	}
	took = eventually(t, s, "the first takes its role back", s.HoldsAll(0))
	t.Logf("it is active again %v after the interface was back", took.Round(time.Millisecond))
	eventually(t, s, "the other lets go", s.HoldsNone(1))
	snap, err := s.Status(0)
	if err != nil || snap.Routers[0].State != "active" || snap.Routers[0].Fault != "" || len(snap.Problems) > 0 {
		t.Errorf("%+v, problems %q (%v)", snap.Routers[0], snap.Problems, err)
	}
	// What an interface has of settings is that of a new one, until it is repaired.
	eventually(t, s, "its sysctls are as they should be", func() (bool, error) {
		v, err := s.Directors[0].Sysctl("net/ipv4/conf/" + lab.LAN + "/arp_ignore")
		return v == "1", err
	})
	select {
	case <-s.Daemon(0).Done():
		t.Errorf("it ended:\n%s", s.Daemon(0).Output())
	default:
	}
}
