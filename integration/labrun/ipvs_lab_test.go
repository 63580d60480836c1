//go:build lab

package main

import (
	"errors"
	"net"
	"runtime"
	"testing"

	"github.com/google/nftables"
	"github.com/moby/ipvs"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// enterNamespace gives the test a network namespace of its own.
func enterNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	inside, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace (are you root?): %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(netns.Set(before), inside.Close(), before.Close()); err != nil {
			t.Fatalf("leave the network namespace: %v", err)
		}
		runtime.UnlockOSThread()
	})
}

// TestIPVS proves that the kernel under the test has a real IPVS, with every
// scheduler of Debian's kernel.
func TestIPVS(t *testing.T) {
	enterNamespace(t)
	h, err := ipvs.New("")
	if err != nil {
		t.Fatalf("open IPVS: %v", err)
	}
	defer h.Close()

	schedulers := []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"}
	for i, name := range schedulers {
		service := ipvs.Service{
			Address: net.IPv4(192, 0, 2, 1), Protocol: unix.IPPROTO_TCP, Port: uint16(8000 + i),
			SchedName: name, AddressFamily: unix.AF_INET, Netmask: 0xffffffff,
		}
		if err := h.NewService(&service); err != nil {
			t.Errorf("create a service with scheduler %s: %v", name, err)
			continue
		}
		got, err := h.GetService(&service)
		if err != nil {
			t.Errorf("read the service with scheduler %s: %v", name, err)
		} else if got.SchedName != name || got.Port != service.Port {
			t.Errorf("got scheduler %s at port %d, want %s at %d", got.SchedName, got.Port, name, service.Port)
		}
	}
	all, err := h.GetServices()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(schedulers) {
		t.Errorf("%d services, want %d", len(all), len(schedulers))
	}
}

// TestNetworkKinds proves that the kernel can load what lab networks are made
// of: devices, loss and delay, packet filters.
func TestNetworkKinds(t *testing.T) {
	enterNamespace(t)
	attrs := func(name string) netlink.LinkAttrs {
		a := netlink.NewLinkAttrs()
		a.Name = name
		return a
	}
	add := func(link netlink.Link) {
		t.Helper()
		if err := netlink.LinkAdd(link); err != nil {
			t.Fatalf("add a %s: %v", link.Type(), err)
		}
	}
	add(&netlink.Bridge{LinkAttrs: attrs("bridge0")})
	add(&netlink.Veth{LinkAttrs: attrs("veth0"), PeerName: "veth1"})
	veth, err := netlink.LinkByName("veth0")
	if err != nil {
		t.Fatal(err)
	}
	parent := attrs("macvlan0")
	parent.ParentIndex = veth.Attrs().Index
	add(&netlink.Macvlan{LinkAttrs: parent, Mode: netlink.MACVLAN_MODE_BRIDGE})
	add(&netlink.Vxlan{LinkAttrs: attrs("vxlan0"), VxlanId: 7, Port: 4789})
	add(&netlink.Iptun{LinkAttrs: attrs("tunnel0"), Local: net.IPv4(192, 0, 2, 1)})

	netem := netlink.NewNetem(
		netlink.QdiscAttrs{LinkIndex: veth.Attrs().Index, Parent: netlink.HANDLE_ROOT},
		netlink.NetemQdiscAttrs{Latency: 1000, Loss: 1})
	if err := netlink.QdiscAdd(netem); err != nil {
		t.Errorf("add netem: %v", err)
	}

	nft, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	table := nft.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "lab"})
	nft.AddChain(&nftables.Chain{
		Name: "post", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	if err := nft.Flush(); err != nil {
		t.Errorf("add an nftables chain: %v", err)
	}
}
