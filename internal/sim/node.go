package sim

import (
	"time"

	"tandem/vrrp"
)

// Node is an election as a director drives it: a *vrrp.Machine, or one that was
// broken on purpose to see whether the rules notice.
type Node interface {
	Step(at time.Time, ev vrrp.Event) []vrrp.Action
	Deadline() (time.Time, bool)
	Advert(priority uint8) vrrp.Advert
	Status() vrrp.Status
}

// Machine makes the real thing. It is the default of Options.New.
func Machine(cfg vrrp.Config) Node { return vrrp.NewMachine(cfg) }

var _ Node = (*vrrp.Machine)(nil)

// Virtual time is a duration since the epoch.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	ms = time.Millisecond
	us = time.Microsecond
	// never is the time of a timer that does not run.
	never = time.Duration(1<<63 - 1)
)

func wall(at time.Duration) time.Time { return epoch.Add(at) }

// skew and activeDown are Skew_Time and Active_Down_Interval of RFC 9568, section
// 6.1, written down once more: the rules must not ask the code they judge.
func skew(priority uint8, interval time.Duration) time.Duration {
	return interval * time.Duration(256-int(priority)) / 256
}

func activeDown(priority uint8, interval time.Duration) time.Duration {
	return 3*interval + skew(priority, interval)
}
