// Package netif holds virtual addresses on interfaces and watches links and
// addresses, through rtnetlink.
//
// Addresses carry a kernel lifetime that the holder renews. A process that is
// frozen or killed stops renewing, and the kernel takes the address away by
// itself: the director fences itself without anybody's help.
package netif

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ErrNoInterface says that there is no interface of that name. The error that
// wraps it lists the ones there are.
var ErrNoInterface = errors.New("no such interface")

// timeout bounds each exchange with the kernel. rtnetlink answers in
// microseconds, but waits for the kernel's configuration lock, which slow
// drivers hold while they bring a link up.
const timeout = 2 * time.Second

// A Handle speaks rtnetlink with the network namespace that its opener was in.
// It may be used by several goroutines at once.
type Handle struct {
	nl     *netlink.Handle
	strict *netlink.Handle          // the kernel filters what it dumps here (NETLINK_GET_STRICT_CHK)
	raw    map[int]*nl.SocketHandle // for requests that the library does not make
	ctl    int                      // a socket of the namespace, for ioctl(2); 0: none
}

// Open makes a Handle for the network namespace of the calling thread.
func Open() (*Handle, error) {
	h := new(Handle)
	if err := h.open(); err != nil {
		h.Close()
		return nil, fmt.Errorf("open rtnetlink: %w", explain(err))
	}
	return h, nil
}

func (h *Handle) open() (err error) {
	if h.nl, err = openSocket(); err != nil {
		return err
	}
	if h.strict, err = openSocket(); err != nil {
		return err
	}
	if h.ctl, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	// Linux before 4.20 does not know it, and sends everything; so the answers are
	// filtered again.
	if err := h.strict.SetStrictCheck(true); err != nil && !errors.Is(err, unix.ENOPROTOOPT) {
		return err
	}
	raw, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	h.raw = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: raw}}
	limit := unix.NsecToTimeval(timeout.Nanoseconds())
	return errors.Join(raw.SetSendTimeout(&limit), raw.SetReceiveTimeout(&limit))
}

func openSocket() (*netlink.Handle, error) {
	s, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	if err := s.SetSocketTimeout(timeout); err != nil {
		s.Close()
		return nil, fmt.Errorf("set timeout: %w", err)
	}
	return s, nil
}

// Close releases the sockets.
func (h *Handle) Close() {
	for _, s := range []*netlink.Handle{h.nl, h.strict} {
		if s != nil {
			s.Close()
		}
	}
	for _, s := range h.raw {
		s.Close()
	}
	if h.ctl > 0 {
		_ = unix.Close(h.ctl)
	}
}

// dumpAttempts is how often a dump is read that changed while it was read.
const dumpAttempts = 5

// dump repeats a reading that the kernel marks as interrupted, which happens
// when the table changes between two of its messages.
func dump[T any](read func() ([]T, error)) ([]T, error) {
	for attempt := 1; ; attempt++ {
		list, err := read()
		if errors.Is(err, netlink.ErrDumpInterrupted) && attempt < dumpAttempts {
			continue
		}
		return list, err
	}
}

// explain adds to a kernel error what to do about it.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: needs CAP_NET_ADMIN", err)
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("no answer from the kernel within %v: %w", timeout, err)
	}
	return err
}

// indexOf finds the index of an interface by name, and its flags (netdevice(7)). A
// takeover asks for each address, and rtnetlink would take as long as adding it.
func (h *Handle) indexOf(name string) (index int, flags uint16, err error) {
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(h.ctl, unix.SIOCGIFINDEX, ifr)
	}
	if err == nil {
		index = int(ifr.Uint32())
		err = unix.IoctlIfreq(h.ctl, unix.SIOCGIFFLAGS, ifr)
	}
	switch {
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.EINVAL): // EINVAL: no name of an interface
		return 0, 0, h.noInterface(name)
	case err != nil:
		return 0, 0, fmt.Errorf("interface %s: %w", name, explain(err))
	}
	return index, ifr.Uint16(), nil
}

// link finds an interface by name.
func (h *Handle) link(name string) (*netlink.LinkAttrs, error) {
	link, err := h.nl.LinkByName(name)
	if isNotFound(err) {
		return nil, h.noInterface(name)
	}
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, explain(err))
	}
	return link.Attrs(), nil
}

func isNotFound(err error) bool {
	_, ok := errors.AsType[netlink.LinkNotFoundError](err)
	return ok || errors.Is(err, syscall.ENODEV)
}

// noInterface names the interfaces there are, because the usual cause is a
// name that the other director uses and this one does not.
func (h *Handle) noInterface(name string) error {
	links, err := h.Links()
	if err != nil {
		return fmt.Errorf("interface %q: %w", name, ErrNoInterface)
	}
	names := make([]string, len(links))
	for i, l := range links {
		names[i] = l.Name
	}
	slices.Sort(names)
	return fmt.Errorf("interface %q: %w; there are %s", name, ErrNoInterface, strings.Join(names, ", "))
}
