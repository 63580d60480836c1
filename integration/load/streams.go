package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

const (
	// streamRamp is the time between two streams' dials, so that a thousand
	// streams are not a SYN flood.
	streamRamp = time.Millisecond
	// streamWindow is how many frames of a stream may be without an echo. It
	// is far less than a socket buffer holds, so that a write never blocks
	// and a stalled stream does not delay the others.
	streamWindow = 32
	// sendEvery is the least time between two groups of streams that send.
	sendEvery = 10 * time.Millisecond
	// silenceEvery is how often streams are searched for lost ones.
	silenceEvery = 100 * time.Millisecond
)

// streamSet runs the streams of a run: one goroutine each that reads, one for
// all that writes.
type streamSet struct {
	*run
	id      uint64 // frame.run
	readers sync.WaitGroup

	// Element i is written before stream i is recorded as connected, and read
	// only after.
	conns []*net.TCPConn
	// closing says that no more frames are sent; guarded by run.mu.
	closing bool
	out     []byte // scratch space of sendFrame
}

// runStreams opens the streams, exercises them until ctx ends, and closes
// them. It returns when every stream has its outcome.
func (r *run) runStreams(ctx context.Context) {
	s := &streamSet{run: r, id: rand.Uint64(), conns: make([]*net.TCPConn, r.Streams)}
	var schedules sync.WaitGroup
	schedules.Go(func() { s.open(ctx) })
	schedules.Go(func() { s.send(ctx) })
	schedules.Go(func() { s.reap(ctx) })
	schedules.Wait()
	s.close()
	s.readers.Wait()
}

// open dials all streams, one after the other has begun.
func (s *streamSet) open(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := pacer{start: s.start, interval: float64(streamRamp)}
	p.run(ctx, func(n int, _ time.Duration) {
		if n == s.Streams {
			cancel()
		}
		if n < s.Streams {
			s.readers.Go(func() { s.runStream(n) })
		}
	})
}

// runStream runs stream i from its dial to its outcome.
func (s *streamSet) runStream(i int) {
	d := net.Dialer{Timeout: s.StreamTimeout, KeepAlive: -1}
	conn, err := d.DialContext(context.Background(), "tcp", s.Echo.String())
	if err != nil {
		s.end(i, classify(err, dialling), err)
		return
	}
	defer conn.Close()
	s.conns[i] = conn.(*net.TCPConn)
	var closing bool
	s.record(func(rec *recorder) {
		rec.streamConnected(i, s.now())
		closing = s.closing
	})
	if closing {
		s.hangUp(i)
	}
	err = s.read(i)
	kind := classify(err, talking)
	s.record(func(rec *recorder) {
		// How the connection ends is of no interest when nothing is missing.
		if s.closing && rec.outstanding(i) == 0 && kind != Corrupt {
			kind = ""
		}
		rec.streamEnded(i, s.now(), kind, err)
	})
}

// read checks and counts the echoes of stream i until the connection ends,
// which is an error, as is an echo that is not what was sent.
func (s *streamSet) read(i int) error {
	d := deframer{next: frame{run: s.id, stream: uint32(i)}}
	buf := make([]byte, streamWindow*frameLen)
	for {
		n, err := s.conns[i].Read(buf)
		frames, ferr := d.feed(buf[:n])
		if frames > 0 {
			s.record(func(rec *recorder) { rec.streamEchoed(i, frames, s.now()) })
		}
		if ferr != nil {
			return ferr
		}
		if err != nil {
			return fmt.Errorf("read echo: %w", err)
		}
	}
}

// send writes the frames of all streams. They take turns in groups: one wake-up
// for a few dozen streams costs far less than one for each.
func (s *streamSet) send(ctx context.Context) {
	groups := max(1, min(s.Streams, int(s.StreamInterval/sendEvery)))
	p := pacer{start: s.start, interval: float64(s.StreamInterval) / float64(groups)}
	p.run(ctx, func(n int, _ time.Duration) {
		now := s.now()
		for i := n % groups; i < s.Streams; i += groups {
			s.sendFrame(i, now)
		}
	})
}

// sendFrame writes the next frame of stream i, if it may have one.
func (s *streamSet) sendFrame(i int, now time.Duration) {
	f := frame{run: s.id, stream: uint32(i)}
	var may bool
	s.record(func(rec *recorder) { f.seq, may = rec.streamSend(i, now) })
	if !may {
		return
	}
	s.out = f.append(s.out[:0])
	if _, err := s.conns[i].Write(s.out); err != nil {
		s.end(i, classify(err, talking), fmt.Errorf("send frame: %w", err))
	}
}

// reap gives up the streams that have been silent for too long.
func (s *streamSet) reap(ctx context.Context) {
	tick := time.NewTicker(silenceEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var silent []int
		s.record(func(rec *recorder) { silent = rec.silent(s.now(), s.StreamTimeout) })
		for _, i := range silent {
			s.end(i, ResponseTimeout, fmt.Errorf("no echo for %v", s.StreamTimeout))
			s.conns[i].Close() // ends the reader
		}
	}
}

// close ends all streams in order: the echo service returns what is on its
// way and then closes too. A stream has StreamTimeout to get there.
func (s *streamSet) close() {
	var live []int
	s.record(func(rec *recorder) {
		s.closing = true
		live = rec.liveStreams()
	})
	for _, i := range live {
		s.hangUp(i)
	}
}

// hangUp half-closes stream i. Errors show in the reader.
func (s *streamSet) hangUp(i int) {
	_ = s.conns[i].CloseWrite()
	_ = s.conns[i].SetReadDeadline(time.Now().Add(s.StreamTimeout))
}

func (s *streamSet) end(i int, kind Kind, err error) {
	s.record(func(rec *recorder) { rec.streamEnded(i, s.now(), kind, err) })
}
