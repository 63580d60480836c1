package lab

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	outputLines = 20_000  // at least this many of the newest lines are kept
	maxLine     = 1 << 20 // bytes; a longer line is split
)

// A Line is one line of a process' standard output or standard error.
type Line struct {
	At   time.Time // when it was read
	Text string    // without the line end
}

// output splits what a process writes into lines. It is an io.Writer for a
// single goroutine.
type output struct {
	lines   *journal[Line]
	onLine  func(Line)
	partial []byte
}

func newOutput(onLine func(Line)) *output {
	return &output{lines: newJournal[Line](outputLines), onLine: onLine}
}

func (o *output) Write(p []byte) (int, error) {
	o.partial = append(o.partial, p...)
	for {
		i := bytes.IndexByte(o.partial, '\n')
		switch {
		case i >= 0:
			o.emit(o.partial[:i])
			o.partial = o.partial[i+1:]
		case len(o.partial) >= maxLine:
			o.emit(o.partial)
			o.partial = nil
		default:
			return len(p), nil
		}
	}
}

func (o *output) emit(text []byte) {
	l := Line{At: time.Now(), Text: string(text)}
	o.lines.add(l)
	if o.onLine != nil {
		o.onLine(l)
	}
}

// end completes the last line. Nobody writes any more.
func (o *output) end() {
	if len(o.partial) > 0 {
		o.emit(o.partial)
	}
	o.lines.end()
}

// Lines returns what the process has written, its newest 20,000 lines at least.
func (p *Process) Lines() []Line { return p.output.lines.all() }

// Output returns the same as one text.
func (p *Process) Output() string { return join(p.Lines()) }

// WaitLine returns the first line that match accepts, of those already written
// and then of those that come. After the last line the error is ErrEnded.
func (p *Process) WaitLine(ctx context.Context, match func(text string) bool) (Line, error) {
	l, err := p.output.lines.wait(ctx, func(l Line) bool { return match(l.Text) })
	if err != nil {
		return Line{}, fmt.Errorf("lab: wait for a line of %s: %w", p, err)
	}
	return l, nil
}

// tail returns the last lines with their times of day.
func (p *Process) tail(n int) string {
	lines := p.Lines()
	var b strings.Builder
	for _, l := range lines[max(len(lines)-n, 0):] {
		fmt.Fprintf(&b, "  %s %s\n", l.At.Format("15:04:05.000000"), l.Text)
	}
	return b.String()
}

func join(lines []Line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Text)
		b.WriteByte('\n')
	}
	return b.String()
}
