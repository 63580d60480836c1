package sim

import (
	"net/netip"
	"time"

	"tandem/vrrp"
)

// settle is as in vrrp/runner, and for the same reason.
const settle = 5 * ms

const (
	// socketPackets is what waits in the socket of a process that stands still. The
	// kernel drops what comes later.
	socketPackets = 256
	// wakeUp is the longest a goroutine needs after its process was continued, and
	// drain the longest until all that waited in the socket has been read. The runner
	// promises to cope with less than settle.
	wakeUp = 1 * ms
	drain  = 3 * ms
	// readTime is the longest that a pass takes to read as much as it may.
	readTime = ms / 2
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

	joinAt    time.Duration
	socket    []vrrp.Event
	drainedBy time.Duration // a process that was just continued does not read all at once until then
	commands  []stamped
	loopAt    time.Duration
	busyUntil time.Duration // the loop does not run before
	waited    time.Duration // since when a due takeover waits for packets to be read, or never

	role      vrrp.Role   // the latest reported
	published vrrp.Status // as of the end of the latest pass of the loop

	kernel
	speech
	rate
}

// stamped is an event and when it was asked for.
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
	d.joinAt, d.loopAt, d.passAt, d.waited = never, never, never, never
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
	d.wake(w.now)
}

// wake lets the loop run as soon as it can.
func (d *director) wake(now time.Duration) { d.loopAt = min(d.loopAt, max(now, d.busyUntil)) }

// command puts anything but a packet before the loop.
func (w *World) command(d *director, ev vrrp.Event) {
	d.commands = append(d.commands, stamped{w.now, ev})
	d.wake(w.now)
}

// loop is one pass of runner.Loop.
func (w *World) loop(d *director) {
	more := w.read(d)
	batch := d.commands
	d.commands = nil
	for _, e := range batch {
		w.step(d, e.at, e.ev)
	}
	d.commands = batch[:0]
	w.fire(d, more)
	d.loopAt = d.deadline()
	if more {
		d.loopAt = w.now + 1 + w.soon(readTime)
	} else if d.loopAt <= w.now {
		w.fail("livelock", d, "after a timeout another one is due at once")
	}
	d.published = d.node.Status()
	if d.stopping {
		w.leave(d)
	}
}

// read steps the election with the packets in the socket, and says whether it left
// some: after a pause it takes some at a time, as if they were more than it may.
func (w *World) read(d *director) (more bool) {
	n := len(d.socket)
	if w.now < d.drainedBy && n > 1 {
		n = 1 + w.rand.IntN(n)
	}
	for _, ev := range d.socket[:n] {
		w.step(d, w.now, ev)
	}
	d.socket = append(d.socket[:0], d.socket[n:]...)
	return len(d.socket) > 0
}

// fire is runner.Runner.fire: it fires the timers that are due.
func (w *World) fire(d *director, more bool) {
	if w.now < d.deadline() {
		d.waited = never
		return
	}
	if more && d.node.Status().Role.State == vrrp.Backup && !w.noSettle {
		d.waited = min(d.waited, w.now)
		if w.now-d.waited < settle {
			return
		}
	}
	w.checkDeaf(d)
	d.waited = never
	w.step(d, w.now, vrrp.Timeout{})
}

// checkDeaf is the reason for settle: a backup does not take over while a better
// router's word waits in its socket. A process that stood still again in the middle
// of it is excused: it does not begin anew, or a machine that is always late would
// never take over.
func (w *World) checkDeaf(d *director) {
	excused := d.waited != never && d.waited < d.thawedAt
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
