package main

import (
	"strings"
	"sync"
)

// indent sets a text apart from labrun's own messages.
func indent(text string) string {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r", ""))
	if text == "" {
		return "    (it is empty)"
	}
	return "    " + strings.ReplaceAll(text, "\n", "\n    ")
}

// tail is an io.Writer that keeps the end of what is written.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailLength is how much of a console is worth reading: a kernel's crash report
// takes about 4 KiB.
const tailLength = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailLength):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
