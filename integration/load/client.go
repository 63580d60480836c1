package load

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// What a [Client] uses where a field is zero.
const (
	DefaultTimeout       = 150 * time.Millisecond
	DefaultStreamTimeout = 10 * time.Second
	DefaultBucket        = 50 * time.Millisecond
	DefaultGapOver       = 100 * time.Millisecond
	DefaultStallOver     = 100 * time.Millisecond
	// DefaultStreamInterval is used up to 50 streams. Beyond, the default
	// interval grows with the number of streams, so that all together send no
	// more than maxDefaultFrames a second.
	DefaultStreamInterval = 20 * time.Millisecond

	maxDefaultFrames = 2500
)

// Limits of what one client is made for.
const (
	MaxRate    = 10_000
	MaxStreams = 20_000
)

// Client describes the traffic of one run. The zero value of a field stands
// for its default; a run needs HTTP with Rate, or Echo with Streams, or both.
type Client struct {
	// HTTP is where new connections go, at Rate per second (0 to MaxRate).
	HTTP netip.AddrPort
	Rate float64
	// Path is what they ask for; default "/".
	Path string
	// Timeout bounds the dial of an attempt, ResponseTimeout (default:
	// Timeout) the time from there to the complete answer.
	Timeout, ResponseTimeout time.Duration
	// Sources are the local addresses of the new connections in turn; empty
	// leaves the choice to the kernel. Each has its own range of ports.
	Sources []netip.Addr

	// Echo is where the streams go, Streams how many (0 to MaxStreams).
	Echo    netip.AddrPort
	Streams int
	// StreamInterval is the time between two frames of a stream.
	StreamInterval time.Duration
	// StreamTimeout bounds a stream's dial, and how long it may wait for an
	// echo before it is lost. TCP retransmits with doubling pauses: a path
	// that comes back after 3 s may well be silent for 6.2 s.
	StreamTimeout time.Duration
	// StallOver is how long a stream waits for an echo before it counts as
	// stalled in the timeline (from the beginning of the wait).
	StallOver time.Duration

	// Duration of the traffic; 0: until the context ends.
	Duration time.Duration
	// Bucket is the resolution of the timeline.
	Bucket time.Duration
	// GapOver is the time without a success that is worth an event.
	GapOver time.Duration

	// OnEvent and OnProgress, if set, are called one at a time from one
	// goroutine; they may block without harm to the measurement. OnEvent
	// is called within 20 ms of the event, OnProgress every second.
	OnEvent    func(Event)
	OnProgress func(Progress)
}

// withDefaults returns c with every default filled in, or says all that is
// wrong with it.
func (c Client) withDefaults() (Client, error) {
	setDefault(&c.Path, "/")
	setDefault(&c.Timeout, DefaultTimeout)
	setDefault(&c.ResponseTimeout, c.Timeout)
	setDefault(&c.StreamInterval, max(DefaultStreamInterval, time.Duration(c.Streams)*time.Second/maxDefaultFrames))
	setDefault(&c.StreamTimeout, DefaultStreamTimeout)
	setDefault(&c.StallOver, DefaultStallOver)
	setDefault(&c.Bucket, DefaultBucket)
	setDefault(&c.GapOver, DefaultGapOver)
	return c, c.validate()
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Client) validate() error {
	var errs []error
	complain := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Rate == 0 && c.Streams == 0 {
		complain("no traffic: give a rate of new connections, a number of streams, or both")
	}
	if !(c.Rate >= 0 && c.Rate <= MaxRate) { // NaN is neither
		complain("rate %v: want 0 to %d connections a second", c.Rate, MaxRate)
	}
	if c.Streams < 0 || c.Streams > MaxStreams {
		complain("%d streams: want 0 to %d", c.Streams, MaxStreams)
	}
	if c.Rate > 0 && !c.HTTP.IsValid() {
		complain("new connections need an HTTP address, such as 192.0.2.10:80")
	}
	if c.Streams > 0 && !c.Echo.IsValid() {
		complain("streams need an echo address, such as 192.0.2.10:7")
	}
	if !strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Path, " \r\n") {
		complain("path %q: want one that begins with / and has no blanks", c.Path)
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"timeout", c.Timeout}, {"response timeout", c.ResponseTimeout},
		{"stream interval", c.StreamInterval}, {"stream timeout", c.StreamTimeout},
		{"stall threshold", c.StallOver}, {"gap threshold", c.GapOver},
	} {
		if d.d < 0 {
			complain("%s %v: want more than 0", d.name, d.d)
		}
	}
	if c.Duration < 0 {
		complain("duration %v: want 0 or more", c.Duration)
	}
	if c.Bucket < time.Millisecond {
		complain("timeline bucket %v: want 1ms or more", c.Bucket)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	return nil
}
