//go:build lab

package native

import (
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tandem/integration/elect"
	"tandem/integration/lab"
)

// frrFamilies are the address families in which FRR and tandem meet. A family is
// one line.
var frrFamilies = []struct {
	name      string
	ipv6      bool
	addresses []netip.Addr
}{
	{"IPv4", false, []netip.Addr{elect.Address(elect.DefaultVRID)}},
	{"IPv6", true, []netip.Addr{netip.MustParseAddr("fe80::5eff:fe00:233"), netip.MustParseAddr("fd77::100")}},
}

// speakers keeps who has advertised lately.
type speakers struct {
	mu   sync.Mutex
	last map[[6]byte]elect.Event
}

func (s *speakers) hear(e elect.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.VRID != 0 {
		s.last[e.Sender] = e
	}
}

// alone asks whether a MAC is the only one that has advertised a role for some
// intervals.
func (s *speakers) alone(mac [6]byte) func() (bool, error) {
	return func() (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		heard := false
		for sender, e := range s.last {
			if e.Priority == 0 || time.Since(e.At) > 4*frrAdvert {
				continue
			}
			if sender != mac {
				return false, nil
			}
			heard = true
		}
		return heard, nil
	}
}

// source is the address that a MAC has advertised from.
func (s *speakers) source(mac [6]byte) netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[mac].Src
}

// macs are those of a segment with tandem as its first member and FRR as its second.
func macs(s *elect.Segment, r elect.Router) (tandem, frr [6]byte) {
	return elect.MAC(s.Directors[0]), r.MAC()
}

const frrAdvert = 100 * time.Millisecond

// TestFRR has tandem and FRR's vrrpd as a pair, in both roles, and both ways of
// failing. FRR demands the checksum with the pseudo-header, tandem's default.
func TestFRR(t *testing.T) {
	for _, family := range frrFamilies {
		t.Run(family.name, func(t *testing.T) {
			routers := []elect.Router{{VRID: elect.DefaultVRID, Addresses: family.addresses}}
			options := func(tandem, frr int) elect.Options {
				return elect.Options{Advert: frrAdvert, Routers: routers, IPv6: family.ipv6, Members: []elect.Member{
					{Speaker: elect.Tandem{}, Priority: tandem}, {Speaker: elect.FRR{}, Priority: frr}}}
			}
			t.Run("tandem active", func(t *testing.T) { testTandemAboveFRR(t, options(200, 100)) })
			t.Run("FRR active", func(t *testing.T) { testFRRAboveTandem(t, options(100, 200)) })
		})
	}
}

// listen records who advertises on a segment.
func listen(t *testing.T, s *elect.Segment) *speakers {
	t.Helper()
	heard := &speakers{last: make(map[[6]byte]elect.Event)}
	tap, err := elect.NewTap(s.Client, lab.LAN, heard.hear)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tap.Close(); err != nil {
			t.Error(err)
		}
	})
	return heard
}

// FRR takes over from tandem, at once if tandem says goodbye and after the silence
// if it dies, and yields when it is back.
func testTandemAboveFRR(t *testing.T, o elect.Options) {
	_, s := prepare(t, o)
	heard := listen(t, s)
	tandem, frr := macs(s, o.Routers[0])
	run := func(i int) {
		t.Helper()
		if _, err := s.Start(i); err != nil {
			t.Fatal(err)
		}
	}
	run(0)
	eventually(t, s, "tandem is active", heard.alone(tandem))
	run(1)
	// A deaf FRR would be active after four intervals.
	time.Sleep(10 * frrAdvert)
	eventually(t, s, "FRR leaves it alone", heard.alone(tandem))

	begin := time.Now()
	if err := s.Daemon(0).Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, "FRR takes over what was released", heard.alone(frr))
	t.Logf("goodbye of tandem: FRR alone after %v", time.Since(begin).Round(time.Millisecond))

	run(0)
	eventually(t, s, "tandem takes its role back", heard.alone(tandem))
	eventually(t, s, "tandem holds the address", s.HoldsAll(0))
	if err := s.Daemon(0).Kill(); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, s, "FRR takes over from the dead", heard.alone(frr))
	t.Logf("death of tandem: FRR alone after %v", took.Round(time.Millisecond))
}

// tandem takes over from FRR, for the right reason, and yields when it is back.
func testFRRAboveTandem(t *testing.T, o elect.Options) {
	_, s := prepare(t, o)
	heard := listen(t, s)
	tandem, frr := macs(s, o.Routers[0])
	run := func(i int) {
		t.Helper()
		if _, err := s.Start(i); err != nil {
			t.Fatal(err)
		}
	}
	run(1)
	eventually(t, s, "FRR is active", heard.alone(frr))
	run(0)
	eventually(t, s, "tandem follows FRR", state(s, 0, "backup"))
	time.Sleep(10 * frrAdvert)
	eventually(t, s, "tandem leaves it alone", heard.alone(frr))
	snap, err := s.Status(0)
	if err != nil {
		t.Fatal(err)
	}
	peer := heard.source(frr)
	if r := snap.Routers[0]; r.Peer == nil || r.Peer.Address != peer || r.Peer.Priority != 200 || len(r.Remarks) > 0 || len(snap.Drops) > 0 {
		t.Errorf("tandem hears %+v, remarks %q, drops %+v", r.Peer, r.Remarks, snap.Drops)
	}

	for _, end := range []struct {
		how    string
		signal syscall.Signal
		cause  string
	}{
		{"goodbye", syscall.SIGTERM, peer.String() + " released the role"},
		{"death", syscall.SIGKILL, peer.String() + " was silent for "},
	} {
		begin := time.Now()
		if err := s.Daemon(1).Signal(end.signal); err != nil {
			t.Fatal(err)
		}
		eventually(t, s, "tandem takes over", state(s, 0, "active"))
		t.Logf("%s of FRR: tandem active after %v", end.how, time.Since(begin).Round(time.Millisecond))
		eventually(t, s, "tandem alone advertises", heard.alone(tandem))
		eventually(t, s, "tandem holds the address", s.HoldsAll(0))
		if snap, err := s.Status(0); err != nil || !strings.HasPrefix(snap.Routers[0].Cause, end.cause) {
			t.Errorf("%s: active because %q (%v), want %q", end.how, snap.Routers[0].Cause, err, end.cause)
		}
		<-s.Daemon(1).Done()
		run(1)
		eventually(t, s, "FRR takes its role back", heard.alone(frr))
		eventually(t, s, "tandem lets the address go", s.HoldsNone(0))
	}
}

// FRR takes the checksum of RFC 9568, without the pseudo-header, for a wrong one:
// it does not hear a tandem that is told to send it. tandem hears FRR all the same.
func TestFRRChecksum(t *testing.T) {
	_, s := prepare(t, elect.Options{Advert: frrAdvert, Members: []elect.Member{
		{Speaker: elect.Tandem{VRRP: "checksum = \"rfc9568\"\n"}, Priority: 200}, {Speaker: elect.FRR{}, Priority: 100}}})
	heard := listen(t, s)
	for i := range 2 {
		if _, err := s.Start(i); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, s, "tandem hears FRR as a rival", func() (bool, error) {
		snap, err := s.Status(0)
		return err == nil && snap.Routers[0].State == "active" && snap.Routers[0].Adverts.Rivals > 0, err
	})
	rewrite(t, s, 0, strings.Replace(s.TOML(0), "checksum = \"rfc9568\"\n", "", 1))
	if err := s.Daemon(0).Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, "FRR hears tandem and yields", heard.alone(elect.MAC(s.Directors[0])))
}
