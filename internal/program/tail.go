package program

import (
	"strings"
	"unicode"
)

// tailBytes is how much of a script's output is kept, lineBytes how much of its
// last line is shown.
const (
	tailBytes = 2 << 10
	lineBytes = 200
)

// tail keeps the end of what is written to it.
type tail struct{ end []byte }

// Write takes everything, always.
func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	p = p[max(0, len(p)-tailBytes):]
	t.end = append(t.end, p...)
	if over := len(t.end) - tailBytes; over > 0 {
		t.end = append(t.end[:0], t.end[over:]...)
	}
	return n, nil
}

// lastLine is the last line that is not blank, fit for a terminal.
func (t *tail) lastLine() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(t.end), "?"))
	if i := strings.LastIndexAny(text, "\r\n"); i >= 0 {
		text = text[i+1:]
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > lineBytes {
		text = strings.ToValidUTF8(text[:lineBytes], "") + "…"
	}
	return strings.TrimSpace(text)
}
