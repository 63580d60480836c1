package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// width is how many columns everything fits into.
const width = 80

// line is one sentence of the story: who does or notices something, and when.
type line struct {
	at   time.Time
	who  string // "we", "clients", or a director
	text string
}

// teller prints lines in the order of their time. News of a director arrives
// after the moment that it is about, so a line waits for a while before it is
// printed.
type teller struct {
	out   io.Writer
	color bool

	mu      sync.Mutex
	start   time.Time // of the story's clock; zero: it has not begun
	waiting []line
}

const (
	tellAfter = 400 * time.Millisecond
	tellEvery = 100 * time.Millisecond
)

func newTeller(out io.Writer, color bool) *teller { return &teller{out: out, color: color} }

// begin starts the story's clock.
func (t *teller) begin(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.start = at
}

// say takes lines to be told in their time.
func (t *teller) say(lines ...line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, lines...)
}

// heading prints a heading, after all that was said before it.
func (t *teller) heading(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.print(time.Time{})
	fmt.Fprintf(t.out, "\n%s\n", t.paint(bold, text))
}

// run tells until ctx is done, and then the rest.
func (t *teller) run(ctx context.Context) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for done := false; !done; {
		var before time.Time // zero: everything
		select {
		case <-ctx.Done():
			done = true
		case now := <-tick.C:
			before = now.Add(-tellAfter)
		}
		t.mu.Lock()
		t.print(before)
		t.mu.Unlock()
	}
}

// print tells the lines from before a moment; zero means all. The caller holds
// t.mu.
func (t *teller) print(before time.Time) {
	slices.SortStableFunc(t.waiting, func(a, b line) int { return a.at.Compare(b.at) })
	n := len(t.waiting)
	if !before.IsZero() {
		n, _ = slices.BinarySearchFunc(t.waiting, before, func(l line, at time.Time) int { return l.at.Compare(at) })
	}
	for _, l := range t.waiting[:n] {
		io.WriteString(t.out, t.render(l))
	}
	t.waiting = slices.Delete(t.waiting, 0, n)
}

// margin is what precedes the text of a line: the time and who.
const margin = 18

// render lays a line out.
func (t *teller) render(l line) string {
	clock := ""
	if !t.start.IsZero() && !l.at.Before(t.start) {
		clock = fmt.Sprintf("%.2f", l.at.Sub(t.start).Seconds())
	}
	var b strings.Builder
	for i, text := range wrap(l.text, width-margin) {
		if i > 0 {
			b.WriteString(strings.Repeat(" ", margin))
		} else {
			fmt.Fprintf(&b, "%s  %s  ", t.paint(dim, fmt.Sprintf("%7s", clock)), t.paint(hue(l.who), fmt.Sprintf("%-7s", l.who)))
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

// wrap breaks a text between words into lines of at most n columns; a longer
// word has a line of its own.
func wrap(text string, n int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		last := len(lines) - 1
		if last >= 0 && utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(word) <= n {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// cut shortens a text to n columns.
func cut(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

// The colours of a terminal, and the attributes (ECMA-48, SGR).
const (
	bold   = "1"
	dim    = "2"
	yellow = "33"
	blue   = "34"
	cyan   = "36"
)

func hue(who string) string {
	switch who {
	case "we":
		return yellow
	case "clients":
		return cyan
	}
	return blue
}

func (t *teller) paint(sgr, text string) string {
	if !t.color || text == "" {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}
