package runner

import (
	"context"
	"log/slog"
	"time"
)

// journalLines is how many log lines wait for a slow log at most: a role and some
// words for each router of an interface.
const journalLines = 1024

// journal writes log lines from a goroutine of its own, because a log that
// blocks (a full pipe, a slow disk) must not delay an advertisement.
type journal struct {
	enabled slog.Handler
	lines   chan entry
	lost    int // lines that did not fit since the last one that did
}

// entry is a line and where it goes.
type entry struct {
	handler slog.Handler
	rec     slog.Record
}

func newJournal(log *slog.Logger) *journal {
	return &journal{enabled: log.Handler(), lines: make(chan entry, journalLines)}
}

// write queues a line of log about something that happened at the given time. Only
// the loop calls it.
func (j *journal) write(log *slog.Logger, at time.Time, level slog.Level, msg string, args ...any) {
	if !j.enabled.Enabled(context.Background(), level) {
		return
	}
	rec := slog.NewRecord(at, level, msg, 0)
	rec.Add(args...)
	if j.lost > 0 {
		rec.Add("lost_lines", j.lost)
	}
	select {
	case j.lines <- entry{log.Handler(), rec}:
		j.lost = 0
	default:
		j.lost++
	}
}

// run writes the lines until close.
func (j *journal) run() {
	for e := range j.lines {
		// There is nowhere to report that the log cannot be written.
		_ = e.handler.Handle(context.Background(), e.rec)
	}
}

// close ends run after the lines that wait.
func (j *journal) close() { close(j.lines) }
