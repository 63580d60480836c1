package load

import "time"

// stream is the account of one long-lived connection. Its states follow one
// another: untried, connected, ended; or untried, ended (never connected).
type stream struct {
	connected, ended bool
	outcome          Outcome
	kind             Kind
	err              string
	at               time.Duration // when it was lost or not connected
	sent, echoed     uint64
	// since is when the present wait for an echo began, if sent > echoed.
	since time.Duration
	stall gap
}

func (s *stream) live() bool { return s.connected && !s.ended }

// waited returns how long s has been waiting for an echo.
func (s *stream) waited(at time.Duration) gap {
	if s.sent == s.echoed {
		return gap{from: at, to: at}
	}
	return gap{from: s.since, to: at}
}

// streamConnected begins the account of stream i.
func (r *recorder) streamConnected(i int, at time.Duration) {
	r.streams[i].connected = true
	r.untried--
	r.checkReady(at)
}

// streamSend returns the number of the next frame of stream i and counts it as
// sent, or says that none may be sent now.
func (r *recorder) streamSend(i int, at time.Duration) (seq uint64, may bool) {
	s := &r.streams[i]
	if !s.live() || r.outstanding(i) >= streamWindow {
		return 0, false
	}
	if r.outstanding(i) == 0 {
		s.since = at
	}
	s.sent++
	return s.sent - 1, true
}

// streamEchoed counts n frames that came back intact at the same time.
func (r *recorder) streamEchoed(i, n int, at time.Duration) {
	s := &r.streams[i]
	r.endWait(s, at)
	s.echoed += uint64(n)
	s.since = at // for the frames that are still on their way
}

// endWait accounts for the wait of s that ends now.
func (r *recorder) endWait(s *stream, at time.Duration) {
	g := s.waited(at)
	if g.length() > s.stall.length() {
		s.stall = g
	}
	if g.length() >= r.stallOver {
		r.timeline.stalled(g.from, g.to)
	}
}

// streamEnded ends the account of stream i: in order if kind is empty, else
// because of err. Only the first end counts: reader, writer and watchdog of a
// stream may all notice the same failure.
func (r *recorder) streamEnded(i int, at time.Duration, kind Kind, err error) {
	s := &r.streams[i]
	if s.ended {
		return
	}
	s.ended = true
	if kind == "" {
		s.outcome = Survived
		return
	}
	s.kind, s.at, s.outcome = kind, at, Lost
	if err != nil {
		s.err = err.Error()
	}
	if s.connected {
		r.endWait(s, at)
		r.timeline.lost(at)
	} else {
		s.outcome = NeverConnected
		r.untried--
	}
	r.event(Event{Type: StreamLost, At: millis(at), Kind: kind, Stream: new(i)})
	r.checkReady(at)
}

// silent returns the connected streams that have waited for an echo for at
// least d.
func (r *recorder) silent(at, d time.Duration) []int {
	var ids []int
	for i := range r.streams {
		s := &r.streams[i]
		if s.live() && s.waited(at).length() >= d {
			ids = append(ids, i)
		}
	}
	return ids
}

// liveStreams returns the streams that are connected.
func (r *recorder) liveStreams() []int {
	var ids []int
	for i := range r.streams {
		if r.streams[i].live() {
			ids = append(ids, i)
		}
	}
	return ids
}

// outstanding returns how many frames of stream i are not echoed yet.
func (r *recorder) outstanding(i int) uint64 { return r.streams[i].sent - r.streams[i].echoed }

// progress adds the state of s to p.
func (s *stream) progress(at, stallOver time.Duration, p *Progress) {
	switch {
	case s.ended && s.kind != "":
		p.Lost++
	case s.live():
		p.Streams++
		if s.waited(at).length() >= stallOver {
			p.Stalled++
		}
	}
}

// streamsResult closes the account of all streams.
func (r *recorder) streamsResult(c Client, end time.Duration) Streams {
	res := Streams{
		Count:    len(r.streams),
		Interval: millis(c.StreamInterval),
		Failures: make(map[Kind]int),
		Each:     make([]Stream, 0, len(r.streams)),
	}
	longest := -1
	for i := range r.streams {
		s := &r.streams[i]
		if !s.ended { // the run ended before the stream was tried
			s.outcome, s.kind, s.at = NeverConnected, Other, end
			s.err = "the run ended before the connection was tried"
		}
		switch s.outcome {
		case Survived:
			res.Survived++
		case Lost:
			res.Lost++
		case NeverConnected:
			res.NeverConnected++
		}
		if s.kind != "" {
			res.Failures[s.kind]++
		}
		res.Echoes += s.echoed
		if longest < 0 || s.stall.length() > r.streams[longest].stall.length() {
			longest = i
		}
		res.Each = append(res.Each, s.result())
	}
	if longest >= 0 {
		g := r.streams[longest].stall
		res.LongestStall = Stall{Length: millis(g.length()), From: millis(g.from), To: millis(g.to), Stream: longest}
	}
	return res
}

func (s *stream) result() Stream {
	return Stream{
		Outcome:      s.outcome,
		Kind:         s.kind,
		Error:        s.err,
		At:           millis(s.at),
		Echoes:       s.echoed,
		LongestStall: millis(s.stall.length()),
		StallFrom:    millis(s.stall.from),
	}
}
