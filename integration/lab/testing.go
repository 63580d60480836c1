package lab

import "testing"

// failureLines is how much of each process' output a failed test shows.
const failureLines = 60

// Start is New for tests: it fails the test on an error, closes the lab when
// the test ends (also by a panic or FailNow) and, if the test failed, first
// logs the end of every process' output.
func Start(tb testing.TB, o Options) *Lab {
	tb.Helper()
	l, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			for _, n := range l.Nodes() {
				for _, p := range n.Processes() {
					tb.Logf("%s\n%s", p, p.tail(failureLines))
				}
			}
		}
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	return l
}
