package load

import "time"

// EventType names what an [Event] tells.
type EventType string

const (
	// Ready: a first connection has succeeded and every stream has been
	// tried. Drills wait for it before they break something.
	Ready EventType = "ready"
	// ServerSeen: a server answered for the first time.
	ServerSeen EventType = "server-seen"
	// Failing: an attempt failed after a second or more without any failure.
	Failing EventType = "failing"
	// GapOpen: there has been no success for [Client.GapOver], and it lasts.
	GapOpen EventType = "gap-open"
	// GapClosed: a success ended a gap of at least [Client.GapOver].
	GapClosed EventType = "gap-closed"
	// StreamLost: a stream broke, or could not be opened.
	StreamLost EventType = "stream-lost"
)

// Event is a notable happening during a run.
type Event struct {
	Type EventType `json:"event"`
	// At is the offset from the start of the run, UnixNS the wall clock.
	At     Millis `json:"at_ms"`
	UnixNS int64  `json:"unix_ns"`
	// Server is set for ServerSeen.
	Server string `json:"server,omitempty"`
	// Kind is set for Failing and StreamLost.
	Kind Kind `json:"kind,omitempty"`
	// Gap is the length so far for GapOpen, and in all for GapClosed.
	Gap Millis `json:"gap_ms,omitempty"`
	// Stream is the number of the stream, from 0, for StreamLost.
	Stream *int `json:"stream,omitempty"`
}

// Progress is a short account of a part of a run and of the state at its end.
type Progress struct {
	// At is the offset of the end of the part from the start of the run.
	At time.Duration
	// OK and Failed count the attempts that completed in the part, and
	// Servers splits OK.
	OK, Failed int
	Servers    map[string]int
	// Gap is the longest gap of the whole run so far.
	Gap time.Duration
	// Streams is the number of streams that are connected at the end of the
	// part, Stalled how many of them have waited for an echo for
	// [Client.StallOver] or longer, and Lost how many broke since the start of the run or could not be opened.
	Streams, Stalled, Lost int
}
