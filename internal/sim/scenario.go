package sim

import (
	"net/netip"
	"time"

	"tandem/vrrp"
)

// What scenarios draw from. Intervals are mostly short: virtual time costs
// packets, not seconds.
var (
	intervals  = []time.Duration{10 * ms, 50 * ms, 100 * ms, 370 * ms, time.Second, 40950 * ms}
	priorities = [][]uint8{
		{50, 100, 150, 200},            // far apart
		{100, 101, 102, 103},           // so near that the skews race
		{1, 100, 100, 254},             // the ends, and ties
		{100},                          // all the same
		{100, 200, vrrp.PriorityOwner}, // perhaps several owners
	}
	vip = []netip.Addr{netip.MustParseAddr("10.77.0.100")}
)

// lateDelay is the longest that a packet takes on a bad network, in intervals.
const lateDelay = 2

// drawConfigs makes the directors.
func (w *World) drawConfigs() {
	w.sameInterval = w.pick(70, 30) == 0
	own := w.pick(25, 20, 30, 10, 10, 5)
	from := priorities[w.pick(30, 20, 20, 15, 15)]
	modes := w.pick(25, 25, 25, 25) // 3: each its own
	w.shortest = intervals[own]
	for id := range w.net.n {
		cfg := vrrp.Config{
			VRID: 51, Priority: from[w.rand.IntN(len(from))], Addresses: vip,
			Interval: intervals[own], Failback: vrrp.Failback(modes),
		}
		if !w.sameInterval {
			cfg.Interval = w.drawInterval(own)
		}
		if modes == 3 {
			cfg.Failback = vrrp.Failback(w.rand.IntN(3))
		}
		cfg.FailbackDelay = w.soon(10 * cfg.Interval)
		w.longestDelay = max(w.longestDelay, cfg.FailbackDelay)
		w.meet(cfg.Interval)
		d := newDirector(id, cfg)
		w.directors = append(w.directors, d)
		w.tracef("%s %v: %s", d.name, d.addr, configText(cfg))
	}
}

// drawInterval is one not too far from another: the shortest sets the cost.
func (w *World) drawInterval(near int) time.Duration {
	i := min(max(near+w.rand.IntN(3)-1, 0), len(intervals)-2)
	return intervals[i]
}

// meet notes an interval that is in use.
func (w *World) meet(interval time.Duration) {
	w.shortest = min(w.shortest, interval)
	w.longest = max(w.longest, interval)
}

// play is the scenario: disturbances, then peace, then work.
func (w *World) play() {
	for range 1 + w.rand.IntN(2) {
		for range 2 + w.rand.IntN(10) {
			w.trouble()
			if w.pick(3, 1) == 0 {
				w.run(w.soon(3 * w.longest))
			} else {
				w.run(w.soon(8 * w.longest))
			}
		}
		w.repair()
		w.rest()
		w.works()
		if w.failure != nil {
			return
		}
	}
}

// rest lets the network settle and judges it for a while.
func (w *World) rest() { w.run(w.settled - w.now + 6*w.longest) }

// repair ends the disturbances. Not everything is well again every time.
func (w *World) repair() {
	w.net.weather = fairWeather
	switch w.pick(60, 20, 20) {
	case 0:
		w.net.heal()
		w.note("heal", "")
	case 1:
		w.partition()
	case 2: // as it is
	}
	all := w.pick(70, 30) == 0
	for _, d := range w.directors {
		if !all && w.pick(1, 1) == 0 {
			continue
		}
		w.mend(d)
	}
	w.disturb()
}

// mend brings one director back.
func (w *World) mend(d *director) {
	if d.frozen {
		w.note("thaw", "%s", d.name)
		w.thaw(d)
	}
	if !d.linkUp {
		w.note("link up", "%s", d.name)
		w.setLink(d, true)
	}
	if d.node == nil {
		w.note("start", "%s", d.name)
		w.start(d)
	}
}

func (w *World) partition() {
	side := make([]int, len(w.directors))
	for i := range side {
		side[i] = w.rand.IntN(2)
	}
	w.net.split(side)
	w.note("partition", "%v", side)
}
