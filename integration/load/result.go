package load

import (
	"math"
	"time"
)

// Millis is a duration in milliseconds, or an offset in milliseconds from the
// start of a run; in JSON a plain number with a resolution of one microsecond.
type Millis float64

// Duration returns m as a [time.Duration].
func (m Millis) Duration() time.Duration {
	return time.Duration(math.Round(float64(m) * float64(time.Millisecond)))
}

func millis(d time.Duration) Millis {
	return Millis(math.Round(float64(d)/float64(time.Microsecond)) / 1000)
}

// Result is the account of one run. Its JSON form is stable: fields are added,
// never renamed or removed.
type Result struct {
	// StartUnixNS is the wall clock at the start of the run in nanoseconds
	// since 1970. Every offset counts from this instant on a monotonic clock.
	StartUnixNS int64 `json:"start_unix_ns"`
	// Duration is how long traffic was produced. What was still in flight at
	// the end was waited for and is counted.
	Duration Millis `json:"duration_ms"`

	Connections Connections `json:"connections"`
	Streams     Streams     `json:"streams"`

	// Lateness tells a stalled machine from a stalled service: it is how much
	// after its due time an attempt began. Judge no figure below Lateness.Max.
	Lateness Lateness `json:"lateness"`
	// CPU is the processor time of the client's whole process in the run.
	CPU Millis `json:"cpu_ms"`

	Timeline Timeline `json:"timeline"`
}

// Start returns the wall clock at the start of the run.
func (r Result) Start() time.Time { return time.Unix(0, r.StartUnixNS) }

// Connections is the account of the new connections.
type Connections struct {
	// Rate is the number of attempts per second.
	Rate float64 `json:"rate"`
	// Total is OK + Failed.
	Total  int `json:"total"`
	OK     int `json:"ok"`
	Failed int `json:"failed"`
	// Failures splits Failed by kind; kinds that did not occur are absent.
	Failures map[Kind]int `json:"failures"`
	// Servers splits OK by the name that the server gave itself; "" is a
	// server that gave none.
	Servers map[string]int `json:"servers"`
	// LongestGap is the outage as new users saw it.
	LongestGap Gap `json:"longest_gap"`
	// Latency is of the successful attempts, from the time they were due to
	// the last byte of the answer.
	Latency Latency `json:"latency"`
}

// Gap is the time between the completion of two successive successful
// connections. The start and the end of the run bound the first and last gap,
// so that an outage without recovery, or a run without any success, counts.
type Gap struct {
	Length Millis `json:"ms"`
	// From and To are offsets from the start of the run.
	From Millis `json:"from_ms"`
	To   Millis `json:"to_ms"`
	// Open means that the run ended before another success.
	Open bool `json:"open,omitempty"`
}

// Latency summarises a set of durations by nearest rank. All zero: empty set.
type Latency struct {
	P50 Millis `json:"p50_ms"`
	P99 Millis `json:"p99_ms"`
	Max Millis `json:"max_ms"`
}

// Lateness summarises how late the open loop ran.
type Lateness struct {
	P99 Millis `json:"p99_ms"`
	Max Millis `json:"max_ms"`
	// MaxAt is when the attempt that was latest had been due.
	MaxAt Millis `json:"max_at_ms"`
}

// Streams is the account of the long-lived connections.
type Streams struct {
	// Count is Survived + Lost + NeverConnected.
	Count          int `json:"count"`
	Survived       int `json:"survived"`
	Lost           int `json:"lost"`
	NeverConnected int `json:"never_connected"`
	// Interval is the time between two frames of one stream.
	Interval Millis `json:"interval_ms"`
	// Echoes is the number of frames that came back intact.
	Echoes uint64 `json:"echoes"`
	// Failures splits Lost and NeverConnected by kind.
	Failures map[Kind]int `json:"failures"`
	// LongestStall is the longest of all streams' stalls.
	LongestStall Stall `json:"longest_stall"`
	// Each lists the streams in order of their number.
	Each []Stream `json:"each,omitempty"`
}

// Stall is a time in which a stream waited for an echo in vain: from the last
// echo or, if there was nothing to wait for then, from the next frame sent, to
// the next echo or the loss of the stream. In good times it is a round trip.
type Stall struct {
	Length Millis `json:"ms"`
	// From and To are offsets from the start of the run.
	From Millis `json:"from_ms"`
	To   Millis `json:"to_ms"`
	// Stream is the number of the stream, from 0.
	Stream int `json:"stream"`
}

// Outcome is how a stream ended.
type Outcome string

const (
	// Survived: every frame was echoed and the connection closed in order.
	Survived Outcome = "survived"
	// Lost: it was connected and broke.
	Lost Outcome = "lost"
	// NeverConnected: it could not be opened.
	NeverConnected Outcome = "never-connected"
)

// Stream is the account of one long-lived connection.
type Stream struct {
	Outcome Outcome `json:"outcome"`
	// Kind and Error say why, and At when, it was lost or not connected.
	Kind  Kind   `json:"kind,omitempty"`
	Error string `json:"error,omitempty"`
	At    Millis `json:"at_ms,omitempty"`
	// Echoes is the number of frames that came back intact.
	Echoes uint64 `json:"echoes"`
	// LongestStall and StallFrom are as Length and From of Stall.
	LongestStall Millis `json:"longest_stall_ms"`
	StallFrom    Millis `json:"stall_from_ms"`
}
