package configs

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Hook is one [[hook]]: a program that is run when something happens.
type Hook struct {
	Command Command
	Events  []string      // of HookEvents, at least one, none twice
	Router  string        // only of this one; empty: of every
	Group   string        // only of this one; empty: of every
	Service string        // only of this one; empty: of every
	Timeout time.Duration // 100 ms to 30 s
}

// HookEvents are what a hook can be run for. The part before the dash says what it
// happens to: a group, a service, a server; without one, a virtual router, but for
// stopping, which is the director's.
var HookEvents = []string{
	"active", "backup", "fault", "group-active", "group-backup", "group-fault",
	"service-empty", "service-served", "server-up", "server-down", "stopping",
}

const (
	defaultHookTimeout = 5 * time.Second
	// maxHookTimeout is what a stop may take longer for a hook; the unit gives it that.
	maxHookTimeout = 30 * time.Second
	// maxHooks is more than anybody can reason about.
	maxHooks = 64
)

func readHook(t *table) Hook {
	h := Hook{
		Command: need(t, "command", `["/usr/lib/tandem/on-role"]`, command),
		Router:  read(t, "router", "", name),
		Group:   read(t, "group", "", name),
		Service: read(t, "service", "", name),
		Timeout: read(t, "timeout", defaultHookTimeout, span(100*time.Millisecond, maxHookTimeout, time.Millisecond)),
	}
	seen := first[string]{}
	for _, e := range t.needList("events", `["active", "backup", "fault"]`) {
		if word, ok := oneOf(HookEvents...)(e); ok {
			seen.unique(word, e.place, "remove one of the two")
			h.Events = append(h.Events, word)
		}
	}
	t.done()
	return h
}

// about says what kind of object a hook's event happens to.
func about(event string) string {
	switch what, _, ok := strings.Cut(event, "-"); {
	case event == "stopping":
		return "director"
	case !ok:
		return "router"
	case what == "server":
		return "service"
	default:
		return what
	}
}

// checkHooks refuses hooks that would never run, or twice for one thing.
func checkHooks(c *Config, p place) {
	if len(c.Hooks) > maxHooks {
		p.fail(fmt.Sprintf("the file has %d", len(c.Hooks)), fmt.Sprintf("write %d at most; a program can look at TANDEM_EVENT", maxHooks))
	}
	var routers, groups, services []string
	for _, r := range c.Routers {
		routers = append(routers, r.Name)
		if r.Group != "" && !slices.Contains(groups, r.Group) {
			groups = append(groups, r.Group)
		}
	}
	for _, s := range c.Services {
		services = append(services, s.Name)
	}
	seen := make(map[HookID]place)
	for i, h := range c.Hooks {
		at := p.index(i)
		checkOnly(h, "router", h.Router, routers, at)
		checkOnly(h, "group", h.Group, groups, at)
		checkOnly(h, "service", h.Service, services, at)
		id := h.ID()
		if other, ok := seen[id]; ok && h.Command != "" {
			at.key("command").fail(fmt.Sprintf("is also %s in line %d, for the same objects", other.path, other.line), "write one table with the events of both")
		}
		seen[id] = at.key("command")
	}
}

// HookID tells the hooks of a file apart.
type HookID struct {
	Command                Command
	Router, Group, Service string
}

// ID is what no two hooks of a file have in common.
func (h Hook) ID() HookID { return HookID{h.Command, h.Router, h.Group, h.Service} }

// checkOnly judges a key that restricts a hook to one object of its kind.
func checkOnly(h Hook, key, value string, names []string, at place) {
	if value == "" {
		return
	}
	if !slices.ContainsFunc(h.Events, func(e string) bool { return about(e) == key }) && len(h.Events) > 0 {
		at.key(key).fail(fmt.Sprintf("has no effect: none of its events happens to a %s", key), "remove it, or add such an event")
		return
	}
	if !slices.Contains(names, value) {
		remedy := fmt.Sprintf("the file has no %s", key)
		if len(names) > 0 {
			remedy = meant(value, names, fmt.Sprintf("the %ss are", key))
		}
		at.key(key).fail(fmt.Sprintf("%q is no %s of this file", value, key), remedy)
	}
}
