package drill

import (
	"context"
	"fmt"
	"time"

	"tandem/integration/load"
)

// Figures are what users noticed of one drill.
type Figures struct {
	Drill    string        `json:"drill"`
	Balancer string        `json:"balancer"`
	Outage   time.Duration `json:"outage_ns"` // longest time between two successful new connections
	Failed   int           `json:"failed"`    // new connections
	Total    int           `json:"total"`
	Lost     int           `json:"lost"` // long-lived connections
	Streams  int           `json:"streams"`
	Stall    time.Duration `json:"stall_ns"` // longest of a long-lived connection that survived
	Lateness time.Duration `json:"lateness_ns"`
	Takeover time.Duration `json:"takeover_ns,omitempty"` // from the last advert of the dead to the first gratuitous ARP
	Removal  time.Duration `json:"removal_ns,omitempty"`  // of a failed server from every table

	Result load.Result `json:"-"`
	Marks  []load.Mark `json:"-"`
}

// String is one line for people.
func (f Figures) String() string {
	s := fmt.Sprintf("%-11s %-28s outage %6d ms, %3d of %d new connections failed, %2d of %d streams lost, longest stall %6d ms (clients late by %d ms at most)",
		f.Balancer, f.Drill, f.Outage.Milliseconds(), f.Failed, f.Total, f.Lost, f.Streams, f.Stall.Milliseconds(), f.Lateness.Milliseconds())
	if f.Takeover > 0 {
		s += fmt.Sprintf(", last advert to first GARP %d ms", f.Takeover.Milliseconds())
	}
	if f.Removal > 0 {
		s += fmt.Sprintf(", server out of the tables after %d ms", f.Removal.Milliseconds())
	}
	return s
}

// Timeline draws the drill.
func (f Figures) Timeline(width int) string { return f.Result.Timeline.Draw(width, f.Marks) }

// Step is one thing that happens under load.
type Step struct {
	Name string
	Wait time.Duration // before it
	Do   func() error
}

// Under runs steps one after another under load, and afterwards lets the load
// run on for a while.
func (p *Pair) Under(ctx context.Context, name string, o LoadOptions, after time.Duration, steps ...Step) (Figures, error) {
	f := Figures{Drill: name, Balancer: p.options.Balancer.String()}
	l, err := p.StartLoad(ctx, o)
	if err != nil {
		return f, err
	}
	var at []time.Time
	for _, s := range steps {
		if err := pause(ctx, s.Wait); err != nil {
			return f, err
		}
		at = append(at, time.Now())
		if err := s.Do(); err != nil {
			return f, fmt.Errorf("%s: %s: %w", name, s.Name, err)
		}
	}
	if err := pause(ctx, after); err != nil {
		return f, err
	}
	f.Result, err = l.Stop(ctx)
	if err != nil {
		return f, fmt.Errorf("%s: %w", name, err)
	}
	for i, s := range steps {
		f.Marks = append(f.Marks, load.Mark{At: at[i].Sub(time.Unix(0, f.Result.StartUnixNS)), Label: s.Name})
	}
	f.account()
	return f, nil
}

func (f *Figures) account() {
	c, s := f.Result.Connections, f.Result.Streams
	f.Outage = c.LongestGap.Length.Duration()
	f.Failed, f.Total = c.Failed, c.Total
	f.Lost, f.Streams = s.Lost+s.NeverConnected, s.Count
	f.Stall = s.LongestStall.Length.Duration()
	f.Lateness = f.Result.Lateness.Max.Duration()
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
