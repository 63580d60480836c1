package main

import (
	"errors"
	"fmt"
	"time"

	"tandem/configs"
	"tandem/director"
	"tandem/internal/netif"
	"tandem/internal/sysctl"
	"tandem/ipvsctl"
	"tandem/ipvsctl/kernel"
)

// addresses is the kernel's address table as the director wants it.
type addresses struct{ h *netif.Handle }

func (a addresses) List() ([]configs.RouterAddress, error) {
	held, err := a.h.Addresses()
	if err != nil {
		return nil, err
	}
	out := make([]configs.RouterAddress, 0, len(held))
	for _, h := range held {
		out = append(out, configs.RouterAddress{
			VirtualAddress: configs.VirtualAddress(h.Address),
			AddressOptions: configs.AddressOptions(h.Options),
		})
	}
	return out, nil
}

func (a addresses) Ensure(v configs.RouterAddress, lease time.Duration) error {
	return a.h.EnsureWith(netif.Address(v.VirtualAddress), netif.Options(v.AddressOptions), lease)
}

func (a addresses) Remove(v configs.VirtualAddress) error { return a.h.Remove(netif.Address(v)) }

// syncMaxLen makes the kernel send each connection in a datagram of its own, so
// that the backup trails by one connection and not by a part-filled buffer,
// which would wait for two seconds. It is the header and one IPv4 entry; the buffer
// for an IPv6 entry, which is larger, is made as large as that.
const syncMaxLen = 8 + 36

// syncDaemons are the kernel's connection-sync daemons as the director wants
// them. A daemon is bound to its interface by index and reports the name: when an
// interface is removed and made again, it runs on and neither sends nor hears. One
// goroutine at a time may use them.
type syncDaemons struct {
	h     syncHandle
	links *netif.Handle
	bound map[director.SyncRole]int // index of the interface when it was started here
}

// syncHandle is what of IPVS syncDaemons need.
type syncHandle interface {
	Daemons() ([]kernel.Daemon, error)
	StartDaemon(kernel.Daemon) error
	StopDaemon(kernel.Role) error
}

func newSyncDaemons(h syncHandle, links *netif.Handle) syncDaemons {
	return syncDaemons{h, links, make(map[director.SyncRole]int)}
}

var kernelRole = map[director.SyncRole]kernel.Role{
	director.SyncMaster: kernel.Master,
	director.SyncBackup: kernel.Backup,
}

// Running leaves out a daemon whose interface is not the one that it was started
// on.
func (s syncDaemons) Running() (map[director.SyncRole]director.SyncDaemon, error) {
	list, err := s.h.Daemons()
	if err != nil {
		return nil, err
	}
	out := make(map[director.SyncRole]director.SyncDaemon)
	for _, d := range list {
		for role, k := range kernelRole {
			if k == d.Role && !s.adrift(role, d.Interface) {
				out[role] = director.SyncDaemon{Interface: d.Interface, ID: d.SyncID}
			}
		}
	}
	return out, nil
}

// adrift says whether a daemon is bound to an interface that is gone.
func (s syncDaemons) adrift(role director.SyncRole, interfaceName string) bool {
	index, known := s.bound[role]
	if !known {
		return false
	}
	link, err := s.links.Link(interfaceName)
	return err == nil && link.Index != index
}

// Start also replaces a daemon that is adrift.
func (s syncDaemons) Start(role director.SyncRole, d director.SyncDaemon) error {
	if s.adrift(role, d.Interface) {
		if err := s.Stop(role); err != nil {
			return err
		}
	}
	k := kernel.Daemon{Role: kernelRole[role], Interface: d.Interface, SyncID: d.ID}
	if role == director.SyncMaster {
		k.MaxLen = syncMaxLen
	}
	link, err := s.links.Link(d.Interface)
	if err != nil {
		return fmt.Errorf("start the sync %s: %w", role, err)
	}
	if err := s.h.StartDaemon(k); err != nil {
		return err
	}
	s.bound[role] = link.Index
	return nil
}

// Stop stops the daemon of a role, if it runs.
func (s syncDaemons) Stop(role director.SyncRole) error {
	delete(s.bound, role)
	return s.h.StopDaemon(kernelRole[role])
}

// sysctls is package sysctl as an interface.
type sysctls struct{}

func (sysctls) Get(key string) (string, error) { return sysctl.Get(key) }
func (sysctls) Set(key, value string) error    { return sysctl.Set(key, value) }

// profile is the sysctl profile of a configuration on this machine. A kernel
// whose version cannot be read is taken for a recent one.
func profile(cfg *configs.Config) []ipvsctl.Sysctl {
	in := director.ProfileInput(cfg)
	v, err := kernel.Version()
	if err != nil {
		v = ipvsctl.KernelVersion{Major: 6}
	}
	in.Kernel = v
	value, err := sysctl.Get("net/ipv4/vs/conntrack")
	in.Conntrack = err == nil && value == "1"
	return ipvsctl.Profile(in)
}

// errNoSegment says that an interface was never opened.
var errNoSegment = errors.New("the interface is not open")

// forwardsIPv6 says whether the kernel answers neighbours as a router on an
// interface. Without IPv6 it does not.
func forwardsIPv6(interfaceName string) bool {
	v, err := sysctl.Get("net/ipv6/conf/" + interfaceName + "/forwarding")
	return err == nil && v != "0"
}
