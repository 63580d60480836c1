//go:build lab

package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/integration/elect"
	"tandem/integration/lab"
)

// asked makes a client learn where an address is, by a connection that is refused:
// nothing listens there.
func asked(ctx context.Context, s *elect.Segment, ip netip.Addr) func() (bool, error) {
	return func() (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		conn, err := s.Client.DialContext(ctx, "tcp", netip.AddrPortFrom(ip, 9).String())
		if err == nil {
			conn.Close()
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			return true, nil
		}
		return false, err
	}
}

// neighbourIs asks where the client believes an address to be.
func neighbourIs(s *elect.Segment, ip netip.Addr, director int) func() (bool, error) {
	return func() (bool, error) {
		mac, err := s.Client.Neighbour(ip)
		return bytes.Equal(mac, s.Directors[director].HardwareAddr(lab.LAN)), err
	}
}

// TestDualStack has a pair with an IPv4 and an IPv6 router of one VRID. Both move
// with a death, a return and a goodbye; a client that knew the old director is told
// of the new one, without having asked.
func TestDualStack(t *testing.T) {
	for _, transport := range []string{"multicast", "unicast"} {
		t.Run(transport, func(t *testing.T) { testDualStack(t, fmt.Sprintf("transport = %q\n", transport)) })
	}
}

func testDualStack(t *testing.T, vrrp string) {
	routers := []elect.Router{
		{VRID: elect.DefaultVRID, Addresses: []netip.Addr{lab.VIP}},
		{VRID: elect.DefaultVRID, Addresses: []netip.Addr{netip.MustParseAddr("fe80::200:5eff:fe00:233"), lab.VIP6}},
	}
	members := pair()
	for i := range members {
		members[i].Speaker = elect.Tandem{VRRP: vrrp}
	}
	ctx, s := start(t, elect.Options{IPv6: true, Routers: routers, Members: members})
	learn := func(director int) {
		t.Helper()
		for _, ip := range []netip.Addr{lab.VIP, lab.VIP6} {
			eventually(t, s, "the client reaches "+ip.String(), asked(ctx, s, ip))
			eventually(t, s, "the client knows where "+ip.String()+" is", neighbourIs(s, ip, director))
		}
	}
	moved := func(what string, director int) {
		t.Helper()
		held := eventually(t, s, what+": the addresses are held", s.HoldsAll(director))
		for _, ip := range []netip.Addr{lab.VIP, lab.VIP6} {
			took := held + eventually(t, s, what+": the client is told of "+ip.String(), neighbourIs(s, ip, director))
			t.Logf("%s: the client knows where %s is after %v", what, ip, took.Round(time.Millisecond))
		}
	}
	// heard wants two routers of director i, each with the other's advertisements and
	// no other.
	heard := func(when string, i int, state string) {
		t.Helper()
		snap, err := s.Status(i)
		if err != nil {
			t.Fatal(err)
		}
		if len(snap.Drops) > 0 || len(snap.Problems) > 0 || len(snap.Conflicts) > 0 || len(snap.Routers) != 2 {
			t.Errorf("%s: drops %+v, problems %q, conflicts %+v, routers %+v", when, snap.Drops, snap.Problems, snap.Conflicts, snap.Routers)
		}
		for _, r := range snap.Routers {
			source := s.Directors[1-i].Addr(lab.LAN).String()
			if r.IPv6 {
				source = "fe80::"
			}
			if r.State != state || len(r.Remarks) > 0 || r.Adverts.Received == 0 || r.Adverts.SendErrors > 0 ||
				state == "backup" && !strings.HasPrefix(r.Peer.Address.String(), source) ||
				state == "active" && !strings.HasPrefix(r.Cause, source) {
				t.Errorf("%s: router %s is %s because %q, peer %+v, adverts %+v", when, r.Name, r.State, r.Cause, r.Peer, r.Adverts)
			}
		}
	}
	heard("at first", 1, "backup")
	learn(0)
	if err := s.Daemon(0).Kill(); err != nil {
		t.Fatal(err)
	}
	moved("death", 1)
	eventually(t, s, "the kernel of the dead takes its addresses away", s.HoldsNone(0))
	learn(1)

	if _, err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	moved("return", 0)
	eventually(t, s, "the other one is a backup", s.HoldsNone(1))
	learn(0)

	stopped := s.Daemon(0)
	if err := stopped.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	moved("goodbye", 1)
	<-stopped.Done()

	heard("released", 1, "active")
}
