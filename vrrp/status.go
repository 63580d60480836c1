package vrrp

import (
	"net/netip"
	"time"
)

// Status is a copy of what a Machine knows, for operators and metrics.
type Status struct {
	VRID        uint8
	Version     Version
	Role        Role
	Priority    uint8      // the router's own
	PrimaryAddr netip.Addr // the router's own, invalid before the first Startup
	Heard       Heard      // the latest advertisement of another router

	// The variables of RFC 9568, section 6.1. ActiveInterval is
	// Active_Adver_Interval: learned in Backup, otherwise the router's own.
	ActiveInterval time.Duration
	Skew           time.Duration // Skew_Time
	ActiveDown     time.Duration // Active_Down_Interval

	// The timers; zero if not running.
	AdvertAt   time.Time // Adver_Timer: the next advertisement
	LastSent   time.Time // in Active: the latest advertisement on the wire, or Role.Since
	DownAt     time.Time // Active_Down_Timer: when the active router is given up
	HoldUntil  time.Time // when the addresses are let go at the latest
	FailbackAt time.Time // when FailbackDelayed begins to ignore the incumbent

	Counters Counters
}

// Heard is an advertisement of another router.
type Heard struct {
	Src             netip.Addr
	Priority        uint8         // 0: it gave up its role
	Interval        time.Duration // Max Advertise Interval
	At              time.Time     // zero: none was heard yet
	IntervalDiffers bool          // from this router's: one of the two is misconfigured, or not reloaded yet
	AddressesDiffer bool          // from this router's, in whatever order
}

// Counters count since the Machine was made.
type Counters struct {
	AdvertsSent      uint64 // all, releases included
	ReleasesSent     uint64 // with priority 0
	AdvertsReceived  uint64 // all that were not dropped, releases included
	ReleasesReceived uint64 // with priority 0
	OwnSource        uint64 // dropped: DropOwnSource
	WrongVRID        uint64 // dropped: DropUnknownVRID
	BecameActive     uint64 // transitions to Active
	Rivals           uint64 // losing advertisements heard while active, but for those of the predecessor
	Pauses           uint64 // times the role was given up because of a pause
}

// Status returns a copy of the state.
func (m *Machine) Status() Status {
	s := Status{
		VRID:           m.cfg.VRID,
		Version:        m.cfg.Version,
		Role:           m.role,
		Priority:       m.cfg.Priority,
		PrimaryAddr:    m.primary,
		Heard:          m.heard,
		ActiveInterval: m.activeInterval,
		Skew:           m.cfg.Version.skewTime(m.cfg.Priority, m.activeInterval),
		ActiveDown:     m.activeDown(),
		AdvertAt:       m.adver.at,
		LastSent:       m.lastSent,
		DownAt:         m.down.at,
		HoldUntil:      m.hold.at,
		Counters:       m.counters,
	}
	if m.cfg.Failback == FailbackDelayed && m.role.State == Backup && !m.lowerSince.IsZero() {
		s.FailbackAt = m.failbackAt()
	}
	return s
}
