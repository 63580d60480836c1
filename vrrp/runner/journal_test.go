package runner

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is a log that remembers, and hangs until hang is closed.
type recorder struct {
	hang chan struct{} // nil: it does not
	mu   sync.Mutex
	recs []slog.Record
}

func (l *recorder) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (l *recorder) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *recorder) WithGroup(string) slog.Handler                    { return l }

func (l *recorder) Handle(_ context.Context, r slog.Record) error {
	if l.hang != nil {
		<-l.hang
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recs = append(l.recs, r)
	return nil
}

func (l *recorder) lines() int { return l.count("") }

// count is how many lines begin with prefix.
func (l *recorder) count(prefix string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, r := range l.recs {
		if strings.HasPrefix(r.Message, prefix) {
			n++
		}
	}
	return n
}

// lost adds up the lines that were reported as lost.
func (l *recorder) lost() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int64
	for _, r := range l.recs {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "lost_lines" {
				n += a.Value.Int64()
			}
			return true
		})
	}
	return int(n)
}

// TestJournalLevel: a line that the handler does not want costs nothing.
func TestJournalLevel(t *testing.T) {
	log := slog.New(&recorder{})
	j := newJournal(log)
	j.write(log, time.Now(), slog.LevelDebug, "quiet")
	if len(j.lines) != 0 {
		t.Error("the line was queued")
	}
}

func TestLimiter(t *testing.T) {
	var l limiter
	start := time.Now()
	var passed []time.Duration
	suppressed := 0
	for d := time.Duration(0); d < 25*time.Second; d += 500 * time.Millisecond {
		if n, ok := l.allow(start.Add(d)); ok {
			passed = append(passed, d)
			suppressed += n
		}
	}
	var want []time.Duration
	for _, period := range []time.Duration{0, 10 * time.Second, 20 * time.Second} {
		for i := range limitBurst {
			want = append(want, period+time.Duration(i)*500*time.Millisecond)
		}
	}
	if !slices.Equal(passed, want) {
		t.Errorf("passed %v, want %v", passed, want)
	}
	if suppressed != 20 {
		t.Errorf("%d suppressed", suppressed)
	}
}
