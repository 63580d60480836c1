package wire

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"tandem/internal/netif"
)

// errNoIPv6 is the error for IPv6 addresses on a machine that was started without.
var errNoIPv6 = errors.New("IPv6 is switched off in this machine's kernel")

// finder is a socket that finds neighbours of one family.
type finder interface {
	socket
	// announce sends, once, that ip is here.
	announce(ip netip.Addr) error
	// ask sends the question who has ip, and changes nobody's mind by it.
	ask(ip netip.Addr) error
	// hear waits for a packet. It is false for one that claims nothing.
	hear() (claim, bool, error)
}

// claim is what a packet says: this address is at that MAC.
type claim struct {
	ip  netip.Addr
	mac [6]byte
}

// finders is those of one interface.
type finders struct {
	arp finder
	ndp finder // nil: the kernel has no IPv6
}

// openFinders opens both; router is AnnouncerOptions.Router.
func openFinders(link netif.Link, router func() bool) (*finders, error) {
	arp, err := openARP(link)
	if err != nil {
		return nil, err
	}
	ndp, err := openNDP(link, router)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return &finders{arp: arp}, nil
	}
	if err != nil {
		return nil, errors.Join(err, arp.Close())
	}
	return &finders{arp, ndp}, nil
}

// all are those that are open.
func (f *finders) all() []finder {
	if f.ndp == nil {
		return []finder{f.arp}
	}
	return []finder{f.arp, f.ndp}
}

// of is the one for an address.
func (f *finders) of(ip netip.Addr) (finder, error) {
	switch {
	case ip.Is4():
		return f.arp, nil
	case f.ndp == nil:
		return nil, errNoIPv6
	}
	return f.ndp, nil
}

// each calls read with each socket, all at once, until one of them ends with an
// error, which it returns. It makes the others end, too.
func (f *finders) each(read func(finder) error) error {
	var g errgroup.Group
	for _, n := range f.all() {
		g.Go(func() error {
			err := read(n)
			return errors.Join(err, f.SetReadDeadline(past))
		})
	}
	return g.Wait()
}

// SetReadDeadline is that of a socket, for all.
func (f *finders) SetReadDeadline(t time.Time) error {
	var errs []error
	for _, n := range f.all() {
		errs = append(errs, n.SetReadDeadline(t))
	}
	return errors.Join(errs...)
}

// Close is that of a socket, for all.
func (f *finders) Close() error {
	var errs []error
	for _, n := range f.all() {
		errs = append(errs, n.Close())
	}
	return errors.Join(errs...)
}
