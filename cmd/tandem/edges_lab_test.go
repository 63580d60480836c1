//go:build lab

package main

import (
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"tandem/director"
	"tandem/internal/netif"
	"tandem/ipvsctl/kernel"
)

// A sync daemon whose interface was removed and made again is bound to one that
// does not exist. It is replaced by one that works.
func TestSyncDaemonAdrift(t *testing.T) {
	runtime.LockOSThread() // for good: the namespace goes with the thread
	fresh, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	h, err := kernel.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	links, err := netif.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer links.Close()

	s := newSyncDaemons(h, links)
	d := director.SyncDaemon{Interface: "sync0", ID: 51}
	makeLink(t)
	for _, role := range []director.SyncRole{director.SyncMaster, director.SyncBackup} {
		if err := s.Start(role, d); err != nil {
			t.Fatal(err)
		}
	}
	if got := running(t, s); len(got) != 2 || got[director.SyncMaster] != d || got[director.SyncBackup] != d {
		t.Fatalf("running %v", got)
	}
	old := link(t)
	if err := netlink.LinkDel(old); err != nil {
		t.Fatal(err)
	}
	makeLink(t)
	if got := running(t, s); len(got) != 0 {
		t.Errorf("running on an interface that is gone: %v", got)
	}
	for _, role := range []director.SyncRole{director.SyncMaster, director.SyncBackup} {
		if err := s.Start(role, d); err != nil {
			t.Fatal(err)
		}
	}
	if got := running(t, s); len(got) != 2 {
		t.Errorf("running %v", got)
	}
	sockets, err := netlink.SocketDiagUDP(unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	// The master's has only a multicast interface, which sock_diag does not tell.
	bound := 0
	for _, sock := range sockets {
		switch int(sock.ID.Interface) {
		case link(t).Attrs().Index:
			bound++
		case old.Attrs().Index:
			t.Error("a socket is bound to the interface that is gone")
		}
	}
	if len(sockets) != 2 || bound != 1 {
		t.Errorf("%d sockets, %d of them bound to the new interface", len(sockets), bound)
	}
	for role := range running(t, s) {
		if err := s.Stop(role); err != nil {
			t.Error(err)
		}
	}
}

func running(t *testing.T, s syncDaemons) map[director.SyncRole]director.SyncDaemon {
	t.Helper()
	got, err := s.Running()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// makeLink makes sync0, an interface with an address and a carrier.
func makeLink(t *testing.T) {
	t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "sync0"}, PeerName: "sync0p"}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("10.78.0.1/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(veth, addr); err != nil {
		t.Fatal(err)
	}
	peer, err := netlink.LinkByName("sync0p")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []netlink.Link{veth, peer} {
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
	}
}

func link(t *testing.T) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName("sync0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
