package lab

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/vishvananda/netlink"
)

const (
	capturePackets = 100_000 // at least this many of the newest are kept
	maxReadErrors  = 100     // in a row, after which the socket is given up
)

// A Capture records what a device sends and receives, with the kernel's
// timestamps. Packets are decoded completely and may be read concurrently.
type Capture struct {
	name    string
	handle  *pcapgo.EthernetHandle
	ifindex int
	keep    func(gopacket.Packet) bool
	packets *journal[gopacket.Packet]

	closing sync.Once
	stop    chan struct{}
	ended   chan struct{}
	err     error // why it ended early; set before ended is closed
}

// Capture starts to record at a device: a device of the node, lo, or, on a
// Switch, the port that has a node's name, which sees all that is on the
// node's cable. keep selects the packets; nil keeps all. It runs until Close.
func (n *Node) Capture(dev string, keep func(gopacket.Packet) bool) (*Capture, error) {
	c := &Capture{
		name:    n.Name + " " + dev,
		keep:    keep,
		packets: newJournal[gopacket.Packet](capturePackets),
		stop:    make(chan struct{}),
		ended:   make(chan struct{}),
	}
	if err := n.Netlink(func(h *netlink.Handle) error {
		link, err := h.LinkByName(dev)
		if err == nil {
			c.ifindex = link.Attrs().Index
		}
		return err
	}); err != nil {
		return nil, fmt.Errorf("lab: capture on %s: %w", c.name, err)
	}
	if err := n.Do(func() (err error) {
		c.handle, err = pcapgo.NewEthernetHandle(dev)
		return err
	}); err != nil {
		return nil, fmt.Errorf("lab: capture on %s: %w", c.name, err)
	}
	go c.read()
	n.mu.Lock()
	n.captures = append(n.captures, c)
	n.mu.Unlock()
	return c, nil
}

// read runs until the handle is closed. A device that goes down makes one read
// fail and then works on when it is up again.
func (c *Capture) read() {
	defer close(c.ended)
	defer c.packets.end()
	for failed := 0; failed < maxReadErrors; {
		data, info, err := c.handle.ReadPacketData()
		select {
		case <-c.stop:
			c.err = nil
			return
		default:
		}
		if err != nil {
			c.err = err
			failed++
			continue
		}
		failed = 0
		// Between its creation and its binding the socket hears all devices.
		if info.InterfaceIndex == c.ifindex {
			c.add(data, info)
		}
	}
}

func (c *Capture) add(data []byte, info gopacket.CaptureInfo) {
	p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.NoCopy)
	p.Metadata().CaptureInfo = info
	if c.keep == nil || c.keep(p) {
		c.packets.add(p)
	}
}

// Packets returns what was kept so far, the newest 100,000 at least.
func (c *Capture) Packets() []gopacket.Packet { return c.packets.all() }

// Clear forgets what was kept so far.
func (c *Capture) Clear() { c.packets.clear() }

// WaitFor returns the first packet that match accepts, of those kept already
// and then of those that come. The time it passed is in its Metadata.
func (c *Capture) WaitFor(ctx context.Context, match func(gopacket.Packet) bool) (gopacket.Packet, error) {
	p, err := c.packets.wait(ctx, match)
	if err != nil {
		return nil, fmt.Errorf("lab: wait for a packet on %s: %w", c.name, err)
	}
	return p, nil
}

// WritePcap writes what was kept so far as a pcap file, times in nanoseconds.
func (c *Capture) WritePcap(w io.Writer) error {
	pw := pcapgo.NewWriterNanos(w)
	if err := pw.WriteFileHeader(uint32(c.handle.GetCaptureLength()), layers.LinkTypeEthernet); err != nil {
		return fmt.Errorf("lab: write capture of %s: %w", c.name, err)
	}
	for _, p := range c.Packets() {
		if err := pw.WritePacket(p.Metadata().CaptureInfo, p.Data()); err != nil {
			return fmt.Errorf("lab: write capture of %s: %w", c.name, err)
		}
	}
	return nil
}

// Dropped is how many packets the kernel threw away since the last call,
// because they came faster than they were read.
func (c *Capture) Dropped() (int, error) {
	s, err := c.handle.Stats()
	if err != nil {
		return 0, fmt.Errorf("lab: statistics of the capture on %s: %w", c.name, err)
	}
	return int(s.Drops), nil
}

// Close ends the capture; the packets stay. The error says if the capture had
// ended before by itself.
func (c *Capture) Close() error {
	c.end()
	if c.err != nil {
		return fmt.Errorf("lab: capture on %s ended early: %w", c.name, c.err)
	}
	return nil
}

// end stops the reader and waits for it.
func (c *Capture) end() {
	c.closing.Do(func() {
		close(c.stop)
		c.handle.Close()
	})
	<-c.ended
}
