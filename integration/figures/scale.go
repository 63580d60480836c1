package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tandem/integration/elect"
	"tandem/integration/lab"
)

// patience is how long a takeover of many routers may take before it is given up,
// which is a figure, too.
const patience = 30 * time.Second

// interval is that of the sections with many routers: the shortest there is.
const interval = 10 * time.Millisecond

// A load is what many routers cost, and how fast all of them move.
type load struct {
	active, backup float64 // processors' time of the program, in percent of one
	taken          int     // addresses that the backup took although the active was alive
	adverts        time.Duration
	addresses      time.Duration
}

// scale measures both programs with many routers.
func scale(ctx context.Context, out io.Writer, o options) error {
	var got [2]load
	for i, s := range speakers {
		var err error
		if got[i], err = oneLoad(ctx, s, o); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	fmt.Fprintf(out, "%d routers every %v on one interface; processors' time over %v, then the active's host dies (from its last advertisement)\n"+
		"%-41s %10s %10s %8s\n", o.routers, interval, o.scale, "figure", "tandem", "keepalived", "ratio")
	percent := func(figure string, a, b float64) {
		fmt.Fprintf(out, "%-41s %10.1f %10.1f %8.2f\n", figure, a, b, a/b)
	}
	percent("active, % of a processor", got[0].active, got[1].active)
	percent("backup, % of a processor", got[0].backup, got[1].backup)
	fmt.Fprintf(out, "%-41s %10d %10d\n", "addresses that the backup took meanwhile", got[0].taken, got[1].taken)
	row := func(figure string, a, b time.Duration) {
		fmt.Fprintf(out, "%-41s %10s %10s %8s\n", figure, inTime(a), inTime(b), ratio(a, b))
	}
	row("all have advertised on the backup, ms", got[0].adverts, got[1].adverts)
	row("all have their address on the backup, ms", got[0].addresses, got[1].addresses)
	fmt.Fprintf(out, "%-41s %10s %10s\n", "RFC 9568: 3 intervals and skew, ms", ms(activeDown(interval)), ms(activeDown(interval)))
	return nil
}

// many is a settled pair with many routers. Nobody else is on the segment, so that
// the kernel does not copy each packet once more.
func many(ctx context.Context, s elect.Speaker, routers int) (*elect.Segment, error) {
	seg, err := elect.New(elect.Options{Advert: interval, Members: members(s), Routers: elect.Routers(routers)})
	if err != nil {
		return nil, err
	}
	if err = seg.Client.LinkDown(lab.LAN); err == nil {
		err = seg.StartAll(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, seg.Close())
	}
	return seg, nil
}

func oneLoad(ctx context.Context, s elect.Speaker, o options) (got load, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.scale+2*time.Minute)
	defer cancel()
	seg, err := many(ctx, s, o.routers)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, seg.Close()) }()

	h, err := followHolding(seg.Directors[1], o.routers)
	if err != nil {
		return got, err
	}
	defer h.close()
	time.Sleep(time.Second) // announcements of the takeover
	early, _ := h.state()
	begin := time.Now()
	var before, after [2]time.Duration
	for i := range before {
		if before[i], err = seg.CPUTime(i); err != nil {
			return got, err
		}
	}
	time.Sleep(o.scale)
	elapsed := time.Since(begin)
	taken, _ := h.state()
	got.taken = taken - early
	for i := range after {
		if after[i], err = seg.CPUTime(i); err != nil {
			return got, err
		}
	}
	got.active = 100 * float64(after[0]-before[0]) / float64(elapsed)
	got.backup = 100 * float64(after[1]-before[1]) / float64(elapsed)
	got.adverts, got.addresses, err = moveAll(ctx, seg, o.routers, h)
	return got, err
}

// inTime is a duration in milliseconds, if it was not given up.
func inTime(d time.Duration) string {
	if d >= patience {
		return fmt.Sprintf("> %d", patience.Milliseconds())
	}
	return ms(d)
}

// moveAll lets the active's host die and says when every router had advertised on
// the backup, and when every address was on it, after the last advertisement of the
// dead.
func moveAll(ctx context.Context, seg *elect.Segment, routers int, h *holding) (adverts, addresses time.Duration, err error) {
	dead, successor := seg.Directors[0], seg.Directors[1]
	var w elect.Witness
	tap, err := elect.NewTap(seg.Switch(lab.LAN), successor.Name, w.See)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, tap.Close()) }()
	time.Sleep(10 * interval) // the tap hears
	if err := dead.Kill(); err != nil {
		return 0, 0, err
	}
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last, first, held time.Time
	moved := 0
	err = seg.Eventually(bounded, "every router advertises on the backup, and it holds every address", func() (bool, error) {
		if moved < routers { // afterwards it would only take the programs' time
			last, first, moved = w.TakeoverOfAll(elect.MAC(dead), elect.MAC(successor))
		}
		_, held = h.state()
		return moved == routers && !held.IsZero(), nil
	})
	if err != nil && ctx.Err() != nil {
		return 0, 0, err
	}
	if moved < routers {
		first = last.Add(patience)
	}
	if held.IsZero() {
		held = last.Add(patience)
	}
	return first.Sub(last), max(held.Sub(last), 0), nil
}
