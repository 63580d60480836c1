package elect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"tandem/integration/lab"
	"tandem/vrrp"
)

// An Event is an advertisement, over IPv4 or IPv6, or a gratuitous ARP on the wire.
type Event struct {
	At       time.Time // by the kernel
	Sender   [6]byte   // its MAC
	Src      netip.Addr
	VRID     uint8 // of an advertisement, 0: it is ARP
	Priority uint8
	Address  netip.Addr // that ARP announces
}

// MAC is what a node sends with on the LAN, unless it has a virtual one.
func MAC(n *lab.Node) [6]byte { return [6]byte(n.HardwareAddr(lab.LAN)) }

// A Tap reads what arrives at a device. It asks the kernel for no more than it
// needs, and keeps nothing: a lab.Capture is kinder, and too slow for tens of
// thousands of packets a second.
type Tap struct {
	fd      int
	closing atomic.Bool
	ended   chan struct{}
	err     error
}

const (
	tapBuffer = 256 << 20 // bytes, for a reader that gets no time to read
	tapSnap   = 64        // bytes of a packet, with its Ethernet header
)

// tapFilter lets ARP and IPv4 packets of protocol 112 through, of the given senders
// or, without one, of all. The last four bytes of a node's MAC say who it is.
func tapFilter(senders ...[6]byte) []bpf.Instruction {
	var filter []bpf.Instruction
	for i, mac := range senders {
		left := uint8(len(senders) - 1 - i)
		filter = append(filter, bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(mac[2:]), SkipTrue: left + 1})
	}
	if filter != nil {
		filter = append([]bpf.Instruction{bpf.LoadAbsolute{Off: 8, Size: 4}}, filter...)
		filter = append(filter, bpf.RetConstant{Val: 0})
	}
	return append(filter, wanted...)
}

// wanted is the filter for all senders.
var wanted = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 12, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_ARP, SkipTrue: 6},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipTrue: 2},
	bpf.LoadAbsolute{Off: 23, Size: 1}, // the protocol of IPv4, or something of the rest
	bpf.Jump{Skip: 1},
	bpf.LoadAbsolute{Off: 20, Size: 1}, // the next header of IPv6
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: vrrp.Protocol, SkipTrue: 1},
	bpf.RetConstant{Val: 0},
	bpf.RetConstant{Val: tapSnap},
}

// NewTap begins to read at a device of a node: what the senders send or, without
// one, everybody. each is called with every event, in the order of arrival, from one
// goroutine.
func NewTap(n *lab.Node, dev string, each func(Event), senders ...[6]byte) (*Tap, error) {
	t := &Tap{ended: make(chan struct{})}
	err := n.Do(func() (err error) {
		t.fd, err = openTap(dev, tapFilter(senders...))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tap %s of %s: %w", dev, n.Name, err)
	}
	go t.read(each)
	return t, nil
}

func openTap(dev string, filter []bpf.Instruction) (fd int, err error) {
	link, err := net.InterfaceByName(dev)
	if err != nil {
		return 0, err
	}
	raw, err := bpf.Assemble(filter)
	if err != nil {
		return 0, err
	}
	// It hears nothing before it is bound, and then only what the filter wants.
	if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	program := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	err = errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, tapBuffer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		// A read returns now and then, so that Close is noticed.
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}),
	)
	if err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

func (t *Tap) read(each func(Event)) {
	defer close(t.ended)
	b, oob := make([]byte, tapSnap), make([]byte, 128)
	for !t.closing.Load() {
		n, oobn, _, _, err := unix.Recvmsg(t.fd, b, oob, 0)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN):
			continue
		case err != nil:
			t.err = err
			return
		}
		if e, ok := parseEvent(b[:n]); ok {
			e.At = arrival(oob[:oobn])
			each(e)
		}
	}
}

// arrival is the kernel's time of a packet.
func arrival(oob []byte) time.Time {
	for len(oob) >= unix.CmsgSpace(0) {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		if h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS && len(data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
		}
		oob = rest
	}
	return time.Now()
}

// parseEvent reads a frame, which may be cut short. It verifies nothing.
func parseEvent(b []byte) (Event, bool) {
	const ethernet, ipv4, ipv6, advert, arp = 14, 20, 40, 8, 28
	if len(b) < ethernet {
		return Event{}, false
	}
	e := Event{Sender: [6]byte(b[6:12])}
	body := b[ethernet:]
	switch binary.BigEndian.Uint16(b[12:]) {
	case unix.ETH_P_IP:
		if len(body) < ipv4+advert || body[9] != vrrp.Protocol {
			return Event{}, false
		}
		header := int(body[0]&0xf) * 4
		if len(body) < header+advert {
			return Event{}, false
		}
		e.Src = netip.AddrFrom4([4]byte(body[12:16]))
		e.VRID, e.Priority = body[header+1], body[header+2]
		return e, e.VRID != 0
	case unix.ETH_P_IPV6:
		if len(body) < ipv6+advert || body[6] != vrrp.Protocol {
			return Event{}, false
		}
		e.Src = netip.AddrFrom16([16]byte(body[8:24]))
		e.VRID, e.Priority = body[ipv6+1], body[ipv6+2]
		return e, e.VRID != 0
	case unix.ETH_P_ARP:
		if len(body) < arp || [4]byte(body[14:18]) != [4]byte(body[24:28]) {
			return Event{}, false // too short, or not gratuitous
		}
		e.Address = netip.AddrFrom4([4]byte(body[14:18]))
		return e, e.Address != netip.IPv4Unspecified()
	}
	return Event{}, false
}

// Close ends the tap. The error says if packets were lost, or if it had ended
// before.
func (t *Tap) Close() error {
	if t.closing.Swap(true) {
		return nil
	}
	<-t.ended
	stats, err := unix.GetsockoptTpacketStats(t.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	err = errors.Join(t.err, err, unix.Close(t.fd))
	if err == nil && stats.Drops > 0 {
		err = fmt.Errorf("the tap lost %d of %d packets: the figures are worthless", stats.Drops, stats.Packets)
	}
	return err
}
