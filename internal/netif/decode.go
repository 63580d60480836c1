package netif

import (
	"bytes"
	"encoding/binary"
	"iter"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// decoder turns rtnetlink messages into events. It remembers what it reported,
// because the kernel also reports what is no change for us: the renewal of each
// address, and statistics or wireless details of links.
type decoder struct {
	names map[int]string // by interface index
	links map[int]Link
	addrs map[indexed]struct{}
}

// indexed is an address as the kernel identifies it.
type indexed struct {
	index  int
	prefix netip.Prefix
}

func newDecoder() decoder {
	return decoder{names: map[int]string{}, links: map[int]Link{}, addrs: map[indexed]struct{}{}}
}

// decode returns nil for a message that is no news.
func (d *decoder) decode(m syscall.NetlinkMessage) Event {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return d.link(m)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return d.address(m)
	}
	return nil
}

// link decodes struct ifinfomsg and its attributes (rtnetlink(7)).
func (d *decoder) link(m syscall.NetlinkMessage) Event {
	// Bridges report their ports with the family AF_BRIDGE: there RTM_DELLINK
	// means that a port left the bridge, not that the interface is gone.
	if len(m.Data) < unix.SizeofIfInfomsg || m.Data[0] != unix.AF_UNSPEC {
		return nil
	}
	flags := binary.NativeEndian.Uint32(m.Data[8:])
	link := Link{
		Index: int(int32(binary.NativeEndian.Uint32(m.Data[4:]))),
		Up:    usable(flags),
		ARP:   answersARP(flags),
	}
	for typ, value := range attributes(m.Data[unix.SizeofIfInfomsg:]) {
		switch {
		case typ == unix.IFLA_IFNAME:
			link.Name = cString(value)
		case typ == unix.IFLA_ADDRESS:
			link.MAC = net.HardwareAddr(value)
		case typ == unix.IFLA_MTU && len(value) == 4:
			link.MTU = int(binary.NativeEndian.Uint32(value))
		}
	}
	if m.Header.Type == unix.RTM_DELLINK {
		delete(d.links, link.Index)
		delete(d.names, link.Index)
		return LinkRemoved{Name: link.Name, Index: link.Index}
	}
	if old, known := d.links[link.Index]; known && old.Equal(link) {
		return nil
	}
	d.links[link.Index] = link
	d.names[link.Index] = link.Name
	return LinkChanged{Link: link}
}

// address decodes struct ifaddrmsg and its attributes (rtnetlink(7)).
func (d *decoder) address(m syscall.NetlinkMessage) Event {
	if len(m.Data) < unix.SizeofIfAddrmsg {
		return nil
	}
	var local, addr netip.Addr
	for typ, value := range attributes(m.Data[unix.SizeofIfAddrmsg:]) {
		switch typ {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(value)
		case unix.IFA_ADDRESS: // IPv6: the address; IPv4: the peer, or again the address
			addr, _ = netip.AddrFromSlice(value)
		}
	}
	bits := int(m.Data[1])
	if local.IsValid() && local != addr {
		addr, bits = local, local.BitLen() // the prefix length belongs to the peer
	}
	key := indexed{
		index:  int(binary.NativeEndian.Uint32(m.Data[4:])),
		prefix: netip.PrefixFrom(addr, bits),
	}
	name := d.names[key.index]
	if !key.prefix.IsValid() || name == "" {
		return nil
	}
	_, known := d.addrs[key]
	if m.Header.Type == unix.RTM_DELADDR {
		delete(d.addrs, key)
		return AddressRemoved{Address: Address{Prefix: key.prefix, Interface: name}}
	}
	// All flags that matter are in the byte that IFA_FLAGS extends.
	if known || !unique(uint32(m.Data[2])) {
		return nil
	}
	d.addrs[key] = struct{}{}
	return AddressAdded{Address: Address{Prefix: key.prefix, Interface: name}}
}

// attributes yields type and value of each struct rtattr (rtnetlink(7)), and
// ends at the first that does not fit.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			length := int(binary.NativeEndian.Uint16(b))
			if length < unix.SizeofRtAttr || length > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:]), b[unix.SizeofRtAttr:length]) {
				return
			}
			aligned := (length + unix.RTA_ALIGNTO - 1) &^ (unix.RTA_ALIGNTO - 1)
			b = b[min(aligned, len(b)):]
		}
	}
}

func cString(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}
