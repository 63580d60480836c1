package main

import (
	"fmt"
	"net/netip"

	"tandem/configs"
	"tandem/director"
	"tandem/vrrp"
	"tandem/vrrp/wire"
)

func routerID(r configs.VirtualRouter) director.RouterID {
	return director.RouterID{Interface: r.Interface, VRID: r.VRID, IPv6: r.IPv6()}
}

// wireRouters is how the advertisements of a configuration travel, for the
// director called node. It reads the key files.
func wireRouters(cfg *configs.Config, node string) (map[director.RouterID]wire.RouterConfig, error) {
	// The files are those of [vrrp.auth], the same for every router.
	keys, err := readKeys(cfg.Routers[0].Auth.Keys)
	if err != nil {
		return nil, err
	}
	routers := make(map[director.RouterID]wire.RouterConfig, len(cfg.Routers))
	for _, r := range cfg.Routers {
		c := wire.RouterConfig{Format: formatOf(r, keys)}
		if err := c.Format.Validate(); err != nil {
			return nil, fmt.Errorf("virtual router %s: %w", r.Name, err)
		}
		if r.Transport == "unicast" {
			c.Peers = peersOf(cfg, node, r)
		}
		routers[routerID(r)] = c
	}
	return routers, nil
}

func formatOf(r configs.VirtualRouter, keys map[uint8]vrrp.Key) vrrp.Format {
	f := vrrp.Format{Auth: vrrp.AuthConfig{
		Mode:      authModes[r.Auth.Mode],
		Keys:      keys,
		ActiveKey: r.Auth.ActiveKey,
		Replay:    replayModes[r.Auth.Replay],
		Window:    r.Auth.Window,
	}}
	if r.Checksum == "rfc9568" {
		f.Checksum = vrrp.ChecksumMessageOnly
	}
	if r.Version == 2 {
		f.Version, f.Interval = vrrp.V2, r.AdvertInterval
	}
	if r.AuthPass != "" {
		f.Password = vrrp.NewPassword(string(r.AuthPass))
	}
	return f
}

// peersOf is where the other directors send the adverts of a unicast router from; a
// configuration has one at least.
func peersOf(cfg *configs.Config, node string, r configs.VirtualRouter) []netip.Addr {
	var peers []netip.Addr
	for _, d := range cfg.Directors {
		if d.Name != node {
			peers = append(peers, d.AdvertAddress(r))
		}
	}
	return peers
}

// The words of the configuration file.
var (
	authModes   = byName(vrrp.AuthOff, vrrp.AuthReceiveOnly, vrrp.AuthPermissive, vrrp.AuthEnforce)
	replayModes = byName(vrrp.ReplayTime, vrrp.ReplayMonotonic)
)

func byName[T fmt.Stringer](list ...T) map[string]T {
	m := make(map[string]T, len(list))
	for _, v := range list {
		m[v.String()] = v
	}
	return m
}
