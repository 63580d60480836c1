package kernel

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/moby/ipvs"
	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The ways in which Open fails for want of something that the operator can
// provide.
var (
	ErrNoIPVS = errors.New("the kernel has no IPVS: load its module with \"modprobe ip_vs\", " +
		"at every boot with \"systemctl enable --now modprobe@ip_vs.service\"; " +
		"if there is no such module, install the distribution's full kernel package")
	ErrNoPermission = errors.New("IPVS needs the capability CAP_NET_ADMIN of the host, " +
		"not only of a container: run as root or with AmbientCapabilities=CAP_NET_ADMIN")
)

// familyName is what generic netlink calls IPVS (IPVS_GENL_NAME).
const familyName = "IPVS"

// replyTimeout bounds the wait for the kernel's answer, which it normally gives
// before the request returns.
const replyTimeout = 10 * time.Second

// Handle is an open connection to the kernel's IPVS. Its methods may be called
// from several goroutines.
type Handle struct {
	family uint16
	reader *nl.SocketHandle // locks itself

	mu   sync.Mutex // guards moby: its replies must not be read by another call
	moby *ipvs.Handle
}

// Open connects to the IPVS of the calling thread's network namespace. The
// error wraps ErrNoIPVS or ErrNoPermission where that is the reason.
func Open() (*Handle, error) {
	// Asking for the family lets the kernel load the module, where its
	// configuration allows that. It also has to come before moby/ipvs, which
	// remembers for ever a family that it did not find.
	family, err := netlink.GenlFamilyGet(familyName)
	if err != nil {
		return nil, fmt.Errorf("open IPVS: %w", explainLookup(err))
	}
	reader, err := openReader()
	if err != nil {
		return nil, fmt.Errorf("open IPVS: %w", err)
	}
	moby, err := openMoby()
	if err != nil {
		reader.Close()
		return nil, fmt.Errorf("open IPVS: %w", err)
	}
	h := &Handle{family: family.ID, reader: reader, moby: moby}
	if _, err := h.Timeouts(); err != nil { // the cheapest question that needs the permission
		h.Close()
		return nil, fmt.Errorf("open IPVS: %w", err)
	}
	return h, nil
}

func openReader() (*nl.SocketHandle, error) {
	sock, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	timeout := unix.NsecToTimeval(replyTimeout.Nanoseconds())
	if err := errors.Join(sock.SetSendTimeout(&timeout), sock.SetReceiveTimeout(&timeout)); err != nil {
		sock.Close()
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	return &nl.SocketHandle{Socket: sock}, nil
}

// explainLookup says what it means that the family IPVS cannot be looked up.
func explainLookup(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w (%w)", ErrNoIPVS, err)
	}
	return fmt.Errorf("look up its netlink family: %w", err)
}

// quiet makes sure that only one openMoby at a time changes the logger.
var quiet sync.Mutex

// openMoby opens a handle of moby/ipvs. The first one runs modprobe and
// complains through logrus if that fails, although the module is there by now:
// without modprobe in the path, say. Nothing else here uses logrus.
func openMoby() (*ipvs.Handle, error) {
	quiet.Lock()
	defer quiet.Unlock()
	out := logrus.StandardLogger().Out
	logrus.SetOutput(io.Discard)
	defer logrus.SetOutput(out)
	return ipvs.New("")
}

// Close ends the connection. The kernel's table and daemons stay as they are.
func (h *Handle) Close() error {
	h.reader.Close()
	h.moby.Close()
	return nil
}

// Timeouts are how long the kernel keeps an idle connection. They have a
// resolution of one second.
type Timeouts struct {
	TCP    time.Duration // established
	TCPFin time.Duration // after the first FIN
	UDP    time.Duration
}

// Timeouts returns the timeouts of the kernel.
func (h *Handle) Timeouts() (Timeouts, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := h.moby.GetConfig()
	if err != nil {
		return Timeouts{}, fmt.Errorf("read the timeouts: %w", explain(err))
	}
	return Timeouts{TCP: c.TimeoutTCP, TCPFin: c.TimeoutTCPFin, UDP: c.TimeoutUDP}, nil
}

// explain puts the errors that any request can have into words.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w (%w)", ErrNoPermission, err)
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("the kernel did not answer within %s (%w)", replyTimeout, err)
	}
	return err
}
