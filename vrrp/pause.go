package vrrp

import (
	"fmt"
	"time"
)

// guardPause makes an active router that could not speak for so long that a
// backup may have taken over a backup, before it judges what happened. The
// process was frozen, the machine stalled or a virtual machine was moved. If it
// went on as active it would claim addresses that may be somebody else's by now,
// and with the higher priority it would win them, whatever the failback mode is.
// So it lets go of the addresses at once, without a word, and listens: if nobody
// has taken over it is active again after Active_Down_Interval, otherwise its
// failback mode decides.
//
// The same holds for one whose advertisements cannot be sent: it is as silent.
//
// The earliest a backup takes over is 3 intervals after the last advertisement:
// Active_Down_Interval without its skew. A backup that missed advertisements can
// be earlier; that is a lost packet, not a pause, and the election settles it.
//
// A backup needs no such guard here. It only has to hear the advertisements that
// arrived while it stood still before its Timeout is judged, and that is up to
// the caller of Step.
func (m *Machine) guardPause(at time.Time) {
	if m.role.State != Active {
		return
	}
	silent := at.Sub(m.lastSent)
	if silent < 3*m.cfg.Interval {
		return
	}
	if m.mute {
		m.becomeBackup(at, fmt.Sprintf("no advertisement could be sent for %v", round(silent)))
		return
	}
	m.counters.Pauses++
	m.becomeBackup(at, fmt.Sprintf("paused for %v", round(silent)))
}
