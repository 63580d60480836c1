package sim

import (
	"net/netip"
	"time"

	"tandem/vrrp"
)

// As in vrrp/runner, and for the same reasons.
const (
	settlePause  = ms / 2
	settlePauses = 10
	inboxPackets = 256
)

const (
	// socketPackets is what waits in the socket of a process that stands still. The
	// kernel drops what comes later.
	socketPackets = 256
	// wakeUp is the longest a goroutine needs after its process was continued, and
	// drain the longest the reader needs for all that waited. The runner promises to
	// cope with less than all of its pauses.
	wakeUp = 1 * ms
	drain  = 3 * ms
	// joinDelay is the longest until a director whose link is up joins.
	joinDelay = 20 * ms
)

// director is one machine with its process, if it has one.
type director struct {
	id   int
	name string
	addr netip.Addr
	cfg  vrrp.Config // in force, or of the next process

	linkUp   bool
	node     Node // nil: no process
	frozen   bool
	frozenAt time.Duration // the latest time
	thawedAt time.Duration // the latest time
	joined   bool          // a Startup was given and no Shutdown
	stopping bool          // the process ends once it has handed over
	stopWith bool          // frozen: a stop waits for the process to go on
	stopBy   time.Duration

	joinAt      time.Duration
	socket      []vrrp.Event
	readAt      time.Duration
	drainedBy   time.Duration // the reader of a process that was just continued takes its time until then
	inbox       []stamped
	loopAt      time.Duration
	busyUntil   time.Duration // the loop does not run before
	settles     int           // pauses since the current deadline
	settleSince time.Duration // the begin of the first
	settleUntil time.Duration // the end of the latest

	role      vrrp.Role   // the latest reported
	published vrrp.Status // as of the end of the latest pass of the loop

	kernel
	speech
	rate
}

// stamped is an event and when it was read.
type stamped struct {
	at time.Duration
	ev vrrp.Event
}

// running says whether there is a process and it is not standing still.
func (d *director) running() bool { return d.node != nil && !d.frozen }

// well says whether d can and wants to take part.
func (d *director) well() bool { return d.running() && d.linkUp && d.joined && !d.stopping }

// active says whether d acts as the active router. A process that stands still
// does not act.
func (d *director) active() bool { return d.running() && d.role.State == vrrp.Active }

// halt forgets everything about the process.
func (d *director) halt() {
	*d = director{id: d.id, name: d.name, addr: d.addr, cfg: d.cfg, linkUp: d.linkUp, kernel: d.kernel, rate: d.rate}
	d.joinAt, d.readAt, d.loopAt, d.passAt = never, never, never, never
}

// start begins a new process.
func (w *World) start(d *director) {
	d.halt()
	w.forgive(d) // the address that a dead process left behind goes with the first pass
	d.node = w.new(d.cfg)
	d.passAt = w.now + w.soon(holderDelay)
	d.loopAt = w.now
	if d.linkUp {
		d.joinAt = w.now + w.soon(joinDelay)
	}
}

// stop is a termination signal: the director hands over, then the process ends.
func (w *World) stop(d *director) {
	if d.frozen {
		d.stopWith = true
		return
	}
	d.stopping, d.stopBy = true, max(w.now, d.busyUntil)+5*d.cfg.Interval+2*time.Second
	d.joined, d.joinAt = false, never
	w.command(d, vrrp.Shutdown{Cause: "stopping", HandOver: true})
}

// setLink is a change of the interface. A process that stands still finds it out
// later.
func (w *World) setLink(d *director, up bool) {
	d.linkUp = up
	if d.running() {
		w.gate(d)
	}
}

// gate lets d join or takes it out, as its link is.
func (w *World) gate(d *director) {
	switch {
	case d.stopping:
	case !d.linkUp && d.joined:
		d.joined = false
		w.command(d, vrrp.Shutdown{Cause: "link down"})
	case !d.linkUp:
		d.joinAt = never
	case !d.joined && d.joinAt == never:
		d.joinAt = w.now + w.soon(joinDelay)
	}
}

func (w *World) join(d *director) {
	d.joinAt, d.joined = never, true
	w.command(d, vrrp.Startup{PrimaryAddr: d.addr})
}

// freeze makes a process stand still.
func (w *World) freeze(d *director) { d.frozen, d.frozenAt = true, w.now }

// thaw lets a process go on. Its goroutines wake in any order.
func (w *World) thaw(d *director) {
	d.frozen, d.thawedAt = false, w.now
	d.stopBy += w.now - d.frozenAt
	d.busyUntil = w.now + w.soon(wakeUp)
	d.loopAt = d.busyUntil
	d.drainedBy = w.now + drain
	if len(d.socket) > 0 {
		d.readAt = w.now + w.soon(wakeUp)
	}
	if d.passAt <= w.now {
		d.passAt = w.now + w.soon(wakeUp)
	}
	w.gate(d)
	if d.stopWith {
		d.stopWith = false
		w.stop(d)
	}
}

// arrive puts a packet into the socket.
func (w *World) arrive(p packet) {
	d := w.directors[p.to]
	if d.node == nil || !d.linkUp || len(d.socket) == socketPackets {
		return
	}
	d.socket = append(d.socket, p.ev)
	if d.readAt == never {
		d.readAt = w.now
	}
}

// read takes packets out of the socket and stamps them. After a pause it takes
// some at a time, so that the loop runs in between.
func (w *World) read(d *director) {
	n := len(d.socket)
	d.readAt = never
	if w.now < d.drainedBy && n > 1 {
		n = 1 + w.rand.IntN(n)
		d.readAt = min(w.now+w.soon(wakeUp/2), d.drainedBy)
	}
	for _, ev := range d.socket[:n] {
		if len(d.inbox) < inboxPackets {
			d.inbox = append(d.inbox, stamped{w.now, ev})
		}
	}
	d.socket = append(d.socket[:0], d.socket[n:]...)
	if len(d.socket) == 0 {
		d.readAt = never
	}
	d.loopAt = max(w.now, d.busyUntil)
}

// command puts anything else into the inbox.
func (w *World) command(d *director, ev vrrp.Event) {
	d.inbox = append(d.inbox, stamped{w.now, ev})
	d.loopAt = max(w.now, d.busyUntil)
}

// loop is one pass of runner.Runner.Run.
func (w *World) loop(d *director) {
	batch := d.inbox
	d.inbox = nil
	for _, e := range batch {
		w.step(d, e.at, e.ev)
	}
	d.inbox = batch[:0]
	d.loopAt = w.judge(d)
	d.published = d.node.Status()
	if d.stopping {
		w.leave(d)
	}
}

// judge is runner.Runner.judge: it fires the timers that are due and returns when
// to look again.
func (w *World) judge(d *director) time.Duration {
	next := d.deadline()
	if w.now < next {
		d.settles = 0
		return next
	}
	if d.node.Status().Role.State == vrrp.Backup && len(d.socket) > 0 && !w.noSettle {
		if d.settles > 0 && w.now < d.settleUntil {
			return d.settleUntil
		}
		if d.settles < settlePauses {
			if d.settles == 0 {
				d.settleSince = w.now
			}
			d.settles++
			d.settleUntil = w.now + settlePause
			return d.settleUntil
		}
	}
	w.checkDeaf(d)
	d.settles = 0
	w.step(d, w.now, vrrp.Timeout{})
	next = d.deadline()
	if next <= w.now {
		w.fail("livelock", d, "after a timeout another one is due at once")
	}
	return next
}

// checkDeaf is the reason for the pauses: a backup does not take over while a better
// router's word waits in its socket. A process that stood still again in the middle
// of them is excused: they are not begun anew, or a machine that is always late
// would never take over.
func (w *World) checkDeaf(d *director) {
	excused := d.settles > 0 && d.settleSince < d.thawedAt
	if d.role.State != vrrp.Backup || excused {
		return
	}
	for _, ev := range d.socket {
		if ev.(vrrp.Received).Advert.Priority >= d.cfg.Priority {
			w.fail("deaf", d, "takes over before it has read what waits in its socket")
		}
	}
}

func (d *director) deadline() time.Duration {
	at, ok := d.node.Deadline()
	if !ok {
		return never
	}
	return at.Sub(epoch)
}

// step gives an event to the election and carries its actions out.
func (w *World) step(d *director, at time.Duration, ev vrrp.Event) {
	before := d.role
	actions := d.node.Step(wall(at), ev)
	w.traceStep(d, ev, actions)
	d.rate.input(ev, at < w.now)
	for _, a := range actions {
		switch a := a.(type) {
		case vrrp.SendAdvert:
			w.transmit(d, a.Priority)
		case vrrp.SetRole:
			if a.Role.Number != d.role.Number+1 {
				w.fail("role numbers", d, "role %d follows %d", a.Role.Number, d.role.Number)
			}
			d.role = a.Role
			d.passAt = min(d.passAt, w.now+w.soon(holderDelay))
			w.changed = true
		}
	}
	w.listen(d, at, ev, before, actions)
	if before.State != vrrp.Active && d.role.State == vrrp.Active {
		w.stats.Takeovers++
		w.tookOver(d)
	}
}

func (w *World) transmit(d *director, priority uint8) {
	w.stats.Adverts++
	if w.overRate(d) {
		w.fail("packet rate", d, "more than %d advertisements in a second", d.rate.limit(w.shortest))
	}
	if !d.linkUp {
		return
	}
	var ev vrrp.Event = vrrp.Received{Advert: d.node.Advert(priority), Src: d.addr}
	for to := range w.directors {
		if to != d.id {
			w.net.send(w.now, d.id, to, ev)
		}
	}
}
