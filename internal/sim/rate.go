package sim

import (
	"time"

	"tandem/vrrp"
)

// rate counts what a director sends in one second of virtual time.
type rate struct {
	second time.Duration
	sent   int
	// causes are events that are answered whatever the rate is: commands, and after a
	// stall the packets of the socket, as if each were judged when it came.
	causes   int
	releases int // heard
}

func (r *rate) input(ev vrrp.Event, late bool) {
	switch ev := ev.(type) {
	case vrrp.Timeout:
	case vrrp.Received:
		switch {
		case late:
			r.causes++
		case ev.Advert.Priority == 0:
			r.releases++
		}
	default:
		r.causes++
	}
}

// limit is an advertisement each interval, an answer to a rival each assertGap, one to
// a release each releaseGap, and one for each event that has to be answered.
func (r *rate) limit(shortest time.Duration) int {
	return int(time.Second/shortest) + int(time.Second/assertGap) + min(r.releases, int(time.Second/releaseGap)) + 2 + 2*r.causes
}

// overRate counts an advertisement and says whether it is one too many.
func (w *World) overRate(d *director) bool {
	r := &d.rate
	if second := w.now.Truncate(time.Second); second != r.second {
		*r = rate{second: second, causes: min(r.causes, 2), releases: min(r.releases, 1)}
	}
	r.sent++
	return r.sent > r.limit(w.shortest)
}
