package lab

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestJournalKeepsTheNewest(t *testing.T) {
	j := newJournal[int](10)
	for i := range 57 {
		j.add(i)
	}
	all := j.all()
	if len(all) < 10 || len(all) > 20 || all[len(all)-1] != 56 {
		t.Errorf("kept %v", all)
	}
	if !slices.IsSorted(all) {
		t.Errorf("out of order: %v", all)
	}
	j.clear()
	j.add(99)
	if all := j.all(); !slices.Equal(all, []int{99}) {
		t.Errorf("after clear: %v", all)
	}
}

// A waiter sees each entry once, through discards and clears, and only asks
// about what it has not seen.
func TestJournalWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal[int](4)
		var asked []int
		got := make(chan int)
		go func() {
			v, err := j.wait(t.Context(), func(v int) bool {
				asked = append(asked, v)
				return v == 30
			})
			if err != nil {
				t.Error(err)
			}
			got <- v
		}()
		for i := range 31 {
			if i == 20 {
				j.clear()
			}
			j.add(i)
			synctest.Wait()
		}
		if v := <-got; v != 30 {
			t.Errorf("got %d", v)
		}
		if len(asked) != 31 || !slices.IsSorted(asked) {
			t.Errorf("asked about %v", asked)
		}
	})
}

func TestJournalWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := func(int) bool { return false }
		j := newJournal[int](4)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := j.wait(ctx, never); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("at the deadline: %v", err)
		}
		j.add(7)
		j.end()
		if _, err := j.wait(t.Context(), never); !errors.Is(err, ErrEnded) {
			t.Errorf("after the end: %v", err)
		}
		if v, err := j.wait(t.Context(), func(int) bool { return true }); v != 7 || err != nil {
			t.Errorf("an old entry after the end: %v, %v", v, err)
		}
	})
}

func TestOutputSplitsLines(t *testing.T) {
	var called []string
	o := newOutput(func(l Line) { called = append(called, l.Text) })
	long := make([]byte, maxLine)
	for i := range long {
		long[i] = 'x'
	}
	for _, s := range []string{"one\ntw", "o\n\nthree", "\nlast"} {
		if n, err := o.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", s, n, err)
		}
	}
	o.end()
	want := []string{"one", "two", "", "three", "last"}
	if !slices.Equal(called, want) {
		t.Errorf("lines %q, want %q", called, want)
	}
	if got := join(o.lines.all()); got != "one\ntwo\n\nthree\nlast\n" {
		t.Errorf("text %q", got)
	}

	called = nil
	o = newOutput(o.onLine)
	o.Write(append(long, "yz\n"...))
	if len(called) == 0 || len(called[0]) < maxLine {
		t.Errorf("a long line came as %d pieces", len(called))
	}
	o.Write(long)
	if len(o.partial) != 0 {
		t.Errorf("%d bytes without a line end are kept back", len(o.partial))
	}
}
