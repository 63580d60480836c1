package healthcheck

import "time"

// Status is everything that is held of one Target, as a copy.
type Status struct {
	Verdict Verdict

	Last   Result    // the newest result of any kind, local ones included
	LastAt time.Time // when Last was found; zero: no probe has ended yet

	Successes int // in a row, local results left out
	Failures  int // in a row, local results left out

	Transitions uint64 // changes of Verdict.State; leaving Unknown is the first
}

// Machine turns the results of one Target's probes into a Verdict. It has no
// clock: every input carries its time. It is a plain value; a copy is
// independent of its original. It is not safe for concurrent use.
type Machine struct {
	rise, fall int
	status     Status
}

// NewMachine returns a Machine that knows nothing of its server yet. Of the
// Target it takes Rise and Fall; a value below 1 acts as 1.
func NewMachine(t Target) *Machine {
	m := new(Machine)
	m.SetThresholds(t.Rise, t.Fall)
	return m
}

// SetThresholds replaces Rise and Fall and keeps all that is known. The runs
// of successes and failures go on; the next result is judged by the new values.
func (m *Machine) SetThresholds(rise, fall int) {
	m.rise, m.fall = max(rise, 1), max(fall, 1)
}

// Step takes the result of a probe that ended at the given time. It returns
// the verdict that now holds, and whether its State has changed.
//
// The first conclusive result decides alone. Waiting for Rise successes would
// leave a cold start without servers for Rise intervals, and trusting a server
// before any answer would send clients to one that nobody has verified.
//
// ReasonLocal is recorded and changes nothing else, not even the runs: that
// this director ran out of sockets is neither for nor against the server.
func (m *Machine) Step(at time.Time, r Result) (v Verdict, changed bool) {
	s := &m.status
	s.Last, s.LastAt = r, at
	switch r.Reason {
	case ReasonLocal, ReasonNone:
		return s.Verdict, false
	case ReasonOK:
		s.Successes, s.Failures = s.Successes+1, 0
	default:
		s.Successes, s.Failures = 0, s.Failures+1
	}
	next := m.judge()
	if next == s.Verdict.State {
		return s.Verdict, false
	}
	m.become(Verdict{State: next, Reason: r.Reason, Detail: r.Detail, Since: at})
	return s.Verdict, true
}

// judge says which State the runs call for. It is called after a conclusive
// result, so that exactly one of the two runs is not zero.
func (m *Machine) judge() State {
	s := &m.status
	switch s.Verdict.State {
	case Up:
		if s.Failures >= m.fall {
			return Down
		}
	case Down:
		if s.Successes >= m.rise {
			return Up
		}
	default:
		if s.Successes > 0 {
			return Up
		}
		return Down
	}
	return s.Verdict.State
}

func (m *Machine) become(v Verdict) {
	m.status.Verdict = v
	m.status.Transitions++
}

// Adopt starts from a verdict that was reached elsewhere, such as what the
// kernel's table says of a server when the daemon starts. From there Rise and
// Fall apply in full: one lost probe after a restart must not empty a pool
// that was serving. It reports whether the verdict was taken. Only a Machine
// without a verdict takes one, because its own probes know better, and an
// Unknown one is nothing to take.
func (m *Machine) Adopt(v Verdict) bool {
	if m.status.Verdict.State != Unknown || v.State == Unknown {
		return false
	}
	m.become(v)
	return true
}

// Status returns a copy of what is known.
func (m *Machine) Status() Status { return m.status }
