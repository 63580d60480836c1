package runner

import (
	"time"

	"tandem/healthcheck"
)

// localEvery bounds how often probes that could not be made are logged. They
// come in thousands when they come: no sockets left, no route.
const localEvery = 10 * time.Second

// localLog gathers the probes that could not be made into few lines.
type localLog struct {
	logged time.Time          // the last line
	count  int                // since then
	target healthcheck.Target // the newest
	detail string             // of the newest
}

// note remembers one.
func (l *localLog) note(t healthcheck.Target, detail string) {
	l.count++
	l.target, l.detail = t, detail
}

// take returns what to log now, if anything.
func (l *localLog) take(now time.Time) (line localLog, ok bool) {
	if l.count == 0 || now.Sub(l.logged) < localEvery {
		return localLog{}, false
	}
	line = *l
	*l = localLog{logged: now}
	return line, true
}
