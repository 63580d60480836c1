package director

import (
	"slices"
	"time"

	"tandem/vrrp"
)

// syncLinger is how long a connection-sync daemon stays after its role has
// gone. The kernel sends a part-filled buffer only when it is 2 s old, stopping
// the master throws it away, and the last sync of the predecessor arrives while
// the successor is active already.
const syncLinger = 3 * time.Second

// syncWindow works out which of the kernel's two connection-sync daemons should
// run: the master while any router holds its addresses and so forwards, the
// backup while any router is not active, each syncLinger longer.
type syncWindow struct {
	masterUntil, backupUntil time.Time
}

// changed notes that a router went from one role to another.
func (w *syncWindow) changed(at time.Time, from, to vrrp.Role) {
	if from.Hold && !to.Hold {
		w.masterUntil = at.Add(syncLinger)
	}
	if from.State != vrrp.Active && to.State == vrrp.Active {
		w.backupUntil = at.Add(syncLinger)
	}
}

// want says which daemons should run, and when to ask again (zero: not before
// the next change).
func (w *syncWindow) want(at time.Time, roles []vrrp.Role) (master, backup bool, again time.Time) {
	master = slices.ContainsFunc(roles, func(r vrrp.Role) bool { return r.Hold })
	backup = slices.ContainsFunc(roles, func(r vrrp.Role) bool { return r.State != vrrp.Active })
	if !master && at.Before(w.masterUntil) {
		master, again = true, w.masterUntil
	}
	if !backup && at.Before(w.backupUntil) {
		backup, again = true, earliest(again, w.backupUntil)
	}
	return master, backup, again
}
