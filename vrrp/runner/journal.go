package runner

import (
	"context"
	"log/slog"
	"time"
)

// journalLines is how many log lines wait for a slow log at most.
const journalLines = 64

// journal writes log lines from a goroutine of its own, because a log that
// blocks (a full pipe, a slow disk) must not delay an advertisement.
type journal struct {
	handler slog.Handler
	lines   chan slog.Record
	lost    int // lines that did not fit since the last one that did
}

func newJournal(log *slog.Logger) *journal {
	return &journal{handler: log.Handler(), lines: make(chan slog.Record, journalLines)}
}

// write queues a line about something that happened at the given time. Only the
// loop calls it.
func (j *journal) write(at time.Time, level slog.Level, msg string, args ...any) {
	if !j.handler.Enabled(context.Background(), level) {
		return
	}
	rec := slog.NewRecord(at, level, msg, 0)
	rec.Add(args...)
	if j.lost > 0 {
		rec.Add("lost_lines", j.lost)
	}
	select {
	case j.lines <- rec:
		j.lost = 0
	default:
		j.lost++
	}
}

// run writes the lines until close.
func (j *journal) run() {
	for rec := range j.lines {
		// There is nowhere to report that the log cannot be written.
		_ = j.handler.Handle(context.Background(), rec)
	}
}

// close ends run after the lines that wait.
func (j *journal) close() { close(j.lines) }
