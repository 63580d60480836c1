package sim

import (
	"net/netip"
	"testing"
	"time"

	"tandem/vrrp"
)

// mutant is a Machine that was broken from outside: every hook is optional and
// changes what goes in or comes out.
type mutant struct {
	Node
	cfg vrrp.Config
	in  func(*mutant, time.Time, vrrp.Event) (time.Time, vrrp.Event) // nil event: the Machine never sees it
	out func(*mutant, vrrp.Event, []vrrp.Action) []vrrp.Action
	due func(*mutant, time.Time) time.Time
	adv func(*mutant, vrrp.Advert) vrrp.Advert

	now     time.Time
	skipped time.Duration // time that the Machine does not know of
	held    bool          // it has held the addresses
}

func (m *mutant) state() vrrp.State { return m.Node.Status().Role.State }

func (m *mutant) Step(at time.Time, ev vrrp.Event) []vrrp.Action {
	if r, ok := ev.(vrrp.Reconfigure); ok {
		m.cfg = r.Config
	}
	if m.in != nil {
		if at, ev = m.in(m, at, ev); ev == nil {
			return nil
		}
	}
	m.now = at
	actions := m.Node.Step(at.Add(-m.skipped), ev)
	for i, a := range actions {
		if a, ok := a.(vrrp.SetRole); ok {
			a.Role.Since = a.Role.Since.Add(m.skipped)
			actions[i] = a
		}
	}
	if m.out != nil {
		actions = m.out(m, ev, actions)
	}
	return actions
}

func (m *mutant) Deadline() (time.Time, bool) {
	at, ok := m.Node.Deadline()
	at = at.Add(m.skipped)
	if ok && m.due != nil {
		at = m.due(m, at)
	}
	return at, ok
}

func (m *mutant) Status() vrrp.Status {
	s := m.Node.Status()
	if !s.AdvertAt.IsZero() {
		s.AdvertAt = s.AdvertAt.Add(m.skipped)
	}
	s.Role.Since = s.Role.Since.Add(m.skipped)
	return s
}

func (m *mutant) Advert(priority uint8) vrrp.Advert {
	a := m.Node.Advert(priority)
	if m.adv != nil {
		a = m.adv(m, a)
	}
	return a
}

// breed makes a mutant's constructor.
func breed(change func(*mutant)) func(vrrp.Config) Node {
	return func(cfg vrrp.Config) Node {
		m := &mutant{Node: vrrp.NewMachine(cfg), cfg: cfg}
		change(m)
		return m
	}
}

// heard changes what the Machine receives.
func heard(change func(*mutant, *vrrp.Received) bool) func(vrrp.Config) Node {
	return breed(func(m *mutant) {
		m.in = func(m *mutant, at time.Time, ev vrrp.Event) (time.Time, vrrp.Event) {
			if r, ok := ev.(vrrp.Received); ok {
				if !change(m, &r) {
					return at, nil
				}
				ev = r
			}
			return at, ev
		}
	})
}

// acted changes what the Machine does, action by action.
func acted(change func(m *mutant, ev vrrp.Event, a vrrp.Action) vrrp.Action) func(vrrp.Config) Node {
	return breed(func(m *mutant) {
		m.out = func(m *mutant, ev vrrp.Event, actions []vrrp.Action) []vrrp.Action {
			var out []vrrp.Action
			for _, a := range actions {
				if a = change(m, ev, a); a != nil {
					out = append(out, a)
				}
			}
			return out
		}
	})
}

// withMode ignores the failback mode of the configuration.
func withMode(mode vrrp.Failback) func(vrrp.Config) Node {
	return func(cfg vrrp.Config) Node {
		cfg.Failback = mode
		m := &mutant{Node: vrrp.NewMachine(cfg), cfg: cfg}
		m.in = func(_ *mutant, at time.Time, ev vrrp.Event) (time.Time, vrrp.Event) {
			if r, ok := ev.(vrrp.Reconfigure); ok {
				r.Config.Failback = mode
				ev = r
			}
			return at, ev
		}
		return m
	}
}

// roles changes the roles that the Machine reports.
func roles(change func(m *mutant, ev vrrp.Event, r *vrrp.Role)) func(vrrp.Config) Node {
	return acted(func(m *mutant, ev vrrp.Event, a vrrp.Action) vrrp.Action {
		if s, ok := a.(vrrp.SetRole); ok {
			change(m, ev, &s.Role)
			m.held = m.held || s.Role.Hold
			a = s
		}
		return a
	})
}

// earlier makes a backup's timer run out earlier.
func earlier(by func(s vrrp.Status) time.Duration) func(vrrp.Config) Node {
	return breed(func(m *mutant) {
		shift := func() time.Duration {
			if m.state() != vrrp.Backup || !m.Node.Status().HoldUntil.IsZero() {
				return 0
			}
			return by(m.Node.Status())
		}
		m.due = func(m *mutant, at time.Time) time.Time { return at.Add(-shift()) }
		m.in = func(m *mutant, at time.Time, ev vrrp.Event) (time.Time, vrrp.Event) {
			if _, ok := ev.(vrrp.Timeout); ok {
				at = at.Add(shift())
			}
			return at, ev
		}
	})
}

var nobody = netip.MustParseAddr("10.0.0.1") // lower than every director

// mutants are elections with one mistake each.
var mutants = []struct {
	name string
	new  func(vrrp.Config) Node
	// outcome says that the mistake is seen in what becomes of the network. Others
	// are mistakes of a word or a moment that only the rules of speech.go know.
	outcome bool
}{
	{"no tie-break by address", heard(func(m *mutant, r *vrrp.Received) bool {
		if r.Advert.Priority == m.cfg.Priority {
			r.Src = nobody
		}
		return true
	}), true},
	{"a backup takes an equal for a lower one", heard(func(m *mutant, r *vrrp.Received) bool {
		if r.Advert.Priority == m.cfg.Priority && r.Advert.Priority > 1 && m.state() == vrrp.Backup {
			r.Advert.Priority--
		}
		return true
	}), true},
	{"priority 0 is ignored", heard(func(_ *mutant, r *vrrp.Received) bool {
		return r.Advert.Priority != 0
	}), true},
	{"priority 0 is a priority like others", heard(func(_ *mutant, r *vrrp.Received) bool {
		r.Advert.Priority = max(r.Advert.Priority, 1)
		return true
	}), true},
	{"no skew", earlier(func(s vrrp.Status) time.Duration {
		return s.Skew
	}), true},
	{"gives the active router up after two intervals", earlier(func(s vrrp.Status) time.Duration {
		return s.ActiveInterval
	}), false},
	{"no pause guard", breed(func(m *mutant) {
		m.in = func(m *mutant, at time.Time, ev vrrp.Event) (time.Time, vrrp.Event) {
			if gap := at.Sub(m.now); m.state() == vrrp.Active && gap >= 3*m.cfg.Interval {
				m.skipped += gap
			}
			return at, ev
		}
	}), false},
	{"keeps the addresses after it has lost", roles(func(m *mutant, _ vrrp.Event, r *vrrp.Role) {
		r.Hold = r.Hold || r.State == vrrp.Backup && m.held
	}), true},
	{"lets go of the addresses when it is stopped", roles(func(_ *mutant, _ vrrp.Event, r *vrrp.Role) {
		r.Hold = r.Hold && r.State != vrrp.Init
	}), true},
	{"lets go of the addresses when it yields", roles(func(_ *mutant, _ vrrp.Event, r *vrrp.Role) {
		r.Hold = r.Hold && r.State != vrrp.Backup
	}), true},
	{"holds on after a fault", roles(func(m *mutant, ev vrrp.Event, r *vrrp.Role) {
		if s, ok := ev.(vrrp.Shutdown); ok && !s.HandOver && m.held {
			r.Hold = true
		}
	}), true},
	{"stops without a release", acted(func(_ *mutant, _ vrrp.Event, a vrrp.Action) vrrp.Action {
		if s, ok := a.(vrrp.SendAdvert); ok && s.Priority == 0 {
			return nil
		}
		return a
	}), true},
	{"becomes active without a word", acted(func(_ *mutant, ev vrrp.Event, a vrrp.Action) vrrp.Action {
		_, timeout := ev.(vrrp.Timeout)
		if _, advert := a.(vrrp.SendAdvert); advert && timeout {
			return nil
		}
		return a
	}), true},
	{"does not answer a loser", acted(func(_ *mutant, ev vrrp.Event, a vrrp.Action) vrrp.Action {
		_, received := ev.(vrrp.Received)
		if _, advert := a.(vrrp.SendAdvert); advert && received {
			return nil
		}
		return a
	}), false},
	{"yields to lower priorities", heard(func(m *mutant, r *vrrp.Received) bool {
		if p := r.Advert.Priority; p > 0 && p < m.cfg.Priority && m.state() == vrrp.Active {
			r.Advert.Priority = m.cfg.Priority + 1
		}
		return true
	}), true},
	{"yields to nobody", heard(func(m *mutant, r *vrrp.Received) bool {
		if m.state() == vrrp.Active {
			r.Advert.Priority = min(r.Advert.Priority, m.cfg.Priority-1)
		}
		return true
	}), true},
	{"does not learn the interval", heard(func(m *mutant, r *vrrp.Received) bool {
		r.Advert.Interval = m.cfg.Interval
		return true
	}), true},
	{"yields in its own interval", breed(func(m *mutant) {
		m.adv = func(m *mutant, a vrrp.Advert) vrrp.Advert {
			a.Interval = m.cfg.Interval
			return a
		}
	}), true},
	{"always fails back", withMode(vrrp.FailbackImmediate), true},
	{"never fails back", withMode(vrrp.FailbackNever), true},
	{"answers every advertisement", breed(func(m *mutant) {
		m.out = func(m *mutant, ev vrrp.Event, actions []vrrp.Action) []vrrp.Action {
			if _, received := ev.(vrrp.Received); received && m.state() != vrrp.Init {
				actions = append(actions, vrrp.SendAdvert{Priority: m.cfg.Priority})
			}
			return actions
		}
	}), true},
	{"answers every release at once", breed(func(m *mutant) {
		m.out = func(m *mutant, ev vrrp.Event, actions []vrrp.Action) []vrrp.Action {
			r, received := ev.(vrrp.Received)
			if received && r.Advert.Priority == 0 && m.state() == vrrp.Active && len(actions) == 0 {
				actions = append(actions, vrrp.SendAdvert{Priority: m.cfg.Priority})
			}
			return actions
		}
	}), false},
	{"does not answer a release that comes early", breed(func(m *mutant) {
		m.in = func(m *mutant, at time.Time, ev vrrp.Event) (time.Time, vrrp.Event) {
			r, received := ev.(vrrp.Received)
			spoke := m.Node.Status().AdvertAt.Add(-m.cfg.Interval)
			if received && r.Advert.Priority == 0 && m.state() == vrrp.Active && at.Before(spoke.Add(releaseGap)) {
				return at, nil
			}
			return at, ev
		}
	}), false},
	{"a timer that never stops", breed(func(m *mutant) {
		m.due = func(m *mutant, at time.Time) time.Time {
			if at.After(m.now) && m.state() == vrrp.Active {
				return m.now
			}
			return at
		}
	}), true},
}

// Every mistake is found within this many scenarios.
const enough = 3000

// TestMutants: the rules are worth something only if they find mistakes.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			rule := caughtBy(t, Options{New: m.new})
			if m.outcome && ofSpeech[rule] {
				caughtBy(t, Options{New: m.new, OutcomesOnly: true})
			}
		})
	}
}

// caughtBy is the first rule that is broken.
func caughtBy(t *testing.T, o Options) string {
	t.Helper()
	for seed := uint64(1); seed <= enough; seed++ {
		if _, err := Run(seed, o); err != nil {
			t.Logf("outcomes only %v: %v", o.OutcomesOnly, err)
			return err.(*Failure).Rule
		}
	}
	t.Errorf("outcomes only %v: not found in %d scenarios", o.OutcomesOnly, enough)
	return ""
}

// TestNoSettle: the same for a mistake of the loop.
func TestNoSettle(t *testing.T) {
	if rule := caughtBy(t, Options{NoSettle: true}); rule != "deaf" {
		t.Errorf("rule %q", rule)
	}
}

// TestUnchangedMutant: the wrapping itself breaks nothing.
func TestUnchangedMutant(t *testing.T) {
	if _, err := play(enough/5, Options{New: breed(func(*mutant) {})}); err != nil {
		t.Error(err)
	}
}
