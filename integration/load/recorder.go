package load

import (
	"maps"
	"slices"
	"time"
)

// failingQuiet is how long attempts must have gone well before another
// failure is worth an event again.
const failingQuiet = time.Second

// attempt is the record of one connection attempt; times are offsets.
type attempt struct {
	due, began, done time.Duration
	server           string
	// kind is empty for a success.
	kind Kind
}

// recorder keeps the account of a run. It is pure: the caller serialises the
// calls and passes the time.
type recorder struct {
	gapOver, stallOver time.Duration
	connecting         bool // new connections are part of the run
	over               bool // no more attempts are made; set by the caller

	timeline  Timeline
	total     int
	failures  map[Kind]int
	servers   map[string]int
	latencies []time.Duration
	late      []time.Duration
	latest    attempt // the attempt that began latest after it was due

	lastOK      time.Duration
	longest     gap
	gapOpen     bool
	lastFailure time.Duration

	streams []stream
	untried int // streams that are neither connected nor failed
	ready   bool

	events []Event
	seen   seen
}

// gap is a span without a successful completion.
type gap struct{ from, to time.Duration }

func (g gap) length() time.Duration { return g.to - g.from }

// seen is what the last Progress had counted.
type seen struct {
	ok, failed int
	servers    map[string]int
}

func newRecorder(c Client) *recorder {
	return &recorder{
		gapOver:     c.GapOver,
		stallOver:   c.StallOver,
		connecting:  c.Rate > 0,
		timeline:    Timeline{Bucket: millis(c.Bucket), Streams: c.Streams},
		failures:    make(map[Kind]int),
		servers:     make(map[string]int),
		lastFailure: -failingQuiet,
		streams:     make([]stream, c.Streams),
		untried:     c.Streams,
	}
}

// attempt counts a completed attempt.
func (r *recorder) attempt(a attempt) {
	r.total++
	late := a.began - a.due
	r.late = append(r.late, late)
	if late > r.latest.began-r.latest.due {
		r.latest = a
	}
	r.timeline.attempt(a.due, a.kind == "", a.server)
	if a.kind != "" {
		r.failed(a)
		return
	}
	r.succeeded(a)
}

func (r *recorder) failed(a attempt) {
	r.failures[a.kind]++
	if a.done-r.lastFailure >= failingQuiet {
		r.event(Event{Type: Failing, At: millis(a.done), Kind: a.kind})
	}
	r.lastFailure = max(r.lastFailure, a.done)
}

func (r *recorder) succeeded(a attempt) {
	r.servers[a.server]++
	if r.servers[a.server] == 1 {
		r.event(Event{Type: ServerSeen, At: millis(a.done), Server: a.server})
	}
	r.latencies = append(r.latencies, a.done-a.due)
	// Attempts run side by side and may be reported slightly out of order.
	if a.done > r.lastOK {
		r.closeGap(a.done)
	}
	r.checkReady(a.done)
}

// closeGap ends the gap that began with the last success.
func (r *recorder) closeGap(at time.Duration) {
	g := gap{from: r.lastOK, to: at}
	if g.length() > r.longest.length() {
		r.longest = g
	}
	if g.length() >= r.gapOver {
		r.event(Event{Type: GapClosed, At: millis(at), Gap: millis(g.length())})
	}
	r.lastOK, r.gapOpen = at, false
}

// tick notices what is notable because nothing happens.
func (r *recorder) tick(at time.Duration) {
	if r.gapOpen || r.over || !r.connecting || at-r.lastOK < r.gapOver {
		return
	}
	r.gapOpen = true
	r.event(Event{Type: GapOpen, At: millis(at), Gap: millis(at - r.lastOK)})
}

// checkReady announces, once, that the traffic is established.
func (r *recorder) checkReady(at time.Duration) {
	if r.ready || r.untried > 0 || (r.connecting && len(r.servers) == 0) {
		return
	}
	r.ready = true
	r.event(Event{Type: Ready, At: millis(at)})
}

func (r *recorder) ok() int { return r.total - r.failedTotal() }

func (r *recorder) failedTotal() int {
	n := 0
	for _, k := range r.failures {
		n += k
	}
	return n
}

func (r *recorder) event(e Event) { r.events = append(r.events, e) }

// takeEvents returns the events since the last call.
func (r *recorder) takeEvents() []Event {
	e := r.events
	r.events = nil
	return e
}

// progress returns what happened since the last call.
func (r *recorder) progress(at time.Duration) Progress {
	p := Progress{
		At:      at,
		OK:      r.ok() - r.seen.ok,
		Failed:  r.failedTotal() - r.seen.failed,
		Servers: make(map[string]int),
	}
	for name, n := range r.servers {
		if d := n - r.seen.servers[name]; d > 0 {
			p.Servers[name] = d
		}
	}
	p.Gap = r.longest.length()
	if r.connecting && !r.over {
		p.Gap = max(p.Gap, at-r.lastOK)
	}
	for i := range r.streams {
		r.streams[i].progress(at, r.stallOver, &p)
	}
	r.seen = seen{ok: r.ok(), failed: r.failedTotal(), servers: maps.Clone(r.servers)}
	return p
}

// result closes the account of a run that produced traffic from 0 to end.
func (r *recorder) result(c Client, end time.Duration) Result {
	res := Result{Duration: millis(end)}
	res.Connections = Connections{
		Rate:     c.Rate,
		Total:    r.total,
		OK:       r.ok(),
		Failed:   r.failedTotal(),
		Failures: maps.Clone(r.failures),
		Servers:  maps.Clone(r.servers),
		Latency:  summarise(r.latencies),
	}
	if r.connecting {
		res.Connections.LongestGap = r.longestGap(end)
	}
	late := summarise(r.late)
	res.Lateness = Lateness{P99: late.P99, Max: late.Max, MaxAt: millis(r.latest.due)}
	res.Streams = r.streamsResult(c, end)
	r.timeline.cut(end)
	res.Timeline = r.timeline
	return res
}

// longestGap compares the longest gap that was closed with the one that was
// still open at the end.
func (r *recorder) longestGap(end time.Duration) Gap {
	g, open := r.longest, false
	if last := (gap{from: r.lastOK, to: end}); last.length() > g.length() {
		g, open = last, true
	}
	return Gap{Length: millis(g.length()), From: millis(g.from), To: millis(g.to), Open: open}
}

// summarise sorts d and takes the nearest-rank percentiles of it.
func summarise(d []time.Duration) Latency {
	if len(d) == 0 {
		return Latency{}
	}
	slices.Sort(d)
	return Latency{
		P50: millis(nearestRank(d, 50)),
		P99: millis(nearestRank(d, 99)),
		Max: millis(d[len(d)-1]),
	}
}

// nearestRank returns the smallest element of sorted, which is not empty, that
// is not below pct percent (1 to 100) of all.
func nearestRank(sorted []time.Duration, pct int) time.Duration {
	return sorted[(len(sorted)*pct+99)/100-1]
}
