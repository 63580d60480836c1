package sim

import (
	"fmt"
	"strings"

	"tandem/vrrp"
)

// tracef writes a line with the time, if anybody reads.
func (w *World) tracef(format string, args ...any) {
	if w.trace != nil && !w.over {
		w.trace(fmt.Sprintf("%14.6fms  ", float64(w.now)/float64(ms)) + fmt.Sprintf(format, args...))
	}
}

// note counts a disturbance or a work, and traces it.
func (w *World) note(op string, format string, args ...any) {
	w.stats.Ops[op]++
	w.tracef("** %s "+format, append([]any{op}, args...)...)
}

// traceStep writes what an election got and did. What goes on for ever in a
// settled network is left out.
func (w *World) traceStep(d *director, ev vrrp.Event, actions []vrrp.Action) {
	if w.trace == nil || w.now > w.settled && isRoutine(ev, actions) {
		return
	}
	var out []string
	for _, a := range actions {
		out = append(out, actionText(a))
	}
	w.tracef("%s %s -> %s", d.name, eventText(ev), strings.Join(out, ", "))
}

func isRoutine(ev vrrp.Event, actions []vrrp.Action) bool {
	switch ev.(type) {
	case vrrp.Received:
		return len(actions) == 0
	case vrrp.Timeout:
		if len(actions) != 1 {
			return false
		}
		_, advert := actions[0].(vrrp.SendAdvert)
		return advert
	}
	return false
}

func eventText(ev vrrp.Event) string {
	switch ev := ev.(type) {
	case vrrp.Received:
		return fmt.Sprintf("hears %v priority %d every %v", ev.Src, ev.Advert.Priority, ev.Advert.Interval)
	case vrrp.Reconfigure:
		return "reconfigure " + configText(ev.Config)
	case vrrp.Shutdown:
		return fmt.Sprintf("shutdown, hand over %v", ev.HandOver)
	case vrrp.Startup:
		return fmt.Sprintf("startup %v", ev.PrimaryAddr)
	}
	return "timeout"
}

func actionText(a vrrp.Action) string {
	switch a := a.(type) {
	case vrrp.SendAdvert:
		return fmt.Sprintf("advert %d", a.Priority)
	case vrrp.SetRole:
		return fmt.Sprintf("%v hold=%v (%s)", a.Role.State, a.Role.Hold, a.Role.Cause)
	case vrrp.Announce:
		return "announce"
	case vrrp.Note:
		return "note"
	}
	return fmt.Sprintf("%T", a)
}

func configText(c vrrp.Config) string {
	return fmt.Sprintf("priority %d, every %v, failback %v after %v", c.Priority, c.Interval, c.Failback, c.FailbackDelay)
}
