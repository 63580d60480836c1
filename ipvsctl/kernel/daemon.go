package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Role is what a connection sync daemon of the kernel does. Both may run at the
// same time.
type Role uint8

// The roles, with the kernel's values (IP_VS_STATE_* of linux/ip_vs.h).
const (
	Master Role = 1 // sends the connections of this director
	Backup Role = 2 // takes in those of the other one
)

// String returns "master" or "backup", as ipvsadm does.
func (r Role) String() string {
	switch r {
	case Master:
		return "master"
	case Backup:
		return "backup"
	}
	return fmt.Sprintf("role-%d", uint8(r))
}

// Daemon is a connection sync daemon of the kernel. For StartDaemon the zero
// value of a field that says so asks for the default; Daemons returns the value
// in force.
type Daemon struct {
	Role      Role
	Interface string     // datagrams leave or arrive here; at most 15 bytes
	SyncID    uint8      // of the group; a backup with 0 takes in every id
	MaxLen    uint16     // largest payload in bytes, a backup's at least its master's; default: what fits the MTU
	Group     netip.Addr // multicast, default 224.0.0.81
	Port      uint16     // UDP port, the first of net/ipv4/vs/sync_ports; default 8848
	TTL       uint8      // default 1
}

// The kernel's defaults (net/netfilter/ipvs/ip_vs_sync.c).
const (
	defaultPort      = 8848
	defaultTTL       = 1
	minBackupMaxLen  = 1024
	maxInterfaceName = 15
)

var defaultGroup = netip.AddrFrom4([4]byte{224, 0, 0, 81})

// Daemons returns the daemons that run in the kernel: none, one, or the master
// and the backup.
func (h *Handle) Daemons() ([]Daemon, error) {
	messages, err := h.dump(cmdGetDaemon, nil)
	if err != nil {
		return nil, fmt.Errorf("read the sync daemons: %w", explain(err))
	}
	daemons := make([]Daemon, 0, len(messages))
	for _, msg := range messages {
		d, err := parseDaemon(msg)
		if err != nil {
			return nil, fmt.Errorf("read the sync daemons: %w", err)
		}
		daemons = append(daemons, d)
	}
	return daemons, nil
}

// StartDaemon makes the daemon d run. If it runs already, it is left alone; if
// one with other parameters runs in its role, that is stopped first, with the
// consequence that StopDaemon describes.
//
// A master's interface should have an IPv4 address for an IPv4 group: the
// kernel otherwise starts it and only logs that it cannot bind.
func (h *Handle) StartDaemon(d Daemon) error {
	d, err := d.complete()
	if err != nil {
		return fmt.Errorf("start the sync %s: %w", d.Role, err)
	}
	running, err := h.Daemons()
	if err != nil {
		return fmt.Errorf("start the sync %s: %w", d.Role, err)
	}
	if i := slices.IndexFunc(running, func(r Daemon) bool { return r.Role == d.Role }); i >= 0 {
		if d.sameAs(running[i]) {
			return nil
		}
		if err := h.StopDaemon(d.Role); err != nil {
			return fmt.Errorf("start the sync %s: %w", d.Role, err)
		}
	}
	if _, err := h.request(cmdNewDaemon, unix.NLM_F_ACK, d.attr()); err != nil {
		return fmt.Errorf("start the sync %s on %s: %w", d.Role, d.Interface, explainDaemon(d, err))
	}
	return nil
}

// StopDaemon makes the daemon of the role stop; that it does not run is no
// error. It returns when the kernel's threads have ended.
//
// A master throws away what it has not sent yet, up to two seconds' worth of
// connections on a quiet director. Whoever hands over should take the virtual
// addresses away first and let the master run on for three seconds.
func (h *Handle) StopDaemon(role Role) error {
	attr := nl.NewRtAttr(attrDaemon, nil)
	attr.AddRtAttr(daemonState, nl.Uint32Attr(uint32(role)))
	// Waiting for an answer may be in vain. If the daemon was started a moment
	// ago and its thread has not run yet, kthread_stop says EINTR, and to a
	// command that was interrupted netlink gives no answer (netlink_rcv_skb in
	// net/netlink/af_netlink.c). The daemon is gone all the same.
	if err := h.send(cmdDelDaemon, attr); err != nil {
		return fmt.Errorf("stop the sync %s: %w", role, explain(err))
	}
	running, err := h.Daemons()
	if err != nil {
		return fmt.Errorf("stop the sync %s: %w", role, err)
	}
	if slices.ContainsFunc(running, func(d Daemon) bool { return d.Role == role }) {
		return fmt.Errorf("stop the sync %s: it still runs", role)
	}
	return nil
}

// complete returns the daemon as the kernel will report it, except for a MaxLen
// that is left to the kernel.
func (d Daemon) complete() (Daemon, error) {
	if !d.Group.IsValid() {
		d.Group = defaultGroup
	}
	if d.Port == 0 {
		d.Port = defaultPort
	}
	if d.TTL == 0 {
		d.TTL = defaultTTL
	}
	if d.Role == Backup && d.MaxLen != 0 {
		d.MaxLen = max(d.MaxLen, minBackupMaxLen)
	}
	switch {
	case d.Role != Master && d.Role != Backup:
		return d, errors.New("the role must be master or backup")
	case d.Interface == "" || len(d.Interface) > maxInterfaceName:
		return d, fmt.Errorf("interface %q: a name has 1 to %d bytes", d.Interface, maxInterfaceName)
	case !d.Group.IsMulticast() || !plain(d.Group):
		return d, fmt.Errorf("group %s is not a multicast address", d.Group)
	case d.MaxLen > d.maxPayload():
		return d, fmt.Errorf("a payload of %d bytes: at most %d fit into a datagram", d.MaxLen, d.maxPayload())
	}
	return d, nil
}

// maxPayload is what a datagram of 65535 bytes has room for after the IP and
// UDP headers.
func (d Daemon) maxPayload() uint16 {
	if d.Group.Is4() {
		return 65535 - 28
	}
	return 65535 - 48
}

// sameAs reports whether running is what d, which is complete, asks for.
func (d Daemon) sameAs(running Daemon) bool {
	if d.MaxLen == 0 {
		d.MaxLen = running.MaxLen
	}
	return d == running
}

func (d Daemon) attr() *nl.RtAttr {
	attr := nl.NewRtAttr(attrDaemon, nil)
	attr.AddRtAttr(daemonState, nl.Uint32Attr(uint32(d.Role)))
	attr.AddRtAttr(daemonInterface, nl.ZeroTerminated(d.Interface))
	attr.AddRtAttr(daemonSyncID, nl.Uint32Attr(uint32(d.SyncID)))
	if d.MaxLen != 0 {
		attr.AddRtAttr(daemonMaxLen, nl.Uint16Attr(d.MaxLen))
	}
	if d.Group.Is4() {
		attr.AddRtAttr(daemonGroup, d.Group.AsSlice())
	} else {
		attr.AddRtAttr(daemonGroup6, d.Group.AsSlice())
	}
	attr.AddRtAttr(daemonPort, nl.Uint16Attr(d.Port))
	attr.AddRtAttr(daemonTTL, nl.Uint8Attr(d.TTL))
	return attr
}

func parseDaemon(msg []byte) (Daemon, error) {
	body, err := nested(msg, attrDaemon)
	if err != nil {
		return Daemon{}, err
	}
	var d Daemon
	for typ, value := range attrs(body) {
		switch typ {
		case daemonState:
			d.Role = Role(uintOf(value))
		case daemonInterface:
			d.Interface = stringOf(value)
		case daemonSyncID:
			d.SyncID = uint8(uintOf(value))
		case daemonMaxLen:
			d.MaxLen = uint16(uintOf(value))
		case daemonGroup, daemonGroup6:
			d.Group, _ = netip.AddrFromSlice(value)
		case daemonPort:
			d.Port = uint16(uintOf(value))
		case daemonTTL:
			d.TTL = uint8(uintOf(value))
		}
	}
	if d.Role != Master && d.Role != Backup {
		return Daemon{}, fmt.Errorf("sync daemon of unknown %s", d.Role)
	}
	return d, nil
}

// explainDaemon puts the kernel's refusal to start a daemon into words.
func explainDaemon(d Daemon, err error) error {
	switch {
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("there is no interface %s (%w)", d.Interface, err)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("another program has just started one (%w)", err)
	case errors.Is(err, unix.ENETUNREACH):
		return fmt.Errorf("the interface is down or has no address (%w)", err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("refused, perhaps because some service has servers of the other address family, "+
			"which the sync protocol cannot carry (%w)", err)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("this kernel's IPVS does not support the group's address family (%w)", err)
	}
	return explain(err)
}
