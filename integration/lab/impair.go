package lab

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/vishvananda/netlink"
)

// Impairment describes a bad cable. It acts on each direction by itself, so a
// round trip suffers twice. The zero value is a good cable.
type Impairment struct {
	Loss   float64       // percent of the frames, 0 to 100
	Delay  time.Duration // up to an hour
	Jitter time.Duration // Delay varies by this much either way; at most Delay. It reorders frames
}

// maxDelay is far below where netem's 32-bit ticks overflow.
const maxDelay = time.Hour

// impairQueue is how many frames a delayed direction holds; netem's default of
// 1000 would turn delay into loss under load.
const impairQueue = 100_000

func (i Impairment) validate() error {
	switch {
	case math.IsNaN(i.Loss) || i.Loss < 0 || i.Loss > 100:
		return fmt.Errorf("loss %v: want 0 to 100 percent", i.Loss)
	case i.Delay < 0 || i.Delay > maxDelay:
		return fmt.Errorf("delay %v: want 0 to %v", i.Delay, maxDelay)
	case i.Jitter < 0 || i.Jitter > i.Delay:
		return fmt.Errorf("jitter %v: want 0 to the delay, %v", i.Jitter, i.Delay)
	}
	return nil
}

// Impair gives a device a bad cable until it is called with the zero
// Impairment. The kernel needs the netem queueing discipline.
func (n *Node) Impair(dev string, i Impairment) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	ln, err := n.link(dev)
	if err == nil {
		err = i.validate()
	}
	if err == nil {
		err = n.impair(ln, i)
	}
	if err != nil {
		return fmt.Errorf("lab: %s: impair %s: %w", n.Name, dev, err)
	}
	return nil
}

// impair sets both directions: what the node sends is queued at its device,
// what it receives at the switch port. mu is held.
func (n *Node) impair(ln *link, i Impairment) error {
	if i == ln.impaired && i == (Impairment{}) {
		return nil
	}
	ln.impaired = i // even after an error: the next call has to undo what was done
	dev, err := n.place.nl.LinkByName(ln.dev)
	if err != nil {
		return fmt.Errorf("find %s: %w", ln.dev, err)
	}
	return errors.Join(
		setNetem(n.place.nl, dev, i),
		ln.sw.onPort(n.Name, func(h *netlink.Handle, port netlink.Link) error {
			return setNetem(h, port, i)
		}),
	)
}

// setNetem makes netem the root queueing discipline of a device, or removes it.
func setNetem(h *netlink.Handle, dev netlink.Link, i Impairment) error {
	attrs := netlink.QdiscAttrs{
		LinkIndex: dev.Attrs().Index,
		Handle:    netlink.MakeHandle(1, 0),
		Parent:    netlink.HANDLE_ROOT,
	}
	if i == (Impairment{}) {
		return removeNetem(h, dev)
	}
	q := netlink.NewNetem(attrs, netlink.NetemQdiscAttrs{
		Loss:    float32(i.Loss),
		Latency: uint32(i.Delay.Microseconds()),
		Jitter:  uint32(i.Jitter.Microseconds()),
		Limit:   impairQueue,
	})
	if err := h.QdiscReplace(q); err != nil {
		return fmt.Errorf("set netem on %s (needs the sch_netem module): %w", dev.Attrs().Name, err)
	}
	return nil
}

func removeNetem(h *netlink.Handle, dev netlink.Link) error {
	qdiscs, err := h.QdiscList(dev)
	if err != nil {
		return fmt.Errorf("list the queueing disciplines of %s: %w", dev.Attrs().Name, err)
	}
	for _, q := range qdiscs {
		if q.Type() != "netem" {
			continue
		}
		if err := h.QdiscDel(q); err != nil {
			return fmt.Errorf("remove netem from %s: %w", dev.Attrs().Name, err)
		}
	}
	return nil
}
