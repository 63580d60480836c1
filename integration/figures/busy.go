package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"tandem/integration/elect"
	"tandem/integration/lab"
)

// busy keeps every processor busy beside both programs.
func busy(ctx context.Context, out io.Writer, o options) error {
	var got [2]elect.Calm
	for i, s := range speakers {
		var err error
		if got[i], err = oneCalm(ctx, s, o); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	fmt.Fprintf(out, "%d routers every %v, beside %d processes that compute for %v\n%-41s %10s %10s %8s\n",
		o.routers, interval, runtime.NumCPU(), o.busy, "figure", "tandem", "keepalived", "ratio")
	fmt.Fprintf(out, "%-41s %10d %10d\n", "role changes", got[0].Changes, got[1].Changes)
	fmt.Fprintf(out, "%-41s %10s %10s %8s\n", "longest gap between advertisements, ms", ms(got[0].Gap), ms(got[1].Gap), ratio(got[0].Gap, got[1].Gap))
	return nil
}

func oneCalm(ctx context.Context, s elect.Speaker, o options) (got elect.Calm, err error) {
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
	watch := elect.NewWatch(elect.MAC(seg.Directors[0]))
	tap, err := elect.NewTap(seg.Switch(lab.LAN), seg.Directors[1].Name, watch.See)
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
	got = watch.Calm()
	if got.Adverts == 0 {
		return got, errors.New("no advertisement was seen")
	}
	return got, nil
}
