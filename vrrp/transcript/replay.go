package transcript

import (
	"fmt"
	"strings"
	"time"

	"tandem/vrrp"
)

// Gap is a part of a transcript that could not be replayed.
type Gap struct {
	Line  int // its first, from 1: of lost, or of continues
	Until int // the line after its last
}

// epoch is when replayed Machines start. Any time will do.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Replay tells Machines the inputs of a transcript and writes it anew: with what
// they do now. A text that was recorded, and Machines that behave as they did then,
// give the same text. Gaps are copied.
func Replay(text string) (again string, gaps []Gap, err error) {
	r := replay{}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		if err := r.line(i+1, line); err != nil {
			return "", nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	r.close(len(lines) + 1)
	return string(r.out), r.gaps, nil
}

// replay is a Replay in progress.
type replay struct {
	parser
	machine *vrrp.Machine // nil: there is none yet, or a gap
	gap     int           // the first line of the gap; 0: there is none
	gaps    []Gap
	out     []byte
}

func (r *replay) line(n int, line string) error {
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	output := word == "->" || word == "deadline"
	if output && r.gap == 0 {
		return nil // what it does now is written instead
	}
	r.out = append(append(r.out, line...), '\n')
	switch {
	case word == "" || strings.HasPrefix(word, "#"):
	case word == "config":
		r.close(n)
		if err := r.config(rest); err != nil {
			return err
		}
		r.machine = vrrp.NewMachine(r.cfg)
	case word == "lost", word == "continues" && r.machine == nil:
		if r.gap == 0 {
			r.gap = n
		}
		r.machine = nil
	case word == "continues", r.gap != 0:
	case r.machine == nil:
		return fmt.Errorf("%q comes before any config line", line)
	default:
		return r.step(strings.TrimSpace(line))
	}
	return nil
}

// close ends the gap, if there is one.
func (r *replay) close(n int) {
	if r.gap != 0 {
		r.gaps = append(r.gaps, Gap{r.gap, n})
	}
	r.gap = 0
}

func (r *replay) step(line string) error {
	at, ev, err := r.event(line)
	if err != nil {
		return err
	}
	for _, a := range r.machine.Step(epoch.Add(at), ev) {
		r.out = append(appendAction(append(r.out, "-> "...), a), '\n')
	}
	r.out = append(r.out, "deadline "...)
	if d, ok := r.machine.Deadline(); ok {
		r.out = append(appendMillis(r.out, d.Sub(epoch)), '\n')
	} else {
		r.out = append(r.out, "none\n"...)
	}
	return nil
}
