package wire

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"tandem/internal/netif"
	"tandem/vrrp"
)

const (
	// tos is DSCP CS6, network control (RFC 4594, section 3.1), in the byte of
	// the IP header.
	tos = 0xc0
	// priority is the highest that needs no privilege (socket(7), SO_PRIORITY).
	// It puts adverts into the first band of the interface's queue, before
	// whatever else the machine sends.
	priority = 6
	// receiveBuffer holds some hundred packets, in bytes; a burst must not crowd
	// out the one advert that matters.
	receiveBuffer = 256 << 10
	// batch is how many packets one system call may deliver.
	batch = 16
	// packetSize is the largest VRRP message, 8+255*4 bytes, with the longest IP
	// header, and room for a trailer.
	packetSize = 2048
)

// rawSocket is a raw socket of protocol 112 on one interface.
type rawSocket struct {
	*ipv4.PacketConn
	raw syscall.RawConn
}

// openRaw opens the socket. It is bound to the interface and not to an address:
// advertisements come to the group and, by unicast, to any address of ours.
func openRaw(link netif.Link) (*rawSocket, error) {
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		var err error
		if cerr := rc.Control(func(fd uintptr) { err = bindSocket(int(fd), link.Name) }); cerr != nil {
			return cerr
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), "ip4:"+strconv.Itoa(vrrp.Protocol), "0.0.0.0")
	if err != nil {
		return nil, err
	}
	raw, err := pc.(*net.IPConn).SyscallConn()
	if err != nil {
		pc.Close()
		return nil, err
	}
	s := &rawSocket{ipv4.NewPacketConn(pc), raw}
	if err := s.configure(&net.Interface{Index: link.Index, Name: link.Name}, pc.(*net.IPConn)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// waiting says whether a packet is in the socket (SIOCINQ, raw(7)).
func (s *rawSocket) waiting() bool {
	var n int
	err := s.raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return err == nil && n > 0
}

func bindSocket(fd int, ifname string) error {
	if err := unix.BindToDevice(fd, ifname); err != nil {
		return fmt.Errorf("bind to interface: %w", err)
	}
	return nil
}

func (s *rawSocket) configure(ifi *net.Interface, pc *net.IPConn) error {
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"set receive buffer", func() error { return pc.SetReadBuffer(receiveBuffer) }},
		{"join " + group.String(), func() error { return s.JoinGroup(ifi, groupAddr) }},
		{"set interface", func() error { return s.SetMulticastInterface(ifi) }},
		{"switch loopback off", func() error { return s.SetMulticastLoopback(false) }},
		{"set multicast TTL", func() error { return s.SetMulticastTTL(vrrp.TTL) }},
		{"set TTL", func() error { return s.SetTTL(vrrp.TTL) }},
		{"set TOS", func() error { return s.SetTOS(tos) }}, // also sets the priority, so before it
		{"set priority", func() error { return setPriority(pc) }},
		{"ask for the interface of packets", func() error { return s.SetControlMessage(ipv4.FlagInterface, true) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func setPriority(pc *net.IPConn) error {
	rc, err := pc.SyscallConn()
	if err != nil {
		return err
	}
	cerr := rc.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY, priority)
	})
	if cerr != nil {
		return cerr
	}
	return err
}

// send sends a packet and does not block. The source is given with each packet,
// because the checksum covers it and the kernel might choose another one by now.
func (s *rawSocket) send(b []byte, src, dst netip.Addr, index int) error {
	cm := ipv4.ControlMessage{Src: src.AsSlice(), IfIndex: index}
	_, err := s.WriteBatch([]ipv4.Message{{
		Buffers: [][]byte{b},
		OOB:     cm.Marshal(),
		Addr:    &net.IPAddr{IP: dst.AsSlice()},
	}}, unix.MSG_DONTWAIT)
	return err
}

// newBatch is the memory that packets are read into.
func newBatch() []ipv4.Message {
	msgs := make([]ipv4.Message, batch)
	for i := range msgs {
		msgs[i].Buffers = [][]byte{make([]byte, packetSize)}
		msgs[i].OOB = ipv4.NewControlMessage(ipv4.FlagInterface)
	}
	return msgs
}
