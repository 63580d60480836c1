package configs

import (
	"fmt"
	"maps"
)

// groupTracks is what a router tracks and what the others of its group do, which
// counts for it, too.
func (c *Config) groupTracks(r VirtualRouter) []Track {
	if r.Group == "" {
		return r.Track
	}
	var list []Track
	for _, other := range c.Routers {
		if other.Group == r.Group {
			list = append(list, other.Track...)
		}
	}
	return list
}

// checkGroups refuses routers that could not move together: all of a group have
// the same chances at the same time.
func checkGroups(c *Config, p place) {
	firsts := make(map[string]VirtualRouter)
	for i, r := range c.Routers {
		if r.Group == "" {
			continue
		}
		at := p.index(i).key("group")
		for _, d := range c.Directors {
			if r.Priority[d.Name] == 255 {
				at.fail(fmt.Sprintf("%s has priority 255: an address owner takes its role at once and waits for no group", d.Name), "write a priority of 254 at most")
				break
			}
		}
		one, ok := firsts[r.Group]
		if !ok {
			firsts[r.Group] = r
			continue
		}
		differ := func(what, remedy string) {
			at.fail(fmt.Sprintf("%s and %s of the same group differ in their %s, so they could not move together", one.Name, r.Name, what), remedy)
		}
		if !maps.Equal(one.Priority, r.Priority) {
			differ("priorities", "give them the same, or leave out priority")
		}
		if one.AdvertInterval != r.AdvertInterval {
			differ("advert_interval", "give them the same")
		}
		if one.Failback != r.Failback || one.FailbackDelay != r.FailbackDelay {
			differ("failback", "give them the same failback and failback_delay")
		}
	}
}
