package wire

import (
	"encoding/binary"
	"net/netip"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batch is how many packets one system call may deliver.
	batch = 32
	// packetSize is the largest VRRP message, 8+255*16 bytes, with a trailer, or that
	// over IPv4 with the longest header.
	packetSize = 8 + 255*16 + 56
	// controlSize is more than the control messages that are asked for need.
	controlSize = 128
)

// inbound is the memory that recvmmsg(2) fills, one for all sockets of a thread.
type inbound struct {
	headers [batch]unix.Mmsghdr
	vectors [batch]unix.Iovec
	names   [batch]unix.RawSockaddrInet6
	control [batch][controlSize]byte
	data    [batch][packetSize]byte
}

func newInbound() *inbound {
	in := &inbound{}
	for i := range in.headers {
		in.vectors[i].Base = &in.data[i][0]
		in.vectors[i].SetLen(packetSize)
		h := &in.headers[i].Hdr
		h.Iov = &in.vectors[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&in.names[i]))
		h.Control = &in.control[i][0]
	}
	return in
}

// receive reads packets that have arrived, and does not wait for any.
func (in *inbound) receive(s *rawSocket) (int, error) {
	fd, ok := s.acquire()
	if !ok {
		return 0, os.ErrClosed
	}
	defer s.release()
	for i := range in.headers {
		h := &in.headers[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlSize)
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&in.headers)), batch, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// packet is the i-th packet and its control messages, valid until the next
// receive.
func (in *inbound) packet(i int) (data, control []byte, from *unix.RawSockaddrInet6) {
	h := &in.headers[i]
	return in.data[i][:h.Len], in.control[i][:h.Hdr.Controllen], &in.names[i]
}

// overflow is how many packets the socket had no room for so far, as of the last of
// n packets; zero if the kernel says nothing.
func (in *inbound) overflow(n int) uint32 {
	if n == 0 {
		return 0
	}
	_, control, _ := in.packet(n - 1)
	if b := controlData(control, unix.SOL_SOCKET, unix.SO_RXQ_OVFL); len(b) >= 4 {
		return binary.NativeEndian.Uint32(b)
	}
	return 0
}

// outbound is the packets of one socket that wait for sendmmsg(2). The memory is
// used again.
type outbound struct {
	packets []outgoing
	headers []unix.Mmsghdr
	vectors []unix.Iovec
}

// outgoing is one packet.
type outgoing struct {
	src     netip.Addr
	dst     netip.Addr
	name    unix.RawSockaddrInet6
	nameLen uint32
	control []byte
	data    []byte
	failed  func(error)
}

// add returns a packet to be filled in. It is valid until the next add. What its
// slices have is to be overwritten from the start.
func (out *outbound) add() *outgoing {
	n := len(out.packets)
	if n == cap(out.packets) {
		out.packets = append(out.packets, outgoing{})
	} else {
		out.packets = out.packets[:n+1]
	}
	return &out.packets[n]
}

// dropLast takes back the latest add.
func (out *outbound) dropLast() { out.packets = out.packets[:len(out.packets)-1] }

// flush sends all packets, and calls failed for those that did not leave. It does not
// wait: what the interface does not take now is an error.
func (out *outbound) flush(s *rawSocket, failed func(*outgoing, error)) {
	out.prepare()
	for sent := 0; sent < len(out.packets); {
		n, err := out.send(s, sent)
		if err == unix.EINTR {
			continue
		}
		if err != nil { // of the first one
			failed(&out.packets[sent], err)
			n = 1
		}
		sent += n
	}
	out.packets = out.packets[:0]
}

// prepare points the headers at the packets, which may have moved since.
func (out *outbound) prepare() {
	n := len(out.packets)
	if len(out.headers) < n {
		out.headers, out.vectors = make([]unix.Mmsghdr, n), make([]unix.Iovec, n)
	}
	for i := range out.packets {
		p, v := &out.packets[i], &out.vectors[i]
		v.Base = &p.data[0]
		v.SetLen(len(p.data))
		h := &out.headers[i].Hdr
		h.Iov = v
		h.SetIovlen(1)
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&p.name)), p.nameLen
		h.Control = &p.control[0]
		h.SetControllen(len(p.control))
	}
}

// send sends as many packets as the socket takes, from the given one on.
func (out *outbound) send(s *rawSocket, from int) (int, error) {
	fd, ok := s.acquire()
	if !ok {
		return 0, os.ErrClosed
	}
	defer s.release()
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&out.headers[from])),
		uintptr(len(out.packets)-from), unix.MSG_DONTWAIT, 0, 0)
	runtime.KeepAlive(out)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
