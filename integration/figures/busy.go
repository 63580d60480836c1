package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"tandem/integration/elect"
	"tandem/integration/lab"
)

// A calm says how calm many routers stayed.
type calm struct {
	changes int           // of roles
	gap     time.Duration // the longest between two advertisements of a router's active
}

// busy keeps every processor busy beside both programs.
func busy(ctx context.Context, out io.Writer, o options) error {
	var got [2]calm
	for i, s := range speakers {
		var err error
		if got[i], err = oneCalm(ctx, s, o); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	fmt.Fprintf(out, "%d routers every %v, beside %d processes that compute for %v\n%-41s %10s %10s %8s\n",
		o.routers, interval, runtime.NumCPU(), o.busy, "figure", "tandem", "keepalived", "ratio")
	fmt.Fprintf(out, "%-41s %10d %10d\n", "role changes", got[0].changes, got[1].changes)
	fmt.Fprintf(out, "%-41s %10s %10s %8s\n", "longest gap between advertisements, ms", ms(got[0].gap), ms(got[1].gap), ratio(got[0].gap, got[1].gap))
	return nil
}

func oneCalm(ctx context.Context, s elect.Speaker, o options) (got calm, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.busy+2*time.Minute)
	defer cancel()
	seg, err := many(ctx, s, o.routers)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, seg.Close()) }()
	// On a node that is cut off; the loop is one at normal priority.
	for range runtime.NumCPU() {
		if _, err := seg.Client.Start(lab.Command{Path: "/bin/sh", Args: []string{"-c", "while :; do :; done"}}); err != nil {
			return got, err
		}
	}
	time.Sleep(time.Second)
	watch := watch{active: seg.Directors[0], speaker: make(map[uint8][6]byte), last: make(map[uint8]time.Time)}
	tap, err := elect.NewTap(seg.Switch(lab.LAN), seg.Directors[1].Name, watch.see)
	if err != nil {
		return got, err
	}
	select {
	case <-time.After(o.busy):
	case <-ctx.Done():
		return got, errors.Join(ctx.Err(), tap.Close())
	}
	if err := tap.Close(); err != nil {
		return got, err
	}
	return watch.result()
}

// A watch follows the advertisements of many routers without keeping them.
type watch struct {
	active *lab.Node // at the beginning, of all routers

	mu      sync.Mutex
	speaker map[uint8][6]byte
	last    map[uint8]time.Time
	calm    calm
}

func (w *watch) see(e elect.Event) {
	if e.VRID == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	was, known := w.speaker[e.VRID]
	if !known {
		was = [6]byte(w.active.HardwareAddr(lab.LAN))
	}
	if was != e.Sender {
		w.calm.changes++
	} else if known {
		w.calm.gap = max(w.calm.gap, e.At.Sub(w.last[e.VRID]))
	}
	w.speaker[e.VRID], w.last[e.VRID] = e.Sender, e.At
}

func (w *watch) result() (calm, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.last) == 0 {
		return calm{}, errors.New("no advertisement was seen")
	}
	return w.calm, nil
}
