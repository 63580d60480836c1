package load

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Mark is a happening to be shown below a drawn timeline.
type Mark struct {
	// At is the offset from the start of the run.
	At    time.Duration
	Label string
}

// minDrawWidth keeps a drawing readable however narrow the terminal says it is.
const minDrawWidth = 40

// palette colours the rows of a drawing; the zero palette leaves them plain.
type palette struct{ ok, bad, dim, reset string }

var ansi = palette{ok: "\x1b[32m", bad: "\x1b[31m", dim: "\x1b[2m", reset: "\x1b[0m"}

// Draw shows the timeline as rows of bars that are at most width columns wide
// (at least 40), over a time axis with the marks. In every row a full block
// stands for all attempts, or all streams, of its column; whatever is not zero
// is visible, and so is whatever is not all. Columns without data are blank.
func (t Timeline) Draw(width int, marks []Mark) string { return t.draw(width, marks, palette{}) }

// DrawColor is Draw with ANSI colours.
func (t Timeline) DrawColor(width int, marks []Mark) string { return t.draw(width, marks, ansi) }

// row is one line of bars: a share of the whole in each column, NaN where
// there is nothing to have a share of.
type row struct {
	label  string
	shares []float64
	color  string
	// good rounds down, so that a full block means everything; the others
	// round up, so that a blank means nothing.
	good bool
}

func (t Timeline) draw(width int, marks []Mark, p palette) string {
	if len(t.Buckets) == 0 {
		return "(empty timeline)\n"
	}
	labels := t.labelWidth()
	room := max(width, minDrawWidth) - labels - 2
	cols := merge(t.Buckets, min(room, len(t.Buckets)))

	var b strings.Builder
	for _, r := range t.rows(cols, p) {
		fmt.Fprintf(&b, "%s  ", pad(r.label, labels))
		b.WriteString(r.color)
		for _, share := range r.shares {
			b.WriteRune(block(share, r.good))
		}
		if r.color != "" {
			b.WriteString(p.reset)
		}
		b.WriteByte('\n')
	}
	a := axis{
		column:  t.Bucket.Duration() * time.Duration(len(t.Buckets)) / time.Duration(len(cols)),
		columns: len(cols),
		room:    room,
		indent:  strings.Repeat(" ", labels+2),
	}
	a.draw(&b, marks, p)
	return b.String()
}

// merge adds the buckets up to n columns, of which some may take one bucket
// more than others: shares make up for it. Streams that stall in several
// buckets are still the same ones, so the worst bucket speaks for its column.
func merge(buckets []Bucket, n int) []Bucket {
	cols := make([]Bucket, n)
	for i := range cols {
		c := &cols[i]
		c.Servers = make(map[string]int)
		for _, b := range buckets[i*len(buckets)/n : (i+1)*len(buckets)/n] {
			c.OK += b.OK
			c.Failed += b.Failed
			c.Stalled = max(c.Stalled, b.Stalled)
			c.Lost += b.Lost
			for name, k := range b.Servers {
				c.Servers[name] += k
			}
		}
	}
	return cols
}

// rows returns what there is to draw: rows about a kind of traffic that the
// run did not have, and about losses that did not occur, are left out.
func (t Timeline) rows(cols []Bucket, p palette) []row {
	var rows []row
	attempts := func(b Bucket) int { return b.OK + b.Failed }
	streams := func(Bucket) int { return t.Streams }
	add := func(label, color string, good bool, of func(Bucket) int, count func(Bucket) int) {
		r := row{label: label, color: color, good: good}
		for _, c := range cols {
			r.shares = append(r.shares, float64(count(c))/float64(of(c)))
		}
		rows = append(rows, r)
	}
	if slices.ContainsFunc(cols, func(b Bucket) bool { return attempts(b) > 0 }) {
		add("ok", p.ok, true, attempts, func(b Bucket) int { return b.OK })
		add("failed", p.bad, false, attempts, func(b Bucket) int { return b.Failed })
		for _, name := range t.servers() {
			add(serverLabel(name), "", false, attempts, func(b Bucket) int { return b.Servers[name] })
		}
	}
	if t.Streams > 0 {
		add("stalled", p.bad, false, streams, func(b Bucket) int { return b.Stalled })
		if slices.ContainsFunc(cols, func(b Bucket) bool { return b.Lost > 0 }) {
			add("lost", p.bad, false, streams, func(b Bucket) int { return b.Lost })
		}
	}
	return rows
}

// servers returns the names of all servers in order.
func (t Timeline) servers() []string {
	names := make(map[string]bool)
	for _, b := range t.Buckets {
		for name := range b.Servers {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// block returns the bar of one column.
func block(share float64, good bool) rune {
	const levels = "·▁▂▃▄▅▆▇█"
	if math.IsNaN(share) {
		return ' '
	}
	level := math.Ceil(share * 8)
	if good {
		// Down, but a success among failures still shows.
		level = max(math.Floor(share*8), min(level, 1))
	}
	return []rune(levels)[int(min(max(level, 0), 8))]
}

// maxLabel is the widest label; longer server names are cut.
const maxLabel = 12

func (t Timeline) labelWidth() int {
	n := len("stalled")
	for _, name := range t.servers() {
		n = max(n, utf8.RuneCountInString(serverLabel(name)))
	}
	return n
}

func serverLabel(name string) string {
	if name == "" {
		return "(unnamed)"
	}
	return cut(name, maxLabel)
}

// cut shortens s to at most width columns.
func cut(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return s
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}
