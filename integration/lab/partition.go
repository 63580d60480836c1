package lab

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// drop names two ports of a switch: what enters at from does not leave at to.
type drop struct{ from, to string }

// Isolate partitions nodes from one another on one segment: none of them hears
// another of them there, while everyone else hears them all. Nodes isolated by
// an earlier call stay so and are partitioned from the new ones too.
func (l *Lab) Isolate(dev string, nodes ...*Node) error {
	for _, n := range nodes {
		if err := n.setIsolated(dev, true); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) setIsolated(dev string, isolated bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	ln, err := n.link(dev)
	if err == nil {
		err = ln.sw.onPort(n.Name, func(h *netlink.Handle, port netlink.Link) error {
			return h.LinkSetIsolated(port, isolated)
		})
	}
	if err != nil {
		return fmt.Errorf("lab: %s: isolate %s: %w", n.Name, dev, err)
	}
	ln.isolated = isolated
	return nil
}

// Drop makes every frame from one node to another vanish on one segment,
// broadcast and multicast included. The other direction still works.
func (l *Lab) Drop(dev string, from, to *Node) error {
	b := l.switches[dev]
	if b == nil {
		return fmt.Errorf("lab: drop from %s to %s: no segment %q in this topology", from, to, dev)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	d := drop{from.Name, to.Name}
	if slices.Contains(b.drops, d) {
		return nil
	}
	if err := b.applyDrops(append(slices.Clone(b.drops), d)); err != nil {
		return fmt.Errorf("lab: drop from %s to %s on %s: %w", from, to, dev, err)
	}
	return nil
}

// Heal undoes every Isolate and Drop, on all segments.
func (l *Lab) Heal() error {
	var errs []error
	for _, n := range l.Nodes() {
		for _, dev := range n.isolatedDevs() {
			errs = append(errs, n.setIsolated(dev, false))
		}
	}
	for dev, b := range l.switches {
		if err := b.healDrops(); err != nil {
			errs = append(errs, fmt.Errorf("lab: heal %s: %w", dev, err))
		}
	}
	return errors.Join(errs...)
}

func (n *Node) isolatedDevs() (devs []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, ln := range n.links {
		if ln.isolated {
			devs = append(devs, ln.dev)
		}
	}
	return devs
}

func (b *bridge) healDrops() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.drops) == 0 {
		return nil
	}
	return b.applyDrops(nil)
}

// applyDrops replaces the switch's rules in one transaction. mu is held. The
// rules name ports, so they hold for a node that has rebooted as well.
func (b *bridge) applyDrops(drops []drop) error {
	if b.place == nil {
		return ErrClosed
	}
	c, err := nftables.New(nftables.WithNetNSFd(int(b.place.ns)))
	if err != nil {
		return fmt.Errorf("open nf_tables: %w", err)
	}
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyBridge, Name: "lab"})
	chain := c.AddChain(&nftables.Chain{
		Name:     "forward",
		Table:    table,
		Type:     nftables.ChainTypeFilter,
		Hooknum:  nftables.ChainHookForward,
		Priority: nftables.ChainPriorityFilter,
	})
	c.FlushChain(chain)
	for _, d := range drops {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: d.rule()})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("set the bridge filter (needs nf_tables for the bridge family): %w", err)
	}
	b.drops = drops
	return nil
}

// rule is `iifname from oifname to drop`.
func (d drop) rule() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: ifname(d.from)},
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: ifname(d.to)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// ifname is a device name as nf_tables compares it, padded with zeros.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}
