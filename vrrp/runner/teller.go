package runner

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tandem/vrrp"
)

// newsWaiting is how much waits for a slow teller at most; the rest stays where it
// is and is offered again. It is some of each router of an interface.
const newsWaiting = 1024

// news is what the rest of the program is to learn of a Runner.
type news struct {
	of         *Runner
	at         time.Time
	what       any // a vrrp.Action, or notSent
	suppressed int // log lines of this kind before it
}

// notSent is that an advertisement could not be sent.
type notSent struct{ why string }

// teller tells news from a goroutine of its own, in order, and writes the log.
type teller struct {
	queue   chan news
	journal *journal
}

func newTeller(log *slog.Logger) *teller {
	return &teller{queue: make(chan news, newsWaiting), journal: newJournal(log)}
}

// tell queues news, and says whether there was room.
func (t *teller) tell(n news) bool {
	select {
	case t.queue <- n:
		return true
	default:
		return false
	}
}

// run tells until close, and what waits then.
func (t *teller) run() {
	var logging sync.WaitGroup
	logging.Go(t.journal.run)
	defer logging.Wait()
	defer t.journal.close()
	for n := range t.queue {
		n.of.told(n, t.journal)
	}
}

// close ends run.
func (t *teller) close() { close(t.queue) }

// told tells one piece of news. The teller calls it.
func (r *Runner) told(n news, j *journal) {
	r.telling.Lock()
	defer r.telling.Unlock()
	if r.closed.Load() {
		return
	}
	level, msg := slog.LevelInfo, ""
	var args []any
	switch what := n.what.(type) {
	case vrrp.SetRole:
		r.o.OnRole(what.Role)
		msg = "role " + what.Role.State.String()
		args = []any{"hold", what.Role.Hold, "ready", what.Role.Ready, "cause", what.Role.Cause, "number", what.Role.Number}
	case vrrp.Announce:
		r.o.OnAnnounce(what.Cause)
		return
	case vrrp.Note:
		level, msg = slog.LevelWarn, what.Text
	case notSent:
		level, msg, args = slog.LevelError, "advertisement not sent", []any{"err", what.why}
	default:
		panic(fmt.Sprintf("runner: unknown news %T", what))
	}
	if n.suppressed > 0 {
		args = append(args, "suppressed_lines", n.suppressed)
	}
	j.write(r.log, n.at, level, msg, args...)
}
