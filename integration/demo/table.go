package main

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"tandem/integration/load"
)

// window is what clients noticed from one mark to the next.
type window struct {
	label  string
	gap    time.Duration // longest time without a success; 0: under load.DefaultGapOver
	failed int           // new connections
	total  int
	lost   int // long-lived connections
}

// windows divides the account of a run among its marks, which are in order. The
// first window is the time before them.
func windows(res load.Result, events []load.Event, marks []load.Mark) []window {
	wins := make([]window, 1+len(marks))
	wins[0].label = "(before the first event)"
	for i, m := range marks {
		wins[1+i].label = m.Label
	}
	at := func(d time.Duration) *window {
		i := 0
		for i < len(marks) && marks[i].At <= d {
			i++
		}
		return &wins[i]
	}
	// A bucket in which something is done belongs to what follows.
	bucket := res.Timeline.Bucket.Duration()
	for i, b := range res.Timeline.Buckets {
		w := at(time.Duration(i+1)*bucket - 1)
		w.failed += b.Failed
		w.total += b.OK + b.Failed
	}
	// A gap begins with the last success, a moment before what causes it, so its
	// end says where it belongs.
	gaps := gapsOf(res, events)
	for _, g := range gaps {
		w := at(g.To.Duration())
		w.gap = max(w.gap, g.Length.Duration())
	}
	for _, s := range res.Streams.Each {
		if s.Outcome != load.Survived {
			at(brokeAt(s)).lost++
		}
	}
	return wins
}

// gapsOf collects the gaps that are worth an event: the one that the end of the
// run cut off too, but not the time until the clients' very first success.
func gapsOf(res load.Result, events []load.Event) []load.Gap {
	var gaps []load.Gap
	for _, e := range events {
		if e.Type == load.GapClosed && e.At-e.Gap > 0 {
			gaps = append(gaps, load.Gap{Length: e.Gap, From: e.At - e.Gap, To: e.At})
		}
	}
	if g := res.Connections.LongestGap; g.Open && g.From > 0 {
		gaps = append(gaps, g)
	}
	return gaps
}

// brokeAt is when a stream broke as its user sees it: one that was given up
// after a long silence broke when the silence began.
func brokeAt(s load.Stream) time.Duration {
	if s.LongestStall > 0 && s.StallFrom+s.LongestStall >= s.At-1 {
		return s.StallFrom.Duration()
	}
	return s.At.Duration()
}

// slow is from what lateness of the clients on the figures are doubtful: it is
// well below the takeovers that are measured.
const slow = 50 * time.Millisecond

// table shows what clients noticed of every event and in all.
func table(wins []window, res load.Result) string {
	c, s := res.Connections, res.Streams
	rows := [][4]string{{"", "longest time", "new", "long-lived"}, {"", "without a success", "connections failed", "connections lost"}}
	var gap time.Duration
	for i, w := range wins {
		gap = max(gap, w.gap)
		if i == 0 && w.gap == 0 && w.failed == 0 && w.lost == 0 {
			continue
		}
		rows = append(rows, [4]string{w.label, gapText(w.gap), fmt.Sprintf("%d of %d", w.failed, w.total), fmt.Sprint(w.lost)})
	}
	rows = append(rows, [4]string{"in all", gapText(gap), fmt.Sprintf("%d of %d", c.Failed, c.Total), fmt.Sprintf("%d of %d", s.Lost+s.NeverConnected, s.Count)})

	var b strings.Builder
	for i, r := range rows {
		if i == 2 || i == len(rows)-1 {
			b.WriteString(strings.Repeat("─", width) + "\n")
		}
		fmt.Fprintf(&b, "%s%18s%19s%17s\n", left(r[0], width-18-19-17), r[1], r[2], r[3])
	}
	b.WriteString("\n" + latenessText(res.Lateness))
	return b.String()
}

func gapText(d time.Duration) string {
	if d < load.DefaultGapOver {
		return fmt.Sprintf("< %d ms", load.DefaultGapOver.Milliseconds())
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// latenessText says how far the figures can be trusted.
func latenessText(l load.Lateness) string {
	text := fmt.Sprintf("The clients themselves ran late by %d ms at most, by %d ms in 99 of 100 cases.",
		l.Max.Duration().Milliseconds(), l.P99.Duration().Milliseconds())
	if l.Max.Duration() >= slow {
		text += fmt.Sprintf(" That is much: this machine is busy or slow (an emulated one is), and stood still around %.1f s. Figures that are not well above it are the machine's, not the pair's.", l.MaxAt.Duration().Seconds())
	}
	return strings.Join(wrap(text, width), "\n") + "\n"
}

// left fills a text up to n columns, or cuts it.
func left(text string, n int) string {
	text = cut(text, n)
	return text + strings.Repeat(" ", n-utf8.RuneCountInString(text))
}
