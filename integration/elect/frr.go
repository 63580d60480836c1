package elect

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"

	"tandem/integration/lab"
)

// FRR is vrrpd of FRRouting, version 3. It has one virtual router.
//
// It does not put the address anywhere: a macvlan with the virtual MAC holds it
// all the time, and vrrpd takes the device's carrier away while it is a backup. So
// only the wire says which role it has. Its checksum is that of RFC 5798, with the
// pseudo-header, and 8.4 knows no other over IPv4.
type FRR struct{}

func (FRR) String() string { return "FRR" }

// Where Debian's package has the daemons, and what they have below /run.
const (
	frrDir = "/usr/lib/frr"
	frrRun = "/run/frr"
)

// frrStart bounds the wait for zebra.
const frrStart = 10 * time.Second

// Start runs zebra, which tells vrrpd of interfaces, and vrrpd.
func (f FRR) Start(s *Segment, i int, dir string) (*lab.Process, error) {
	m, node := s.options.Members[i], s.Directors[i]
	if len(m.Routers) != 1 {
		return nil, fmt.Errorf("%d virtual routers: one is supported", len(m.Routers))
	}
	r := m.Routers[0]
	if err := f.device(node, r); err != nil {
		return nil, err
	}
	// Centiseconds in the protocol, milliseconds here.
	conf := fmt.Sprintf("hostname %s\nlog stdout debugging\ndebug vrrp protocol\ninterface %s\n vrrp %d version 3\n vrrp %d priority %d\n vrrp %d advertisement-interval %d\n",
		node.Name, lab.LAN, r.VRID, r.VRID, m.Priority, r.VRID, s.options.Advert.Milliseconds())
	for _, ip := range r.Addresses {
		family := "ip"
		if ip.Is6() {
			family = "ipv6"
		}
		conf += fmt.Sprintf(" vrrp %d %s %v\n", r.VRID, family, ip)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(file("vrrpd.conf"), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file("zebra.conf"), []byte("log stdout\n"), 0o644); err != nil {
		return nil, err
	}
	// Their own user, which the package made, writes in /run.
	run := node.Path(frrRun)
	if err := frrOwns(run); err != nil {
		return nil, err
	}
	daemon := func(name string) (*lab.Process, error) {
		return node.Start(lab.Command{Path: filepath.Join(frrDir, name), Args: []string{
			"--config_file", file(name + ".conf"), "--vty_port", "0", "--log", "stdout"}})
	}
	zebra := s.zebras[i]
	if zebra == nil { // it outlives vrrpd
		var err error
		if zebra, err = daemon("zebra"); err != nil {
			return nil, err
		}
		s.zebras[i] = zebra
	}
	for end := time.Now().Add(frrStart); ; time.Sleep(10 * time.Millisecond) {
		_, err := os.Stat(filepath.Join(run, "zserv.api"))
		if err == nil {
			return daemon("vrrpd")
		}
		if !errors.Is(err, fs.ErrNotExist) || time.Now().After(end) {
			return nil, fmt.Errorf("zebra is not ready after %v: %w\n%s", frrStart, err, zebra.Output())
		}
	}
}

// frrOwns makes the directory of FRR's pid files and sockets.
func frrOwns(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	u, err := user.Lookup("frr")
	if err != nil {
		return fmt.Errorf("install FRR (make deps): %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	return os.Chown(dir, uid, gid)
}

// MAC is the virtual MAC of a router, which FRR sends from.
func (r Router) MAC() [6]byte {
	family := byte(1)
	if r.Addresses[0].Is6() {
		family = 2
	}
	return [6]byte{0, 0, 0x5e, 0, family, r.VRID}
}

// device makes the macvlan that holds the addresses. What it is after an earlier
// run stays.
func (FRR) device(node *lab.Node, r Router) error {
	const name = "vrrp"
	mac := r.MAC()
	made := false
	err := node.Netlink(func(h *netlink.Handle) error {
		if _, err := h.LinkByName(name); err == nil {
			return nil
		}
		parent, err := h.LinkByName(lab.LAN)
		if err != nil {
			return err
		}
		dev := &netlink.Macvlan{
			LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: parent.Attrs().Index, HardwareAddr: mac[:]},
			Mode:      netlink.MACVLAN_MODE_BRIDGE,
		}
		made = true
		return h.LinkAdd(dev)
	})
	if err != nil || !made {
		return err
	}
	if r.Addresses[0].Is6() {
		// One made from the MAC would be the same on all routers.
		if err := node.SetSysctl("net/ipv6/conf/"+name+"/addr_gen_mode", "3"); err != nil {
			return err
		}
	}
	return node.Netlink(func(h *netlink.Handle) error {
		dev, err := h.LinkByName(name)
		if err != nil {
			return err
		}
		for _, ip := range r.Addresses {
			addr := &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(ip.BitLen(), ip.BitLen())}}
			if err := h.AddrAdd(dev, addr); err != nil {
				return fmt.Errorf("add %v to the macvlan: %w", ip, err)
			}
		}
		return h.LinkSetUp(dev)
	})
}
