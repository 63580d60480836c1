package load

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// failover is the timeline of a run of 10 s with 200 attempts a second: at 3 s
// everything fails for 0.5 s, at 6 s a server leaves, at 8 s it is back.
func failover() Timeline {
	t := Timeline{Bucket: 50, Streams: 20}
	for i := range 200 {
		b := Bucket{OK: 10, Servers: map[string]int{"s1": 5, "s2": 5}}
		switch {
		case i >= 60 && i < 70:
			b = Bucket{Failed: 10, Stalled: 20}
		case i == 70:
			b.Stalled, b.Lost = 20, 1
		case i > 70 && i < 75:
			b.Stalled = 20 - 4*(i-70)
		case i == 120:
			b = Bucket{OK: 9, Failed: 1, Servers: map[string]int{"s1": 5, "s2": 4}}
		case i > 120 && i < 160:
			b.Servers = map[string]int{"s1": 10}
		}
		t.Buckets = append(t.Buckets, b)
	}
	return t
}

func TestDraw(t *testing.T) {
	got := failover().Draw(80, []Mark{
		{6 * time.Second, "s2 fails its checks"},
		{3 * time.Second, "lb1 killed"},
		{3*time.Second + 60*time.Millisecond, "lb2 takes over"},
		{8 * time.Second, "s2 is back"},
	})
	want := `
ok       █████████████████████▄···█████████████████▇████████████████████████████
failed   ·····················▄███·················▁····························
s1       ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▂···▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄██████████████▄▄▄▄▄▄▄▄▄▄▄▄▄▄
s2       ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▂···▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄··············▄▄▄▄▄▄▄▄▄▄▄▄▄▄
stalled  ·····················█████▄············································
lost     ·························▁·············································
         ┬─────────────┬─────────────┬─────────────┬─────────────┬──────────────
         0 s           2 s           4 s           6 s           8 s
                              ▲                    ▲             ▲
                              1 2                  3             4
      1  3.000 s  lb1 killed
      2  3.060 s  lb2 takes over
      3  6.000 s  s2 fails its checks
      4  8.000 s  s2 is back
         one column is 141 ms
`
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), got); diff != "" {
		t.Errorf("drawing (-want +got):\n%s\n%s", diff, got)
	}
}

func TestDrawShort(t *testing.T) {
	tl := Timeline{Bucket: 100, Buckets: []Bucket{
		{OK: 1, Servers: map[string]int{"": 1}},
		{}, // slower than one attempt in a bucket
		{Failed: 1},
	}}
	want := `
ok         █ ·
failed     · █
(unnamed)  █ ·
           ┬──
           0 s
             ▲
             2
        1  -0.500 s  a mark before the …
        2  0.250 s  a mark with a label…
           one column is 100 ms
`
	marks := []Mark{
		{250 * time.Millisecond, "a mark with a label that is too long"},
		{-500 * time.Millisecond, "a mark before the run"},
	}
	// A width below the least that is readable counts as that.
	got := tl.Draw(1, marks)
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), got); diff != "" {
		t.Errorf("drawing (-want +got):\n%s\n%s", diff, got)
	}
}

func TestDrawEmpty(t *testing.T) {
	if got, want := (Timeline{Bucket: 50}).Draw(80, nil), "(empty timeline)\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Neither an odd length nor an odd width nor odd marks may break the layout.
func TestDrawFits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		tl := Timeline{Bucket: Millis(1 + rng.IntN(500)), Streams: rng.IntN(3)}
		for range 1 + rng.IntN(400) {
			tl.Buckets = append(tl.Buckets, Bucket{OK: rng.IntN(3), Failed: rng.IntN(2), Stalled: rng.IntN(2)})
		}
		var marks []Mark
		for range rng.IntN(15) {
			marks = append(marks, Mark{time.Duration(rng.Int64N(200)) * time.Second, strings.Repeat("é", rng.IntN(100))})
		}
		width := minDrawWidth + rng.IntN(100)
		drawing := tl.Draw(width, marks)
		for line := range strings.Lines(drawing) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Fatalf("a line of %d columns, want at most %d:\n%s", n, width, drawing)
			}
		}
	}
}

func TestDrawColorOnlyAddsColor(t *testing.T) {
	tl, marks := failover(), []Mark{{time.Second, "mark"}}
	colored := tl.DrawColor(80, marks)
	if !strings.Contains(colored, ansi.bad) {
		t.Error("no colour")
	}
	plain := strings.NewReplacer(ansi.ok, "", ansi.bad, "", ansi.dim, "", ansi.reset, "").Replace(colored)
	if diff := cmp.Diff(tl.Draw(80, marks), plain); diff != "" {
		t.Errorf("without colours (-want +got):\n%s", diff)
	}
}

func TestBlock(t *testing.T) {
	tests := []struct {
		share float64
		good  bool
		want  rune
	}{
		{0, true, '·'},
		{0, false, '·'},
		{0.001, true, '▁'},  // one success among failures
		{0.001, false, '▁'}, // one failure among successes
		{0.5, true, '▄'},
		{0.5, false, '▄'},
		{0.999, true, '▇'}, // not everything
		{0.999, false, '█'},
		{1, true, '█'},
		{1.5, false, '█'}, // more streams than were said to exist
		{math.NaN(), true, ' '},
	}
	for _, tt := range tests {
		if got := block(tt.share, tt.good); got != tt.want {
			t.Errorf("block(%v, %v) = %c, want %c", tt.share, tt.good, got, tt.want)
		}
	}
}
