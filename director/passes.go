package director

import (
	"log/slog"
	"strings"
	"sync"
	"time"
)

// passes remembers how the passes of a loop went.
type passes struct {
	complaint string // what to log when one fails

	mu   sync.Mutex
	last time.Time // when the newest began
	err  string    // of the newest, on one line
}

// note takes down a pass. An error that stays the same is logged once.
func (p *passes) note(log *slog.Logger, at time.Time, err error) {
	text := oneLine(err)
	p.mu.Lock()
	news := text != p.err
	p.last, p.err = at, text
	p.mu.Unlock()
	switch {
	case news && err != nil:
		log.Error(p.complaint+"; trying again", "err", text)
	case news:
		log.Info("everything is as it should be again")
	}
}

// within says whether a pass began less than d before at.
func (p *passes) within(d time.Duration, at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return at.Sub(p.last) < d
}

func (p *passes) problem() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// oneLine is an error's text without line breaks, which joined errors have;
// empty for none.
func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
