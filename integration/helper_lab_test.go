//go:build lab

package integration

import (
	"context"
	"testing"
	"time"

	"tandem/integration/drill"
	"tandem/integration/lab"
)

// forwardings are what every drill is run with.
var forwardings = []string{"direct", "masquerade"}

// each runs a drill on a fresh, settled pair of each way of forwarding.
func each(t *testing.T, o drill.Options, f func(*testing.T, context.Context, *drill.Pair)) {
	t.Helper()
	for _, way := range forwardings {
		t.Run(way, func(t *testing.T) {
			o := o
			o.Forwarding = way
			ctx, p := start(t, o)
			f(t, ctx, p)
		})
	}
}

// start makes a pair and waits until it is settled.
func start(t *testing.T, o drill.Options) (context.Context, *drill.Pair) {
	t.Helper()
	ctx, p := prepare(t, o)
	if err := p.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx, p
}

// prepare makes a pair whose directors do not run yet.
func prepare(t *testing.T, o drill.Options) (context.Context, *drill.Pair) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	p, err := drill.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("\n" + p.Logs())
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return ctx, p
}

// patience is how long clients of a drill wait for an answer: longer than an
// emulated machine stands still, so that what fails was lost and not late.
const patience = time.Second

// under runs steps under load and prints what users noticed.
func under(t *testing.T, ctx context.Context, p *drill.Pair, after time.Duration, steps ...drill.Step) drill.Figures {
	t.Helper()
	f, err := p.Under(ctx, t.Name(), drill.LoadOptions{Timeout: patience}, after, steps...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%s", f, f.Timeline(78))
	return f
}

// expect fails the test where users noticed more than they may. The lateness of
// the clients themselves is not the pair's fault.
func expect(t *testing.T, f drill.Figures, outage time.Duration, failed, lost int) {
	t.Helper()
	if f.Outage > outage+2*f.Lateness {
		t.Errorf("outage of %v, at most %v is expected", f.Outage, outage)
	}
	// When the machine stands still, everyone on it does, one after the other.
	stalled := int(3 * f.Lateness.Seconds() * f.Result.Connections.Rate)
	if f.Failed > failed+stalled {
		t.Errorf("%d new connections failed, at most %d are expected and %d forgiven", f.Failed, failed, stalled)
	}
	if f.Lost > lost {
		t.Errorf("%d long-lived connections were lost, at most %d are expected", f.Lost, lost)
	}
}

// holder waits until exactly one director holds the VIP, and that it is the one
// that is wanted.
func holder(t *testing.T, ctx context.Context, p *drill.Pair, want int) {
	t.Helper()
	err := p.Eventually(ctx, p.Directors[want].Name+" alone holds the VIP", func() (bool, error) {
		h, err := p.Holders()
		return len(h) == 1 && h[0] == want, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// within asks until the answer is yes and fails the test when that takes longer
// than the bound.
func within(t *testing.T, p *drill.Pair, bound time.Duration, what string, ask func() (bool, error)) time.Duration {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if err := p.Eventually(ctx, what, ask); err != nil {
		t.Fatal(err)
	}
	return time.Since(begin)
}

// pointsAt says whether a client's ARP cache has the VIP at a director.
func pointsAt(p *drill.Pair, director int) func() (bool, error) {
	return func() (bool, error) {
		mac, err := p.Client.Neighbour(lab.VIP)
		if err != nil {
			return false, err
		}
		return mac.String() == p.Directors[director].HardwareAddr(lab.LAN).String(), nil
	}
}
