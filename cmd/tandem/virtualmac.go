package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"tandem/configs"
	"tandem/director"
	"tandem/internal/netif"
	"tandem/vrrp/wire"
)

// devices is the interfaces of virtual MACs as the director wants them, with the
// sockets on each.
type devices struct{ *network }

// device is what runs on the interface of a virtual MAC.
type device struct {
	segment *segment
	outlet  *wire.Outlet

	ctx    context.Context // of all of it
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Ensure makes the interface unless it is there, and opens its sockets.
func (n devices) Ensure(d director.Device) (made bool, err error) {
	m, err := macvlanOf(d)
	if err != nil {
		return false, err
	}
	if made, err = n.links.EnsureMacvlan(m); err != nil {
		return made, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.devices[d.Name] != nil {
		return made, nil
	}
	dev, err := n.openDevice(d)
	if err != nil {
		return made, err
	}
	n.devices[d.Name], n.segments[d.Name] = dev, dev.segment
	return made, nil
}

// openDevice opens the sockets. The caller holds n.mu.
func (n *network) openDevice(d director.Device) (*device, error) {
	outlet, err := wire.NewOutlet(d.Name, d.IPv6, func(err error) {
		n.log.Warn("advertisements with the virtual MAC; others leave without it", "interface", d.Name, "usable", err == nil, "err", err)
	})
	if err != nil {
		return nil, err
	}
	dev := &device{outlet: outlet}
	dev.ctx, dev.cancel = context.WithCancel(n.ctx)
	run := func(what string, part func(context.Context) error) {
		dev.wg.Add(1)
		n.goRun(what, func(context.Context) error {
			defer dev.wg.Done()
			return part(dev.ctx)
		})
	}
	if dev.segment, err = n.openSegment(d.Name, d.Parent, run); err != nil {
		dev.cancel()
		return nil, errors.Join(err, outlet.Close())
	}
	run("advertisements on "+d.Name, outlet.Run)
	return dev, nil
}

// Open lets the interface carry traffic, or shuts it. While it is shut no
// advertisement leaves there, and nor does the first one of a takeover: a switch sends
// to this director when its addresses are announced, not before they are there.
func (n devices) Open(d director.Device, open bool) error {
	m, err := macvlanOf(d)
	if err != nil {
		return err
	}
	n.mu.Lock()
	if dev := n.devices[d.Name]; dev != nil && !open {
		dev.outlet.Use(false)
	}
	n.mu.Unlock()
	return n.links.OpenMacvlan(m, open)
}

// useOutlets has the advertisements of routers whose addresses are announced leave
// from their devices. The caller holds n.mu.
func (n *network) useOutlets(list []configs.VirtualAddress) {
	for _, a := range list {
		if dev := n.devices[a.Interface]; dev != nil {
			dev.outlet.Use(true)
		}
	}
}

// outletOf is where the advertisements of a router with a virtual MAC leave; nil if it
// has none. The caller holds n.mu.
func (n *network) outletOf(r configs.VirtualRouter) *wire.Outlet {
	d, ok := director.DeviceOf(r)
	if !ok || n.devices[d.Name] == nil {
		return nil
	}
	return n.devices[d.Name].outlet
}

// Remove closes the sockets and removes the interface.
func (n devices) Remove(d director.Device) error {
	m, err := macvlanOf(d)
	if err != nil {
		return err
	}
	n.mu.Lock()
	dev := n.devices[d.Name]
	if dev != nil {
		delete(n.devices, d.Name)
		delete(n.segments, d.Name)
	}
	n.mu.Unlock()
	if dev != nil {
		dev.cancel()
		dev.wg.Wait()
		dev.segment.announcer.Close()
		dev.outlet.Close()
	}
	_, err = n.links.RemoveMacvlan(m)
	return err
}

// macvlanOf is a device as an interface. One of a damaged ledger has no MAC.
func macvlanOf(d director.Device) (netif.Macvlan, error) {
	mac, err := net.ParseMAC(d.MAC)
	if err != nil || len(mac) != 6 {
		return netif.Macvlan{}, fmt.Errorf("interface %s: %q is no MAC", d.Name, d.MAC)
	}
	return netif.Macvlan{Name: d.Name, Parent: d.Parent, MAC: [6]byte(mac), IPv6: d.IPv6}, nil
}

// planDevices writes what a start or a reload would do about the interfaces of virtual
// MACs, and counts it.
func planDevices(out io.Writer, cfg *configs.Config, owned []director.Device) (int, error) {
	want := director.DevicesOf(cfg)
	if len(want) == 0 && len(owned) == 0 {
		return 0, nil
	}
	h, err := netif.Open()
	if err != nil {
		return 0, err
	}
	defer h.Close()
	n := 0
	named := make(map[string]bool)
	var errs []error
	for _, d := range want {
		named[d.Name] = true
		m, err := macvlanOf(d)
		var has bool
		if err == nil {
			has, err = h.HasMacvlan(m)
		}
		if err != nil {
			errs = append(errs, err)
		} else if !has {
			fmt.Fprintf(out, "make interface %v\n", m)
			n++
		}
	}
	for _, d := range owned {
		m, err := macvlanOf(d)
		if err != nil || named[d.Name] {
			continue
		}
		if has, err := h.HasMacvlan(m); err == nil && has {
			fmt.Fprintf(out, "remove interface %v\n", m)
			n++
		}
	}
	return n, errors.Join(errs...)
}

// releaseDevices removes the interfaces of virtual MACs, with the addresses on them.
func releaseDevices(out io.Writer, owned []director.Device) error {
	if len(owned) == 0 {
		return nil
	}
	h, err := netif.Open()
	if err != nil {
		return err
	}
	defer h.Close()
	var errs []error
	for _, d := range owned {
		m, err := macvlanOf(d)
		var removed bool
		if err == nil {
			removed, err = h.RemoveMacvlan(m)
		}
		if err != nil {
			errs = append(errs, err)
		} else if removed {
			fmt.Fprintf(out, "removed interface %v\n", m)
		}
	}
	return errors.Join(errs...)
}
