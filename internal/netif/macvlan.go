package netif

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tandem/internal/sysctl"
)

// errForeign is an interface that has the name of a Macvlan.
var errForeign = errors.New("there is an interface of that name that is somebody else's")

// Macvlan is a second interface on the network of another one, with a MAC of its
// own: that of a virtual router.
//
// It is in the mode "bridge". In the modes "private" and "passthru" the kernel would
// hide from the parent what others send with this MAC, and the adverts of the active
// director come with it (macvlan_handle_frame in drivers/net/macvlan.c). In "vepa"
// the routers of one parent could not reach each other.
//
// It is up for as long as it is there, because its MAC must be in the parent's
// filter and its carrier be known when a takeover comes. What it must not do as a
// backup is switched off by sysctls, see OpenMacvlan.
type Macvlan struct {
	Name   string // at most 15 bytes
	Parent string
	MAC    [6]byte
	IPv6   bool // the family of its addresses
}

// String is like "vr4-51-eth0 on eth0 with MAC 00:00:5e:00:01:33".
func (m Macvlan) String() string {
	return fmt.Sprintf("%s on %s with MAC %s", m.Name, m.Parent, net.HardwareAddr(m.MAC[:]))
}

// setting is a kernel parameter of an interface.
type setting struct{ key, value string }

// fixed are the settings of a Macvlan that do not change. All have been seen to be
// needed, by TestVirtualMACSettings of package wire or here.
func (m Macvlan) fixed() []setting {
	ipv4, ipv6 := "net/ipv4/conf/"+m.Name+"/", "net/ipv6/conf/"+m.Name+"/"
	list := []setting{
		// It would answer ARP for the parent's addresses, too, with the virtual MAC.
		{ipv4 + "arp_ignore", "1"},
		// Packets come in here and their answers leave by the parent, so a strict filter
		// drops everything, ARP requests included. "all" can still ask for a filter.
		{ipv4 + "rp_filter", "0"},
		// When the lease of one address ends, the others of its subnet stay.
		{ipv4 + "promote_secondaries", "1"},
	}
	if !m.IPv6 {
		return append(list, setting{ipv6 + "disable_ipv6", "1"})
	}
	return append(list,
		// No link-local address is made of the MAC: all directors would have the same
		// (RFC 9568, section 7.4).
		setting{ipv6 + "addr_gen_mode", "1"},
		// Nor are there addresses from a router's prefix, or questions for one.
		setting{ipv6 + "accept_ra", "0"},
	)
}

// gate is the setting that opens a Macvlan, or shuts it.
func (m Macvlan) gate(open bool) (setting, error) {
	switch {
	case m.IPv6 && open:
		return setting{"net/ipv6/conf/" + m.Name + "/disable_ipv6", "0"}, nil
	case m.IPv6:
		return setting{"net/ipv6/conf/" + m.Name + "/disable_ipv6", "1"}, nil
	case !open:
		return setting{"net/ipv4/conf/" + m.Name + "/forwarding", "0"}, nil
	}
	like, err := sysctl.Get("net/ipv4/conf/" + m.Parent + "/forwarding")
	return setting{"net/ipv4/conf/" + m.Name + "/forwarding", like}, err
}

// OpenMacvlan lets a Macvlan carry traffic, which it must before it gets addresses,
// or shuts it, before it loses them. One that is shut gives away nothing that a
// backup must not, although it is up and its MAC is in the parent's filter:
//
//   - Frames for its MAC, which a switch floods when it has lost its place, are
//     discarded (RFC 9568, section 6.4.2). With IPv4 that is because nothing is
//     forwarded from here, and no address is here; an open one forwards if its parent
//     does, for masquerading.
//   - Nothing is sent with its MAC, or switches would look for it here. With IPv4
//     there is nobody who would. With IPv6 the kernel reports the groups that it joins
//     and leaves, and asks for routers, so IPv6 is off; addresses go without a word.
//
// A Macvlan that is not there is no error: EnsureMacvlan makes it shut.
func (h *Handle) OpenMacvlan(m Macvlan, open bool) error {
	s, err := m.gate(open)
	if err == nil {
		err = s.apply()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// apply writes a setting that is not as it should be.
func (s setting) apply() error {
	have, err := sysctl.Get(s.key)
	if err != nil || have == s.value {
		return err
	}
	return sysctl.Set(s.key, s.value)
}

// applyAll writes the fixed settings. A kernel without IPv6 lacks some.
func (m Macvlan) applyAll() error {
	var errs []error
	for _, s := range m.fixed() {
		if err := s.apply(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// EnsureMacvlan makes a Macvlan, shut, unless it is there. One that is right stays,
// with its addresses, as open as it is; one of that name with another parent, MAC or
// mode is made anew. made says that there was none, or a wrong one. An interface of
// that name that is no macvlan is another's, and an error.
func (h *Handle) EnsureMacvlan(m Macvlan) (made bool, err error) {
	parent, err := h.link(m.Parent)
	if err != nil {
		return false, fmt.Errorf("virtual MAC: %w", err)
	}
	made, err = h.ensureMacvlan(m, parent)
	if err != nil {
		return made, fmt.Errorf("make %v: %w", m, explain(err))
	}
	return made, nil
}

func (h *Handle) ensureMacvlan(m Macvlan, parent *netlink.LinkAttrs) (made bool, err error) {
	have, err := h.macvlan(m.Name)
	if err != nil {
		return false, err
	}
	if have != nil && !m.matches(have, parent) {
		if err := h.nl.LinkDel(have); err != nil {
			return false, err
		}
		have = nil
	}
	if have == nil {
		if have, err = h.addMacvlan(m, parent); err != nil {
			return false, err
		}
		made = true
	} else if err := m.applyAll(); err != nil {
		return false, err
	}
	if have.MTU != parent.MTU { // it follows its parent's only downwards
		if err := h.nl.LinkSetMTU(have, parent.MTU); err != nil {
			return made, err
		}
	}
	if have.RawFlags&unix.IFF_UP != 0 {
		return made, nil
	}
	return made, h.nl.LinkSetUp(have)
}

// addMacvlan makes one, down, and with settings that let it be set up: by default it
// would speak at once.
func (h *Handle) addMacvlan(m Macvlan, parent *netlink.LinkAttrs) (*netlink.Macvlan, error) {
	add := &netlink.Macvlan{
		LinkAttrs: netlink.LinkAttrs{Name: m.Name, ParentIndex: parent.Index, HardwareAddr: m.MAC[:], TxQLen: -1},
		Mode:      netlink.MACVLAN_MODE_BRIDGE,
	}
	if err := h.nl.LinkAdd(add); err != nil {
		return nil, err
	}
	have, err := h.macvlan(m.Name)
	if err == nil && have == nil {
		err = fmt.Errorf("%w: somebody removed it", unix.ENODEV)
	}
	if err == nil {
		err = m.applyAll()
	}
	if err == nil {
		err = h.OpenMacvlan(m, false)
	}
	if err != nil {
		return nil, errors.Join(err, h.nl.LinkDel(add))
	}
	return have, nil
}

// macvlan finds the macvlan of a name; nil if there is no interface of that name.
func (h *Handle) macvlan(name string) (*netlink.Macvlan, error) {
	link, err := h.nl.LinkByName(name)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if have, ok := link.(*netlink.Macvlan); ok {
		return have, nil
	}
	return nil, fmt.Errorf("%w, of type %s: rename or remove it", errForeign, link.Type())
}

func (m Macvlan) matches(have *netlink.Macvlan, parent *netlink.LinkAttrs) bool {
	return have.ParentIndex == parent.Index && have.Mode == netlink.MACVLAN_MODE_BRIDGE && bytes.Equal(have.HardwareAddr, m.MAC[:])
}

// HasMacvlan says whether EnsureMacvlan would find it.
func (h *Handle) HasMacvlan(m Macvlan) (bool, error) {
	have, err := h.macvlan(m.Name)
	if err != nil || have == nil {
		return false, err
	}
	parent, err := h.link(m.Parent)
	if err != nil {
		return false, err
	}
	return m.matches(have, parent), nil
}

// RemoveMacvlan removes a Macvlan and what is on it. One that is not there is no
// error, and an interface of that name with another MAC is left alone: it is not
// the one that was made.
func (h *Handle) RemoveMacvlan(m Macvlan) (removed bool, err error) {
	have, err := h.macvlan(m.Name)
	switch {
	case errors.Is(err, errForeign):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("remove %v: %w", m, explain(err))
	case have == nil || !bytes.Equal(have.HardwareAddr, m.MAC[:]):
		return false, nil
	}
	// Addresses of IPv6 are not to take their leave.
	if err := h.OpenMacvlan(m, false); err != nil {
		return false, fmt.Errorf("remove %v: %w", m, err)
	}
	if err := h.nl.LinkDel(have); err != nil && !errors.Is(err, unix.ENODEV) {
		return false, fmt.Errorf("remove %v: %w", m, explain(err))
	}
	return true, nil
}
