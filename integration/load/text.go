package load

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// String returns the result as a table for people, without the timeline.
func (r Result) String() string {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s  %s\n", label, fmt.Sprintf(format, args...))
	}
	if c := r.Connections; c.Rate > 0 {
		line("connections", "%d in %.1f s (%g/s): %d ok, %d failed%s",
			c.Total, r.Duration/1000, c.Rate, c.OK, c.Failed, counts(c.Failures))
		line("servers", "%s", shares(c.Servers))
		line("longest gap", "%v%s", c.LongestGap.Length, span(c.LongestGap.From, c.LongestGap.To, c.LongestGap.Open))
		line("latency", "p50 %v, p99 %v, max %v", c.Latency.P50, c.Latency.P99, c.Latency.Max)
	}
	if s := r.Streams; s.Count > 0 {
		line("streams", "%d: %d survived, %d lost, %d never connected%s; %d echoes",
			s.Count, s.Survived, s.Lost, s.NeverConnected, counts(s.Failures), s.Echoes)
		line("longest stall", "%v of stream %d%s",
			s.LongestStall.Length, s.LongestStall.Stream, span(s.LongestStall.From, s.LongestStall.To, false))
	}
	line("this client", "late by %v at most (p99 %v); %.0f ms of processor time, %.1f %% of one",
		r.Lateness.Max, r.Lateness.P99, r.CPU, 100*r.CPU/max(r.Duration, 1))
	return b.String()
}

// String returns m with a precision that suits its size.
func (m Millis) String() string {
	if m < 10 {
		return fmt.Sprintf("%.2f ms", float64(m))
	}
	return fmt.Sprintf("%.0f ms", float64(m))
}

func span(from, to Millis, open bool) string {
	if to <= from {
		return ""
	}
	if open {
		return fmt.Sprintf(", from %.3f s to the end", from/1000)
	}
	return fmt.Sprintf(", from %.3f s to %.3f s", from/1000, to/1000)
}

// counts lists the kinds in brackets, the most frequent first.
func counts(m map[Kind]int) string {
	if len(m) == 0 {
		return ""
	}
	kinds := slices.SortedFunc(maps.Keys(m), func(a, b Kind) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, k := range kinds {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// shares lists the servers by name with their share of all.
func shares(m map[string]int) string {
	all := 0
	for _, n := range m {
		all += n
	}
	if all == 0 {
		return "none"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d (%.1f %%)", serverLabel(name), m[name], 100*float64(m[name])/float64(all)))
	}
	return strings.Join(parts, ", ")
}

// String returns e as one line for people.
func (e Event) String() string {
	s := fmt.Sprintf("%8.3f s  %s", e.At/1000, e.Type)
	if e.Server != "" {
		s += " " + e.Server
	}
	if e.Stream != nil {
		s += fmt.Sprintf(" %d", *e.Stream)
	}
	if e.Kind != "" {
		s += fmt.Sprintf(" (%s)", e.Kind)
	}
	if e.Gap > 0 {
		s += fmt.Sprintf(" %v", e.Gap)
	}
	return s
}

// String returns p as one line for people.
func (p Progress) String() string {
	s := fmt.Sprintf("%4.0f s  ok %d, failed %d", p.At.Seconds(), p.OK, p.Failed)
	for _, name := range slices.Sorted(maps.Keys(p.Servers)) {
		s += fmt.Sprintf("  %s %d", serverLabel(name), p.Servers[name])
	}
	s += fmt.Sprintf("  longest gap %v", millis(p.Gap))
	if p.Streams+p.Lost > 0 {
		s += fmt.Sprintf("  streams %d, stalled %d, lost %d", p.Streams, p.Stalled, p.Lost)
	}
	return s
}

// errNoResult is what ReadOutput says of output that ends too early.
var errNoResult = errors.New("load: output ends without a result")

// ReadOutput reads what labload client writes: events, if any, and the result.
// onEvent, which may be nil, is called for each event as it arrives.
func ReadOutput(r io.Reader, onEvent func(Event)) (Result, error) {
	for dec := json.NewDecoder(r); ; {
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) {
			return Result{}, errNoResult
		} else if err != nil {
			return Result{}, fmt.Errorf("load: read output: %w", err)
		}
		var e Event
		if err := json.Unmarshal(raw, &e); err != nil {
			return Result{}, fmt.Errorf("load: read event: %w", err)
		}
		if e.Type == "" {
			var res Result
			if err := json.Unmarshal(raw, &res); err != nil {
				return Result{}, fmt.Errorf("load: read result: %w", err)
			}
			if res.StartUnixNS == 0 {
				return Result{}, fmt.Errorf("load: read output: %s is neither an event nor a result", raw)
			}
			return res, nil
		}
		if onEvent != nil {
			onEvent(e)
		}
	}
}
