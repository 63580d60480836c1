package configs

import (
	"fmt"
	"strings"
)

// Error is one thing that is wrong with a file.
type Error struct {
	File    string // as given to Parse
	Line    int    // from 1; of the key, or of the table that lacks it
	Key     string // "service[0].check.interval"; empty if no key is to blame
	Problem string
	Remedy  string // what to write instead
}

// Error renders e in one line, the way compilers do, so that editors can jump
// to it.
func (e *Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%s:%d: %s; %s", e.File, e.Line, e.Problem, e.Remedy)
	}
	return fmt.Sprintf("%s:%d: %s: %s; %s", e.File, e.Line, e.Key, e.Problem, e.Remedy)
}

// Errors is everything that is wrong with a file, sorted by line. It is never
// empty.
type Errors []*Error

// Error renders one error per line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find an *Error.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}
