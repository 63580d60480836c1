//go:build lab

package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"tandem/configs"
	"tandem/director"
	"tandem/internal/netif"
	"tandem/vrrp"
)

// side is one director's network and its election, in a namespace of its own.
type side struct {
	*network
	election director.Election
	priority uint8
}

// inNamespace runs f on a thread of its own in a namespace, which ends with it.
func inNamespace(t *testing.T, ns netns.NsHandle, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// newNamespaces makes two whose eth0 are the ends of one cable, with the
// addresses 10.0.0.1 and 10.0.0.2.
func newNamespaces(t *testing.T) (list [2]netns.NsHandle) {
	t.Helper()
	here, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close() })
	for i := range list {
		inNamespace(t, here, func() (err error) {
			list[i], err = netns.New()
			return err
		})
		t.Cleanup(func() { list[i].Close() })
	}
	inNamespace(t, list[0], func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(list[1])})
	})
	for i, ns := range list {
		inNamespace(t, ns, func() error {
			h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
			if err != nil {
				return err
			}
			defer h.Close()
			l, err := h.LinkByName("eth0")
			if err != nil {
				return err
			}
			ip := net.IPv4(10, 0, 0, byte(1+i))
			if err := h.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(24, 32)}}); err != nil {
				return err
			}
			return h.LinkSetUp(l)
		})
	}
	return list
}

// join prepares a configuration and takes part.
func join(t *testing.T, ns netns.NsHandle, node string, priority uint8, cfg *configs.Config) *side {
	t.Helper()
	s := &side{priority: priority}
	inNamespace(t, ns, func() error {
		links, err := netif.Open()
		if err != nil {
			return err
		}
		t.Cleanup(func() { links.Close() })
		if s.network, err = newNetwork(node, links, func() {}, anyThread, slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
		t.Cleanup(s.network.close)
		s.record = t.TempDir()
		if err := s.prepare(cfg); err != nil {
			return err
		}
		s.election, err = s.newElection(cfg.Routers[0], s.config(cfg), director.ElectionEvents{
			Role: func(vrrp.Role) {}, Announce: func(string) {}, Heard: func() {},
		})
		s.commit(cfg)
		return err
	})
	for _, d := range cfg.Directors {
		if d.Name == node {
			s.election.Startup(d.Address)
		}
	}
	return s
}

func (s *side) config(cfg *configs.Config) vrrp.Config {
	r := cfg.Routers[0]
	return vrrp.Config{VRID: r.VRID, Priority: s.priority, Interval: r.AdvertInterval, Addresses: []netip.Addr{r.Addresses[0].Prefix.Addr()}}
}

// reload does what the director does for a router that stays.
func (s *side) reload(cfg *configs.Config) error {
	if err := s.prepare(cfg); err != nil {
		return err
	}
	s.commit(cfg)
	s.election.Reconfigure(cfg.Routers[0], s.config(cfg))
	return nil
}

func (s *side) waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not %s; %+v, dropped %v", s.node, what, s.election.Status(), s.segments["eth0"].adverts[false].conn.Drops())
		}
	}
}

// hears waits for a few more advertisements, and wants none dropped and the role
// unchanged.
func (s *side) hears(t *testing.T) {
	t.Helper()
	before := s.election.Status()
	s.waitFor(t, "heard", func() bool {
		return s.election.Status().Counters.AdvertsReceived >= before.Counters.AdvertsReceived+3
	})
	if now := s.election.Status(); now.Role != before.Role {
		t.Errorf("%s: role %+v, was %+v", s.node, now.Role, before.Role)
	}
	if d := s.segments["eth0"].adverts[false].conn.Drops(); len(d) != 0 {
		t.Errorf("%s dropped %v", s.node, d)
	}
}

// A pair changes its key, then its transport, by reloads of one director after the
// other, and misses no advertisement. A reload with a bad key file is refused,
// and the old keys stay.
func TestReloadsOfAdverts(t *testing.T) {
	dir := t.TempDir()
	file := func(id int) string { return filepath.Join(dir, fmt.Sprint(id)) }
	for id := 1; id <= 2; id++ {
		if err := os.WriteFile(file(id), []byte(key(32+id)), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	with := func(transport string, active int, ids ...int) *configs.Config {
		var keys []string
		for _, id := range ids {
			keys = append(keys, fmt.Sprintf("%d = %q", id, file(id)))
		}
		text := authConfig(fmt.Sprintf("mode = \"enforce\"\nactive_key = %d\nkeys = { %s }", active, strings.Join(keys, ", ")))
		return parseConfig(t, strings.Replace(text, "vrid = 51", fmt.Sprintf("vrid = 51\ntransport = %q", transport), 1))
	}
	ns := newNamespaces(t)
	a := join(t, ns[0], "lb1", 200, with("multicast", 1, 1))
	b := join(t, ns[1], "lb2", 100, with("multicast", 1, 1))
	a.waitFor(t, "active", func() bool { return a.election.Status().Role.State == vrrp.Active })
	b.waitFor(t, "backup", func() bool { return b.election.Status().Role.State == vrrp.Backup })
	b.hears(t)
	for _, cfg := range []*configs.Config{
		with("multicast", 1, 1, 2), with("multicast", 2, 1, 2), with("multicast", 2, 2), with("unicast", 2, 2),
	} {
		for _, s := range []*side{b, a} {
			if err := s.reload(cfg); err != nil {
				t.Fatal(err)
			}
			b.hears(t)
		}
	}

	// A configuration that is prepared and not in force changes nothing, even if the
	// priority changes meanwhile.
	running := with("unicast", 2, 2)
	if err := a.prepare(running, with("multicast", 1, 1)); err != nil {
		t.Fatal(err)
	}
	a.election.Reconfigure(running.Routers[0], a.config(running))
	b.hears(t)
	if err := a.prepare(running); err != nil {
		t.Fatal(err)
	}

	if err := os.Chmod(file(1), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*side{a, b} {
		if err := s.reload(with("unicast", 1, 1)); err == nil || !strings.Contains(err.Error(), "can be used by others") {
			t.Errorf("%s: %v", s.node, err)
		}
		b.hears(t)
	}
}
