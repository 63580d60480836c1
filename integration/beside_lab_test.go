//go:build lab && bench

package integration

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/integration/drill"
	"tandem/integration/lab"
)

// TestBeside runs the same drills with tandem and with keepalived in turn, on
// the same topology, and prints the figures side by side. TANDEM_BESIDE_RUNS says how
// often; medians are compared.
func TestBeside(t *testing.T) {
	runs := 3
	if s := os.Getenv("TANDEM_BESIDE_RUNS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("TANDEM_BESIDE_RUNS=%q is not a number of runs", s)
		}
		runs = n
	}
	table := fmt.Sprintf("medians of %d runs each, adverts every 100 ms, direct routing\n%-20s %-28s %10s %10s %8s",
		runs, "drill", "figure", "tandem", "keepalived", "ratio")
	for _, d := range beside {
		t.Run(d.name, func(t *testing.T) {
			got := map[string][]drill.Figures{}
			for run := range runs {
				for _, b := range []drill.Balancer{drill.Tandem{}, drill.Keepalived{}} {
					f := once(t, fmt.Sprintf("%s %d", d.name, run+1), b, d.f)
					t.Log(f)
					got[b.String()] = append(got[b.String()], f)
				}
			}
			table += "\n" + strings.Join(compare(d.name, got["tandem"], got["keepalived"]), "\n")
		})
	}
	t.Log(table)
}

// beside are the drills that both can do.
var beside = []struct {
	name string
	f    func(context.Context, *drill.Pair, string) (drill.Figures, error)
}{
	{"host death", func(ctx context.Context, p *drill.Pair, name string) (drill.Figures, error) {
		watch, err := p.WatchTakeover()
		if err != nil {
			return drill.Figures{}, err
		}
		f, err := p.Under(ctx, name, drill.LoadOptions{}, 4*time.Second, drill.Step{Name: "host dies", Wait: 3 * time.Second, Do: p.Directors[0].Kill})
		if err != nil {
			return f, err
		}
		f.Takeover, err = watch.Silence(p.Directors[0], p.Directors[1])
		return f, err
	}},
	{"SIGTERM", func(ctx context.Context, p *drill.Pair, name string) (drill.Figures, error) {
		return p.Under(ctx, name, drill.LoadOptions{}, 5*time.Second, drill.Step{Name: "SIGTERM", Wait: 3 * time.Second, Do: func() error {
			return p.Daemon(0).Signal(syscall.SIGTERM)
		}})
	}},
	{"link down", func(ctx context.Context, p *drill.Pair, name string) (drill.Figures, error) {
		return p.Under(ctx, name, drill.LoadOptions{}, 4*time.Second, drill.Step{Name: "link down", Wait: 3 * time.Second, Do: func() error {
			return p.Directors[0].LinkDown(lab.LAN)
		}})
	}},
	{"server answers 503", serverFails("503", func(p *drill.Pair) error { return p.SetServer(1, "503") })},
	{"server dies", serverFails("host dies", func(p *drill.Pair) error { return p.Servers[1].Kill() })},
}

// How servers are checked, with a timeout of half an interval, and when a failed
// one must be out of both tables: the checks' own time, and 200 ms for the rest.
const (
	checkInterval = time.Second
	checkFall     = 3
	removalBound  = checkFall*checkInterval + checkInterval/2 + 200*time.Millisecond
)

// serverFails is the drill of a real server that fails.
func serverFails(step string, fail func(*drill.Pair) error) func(context.Context, *drill.Pair, string) (drill.Figures, error) {
	return func(ctx context.Context, p *drill.Pair, name string) (drill.Figures, error) {
		var took time.Duration
		f, err := p.Under(ctx, name, drill.LoadOptions{}, time.Second, drill.Step{Name: step, Wait: 2 * time.Second, Do: func() error {
			begin := time.Now()
			if err := fail(p); err != nil {
				return err
			}
			err := p.Eventually(ctx, "the server is out of the tables", inTable(p, 80, 1, false))
			took = time.Since(begin)
			return err
		}})
		f.Removal = took
		return f, err
	}
}

func once(t *testing.T, name string, b drill.Balancer, f func(context.Context, *drill.Pair, string) (drill.Figures, error)) drill.Figures {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p, err := drill.New(drill.Options{Balancer: b, Advert: 100 * time.Millisecond, CheckInterval: checkInterval, Fall: checkFall})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.StartAll(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := f(ctx, p, name)
	if err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return got
}

// compare makes a row for each figure that either of the two has.
func compare(name string, ours, theirs []drill.Figures) []string {
	var rows []string
	row := func(figure string, summary func([]drill.Figures, func(drill.Figures) float64) float64, of func(drill.Figures) float64) {
		a, b := summary(ours, of), summary(theirs, of)
		if a == 0 && b == 0 {
			return
		}
		ratio := "-"
		if b != 0 {
			ratio = fmt.Sprintf("%.2f", a/b)
		}
		rows = append(rows, fmt.Sprintf("%-20s %-28s %10.0f %10.0f %8s", name, figure, a, b, ratio))
	}
	row("last advert to first GARP, ms", median, func(f drill.Figures) float64 { return float64(f.Takeover.Milliseconds()) })
	row("outage, ms", median, func(f drill.Figures) float64 { return float64(f.Outage.Milliseconds()) })
	row("new connections failed", median, func(f drill.Figures) float64 { return float64(f.Failed) })
	// Lost connections are all or nothing in a run: a median would hide them.
	row("streams lost, all runs", total, func(f drill.Figures) float64 { return float64(f.Lost) })
	row("longest stall, ms", median, func(f drill.Figures) float64 { return float64(f.Stall.Milliseconds()) })
	removed := func(f drill.Figures) float64 { return float64(f.Removal.Milliseconds()) }
	row("server out of both tables, ms", median, removed)
	if median(ours, removed) > 0 {
		rows[len(rows)-1] += fmt.Sprintf("   at most %d", removalBound.Milliseconds())
	}
	return rows
}

func total(list []drill.Figures, of func(drill.Figures) float64) float64 {
	var sum float64
	for _, f := range list {
		sum += of(f)
	}
	return sum
}

func median(list []drill.Figures, of func(drill.Figures) float64) float64 {
	v := make([]float64, len(list))
	for i, f := range list {
		v[i] = of(f)
	}
	slices.Sort(v)
	return v[len(v)/2]
}
