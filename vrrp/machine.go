package vrrp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Machine elects for one virtual router. It is not safe for concurrent use.
type Machine struct {
	cfg     Config
	primary netip.Addr // the router's own address, from Startup
	role    Role
	now     time.Time // the latest time seen

	// activeInterval is Active_Adver_Interval. learned says that it came from the
	// active router; until then it is the router's own interval.
	activeInterval time.Duration
	learned        bool
	ready          bool // Backup only: Active_Down_Timer ran out, see Config.Grouped

	adver timer // Adver_Timer: Active only
	down  timer // Active_Down_Timer: Backup only
	hold  timer // the end of Hold: outside of Active only

	lastSent     time.Time // the latest advertisement that was not a release; since Active if none was
	sentBefore   time.Time // what lastSent was before that, see SendFailed
	mute         bool      // the latest advertisement could not be sent
	lastAnnounce time.Time // the latest Announce
	lowerSince   time.Time // the first of the lower-priority adverts heard, see preempts
	heard        Heard     // the latest advertisement
	noted        Heard     // the latest that a Note told of, see compare
	counters     Counters

	out []Action // collected by the latest Step
}

// NewMachine returns a Machine in Init. It panics if cfg is not valid, which is
// a mistake of the caller: see Config.Validate.
func NewMachine(cfg Config) *Machine {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	return &Machine{cfg: cfg.clone(), activeInterval: cfg.Interval}
}

// Step applies one event that happened at the given time and returns what is to
// be done, in order; the result is valid until the next Step. Time does not run
// backwards: an earlier time than that of the Step before counts as that one. An
// event does not fire a timer that ran out before it, only a Timeout does: a packet
// that was waiting when the timer ran out is judged first, and may stop it.
func (m *Machine) Step(at time.Time, ev Event) []Action {
	if at.Before(m.now) {
		at = m.now
	}
	m.now = at
	clear(m.out)
	m.out = m.out[:0]
	m.guardPause(at)
	switch ev := ev.(type) {
	case Startup:
		m.startup(at, ev)
	case Shutdown:
		m.shutdown(at, ev)
	case Received:
		m.receive(at, ev)
	case SendFailed:
		m.lastSent, m.mute = m.sentBefore, true
	case Timeout:
		m.timeout(at)
	case Reconfigure:
		m.reconfigure(at, ev.Config)
	case TakeOver:
		if m.ready {
			m.becomeActive(at, m.takeoverCause(at))
		}
	case Resign:
		m.resign(at, ev.Cause)
	default:
		panic(fmt.Sprintf("vrrp: unknown event %T", ev))
	}
	return m.out
}

// Deadline returns when the next Timeout is due: the earliest of all timers. It
// is false if none is running.
func (m *Machine) Deadline() (time.Time, bool) {
	var next timer
	for _, t := range []timer{m.adver, m.down, m.hold} {
		if t.running() {
			next.advance(t.at)
		}
	}
	return next.at, next.running()
}

// Advert returns the advertisement that SendAdvert asks for. Its addresses
// belong to the Machine and must not be changed.
//
// The only one that a backup sends is its last word as it yields. It names the
// winner's interval: the other backups that follow it are to wait for the winner,
// see yield.
func (m *Machine) Advert(priority uint8) Advert {
	a := m.cfg.advert(priority)
	if m.role.State == Backup {
		a.Interval = m.activeInterval
	}
	return a
}

// Role returns the current role.
func (m *Machine) Role() Role { return m.role }

// startup is the Startup event of RFC 9568, section 6.4.1.
func (m *Machine) startup(at time.Time, ev Startup) {
	if m.cfg.Addresses[0].Is4() {
		if !ev.PrimaryAddr.Is4() {
			m.note("no start: the primary address %v is not an IPv4 address", ev.PrimaryAddr)
			return
		}
	} else if !LinkLocal(ev.PrimaryAddr) {
		m.note("no start: the primary address %v is not an IPv6 link-local address without a zone", ev.PrimaryAddr)
		return
	}
	m.primary = ev.PrimaryAddr
	switch {
	case m.role.State != Init:
	case m.cfg.Priority == PriorityOwner:
		m.becomeActive(at, "startup as address owner")
	default:
		m.becomeBackup(at, "startup")
	}
}

// shutdown is the Shutdown event of RFC 9568, sections 6.4.2 and 6.4.3. The
// release goes out first in every case: the successor waits for nothing else.
func (m *Machine) shutdown(at time.Time, ev Shutdown) {
	wasActive := m.role.State == Active
	m.unlearn()
	m.adver.stop()
	m.down.stop()
	if wasActive {
		m.send(at, 0)
	}
	switch {
	case !ev.HandOver:
		m.hold.stop()
	case wasActive:
		m.hold.set(at.Add(m.handOver()))
	}
	m.ready = false
	m.setRole(at, Init, ev.Cause)
}

// timeout fires the timers that have run out.
func (m *Machine) timeout(at time.Time) {
	switch {
	case m.down.expired(at) && m.cfg.Grouped:
		m.down.stop()
		m.setReady(at, true)
	case m.down.expired(at):
		m.becomeActive(at, m.takeoverCause(at))
	case m.adver.expired(at):
		m.send(at, m.cfg.Priority)
	}
	if m.hold.expired(at) {
		m.letGo(at)
	}
}

// resign gives the role up for the others of the group.
func (m *Machine) resign(at time.Time, cause string) {
	if m.role.State != Active {
		return
	}
	m.send(at, 0)
	m.hold.set(at.Add(m.handOver()))
	m.unlearn()
	m.becomeBackup(at, cause)
}

// handOver is how long addresses are held for a successor at most.
func (m *Machine) handOver() time.Duration {
	return max(minHandOver, m.cfg.Version.activeDownInterval(m.cfg.Priority, m.cfg.Interval))
}

// letGo ends Hold after a hand-over or a lost election.
func (m *Machine) letGo(at time.Time) {
	m.hold.stop()
	if m.heard.Priority > 0 && !m.heard.At.Before(m.role.Since) {
		m.note("addresses let go: %v has taken over", m.heard.Src)
	} else {
		m.note("addresses let go: no successor heard")
	}
	m.setRole(at, m.role.State, m.role.Cause)
}

// reconfigure puts a new configuration in place. An active router whose
// advertisement changes says so at once: with a lower priority a better backup
// may want the role, and with a longer interval the backups would otherwise time
// out before the next advertisement. A backup moves the timer that is running by
// what the new configuration makes it longer or shorter.
func (m *Machine) reconfigure(at time.Time, cfg Config) {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	if cfg.VRID != m.cfg.VRID {
		panic(fmt.Sprintf("vrrp: VRID %d cannot become %d", m.cfg.VRID, cfg.VRID))
	}
	if was, is := m.cfg.Addresses[0], cfg.Addresses[0]; was.Is4() != is.Is4() {
		panic(fmt.Sprintf("vrrp: the addresses of VRID %d cannot change their family, from %v to %v", cfg.VRID, was, is))
	}
	old, oldDown := m.cfg, m.activeDown()
	m.cfg = cfg.clone()
	if !m.learned || cfg.Version != old.Version {
		m.unlearn()
	}
	switch m.role.State {
	case Backup:
		if m.down.running() {
			m.down.set(m.down.at.Add(m.activeDown() - oldDown))
		}
		if m.ready && !m.cfg.Grouped {
			m.down.set(at) // nobody will say TakeOver any more
			m.setReady(at, false)
		}
	case Active:
		if old.Version != cfg.Version || old.Priority != cfg.Priority || old.Interval != cfg.Interval ||
			!slices.Equal(old.Addresses, cfg.Addresses) {
			m.send(at, cfg.Priority)
		}
	}
}

// becomeActive takes the role. The advertisement comes first: the sooner the
// others hear it, the less likely two of them take over.
func (m *Machine) becomeActive(at time.Time, cause string) {
	stillHeld := m.role.Hold
	m.ready = false
	m.down.stop()
	m.hold.stop()
	m.unlearn()
	m.counters.BecameActive++
	m.lastSent = at
	m.send(at, m.cfg.Priority)
	m.setRole(at, Active, cause)
	if stillHeld {
		// The addresses were never taken away, so nobody would announce them, but
		// another router may have done so meanwhile.
		m.announce(at, "active again while the addresses were still held")
	}
}

// becomeBackup listens for Active_Down_Interval.
func (m *Machine) becomeBackup(at time.Time, cause string) {
	m.adver.stop()
	m.lowerSince = time.Time{}
	m.ready = false
	m.down.set(at.Add(m.activeDown()))
	m.setRole(at, Backup, cause)
}

// unlearn goes back to the router's own interval: there is no active router, or
// it is this one.
func (m *Machine) unlearn() { m.activeInterval, m.learned = m.cfg.Interval, false }

func (m *Machine) setReady(at time.Time, ready bool) {
	m.ready = ready
	m.setRole(at, m.role.State, m.role.Cause)
}

// setRole reports the role if the state, Hold or Ready changes. Hold follows
// from the state and the hold timer.
func (m *Machine) setRole(at time.Time, state State, cause string) {
	hold := state == Active || m.hold.running()
	if state == m.role.State && hold == m.role.Hold && m.ready == m.role.Ready {
		return
	}
	if state != m.role.State {
		m.role.Since, m.role.Cause = at, cause
	}
	m.role.State, m.role.Hold, m.role.Ready = state, hold, m.ready
	m.role.Number++
	m.out = append(m.out, SetRole{m.role})
}

// send asks for an advertisement. Every one that is not a release starts
// Adver_Timer anew.
func (m *Machine) send(at time.Time, priority uint8) {
	m.out = append(m.out, SendAdvert{priority})
	m.counters.AdvertsSent++
	if priority == 0 {
		m.counters.ReleasesSent++
		return
	}
	m.sentBefore, m.lastSent, m.mute = m.lastSent, at, false
	m.adver.set(at.Add(m.cfg.Interval))
}

func (m *Machine) announce(at time.Time, cause string) {
	m.out = append(m.out, Announce{cause})
	m.lastAnnounce = at
}

func (m *Machine) note(format string, args ...any) {
	m.out = append(m.out, Note{fmt.Sprintf(format, args...)})
}

// activeDown is Active_Down_Interval as it is now.
func (m *Machine) activeDown() time.Duration {
	return m.cfg.Version.activeDownInterval(m.cfg.Priority, m.activeInterval)
}
