// Package task runs the long-lived parts of the daemon as one group: they start
// together, the service manager hears READY when all of them are ready, and the
// first that fails ends the rest.
package task

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"
)

// Task is a long-lived part of the daemon. Run returns when ctx is done, with
// nil, or earlier with an error.
type Task interface {
	Run(ctx context.Context) error
	Ready() <-chan struct{}
	fmt.Stringer
}

// Serve runs the tasks until ctx is done or one fails. When all are ready it
// tells the service manager and calls ready. When one fails it calls failed, while
// the others still run, so that they can say goodbye; then it ends them.
func Serve(ctx context.Context, log *slog.Logger, ready func(), failed func(error), tasks ...Task) error {
	g, ctx := errgroup.WithContext(ctx)
	var once sync.Once
	for _, t := range tasks {
		g.Go(func() error {
			err := t.Run(ctx)
			if err == nil {
				return nil
			}
			err = fmt.Errorf("%s: %w", t, err)
			once.Do(func() { failed(err) })
			return err
		})
	}
	g.Go(func() error {
		for _, t := range tasks {
			select {
			case <-t.Ready():
			case <-ctx.Done():
				return nil
			}
		}
		Notify(log, daemon.SdNotifyReady)
		ready()
		return nil
	})
	return g.Wait()
}

// Notify tells the service manager a state, if there is one that listens.
func Notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("the service manager could not be told", "state", state, "err", err)
	}
}

// Reloading tells the service manager that a reload begins. READY ends it.
func Reloading(log *slog.Logger) {
	Notify(log, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
}

// Watchdog feeds the service manager's watchdog for as long as alive says so.
// Without a watchdog in the unit it only waits.
type Watchdog struct {
	Alive func(time.Time) bool
	Log   *slog.Logger
}

func (w Watchdog) String() string { return "watchdog" }

// Ready is closed from the start.
func (w Watchdog) Ready() <-chan struct{} { return closed }

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Run feeds the watchdog three times in each of its intervals.
func (w Watchdog) Run(ctx context.Context) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("WATCHDOG_USEC or WATCHDOG_PID: %w", err)
	}
	if every == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case at := <-tick.C:
			if w.Alive(at) {
				Notify(w.Log, daemon.SdNotifyWatchdog)
			} else {
				w.Log.Error("a loop of the director does not pass; the watchdog is not fed")
			}
		}
	}
}
