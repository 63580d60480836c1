package director

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"tandem/configs"
	"tandem/vrrp"
)

// Device is the interface of a virtual router that has a virtual MAC: its addresses
// are on it, and those of the configuration's interface are on that, its parent.
type Device struct {
	Name   string `json:"name"`
	Parent string `json:"parent"`
	MAC    string `json:"mac"`
	IPv6   bool   `json:"ipv6,omitempty"`
}

// Devices makes interfaces. They are shut, see Open, when they are made.
type Devices interface {
	// Ensure makes a device unless there is the right one, which stays as it is.
	Ensure(Device) (made bool, err error)
	// Open lets a device carry traffic, before it gets addresses, or shuts it, before it
	// loses them. One that is not there is no error.
	Open(d Device, open bool) error
	// Remove removes a device, with what is on it; one that is not there is no error.
	Remove(Device) error
}

// maxInterfaceName is how many bytes an interface's name may have (IFNAMSIZ).
const maxInterfaceName = 15

// DeviceOf is the device of a router; false if it has none. The name is made of the
// family, the VRID and the parent's name, or as much of that name's hash as there is
// room for, so that it is the same after a restart, and when the parent was removed
// and made again.
func DeviceOf(r configs.VirtualRouter) (Device, bool) {
	if !r.VirtualMAC {
		return Device{}, false
	}
	mac := virtualMAC(r)
	d := Device{Parent: r.Interface, MAC: mac, IPv6: r.IPv6()}
	family := 4
	if d.IPv6 {
		family = 6
	}
	prefix := fmt.Sprintf("vr%d-%d-", family, r.VRID)
	parent := r.Interface
	if len(prefix)+len(parent) > maxInterfaceName {
		sum := sha256.Sum256([]byte(parent))
		parent = hex.EncodeToString(sum[:])[:maxInterfaceName-len(prefix)]
	}
	d.Name = prefix + parent
	return d, true
}

// virtualMAC is the MAC that a router has, on any director that uses one.
func virtualMAC(r configs.VirtualRouter) string {
	mac := vrrp.VirtualMAC(r.VRID, r.IPv6())
	return net.HardwareAddr(mac[:]).String()
}

// DevicesOf lists the devices of a configuration.
func DevicesOf(cfg *configs.Config) []Device {
	var list []Device
	for _, r := range cfg.Routers {
		if d, ok := DeviceOf(r); ok {
			list = append(list, d)
		}
	}
	return list
}

// placed is the addresses of a router where they are in the kernel: those of its own
// interface on its device, if it has one.
func placed(r configs.VirtualRouter) []configs.RouterAddress {
	d, ok := DeviceOf(r)
	if !ok {
		return r.Addresses
	}
	list := slices.Clone(r.Addresses)
	for i := range list {
		if list[i].Interface == d.Parent {
			list[i].Interface = d.Name
		}
	}
	return list
}

// places is every address of a router on every interface where it must not be
// another program's.
func places(r configs.VirtualRouter) []configs.RouterAddress {
	if !r.VirtualMAC {
		return r.Addresses
	}
	list := placed(r)
	for _, a := range r.Addresses {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

const (
	// devicesResync is how often the devices are looked at without a cause.
	devicesResync = 10 * time.Second
	// devicesRetry is when a pass that failed, or that waits for an address to go, is
	// tried again.
	devicesRetry = 250 * time.Millisecond
)

// keeper is the single writer of devices. It has a loop of its own, so that a
// takeover never waits for one to be made.
type keeper struct {
	devices Devices
	books   *books
	// occupied says whether an address of ours is still on an interface.
	occupied func(interfaceName string) bool
	remade   func() // something was made, and is shut and empty
	log      *slog.Logger

	wake   chan struct{}
	passes passes

	working sync.Mutex // one change of the kernel at a time

	mu   sync.Mutex
	want map[Device]bool
	made map[Device]bool // by this process
}

func newKeeper(o Options, books *books, h *holder) *keeper {
	return &keeper{
		devices:  o.Devices,
		books:    books,
		occupied: h.Occupies,
		remade:   h.Remade,
		log:      o.Log.With("part", "devices"),
		wake:     make(chan struct{}, 1),
		passes:   passes{complaint: "the interfaces of virtual MACs are not as they should be"},
		want:     make(map[Device]bool),
		made:     make(map[Device]bool),
	}
}

// Expect makes what configurations need that are in force or about to be. Each
// device is in the ledger before it is in the kernel.
func (k *keeper) Expect(cfgs ...*configs.Config) error {
	want := make(map[Device]bool)
	for _, cfg := range cfgs {
		for _, d := range DevicesOf(cfg) {
			want[d] = true
		}
	}
	if len(want) > 0 {
		if err := k.books.enterDevices(want); err != nil {
			return err
		}
	}
	k.mu.Lock()
	k.want = want
	k.mu.Unlock()
	k.working.Lock()
	defer k.working.Unlock()
	return k.ensure(want)
}

// SetConfig makes cfg the only one in force. What others needed goes when no address
// is on it.
func (k *keeper) SetConfig(cfg *configs.Config) {
	want := make(map[Device]bool)
	for _, d := range DevicesOf(cfg) {
		want[d] = true
	}
	k.mu.Lock()
	k.want = want
	k.mu.Unlock()
	k.Wake()
}

// Wake asks for a pass soon. It never blocks.
func (k *keeper) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run passes until ctx is done.
func (k *keeper) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		case <-timer.C:
		}
		start := time.Now()
		waits, err := k.pass()
		k.passes.note(k.log, start, err)
		if waits || err != nil {
			timer.Reset(devicesRetry)
		} else {
			timer.Reset(devicesResync)
		}
	}
	return nil
}

// pass makes what is missing and removes what is ours and not wanted. waits says
// that something could not be removed yet.
func (k *keeper) pass() (waits bool, err error) {
	k.working.Lock()
	defer k.working.Unlock()
	k.mu.Lock()
	want := k.want
	k.mu.Unlock()
	errs := []error{k.ensure(want)}
	for _, d := range k.books.devices() {
		if want[d] {
			continue
		}
		if k.occupied(d.Name) {
			waits = true
			continue
		}
		errs = append(errs, k.remove(d))
	}
	return waits, errors.Join(errs...)
}

// ensure makes what is missing. The caller holds k.working.
func (k *keeper) ensure(want map[Device]bool) error {
	var errs []error
	for _, d := range slices.SortedFunc(maps.Keys(want), compareDevice) {
		made, err := k.devices.Ensure(d)
		if err != nil {
			errs = append(errs, err)
		}
		if made {
			k.log.Info("interface made", "interface", d.Name, "on", d.Parent, "mac", d.MAC)
			k.mu.Lock()
			k.made[d] = true
			k.mu.Unlock()
			k.remade()
		}
	}
	return errors.Join(errs...)
}

// remove removes a device, and strikes it off. The caller holds k.working.
func (k *keeper) remove(d Device) error {
	if err := k.devices.Remove(d); err != nil {
		return err
	}
	k.log.Info("interface removed", "interface", d.Name, "on", d.Parent)
	return k.books.strikeDevice(d)
}

// Withdraw removes what this process made, after a start that failed.
func (k *keeper) Withdraw() error {
	k.working.Lock()
	defer k.working.Unlock()
	var errs []error
	for d := range k.made {
		errs = append(errs, k.remove(d))
	}
	return errors.Join(errs...)
}

// Release removes everything that is ours. The loop must have ended, or it would
// make it again.
func (k *keeper) Release() error {
	k.working.Lock()
	defer k.working.Unlock()
	var errs []error
	for _, d := range k.books.devices() {
		errs = append(errs, k.remove(d))
	}
	return errors.Join(errs...)
}

// enterDevices enters devices as ours, before they are made.
func (b *books) enterDevices(list map[Device]bool) error {
	return b.change(func(o *Owned) {
		all := maps.Clone(list)
		for _, d := range o.Devices {
			all[d] = true
		}
		o.Devices = slices.SortedFunc(maps.Keys(all), compareDevice)
	})
}

// strikeDevice strikes one off that is out of the kernel.
func (b *books) strikeDevice(gone Device) error {
	return b.change(func(o *Owned) {
		o.Devices = slices.DeleteFunc(slices.Clone(o.Devices), func(d Device) bool { return d == gone })
	})
}

// devices lists those that are in the kernel or may be.
func (b *books) devices() []Device {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.owned.Devices)
}

func compareDevice(a, b Device) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Parent, b.Parent))
}

// openings says which devices are to carry traffic, and which are not.
func openings(cfg *configs.Config, roles map[RouterID]vrrp.Role) map[Device]bool {
	out := make(map[Device]bool)
	for _, r := range cfg.Routers {
		if d, ok := DeviceOf(r); ok {
			out[d] = roles[idOf(r)].Hold
		}
	}
	return out
}

// openDevices opens and shuts devices: what has changed, and all of them at times.
// Nothing of it is done twice, because a takeover waits for it.
func (h *holder) openDevices(open map[Device]bool) error {
	now := time.Now()
	h.mu.Lock()
	anew := h.opened == nil || now.Sub(h.openedAt) >= holderResync
	before := h.opened
	h.opened = make(map[Device]bool)
	if anew {
		before, h.openedAt = nil, now
	}
	h.mu.Unlock()
	var errs []error
	for d, open := range open {
		was, known := before[d]
		if !known || was != open {
			if err := h.devices.Open(d, open); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		h.mu.Lock()
		if h.opened != nil { // nothing was remade meanwhile
			h.opened[d] = open
		}
		h.mu.Unlock()
	}
	return errors.Join(errs...)
}

// Remade says that a device was made, and is shut.
func (h *holder) Remade() {
	h.mu.Lock()
	h.opened = nil
	h.mu.Unlock()
	h.Wake()
}

// Occupies says whether a virtual IP that is not configured there any more was on an
// interface at the last pass.
func (h *holder) Occupies(interfaceName string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for a := range h.orphans {
		if a.Interface == interfaceName && h.have[a] {
			return true
		}
	}
	return false
}
