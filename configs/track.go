package configs

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Track is one [[virtual_router.track]]: a thing outside of the election that a
// virtual router depends on.
type Track struct {
	Thing
	// Weight is added to the router's priority: a negative one while the thing
	// fails, a positive one while it is well, each times the number if the thing is
	// a file. 0: a failure is a fault, the router leaves its election.
	Weight int // -253 to 253
}

// ThingKind is what kind of thing is tracked: its key in the file.
type ThingKind string

// The kinds of things.
const (
	TrackInterface ThingKind = "interface" // is up, with carrier
	TrackAddress   ThingKind = "address"   // is on an interface
	TrackRoute     ThingKind = "route"     // is in the main table
	TrackScript    ThingKind = "script"    // ends with status 0
	TrackFile      ThingKind = "file"      // is absent, empty or holds 0
	TrackProcess   ThingKind = "process"   // exists
	TrackService   ThingKind = "service"   // has enough servers
)

// Thing is what is tracked. It is comparable, so that what several routers track
// is watched once. What is not of its kind is zero.
type Thing struct {
	Kind      ThingKind
	Interface string       // the interface; of an address or route: that it must be on, empty for any
	Address   netip.Addr   // IPv4 or IPv6, no virtual address
	Route     netip.Prefix // IPv4 or IPv6, masked
	Script    Command
	Interval  time.Duration // of a script, from start to start, 10 ms to 1 h
	Timeout   time.Duration // of a script, 1 ms to 1 h
	Rise      int           // of a script: good runs in a row that make it well, 1-1000
	Fall      int           // of a script: bad runs in a row that make it fail, 1-1000
	File      string        // absolute path
	Process   string        // name as in /proc/PID/comm, 1-15 bytes
	Service   string        // name of a service of the configuration
	Quorum    int64         // of a service: weight of servers that are up, at least 1
}

// String names the thing as the file does, in one line.
func (t Thing) String() string {
	var what string
	switch t.Kind {
	case TrackInterface:
		return "interface " + t.Interface
	case TrackAddress:
		what = t.Address.String()
	case TrackRoute:
		what = t.Route.String()
	case TrackScript:
		what = t.Script.String()
	case TrackFile:
		what = t.File
	case TrackProcess:
		what = t.Process
	case TrackService:
		what = t.Service
	}
	if t.Interface != "" {
		what += " on " + t.Interface
	}
	return string(t.Kind) + " " + what
}

// Command is a program and its arguments, each followed by a zero byte, which
// none of them can contain.
type Command string

// commandOf is the inverse of Command.Args.
func commandOf(args []string) Command {
	if len(args) == 0 {
		return ""
	}
	return Command(strings.Join(args, "\x00") + "\x00")
}

// Args returns the absolute path of the program and then its arguments.
func (c Command) Args() []string { return strings.Split(strings.TrimSuffix(string(c), "\x00"), "\x00") }

// String is for people.
func (c Command) String() string { return strings.Join(c.Args(), " ") }

// defaultScriptInterval is also the default timeout of a script.
const defaultScriptInterval = time.Second

// thingKeys are the keys that say what is tracked. An interface may also say
// where an address or a route must be.
var thingKeys = []ThingKind{TrackAddress, TrackRoute, TrackScript, TrackFile, TrackProcess, TrackService, TrackInterface}

func readTrack(t *table) Track {
	all := Thing{
		Kind:      t.thingKind(),
		Interface: read(t, "interface", "", interfaceName),
		Address:   read(t, "address", netip.Addr{}, anyAddress),
		Route:     read(t, "route", netip.Prefix{}, destination),
		Script:    read(t, "script", "", command),
		Interval:  read(t, "interval", defaultScriptInterval, span(10*time.Millisecond, time.Hour, time.Millisecond)),
		Rise:      read(t, "rise", 1, whole(1, 1000)),
		Fall:      read(t, "fall", 1, whole(1, 1000)),
		File:      read(t, "file", "", trackedFile),
		Process:   read(t, "process", "", processName),
		Service:   read(t, "service", "", name),
		Quorum:    read(t, "quorum", 1, whole[int64](1, 1<<40)),
	}
	all.Timeout = read(t, "timeout", all.Interval, span(time.Millisecond, time.Hour, time.Millisecond))
	track := Track{Thing: all.only(), Weight: read(t, "weight", 0, weight)}
	for _, key := range []string{"interval", "timeout", "rise", "fall", "quorum"} {
		kind := TrackScript
		if key == "quorum" {
			kind = TrackService
		}
		if t.has(key) && all.Kind != kind && all.Kind != "" {
			t.key(key).fail(fmt.Sprintf("has no effect on what is tracked here, a %s", all.Kind), fmt.Sprintf("remove it; it is for a %s", kind))
		}
	}
	t.done()
	return track
}

// thingKind finds out what a table tracks; empty if that is not one thing.
func (t *table) thingKind() ThingKind {
	var kinds []ThingKind
	for _, k := range thingKeys {
		if t.has(string(k)) {
			kinds = append(kinds, k)
		}
	}
	located := len(kinds) == 2 && kinds[1] == TrackInterface && (kinds[0] == TrackAddress || kinds[0] == TrackRoute)
	switch {
	case t.values == nil: // reported already
	case len(kinds) == 0:
		t.fail("tracks nothing", `write one of interface, address, route, script, file, process and service, for example interface = "eth1"`)
	case len(kinds) > 1 && !located:
		t.key(string(kinds[1])).fail(fmt.Sprintf("is a second thing beside %s", kinds[0]), "write a table [[virtual_router.track]] for each")
	default:
		return kinds[0]
	}
	return ""
}

// only is t without what is not of its kind.
func (t Thing) only() Thing {
	out := Thing{Kind: t.Kind}
	switch t.Kind {
	case TrackInterface:
		out.Interface = t.Interface
	case TrackAddress:
		out.Address, out.Interface = t.Address, t.Interface
	case TrackRoute:
		out.Route, out.Interface = t.Route, t.Interface
	case TrackScript:
		out.Script, out.Interval, out.Timeout, out.Rise, out.Fall = t.Script, t.Interval, t.Timeout, t.Rise, t.Fall
	case TrackFile:
		out.File = t.File
	case TrackProcess:
		out.Process = t.Process
	case TrackService:
		out.Service, out.Quorum = t.Service, t.Quorum
	}
	return out
}

// readable says whether it was understood what is tracked.
func (t Thing) readable() bool {
	switch t.Kind {
	case TrackAddress:
		return t.Address.IsValid()
	case TrackRoute:
		return t.Route.IsValid()
	}
	return t.Interface != "" || t.Script != "" || t.File != "" || t.Process != "" || t.Service != ""
}

// maxTracks is more than anybody can reason about.
const maxTracks = 64

// checkTracks refuses what cannot work.
func checkTracks(c *Config, p place) {
	services := make(map[string]Service)
	var names []string
	for _, s := range c.Services {
		services[s.Name] = s
		names = append(names, s.Name)
	}
	vips := make(map[netip.Addr]bool)
	for _, r := range c.Routers {
		for _, a := range r.Addresses {
			vips[a.Prefix.Addr()] = true
		}
	}
	for i, r := range c.Routers {
		list := p.index(i).key("track")
		if len(r.Track) > maxTracks {
			list.fail(fmt.Sprintf("holds %d things", len(r.Track)), fmt.Sprintf("track %d at most; a script can look at many", maxTracks))
		}
		seen := first[Thing]{}
		for j, t := range r.Track {
			at := list.index(j)
			if !t.readable() {
				continue
			}
			seen.unique(t.Thing, at.key(string(t.Kind)), "remove one of the two")
			checkWeight(r, t, at.key("weight"))
			switch {
			case t.Kind == TrackInterface && r.uses(t.Interface):
				at.key("interface").fail(fmt.Sprintf("router %s has addresses on %s, so its loss is a fault already", r.Name, t.Interface), "remove this table")
			case t.Kind == TrackAddress && vips[t.Address]:
				at.key("address").fail(fmt.Sprintf("%s is a virtual address: it comes and goes with the role that it would decide", t.Address), "track an address that does not move")
			case t.Kind == TrackService:
				checkQuorum(t, services, names, at)
			}
		}
	}
}

// uses says whether a router cannot run without an interface.
func (r VirtualRouter) uses(name string) bool {
	return name == r.Interface || slices.ContainsFunc(r.Addresses, func(a RouterAddress) bool { return a.Interface == name })
}

// checkWeight refuses weights that could not move a role.
func checkWeight(r VirtualRouter, t Track, p place) {
	if t.Weight == 0 {
		return
	}
	if r.Failback == "never" {
		p.fail(`with failback = "never" a backup never takes the role from a router that is alive, so a lower priority would not move it`,
			`write failback = "delay", or leave the weight out: then a failure is a fault and the router gives its role up`)
	}
	for _, director := range slices.Sorted(maps.Keys(r.Priority)) {
		if r.Priority[director] == 255 {
			p.fail(fmt.Sprintf("%s has priority 255: an address owner's priority is not weighed", director),
				"write a priority of 254 at most, or leave the weight out: then a failure is a fault")
			return
		}
	}
}

// checkQuorum refuses a service that there is not, or that can never be well.
func checkQuorum(t Track, services map[string]Service, names []string, at place) {
	s, ok := services[t.Service]
	if !ok {
		remedy := "the file has no [[service]]"
		if len(names) > 0 {
			remedy = meant(t.Service, names, "the services are")
		}
		at.key("service").fail(fmt.Sprintf("%q is no service of this file", t.Service), remedy)
		return
	}
	var total int64
	for _, server := range s.Servers {
		total += int64(server.Weight)
	}
	if t.Quorum > total && len(s.Servers) > 0 {
		p := at.key("service")
		if at.node.key("quorum") != nil {
			p = at.key("quorum")
		}
		p.fail(fmt.Sprintf("%d is more than the weight of all servers of %s, %d", t.Quorum, s.Name, total), "write less: it could never be reached")
	}
}

// trackWarnings says when the weights of a router cannot change who is active.
func (c *Config) trackWarnings(r VirtualRouter, warn func(problem, remedy string)) {
	var lose, gain int
	for _, t := range c.groupTracks(r) {
		if t.Kind == TrackFile {
			return // its number has no bound
		}
		lose += min(t.Weight, 0)
		gain += max(t.Weight, 0)
	}
	if lose == 0 && gain == 0 {
		return
	}
	for _, a := range c.Directors {
		for _, b := range c.Directors {
			worst, best := max(1, int(r.Priority[a.Name])+lose), min(254, int(r.Priority[b.Name])+gain)
			if r.Priority[a.Name] > r.Priority[b.Name] && worst >= best {
				warn(fmt.Sprintf("with every weighed thing failed on %s and well on %s, the priorities are %d and %d: the weights never move the role", a.Name, b.Name, worst, best),
					"write weights larger than the difference of the priorities")
			}
		}
	}
}
