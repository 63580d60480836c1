package hooks

import (
	"maps"
	"slices"

	"tandem/configs"
	"tandem/internal/events"
)

// object is what something happens to.
type object struct {
	kind string // router, group, service, server, director
	name string // of a server: its service and its address
}

// call is what a hook is told: a state that an object has taken.
type call struct {
	object
	word  string // one of configs.HookEvents
	role  string // of a router or a group
	event events.Event
}

// states is the present state of every object, as the events tell it. They come
// from many goroutines, so that an old role may be told after the fault that ends
// it: a state is worked out from what is known, and not from the order.
type states map[object]*state

// state is what is known of one object.
type state struct {
	call  // word is empty if the state is none of configs.HookEvents
	fault bool
}

// note takes an event in, and says whether an object has a new state.
func (s states) note(e events.Event) (c call, news bool) {
	o := objectOf(e)
	if o.kind == "" {
		return call{}, false
	}
	now := s[o]
	if now == nil {
		now = &state{call: call{object: o}}
		s[o] = now
	}
	old := now.word
	now.take(e)
	if now.word == old {
		return call{}, false
	}
	now.event = e
	return now.call, now.word != ""
}

func objectOf(e events.Event) object {
	switch e.Kind {
	case events.Role, events.Fault:
		return object{"router", e.Router}
	case events.Group:
		return object{"group", e.Group}
	case events.Service:
		return object{"service", e.Service}
	case events.Verdict:
		return serverOf(e.Service, e.Server)
	case events.Stopping:
		return object{kind: "director"}
	}
	return object{}
}

func serverOf(service, address string) object { return object{"server", service + " " + address} }

// take works the state out.
func (s *state) take(e events.Event) {
	switch e.Kind {
	case events.Role:
		s.role = e.To
	case events.Fault:
		s.fault = e.To == "yes"
	case events.Group:
		s.role = e.To
	}
	word := e.To
	switch s.kind {
	case "director":
		word = "stopping"
	case "router":
		word = s.role
		if s.fault {
			word = "fault"
		}
	default:
		word = s.kind + "-" + word
	}
	s.word = ""
	if slices.Contains(configs.HookEvents, word) {
		s.word = word
	}
}

// keep forgets the objects that a configuration does not have.
func (s states) keep(cfg *configs.Config) {
	have := map[object]bool{{kind: "director"}: true}
	for _, r := range cfg.Routers {
		have[object{"router", r.Name}] = true
		have[object{"group", r.Group}] = true
	}
	for _, svc := range cfg.Services {
		have[object{"service", svc.Name}] = true
		for _, srv := range svc.Servers {
			have[serverOf(svc.Name, srv.Address.String())] = true
		}
	}
	maps.DeleteFunc(s, func(o object, _ *state) bool { return !have[o] })
}

// present is the states that hooks can be told, in the order in which they were
// taken.
func (s states) present() []call {
	var out []call
	for _, st := range s {
		if st.word != "" {
			out = append(out, st.call)
		}
	}
	slices.SortFunc(out, func(a, b call) int { return int(a.event.Seq) - int(b.event.Seq) })
	return out
}

// wants says whether a hook is to be told.
func wants(h configs.Hook, c call) bool {
	only := func(want, name string) bool { return want == "" || want == name }
	if !slices.Contains(h.Events, c.word) {
		return false
	}
	switch c.kind {
	case "router":
		return only(h.Router, c.event.Router)
	case "group":
		return only(h.Group, c.event.Group)
	case "service", "server":
		return only(h.Service, c.event.Service)
	}
	return true
}
