package director

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tandem/configs"
	"tandem/healthcheck"
)

// ThingState is what is known of a tracked thing. It is a level: what is now,
// whatever was before.
type ThingState struct {
	Known  bool   // false: nobody has managed to look yet, and the thing changes nothing
	Well   bool   // of a file: its number is 0
	Number int64  // of a file
	Reason string // in words, may be empty
}

// Standing is what the tracked things make of a virtual router.
type Standing struct {
	Fault  string        // why the router is to stay out of its election; empty: it is not
	Weight int           // is added to its priority
	Things []TrackStatus // in the order of the configuration
}

// TrackStatus is one tracked thing of a virtual router.
type TrackStatus struct {
	Thing  string    `json:"thing"`
	State  string    `json:"state"`            // unknown, well, failed
	Weight int       `json:"weight,omitempty"` // configured; none: a failure is a fault
	Effect int       `json:"effect"`           // what it adds to the priority now
	Fault  bool      `json:"fault"`            // it keeps the router out of its election
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"` // of State and Effect
}

// Weigh works out a router's standing. A thing of which nothing is known is
// neither a fault nor a weight: a start does not wait for a slow script, and one
// that hangs for good is killed and has failed.
func Weigh(tracks []configs.Track, states map[configs.Thing]ThingState) Standing {
	var out Standing
	var faults []string
	for _, t := range tracks {
		s := weighOne(t, states[t.Thing])
		out.Weight += s.Effect
		if s.Fault {
			faults = append(faults, faultInWords(s))
		}
		out.Things = append(out.Things, s)
	}
	out.Fault = strings.Join(faults, "; ")
	return out
}

func weighOne(t configs.Track, state ThingState) TrackStatus {
	s := TrackStatus{Thing: t.String(), State: "unknown", Weight: t.Weight, Reason: state.Reason}
	if !state.Known {
		return s
	}
	s.State = "failed"
	if state.Well {
		s.State = "well"
	}
	switch {
	case t.Weight == 0:
		s.Fault = !state.Well
	case t.Kind == configs.TrackFile:
		// Beyond 255 a number does what 255 does.
		s.Effect = t.Weight * int(min(max(state.Number, -255), 255))
	case state.Well == (t.Weight > 0):
		s.Effect = t.Weight
	}
	return s
}

func faultInWords(s TrackStatus) string {
	if s.Reason == "" {
		return s.Thing + " failed"
	}
	return s.Thing + ": " + s.Reason
}

// weighed is a priority with weights added: 1 to 254, for 0 and 255 mean other
// things (RFC 9568, section 5.2.4). An address owner's is never changed.
func weighed(base uint8, weight int) uint8 {
	if base == 255 {
		return base
	}
	return uint8(min(max(int(base)+weight, 1), 254))
}

// since dates the things of a standing: those that are as they were in the one
// before have been so for as long.
func (s Standing) since(before Standing, at time.Time) Standing {
	was := make(map[string]TrackStatus, len(before.Things))
	for _, t := range before.Things {
		was[t.Thing] = t
	}
	for i := range s.Things {
		t := &s.Things[i]
		t.Since = at
		if old, ok := was[t.Thing]; ok && old.State == t.State && old.Effect == t.Effect {
			t.Since = old.Since
		}
	}
	return s
}

// linkStates is the tracked interfaces.
func linkStates(tracks []configs.Track, links map[string]Link) map[configs.Thing]ThingState {
	out := make(map[configs.Thing]ThingState)
	for _, t := range tracks {
		if t.Kind != configs.TrackInterface {
			continue
		}
		switch l, ok := links[t.Interface]; {
		case !ok:
			out[t.Thing] = ThingState{Known: true, Reason: "does not exist"}
		case !l.Up:
			out[t.Thing] = ThingState{Known: true, Reason: "is down or has no carrier"}
		default:
			out[t.Thing] = ThingState{Known: true, Well: true}
		}
	}
	return out
}

// serviceStates is the tracked services. One is known as soon as its servers
// without a verdict could not change the answer.
func serviceStates(tracks []configs.Track, services []configs.Service, verdicts map[healthcheck.Target]healthcheck.Verdict) map[configs.Thing]ThingState {
	out := make(map[configs.Thing]ThingState)
	for _, t := range tracks {
		i := slices.IndexFunc(services, func(s configs.Service) bool { return s.Name == t.Service })
		if t.Kind != configs.TrackService || i < 0 {
			continue
		}
		up, open := liveWeight(services[i], verdicts)
		out[t.Thing] = ThingState{
			Known:  up >= t.Quorum || up+open < t.Quorum,
			Well:   up >= t.Quorum,
			Reason: fmt.Sprintf("servers with weight %d of %d are up", up, t.Quorum),
		}
	}
	return out
}

// liveWeight is the weight of the servers that are up, and of those without a
// verdict.
func liveWeight(svc configs.Service, verdicts map[healthcheck.Target]healthcheck.Verdict) (up, open int64) {
	for _, srv := range svc.Servers {
		switch verdicts[TargetOf(svc, srv)].State {
		case healthcheck.Up:
			up += int64(srv.Weight)
		case healthcheck.Down:
		default:
			open += int64(srv.Weight)
		}
	}
	return up, open
}

// thingsOf lists what a configuration tracks outside of the director, each
// distinct thing once.
func thingsOf(cfg *configs.Config) []configs.Thing {
	seen := make(map[configs.Thing]bool)
	var out []configs.Thing
	for _, r := range cfg.Routers {
		for _, t := range r.Track {
			inside := t.Kind == configs.TrackInterface || t.Kind == configs.TrackService
			if !inside && !seen[t.Thing] {
				seen[t.Thing] = true
				out = append(out, t.Thing)
			}
		}
	}
	return out
}

// trackedServices is the services of a configuration that a router tracks.
func trackedServices(cfg *configs.Config, r configs.VirtualRouter) []configs.Service {
	var out []configs.Service
	for _, s := range cfg.Services {
		if slices.ContainsFunc(r.Track, func(t configs.Track) bool { return t.Service == s.Name }) {
			out = append(out, s)
		}
	}
	return out
}

// standing is the router's standing now. Without tracked things it costs nothing.
func (g *gate) standing(cfg configs.VirtualRouter, services []configs.Service, links map[string]Link) Standing {
	if len(cfg.Track) == 0 {
		return Standing{}
	}
	states := linkStates(cfg.Track, links)
	maps.Copy(states, g.things.States())
	if len(services) > 0 {
		maps.Copy(states, serviceStates(cfg.Track, services, verdictsOf(g.checks.Snapshot())))
	}
	return Weigh(cfg.Track, states)
}
