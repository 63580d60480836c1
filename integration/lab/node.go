package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// ErrClosed is the error of every operation on a lab after Close.
var ErrClosed = errors.New("lab is closed")

// A Node is one machine of the lab, or a segment's switch.
type Node struct {
	Name string // also its host name, and the name of its switch port

	spec  spec
	ipv6  bool
	links []*link // one per segment; none in a switch

	// mu guards what follows and the state in links. Where a switch has to be
	// locked too, it is locked after the node.
	mu       sync.Mutex
	place    *place // nil after close
	dead     bool   // between Kill and Revive or Reset
	procs    []*Process
	captures []*Capture
}

// newNode builds a node and connects it to its switches.
func (l *Lab) newNode(s spec) (*Node, error) {
	n := &Node{Name: s.name, spec: s, ipv6: l.ipv6}
	for _, dev := range s.devs {
		n.links = append(n.links, newLink(dev, s.host, l.ipv6, l.switches[dev]))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.boot(); err != nil {
		return nil, fmt.Errorf("build %s: %w", n.Name, err)
	}
	return n, nil
}

// boot gives the node a new place, connected and addressed. The caller holds mu.
func (n *Node) boot() (err error) {
	if n.place, err = newPlace(n.Name, n.params()); err != nil {
		n.place = nil
		return err
	}
	for _, ln := range n.links {
		if err = n.connect(ln); err != nil {
			break
		}
	}
	if err == nil {
		err = n.addRoutes()
	}
	if err == nil {
		err = n.awaitCarriers()
	}
	if err != nil {
		err = errors.Join(err, n.unplug())
		n.place.close()
		n.place = nil
	}
	return err
}

// params are the kernel parameters of an ordinary machine, whatever the host's
// are: IPv4 ones would be inherited from it.
func (n *Node) params() []sysctl {
	forward, disable6 := "0", "1"
	if n.spec.forward {
		forward = "1"
	}
	if n.ipv6 {
		disable6 = "0"
	}
	// ip_forward comes first, because it resets others to their defaults.
	params := []sysctl{
		{"net/ipv4/ip_forward", forward},
		{"net/ipv6/conf/all/forwarding", forward},
		{"net/ipv6/conf/default/disable_ipv6", disable6},
		{"net/ipv6/conf/default/accept_dad", "0"},
		{"net/ipv6/conf/default/accept_ra", "0"},
	}
	for _, which := range []string{"all", "default"} {
		for _, name := range []string{"rp_filter", "arp_ignore", "arp_announce", "arp_notify"} {
			params = append(params, sysctl{"net/ipv4/conf/" + which + "/" + name, "0"})
		}
	}
	return params
}

// Do runs f on the calling goroutine with its thread inside the node's network
// namespace, so f may panic or end a test. Only what f does itself is inside:
// a goroutine that it starts is not, and a dial of a host name is not, because
// that starts some. In f, /proc/sys/net is the node's; /proc/net is not, and
// /proc/thread-self/net is. Do may be called concurrently and may be nested.
func (n *Node) Do(f func() error) (err error) {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("lab: %s: find the own network namespace: %w", n.Name, err)
	}
	defer home.Close()
	if err := n.enter(); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("lab: %s: %w", n.Name, err)
	}
	defer func() {
		if e := netns.Set(home); e != nil {
			// The thread stays locked and so dies with the goroutine.
			err = errors.Join(err, fmt.Errorf("lab: leave %s: %w", n.Name, e))
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

func (n *Node) enter() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.place == nil {
		return ErrClosed
	}
	if err := netns.Set(n.place.ns); err != nil {
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	return nil
}

// Netlink calls f with an rtnetlink handle in the node's namespace. The handle
// must not be used after f, and f must not call other methods of the node.
func (n *Node) Netlink(f func(*netlink.Handle) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.place == nil {
		return fmt.Errorf("lab: %s: %w", n.Name, ErrClosed)
	}
	return f(n.place.nl)
}

// DialContext opens a connection from the node; address has to be a literal.
// It fits http.Transport.DialContext.
func (n *Node) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.Do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen opens a stream listener in the node; address has to be a literal.
// Accepted connections belong to this program and survive the node's Kill.
func (n *Node) Listen(network, address string) (ln net.Listener, err error) {
	err = n.Do(func() (err error) {
		ln, err = net.Listen(network, address)
		return err
	})
	return ln, err
}

// ListenPacket opens a datagram socket in the node; address has to be a literal.
func (n *Node) ListenPacket(network, address string) (conn net.PacketConn, err error) {
	err = n.Do(func() (err error) {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	return conn, err
}

// Sysctl reads a kernel parameter, for example "net/ipv4/ip_forward".
func (n *Node) Sysctl(key string) (value string, err error) {
	err = n.Do(func() error {
		b, err := os.ReadFile(filepath.Join("/proc/sys", key))
		value = strings.TrimSpace(string(b))
		return err
	})
	return value, err
}

// SetSysctl writes a kernel parameter.
func (n *Node) SetSysctl(key, value string) error {
	return n.Do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0)
	})
}

// Path is where other programs, such as this one, find the file that the
// node's processes know as name (an absolute path below /run or /sys): another
// node has another file there. A symbolic link on the way must be relative. It
// is valid until Close or Reset, and "" after Close.
func (n *Node) Path(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.place == nil {
		return ""
	}
	return n.place.root + filepath.Clean("/"+name)
}

// Addr is the node's base IPv4 address on a segment, Addr6 its IPv6 address.
// Both panic if the node is not on it, for the caller chose the topology.
func (n *Node) Addr(dev string) netip.Addr {
	n.mustHave(dev)
	return Addr(dev, n.spec.host)
}

// Addr6 is the node's base IPv6 address on a segment, given Options.IPv6.
func (n *Node) Addr6(dev string) netip.Addr {
	n.mustHave(dev)
	return Addr6(dev, n.spec.host)
}

// HardwareAddr is the hardware address of a device; it never changes.
func (n *Node) HardwareAddr(dev string) net.HardwareAddr {
	n.mustHave(dev)
	return hardwareAddr(Addr(dev, n.spec.host))
}

func (n *Node) mustHave(dev string) {
	if !slices.Contains(n.spec.devs, dev) {
		panic(fmt.Sprintf("lab: %s has no device %q: it has %v", n.Name, dev, n.spec.devs))
	}
}

func (n *Node) String() string { return n.Name }
