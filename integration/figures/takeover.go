package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"tandem/integration/elect"
	"tandem/integration/lab"
)

// A takeover is what the clients' segment sees when the active's host falls silent.
type takeover struct {
	advert time.Duration // from the last advertisement of the dead to the first of the successor
	garp   time.Duration // and to its first gratuitous ARP
}

// errFlapped is a run in which the backup had been active before anything happened.
var errFlapped = errors.New("the backup was active before the active died")

// takeovers measures them with three intervals.
func takeovers(ctx context.Context, out io.Writer, o options) error {
	fmt.Fprintf(out, "takeover: the active's host is cut off and dies without a word; ms on the wire, after its last advertisement\n"+
		"%-10s %-34s %10s %10s %8s\n", "interval", "figure", "tandem", "keepalived", "ratio")
	for _, set := range []struct {
		advert time.Duration
		runs   int
	}{{time.Second, o.slowRuns}, {100 * time.Millisecond, o.runs}, {10 * time.Millisecond, o.runs}} {
		if set.runs == 0 {
			continue
		}
		if err := takeoversAt(ctx, out, set.advert, set.runs); err != nil {
			return fmt.Errorf("interval %v: %w", set.advert, err)
		}
	}
	return nil
}

func takeoversAt(ctx context.Context, out io.Writer, advert time.Duration, runs int) error {
	var adverts, garps, gaps [2]sample
	var flapped [2]int
	for range runs {
		for i, s := range speakers {
			got, err := oneTakeover(ctx, s, advert)
			for errors.Is(err, errFlapped) {
				if flapped[i]++; flapped[i] > runs {
					return fmt.Errorf("%s: more often than not, %w", s, err)
				}
				got, err = oneTakeover(ctx, s, advert)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
			adverts[i] = append(adverts[i], got.advert)
			garps[i] = append(garps[i], got.garp)
			gaps[i] = append(gaps[i], got.garp-got.advert)
		}
	}
	row := func(figure string, a, b time.Duration) {
		fmt.Fprintf(out, "%-10v %-34s %10s %10s %8s\n", advert, figure, ms(a), ms(b), ratio(a, b))
	}
	fmt.Fprintf(out, "%-10v %-34s %10s %10s\n", advert, "RFC 9568: 3 intervals and skew", ms(activeDown(advert)), ms(activeDown(advert)))
	for _, f := range []struct {
		name string
		of   [2]sample
	}{{"first advertisement", adverts}, {"first gratuitous ARP", garps}, {"from the one to the other", gaps}} {
		row(f.name+", median", f.of[0].median(), f.of[1].median())
		row(f.name+", maximum", f.of[0].max(), f.of[1].max())
	}
	fmt.Fprintf(out, "%-10v %-34s %10d %10d   runs not counted, of %d more\n", advert, "the backup had flapped", flapped[0], flapped[1], runs)
	return nil
}

// activeDown is what RFC 9568 lets a backup with priority 100 wait.
func activeDown(advert time.Duration) time.Duration { return 3*advert + (256-100)*advert/256 }

// oneTakeover builds a pair, lets its active die, and takes it down.
func oneTakeover(ctx context.Context, s elect.Speaker, advert time.Duration) (got takeover, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	seg, err := elect.New(elect.Options{Advert: advert, Members: members(s)})
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, seg.Close()) }()
	var w elect.Witness
	tap, err := elect.NewTap(seg.Client, lab.LAN, w.See)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, tap.Close()) }()
	if err := seg.StartAll(ctx); err != nil {
		return got, err
	}
	// The backup has heard some, and the death is at no particular moment.
	time.Sleep(3*advert + rand.N(advert))
	dead, successor := seg.Directors[0], seg.Directors[1]
	if err := dead.Kill(); err != nil {
		return got, err
	}
	err = seg.Eventually(ctx, "the successor announces the address", func() (bool, error) {
		_, _, garp := w.Takeover(elect.MAC(dead), elect.MAC(successor))
		return !garp.IsZero(), nil
	})
	if err != nil {
		return got, err
	}
	last, first, garp := w.Takeover(elect.MAC(dead), elect.MAC(successor))
	if w.Early(elect.MAC(successor), last) {
		return got, errFlapped
	}
	return takeover{first.Sub(last), garp.Sub(last)}, nil
}
