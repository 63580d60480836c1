package main

import (
	"fmt"

	"tandem/configs"
	"tandem/director"
	"tandem/vrrp"
)

func routerID(r configs.VirtualRouter) director.RouterID {
	return director.RouterID{Interface: r.Interface, VRID: r.VRID}
}

// formatsOf is how the routers of a configuration send their advertisements. It
// reads the key files.
func formatsOf(cfg *configs.Config) (map[director.RouterID]vrrp.Format, error) {
	// The files are those of [vrrp.auth], the same for every router.
	keys, err := readKeys(cfg.Routers[0].Auth.Keys)
	if err != nil {
		return nil, err
	}
	formats := make(map[director.RouterID]vrrp.Format, len(cfg.Routers))
	for _, r := range cfg.Routers {
		f := vrrp.Format{Auth: vrrp.AuthConfig{
			Mode:      authModes[r.Auth.Mode],
			Keys:      keys,
			ActiveKey: r.Auth.ActiveKey,
			Replay:    replayModes[r.Auth.Replay],
			Window:    r.Auth.Window,
		}}
		if err := f.Validate(); err != nil {
			return nil, fmt.Errorf("virtual router %s: %w", r.Name, err)
		}
		formats[routerID(r)] = f
	}
	return formats, nil
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
