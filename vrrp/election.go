package vrrp

import (
	"fmt"
	"time"
)

// receive judges an advertisement.
func (m *Machine) receive(at time.Time, r Received) {
	if reason := m.discard(r); reason != 0 {
		return
	}
	m.counters.AdvertsReceived++
	if r.Advert.Priority == 0 {
		m.counters.ReleasesReceived++
	}
	m.compare(at, r)
	switch m.role.State {
	case Init:
		// Only to learn that the successor is there.
	case Backup:
		m.receiveBackup(at, r)
	case Active:
		m.receiveActive(at, r)
	}
	if m.role.State != Active && r.Advert.Priority > 0 && m.hold.running() {
		m.hold.advance(at.Add(HandOverOverlap))
	}
}

// discard drops what can only be judged with the router's own address and VRID.
// A packet from the own address cannot be a rival: nothing would break the tie.
func (m *Machine) discard(r Received) DropReason {
	switch {
	case r.Advert.VRID != m.cfg.VRID:
		m.counters.WrongVRID++
		return DropUnknownVRID
	case r.Src == m.primary:
		m.counters.OwnSource++
		m.note("advertisement from the own address %v: it loops back, or another machine uses the address", r.Src)
		return DropOwnSource
	}
	return 0
}

// receiveBackup is RFC 9568, section 6.4.2.
func (m *Machine) receiveBackup(at time.Time, r Received) {
	switch {
	case r.Advert.Priority == 0:
		// Never later than the timer would fire anyway. A stream of releases must not
		// keep a backup from taking over, and the order among backups, which the skew
		// is for, stays the same.
		if !m.ready {
			m.down.advance(at.Add(m.cfg.Version.skewTime(m.cfg.Priority, m.activeInterval)))
		}
	case r.Advert.Priority >= m.cfg.Priority:
		m.lowerSince = time.Time{}
		m.follow(at, r)
	default:
		if m.lowerSince.IsZero() {
			m.lowerSince = at
		}
		if !m.preempts(at) {
			m.follow(at, r)
		}
		// Otherwise it is ignored, so that the timer runs out.
	}
}

// follow accepts the sender as the active router: it adopts its interval,
// recomputes Skew_Time with it (RFC 9568; RFC 5798 left that out) and starts
// Active_Down_Timer anew.
func (m *Machine) follow(at time.Time, r Received) {
	m.learn(r)
	m.down.set(at.Add(m.activeDown()))
	m.setReady(at, false)
}

// learn adopts the interval of the active router. Version 2 does not: there, the
// Codec has dropped every other interval.
func (m *Machine) learn(r Received) {
	if m.cfg.Version == V3 {
		m.activeInterval, m.learned = r.Advert.Interval, true
	}
}

// preempts is Preempt_Mode at the given time. FailbackDelayed counts from the
// first lower-priority advertisement since the router became backup or last
// heard one that was not lower: it has to have heard the incumbent all the time,
// or its timer would have run out.
func (m *Machine) preempts(at time.Time) bool {
	switch {
	case m.cfg.Priority == PriorityOwner:
		return true
	case m.cfg.Failback == FailbackDelayed:
		return !at.Before(m.failbackAt())
	}
	return m.cfg.Failback == FailbackImmediate
}

// failbackAt is when FailbackDelayed ends. Only after a lower priority was heard.
func (m *Machine) failbackAt() time.Time { return m.lowerSince.Add(m.cfg.FailbackDelay) }

// receiveActive is RFC 9568, section 6.4.3. Preempt_Mode has no say here.
func (m *Machine) receiveActive(at time.Time, r Received) {
	switch {
	case r.Advert.Priority == 0:
		m.answer(at)
	case r.Advert.Priority > m.cfg.Priority:
		m.yield(at, r, fmt.Sprintf("%v has the higher priority %d", r.Src, r.Advert.Priority))
	case r.Advert.Priority == m.cfg.Priority && m.primary.Less(r.Src):
		m.yield(at, r, fmt.Sprintf("%v has the same priority %d and the higher address", r.Src, r.Advert.Priority))
	default:
		m.assert(at, r)
	}
}

// answer tells those who have heard a release that the role is taken, before a
// backup takes it. Releases have a least distance of answers, too: the advertisement
// that is due is only brought forward by one that comes too early, so that the last of
// them is answered as well. While nothing can be sent lastSent stands still, and the
// distance is counted from the release.
func (m *Machine) answer(at time.Time) {
	next := m.lastSent.Add(releaseGap)
	if m.mute {
		next = at.Add(releaseGap)
	}
	if at.Before(next) {
		m.adver.advance(next)
		return
	}
	m.send(at, m.cfg.Priority)
}

// yield gives the role to a better router. That one is alive and adding the
// addresses, so they are held until it has done so.
//
// Before that it advertises once more, which the RFC does not ask for. When two
// halves of a network come together again and the better router happens to speak
// first, it would never learn that there was a rival whose announcements are
// still in the caches of the neighbours. The better router asserts itself. Third
// routers may take the loser for the active one until it does, so the advertisement
// names the winner's interval (Advert): with a shorter one they would not wait for
// the winner's next word, take over, yield in the same way, and so on for ever.
func (m *Machine) yield(at time.Time, r Received, cause string) {
	m.send(at, m.cfg.Priority)
	m.learn(r)
	m.hold.set(at.Add(HandOverOverlap))
	m.becomeBackup(at, cause)
}

// assert answers a router that loses the election: an advertisement at once (RFC
// 9568, section 6.4.3), so that it steps down. If it is a rival, the addresses are
// announced again, because caches may point at it since it announced them. Right
// after becoming active it is not: it is the predecessor that yields, and the
// first announcement is still to come.
//
// Both have a least distance. Without that of the advertisements two routers that each believe to have
// won, because one sends from an address that is not the one it compares, would
// answer each other as fast as the network carries it.
func (m *Machine) assert(at time.Time, r Received) {
	if at.Sub(m.lastSent) >= assertGap {
		m.send(at, m.cfg.Priority)
	}
	if at.Sub(m.role.Since) < HandOverOverlap {
		return
	}
	m.counters.Rivals++
	if at.Sub(m.lastAnnounce) >= announceGap {
		cause := fmt.Sprintf("rival %v with priority %d", r.Src, r.Advert.Priority)
		m.note("%s heard while active", cause)
		m.announce(at, cause)
	}
}

// takeoverCause says why Active_Down_Timer ran out.
func (m *Machine) takeoverCause(at time.Time) string {
	h := m.heard
	switch {
	case h.At.Before(m.role.Since): // never, or in an earlier life
		return fmt.Sprintf("no advertisement heard for %v", round(at.Sub(m.role.Since)))
	case h.Priority == 0:
		return fmt.Sprintf("%v released the role", h.Src)
	case h.Priority < m.cfg.Priority && at.Sub(h.At) < 3*h.Interval:
		return fmt.Sprintf("%v has the lower priority %d", h.Src, h.Priority)
	}
	return fmt.Sprintf("%v was silent for %v", h.Src, round(at.Sub(h.At)))
}

// compare records the advertisement and notes when what the sender has
// configured starts to differ. Both differences are to be logged and not to be
// discarded (RFC 9568, sections 5.2.7 and 7.1).
func (m *Machine) compare(at time.Time, r Received) {
	h := Heard{
		Src: r.Src, Priority: r.Advert.Priority, Interval: r.Advert.Interval, At: at,
		IntervalDiffers: r.Advert.Interval != m.cfg.Interval,
		AddressesDiffer: !sameAddresses(r.Advert.Addresses, m.cfg.Addresses),
	}
	m.heard = h
	known := m.noted
	if h.Src != known.Src {
		known = Heard{At: known.At}
	}
	interval, addresses := h.IntervalDiffers && !known.IntervalDiffers, h.AddressesDiffer && !known.AddressesDiffer
	switch {
	case !interval && !addresses:
		if h.Src == m.noted.Src { // what is as it should be may differ again
			m.noted.IntervalDiffers, m.noted.AddressesDiffer = h.IntervalDiffers, h.AddressesDiffer
		}
		return
	case at.Sub(known.At) < differGap:
		return
	}
	m.noted = h
	if interval {
		m.note("%v advertises every %v, this router every %v", h.Src, h.Interval, m.cfg.Interval)
	}
	if addresses {
		m.note("%v advertises the addresses %v, this router %v", h.Src, r.Advert.Addresses, m.cfg.Addresses)
	}
}
