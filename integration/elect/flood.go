package elect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"tandem/integration/lab"
	"tandem/vrrp"
)

// Packet returns an IPv4 packet of protocol 112 for the group, as a stranger would
// send it: with a source that need not be its own.
func Packet(src netip.Addr, ttl uint8, payload []byte) []byte {
	const header = 20
	s := src.As4()
	// The kernel fills in length, identification and checksum.
	b := []byte{0x45, 0xc0, 0, byte(header + len(payload)), 0, 0, 0, 0, ttl, vrrp.Protocol, 0, 0, s[0], s[1], s[2], s[3], 224, 0, 0, 18}
	return append(b, payload...)
}

// floodBatch is how many packets go into one system call.
const floodBatch = 64

// Flood makes a node send packets (see Packet), one after the other and again and
// again, rate of them a second or as many as it can, until ctx is done. It returns
// how many it sent.
func Flood(ctx context.Context, n *lab.Node, packets [][]byte, rate int) (sent int, err error) {
	conn, err := n.ListenPacket(fmt.Sprintf("ip4:%d", vrrp.Protocol), n.Addr(lab.LAN).String())
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := ipv4.NewRawConn(conn)
	if err != nil {
		return 0, err
	}
	var lan *net.Interface
	if err := n.Do(func() (err error) { lan, err = net.InterfaceByName(lab.LAN); return err }); err != nil {
		return 0, err
	}
	if err := raw.SetMulticastInterface(lan); err != nil {
		return 0, err
	}
	group := &net.IPAddr{IP: net.IPv4(224, 0, 0, 18)}
	batch := make([]ipv4.Message, floodBatch)
	next, begin := 0, time.Now()
	for ctx.Err() == nil {
		for i := range batch {
			batch[i] = ipv4.Message{Buffers: [][]byte{packets[next]}, Addr: group}
			next = (next + 1) % len(packets)
		}
		k, err := raw.WriteBatch(batch, 0)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return sent, err
		}
		sent += k
		// The timer is coarse, so small leads are let pass.
		if ahead := time.Duration(sent)*time.Second/time.Duration(rate) - time.Since(begin); ahead > time.Millisecond {
			time.Sleep(ahead)
		}
	}
	return sent, nil
}
