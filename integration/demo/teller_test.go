package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// TestTeller: lines appear in the order of their times and not of their arrival,
// and what is left at the end appears too.
func TestTeller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		told := newTeller(&b, false)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { told.run(ctx); close(done) }()

		start := time.Now()
		at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
		told.say(line{at(0), "we", "start the clients"})
		time.Sleep(time.Second)
		told.begin(at(1000))
		told.heading("1. First")
		told.say(line{at(1000), "we", "kill lb2"})
		time.Sleep(200 * time.Millisecond)
		told.say(line{at(1150), "clients", "notice"}, line{at(1100), "lb1", "is ACTIVE: " + strings.Repeat("word ", 12) + "end"})
		time.Sleep(time.Second)
		told.say(line{at(2200), "we", "end"})
		cancel()
		<-done
		want := `         we       start the clients

1. First
   0.00  we       kill lb2
   0.10  lb1      is ACTIVE: word word word word word word word word word word
                  word word end
   0.15  clients  notice
   1.20  we       end
`
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// A line waits for those that arrive later and belong before it, and no longer.
func TestTellerWaits(t *testing.T) {
	var b strings.Builder
	told := newTeller(&b, false)
	told.say(line{noon.Add(2), "lb2", "second"}, line{noon, "lb1", "zeroth"})
	told.print(noon.Add(2))
	told.say(line{noon.Add(1), "lb1", "first"})
	told.print(noon.Add(2))
	told.print(noon.Add(3))
	var got []string
	for l := range strings.Lines(b.String()) {
		got = append(got, strings.Fields(l)[1])
	}
	if diff := cmp.Diff([]string{"zeroth", "first", "second"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestColorOnlyAddsColor(t *testing.T) {
	l := line{noon, "clients", strings.Repeat("long text ", 20)}
	plain, colored := newTeller(nil, false), newTeller(nil, true)
	plain.begin(noon)
	colored.begin(noon)
	got := colored.render(l)
	for _, sgr := range []string{dim, hue("clients"), "0"} {
		got = strings.ReplaceAll(got, "\x1b["+sgr+"m", "")
	}
	if diff := cmp.Diff(plain.render(l), got); diff != "" {
		t.Errorf("without colours (-want +got):\n%s", diff)
	}
	for text := range strings.Lines(got) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(text, "\n")); n > width {
			t.Errorf("a line of %d columns: %q", n, text)
		}
	}
}

func TestWrap(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", nil},
		{"four five six", []string{"four five", "six"}},
		{"aaaaaaaaaaaa b", []string{"aaaaaaaaaaaa", "b"}},
		{"äöü äöü ß", []string{"äöü äöü ß"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, wrap(tt.text, 9)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.text, diff)
		}
	}
}
