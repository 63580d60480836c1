package load

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// axis is the time axis below a drawing.
type axis struct {
	column  time.Duration // the time that one column stands for
	columns int
	room    int // columns that there is room for
	indent  string
}

// tickRoom is the least number of columns between two ticks: "1000.5 s" and a
// blank.
const tickRoom = 9

func (a axis) draw(b *strings.Builder, marks []Mark, p palette) {
	step := a.step()
	line, times := a.scale(step)
	fmt.Fprintf(b, "%s%s\n", a.indent, line)
	fmt.Fprintf(b, "%s%s%s%s\n", a.indent, p.dim, times, p.reset)
	a.marks(b, marks)
	fmt.Fprintf(b, "%s%sone column is %v%s\n", a.indent, p.dim, millis(a.column), p.reset)
}

// step returns the time between two ticks: the shortest of 1, 2 or 5 times a
// power of ten that leaves room for the tick's label.
func (a axis) step() time.Duration {
	for unit := time.Millisecond; ; unit *= 10 {
		for _, n := range []time.Duration{1, 2, 5} {
			if n*unit >= tickRoom*a.column {
				return n * unit
			}
		}
	}
}

// scale returns the line with its ticks, and the times below them.
func (a axis) scale(step time.Duration) (line, times string) {
	ruler := []rune(strings.Repeat("─", a.columns))
	var text strings.Builder
	for at := time.Duration(0); ; at += step {
		col := int(at / a.column)
		if col >= a.columns {
			break
		}
		ruler[col] = '┬'
		if label := strconv.FormatFloat(at.Seconds(), 'f', -1, 64) + " s"; col+len(label) <= a.room {
			text.WriteString(strings.Repeat(" ", col-text.Len()))
			text.WriteString(label)
		}
	}
	return string(ruler), text.String()
}

// marks draws an arrow with a number for each mark, and what the numbers mean.
// Marks outside the run are listed without an arrow.
func (a axis) marks(b *strings.Builder, marks []Mark) {
	if len(marks) == 0 {
		return
	}
	marks = slices.SortedStableFunc(slices.Values(marks), func(x, y Mark) int { return cmp.Compare(x.At, y.At) })
	arrows := []rune(strings.Repeat(" ", a.columns))
	numbers := []rune(strings.Repeat(" ", a.room))
	free := 0 // the first column where a number fits
	for i, m := range marks {
		col := int(m.At / a.column)
		if m.At < 0 || col >= a.columns {
			continue
		}
		arrows[col] = '▲'
		// Of marks close together, the number of the later moves to the
		// right, as far as there is room.
		number := strconv.Itoa(i + 1)
		if at := max(col, free); at+len(number) <= a.room {
			copy(numbers[at:], []rune(number))
			free = at + len(number) + 1
		}
	}
	for _, line := range []string{string(arrows), string(numbers)} {
		if line = strings.TrimRight(line, " "); line != "" {
			fmt.Fprintf(b, "%s%s\n", a.indent, line)
		}
	}
	for i, m := range marks {
		at := fmt.Sprintf("%*d  %.3f s  ", len(a.indent)-2, i+1, m.At.Seconds())
		b.WriteString(at + cut(m.Label, max(1, len(a.indent)+a.room-len(at))) + "\n")
	}
}
