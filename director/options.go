package director

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"tandem/configs"
	healthrunner "tandem/healthcheck/runner"
	"tandem/internal/events"
	"tandem/ipvsctl"
	"tandem/vrrp"
	vrrprunner "tandem/vrrp/runner"
)

// Options are the edges of a Director. All are required.
type Options struct {
	Node   string // which director of the configuration this is
	Config *configs.Config

	Addresses Addresses
	Routes    Routes
	Rules     Rules
	Firewall  Firewall
	Devices   Devices
	Announcer Announcer
	Links     func() (map[string]Link, error)
	// Probe asks an interface's segment who has an address; nil: nobody.
	Probe   func(ctx context.Context, interfaceName string, ip netip.Addr) (net.HardwareAddr, error)
	Table   Table
	Sync    SyncDaemons
	Sysctls Sysctls
	Ledger  Ledger
	Checks  *healthrunner.Runner
	Things  Things

	// Profile is the sysctl profile of a configuration on this machine.
	Profile func(*configs.Config) []ipvsctl.Sysctl
	// Prepare opens what configurations need of the network and reads the keys of the
	// last, before an election of it is made or reconfigured or an address of it is
	// held. They are all that is in force, or about to be; on an error nothing
	// changes.
	Prepare func(...*configs.Config) error
	// Commit says that the configuration prepared last is in force: from here on
	// elections that are reconfigured follow it.
	Commit func(*configs.Config)
	// Drops counts the packets that elections discarded, in a stable order.
	Drops func() []DropStatus
	// NewElection runs the election of a virtual router until it is closed. No
	// two with the same RouterID run at a time.
	NewElection func(configs.VirtualRouter, vrrp.Config, ElectionEvents) (Election, error)

	// Events is told of everything that happens.
	Events *events.Log

	Log *slog.Logger
}

// Addresses is the kernel's address table. Ensure adds an address or renews its
// lease (0: for ever); one that is there keeps its options. Remove of an absent
// one is no error.
type Addresses interface {
	List() ([]configs.RouterAddress, error)
	Ensure(configs.RouterAddress, time.Duration) error
	Remove(configs.VirtualAddress) error
}

// Announcer tells the segment where addresses are. Announce restarts the
// schedule of repeats of addresses, Cancel ends it; neither blocks. Defend
// announces an address once and leaves its schedule alone.
type Announcer interface {
	Announce([]configs.VirtualAddress)
	Cancel([]configs.VirtualAddress)
	Defend(configs.VirtualAddress) error
}

// Link is the state of a network interface.
type Link struct {
	Up       bool       // administratively up, with carrier
	Primary  netip.Addr // first IPv4 address that is not a virtual one; may be invalid
	Primary6 netip.Addr // IPv6 link-local address that is not a virtual one and can be used; may be invalid
}

// source is the address that the adverts of a router on this interface come from;
// may be invalid.
func (l Link) source(r configs.VirtualRouter) netip.Addr {
	if r.IPv6() {
		return l.Primary6
	}
	return l.Primary
}

// Table is the kernel's IPVS table.
type Table interface {
	Table() (ipvsctl.Table, map[ipvsctl.StatsKey]ipvsctl.ServerStats, error)
	Apply([]ipvsctl.Op) error
}

// Things watches what virtual routers track outside of the director. Neither
// method blocks; what calls Director.ThingsChanged is up to the edge.
type Things interface {
	// Watch replaces what is watched. A thing that stays keeps its state.
	Watch([]configs.Thing)
	States() map[configs.Thing]ThingState
}

// SyncRole is what one of the kernel's two connection-sync daemons does.
type SyncRole string

// The roles of connection-sync daemons.
const (
	SyncMaster SyncRole = "master" // sends
	SyncBackup SyncRole = "backup" // receives
)

// SyncDaemon is how a connection-sync daemon runs.
type SyncDaemon struct {
	Interface string
	ID        uint8
}

// SyncDaemons are the kernel's connection-sync daemons. Start replaces one that
// runs otherwise; stopping one that does not run is no error.
type SyncDaemons interface {
	Running() (map[SyncRole]SyncDaemon, error)
	Start(SyncRole, SyncDaemon) error
	Stop(SyncRole) error
}

// Sysctls reads and writes kernel settings, with keys as in package sysctl. The
// error for a setting that this kernel does not have is fs.ErrNotExist.
type Sysctls interface {
	Get(key string) (string, error)
	Set(key, value string) error
}

// Ledger keeps what this director put into the kernel, so that it can be taken
// back after a crash.
type Ledger interface {
	Load() (Owned, error)
	Save(Owned) error
}

// Owned is what this director put into the kernel.
type Owned struct {
	Addresses []configs.VirtualAddress `json:"addresses"`
	Services  []ipvsctl.ServiceKey     `json:"services"`
	Sysctls   map[string]string        `json:"sysctls"` // the values before
	Sync      bool                     `json:"sync"`    // connection-sync daemons

	// What marks itself as ours in the kernel, if there is any.
	Routes   bool     `json:"routes,omitempty"`
	Rules    bool     `json:"rules,omitempty"`
	Firewall bool     `json:"firewall,omitempty"`
	Devices  []Device `json:"devices,omitempty"`
}

// Election is one virtual router's election, running. Close ends it without a
// goodbye; no event comes after it, and a second Close does nothing.
type Election interface {
	Startup(primary netip.Addr)
	Shutdown(cause string, handOver bool)
	Reconfigure(configs.VirtualRouter, vrrp.Config)
	TakeOver()
	Resign(cause string)
	Status() vrrprunner.Status
	Close()
}

// ElectionEvents are what an election reports. They do not block.
type ElectionEvents struct {
	Role     func(vrrp.Role)
	Announce func(cause string) // the addresses are to be announced again
	Heard    func()             // an advertisement of this virtual router
}
