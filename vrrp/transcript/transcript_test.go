package transcript

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tandem/vrrp"
)

const ms = time.Millisecond

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// life is a Machine that is driven at random while its transcript is written.
type life struct {
	rng     *rand.Rand
	cfg     vrrp.Config
	machine *vrrp.Machine
	writer  Writer
	now     time.Time
	text    []byte
}

func begin(seed uint64) *life {
	l := &life{rng: rand.New(rand.NewPCG(seed, 7)), now: start}
	l.cfg = l.config(uint8(1 + l.rng.IntN(255)))
	l.machine = vrrp.NewMachine(l.cfg)
	l.text = l.writer.Begin(nil, start, l.cfg)
	return l
}

// config is any valid configuration of a VRID.
func (l *life) config(vrid uint8) vrrp.Config {
	c := vrrp.Config{
		VRID:          vrid,
		Priority:      uint8(1 + l.rng.IntN(255)),
		Interval:      time.Duration(1+l.rng.IntN(50)) * 10 * ms,
		Failback:      vrrp.Failback(l.rng.IntN(3)),
		FailbackDelay: time.Duration(l.rng.Int64N(int64(time.Second))),
	}
	if l.rng.IntN(4) == 0 {
		c.Version, c.Interval = vrrp.V2, time.Duration(1+l.rng.IntN(3))*time.Second
	}
	c.Grouped = c.Priority != vrrp.PriorityOwner && l.rng.IntN(3) == 0
	for range 1 + l.rng.IntN(3) {
		c.Addresses = append(c.Addresses, l.addr())
	}
	return c
}

func (l *life) addr() netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, byte(l.rng.IntN(3)), byte(l.rng.IntN(256))})
}

// cause is a text that may be hard to write on a line.
func (l *life) cause() string {
	list := []string{"", "maintenance", "two words", "two  spaces", " around ", "hand-over", "hand-over to lb2", `"quoted"`, "line\nbreak", "tab\t", "ünïcode", "\xff\x00", "# no comment", "a=b"}
	return list[l.rng.IntN(len(list))]
}

func (l *life) event() vrrp.Event {
	switch l.rng.IntN(12) {
	case 0:
		return vrrp.Startup{PrimaryAddr: l.addr()}
	case 1:
		return vrrp.Shutdown{Cause: l.cause(), HandOver: l.rng.IntN(2) == 0}
	case 2:
		return vrrp.SendFailed{}
	case 3:
		return vrrp.TakeOver{}
	case 4:
		return vrrp.Resign{Cause: l.cause()}
	case 5:
		l.cfg = l.config(l.cfg.VRID)
		return vrrp.Reconfigure{Config: l.cfg}
	case 6:
		return vrrp.Startup{} // without an address
	case 7, 8, 9:
		from := l.config(l.cfg.VRID)
		if l.rng.IntN(3) == 0 {
			from.Priority = uint8(l.rng.IntN(2))
		}
		return vrrp.Received{Src: l.addr(), Advert: advert(from)}
	}
	return vrrp.Timeout{}
}

// step lets some time pass, to the nanosecond and now and then backwards.
func (l *life) step() {
	ev := l.event()
	l.now = l.now.Add(time.Duration(l.rng.Int64N(int64(400 * ms))))
	if d, ok := l.machine.Deadline(); ok && l.rng.IntN(2) == 0 {
		l.now = d
	}
	at := l.now
	if l.rng.IntN(20) == 0 {
		at = at.Add(-time.Hour)
	}
	out := l.machine.Step(at, ev)
	deadline, _ := l.machine.Deadline()
	l.text = l.writer.Step(l.text, at, ev, out, deadline)
}

// What is written is what is read: a Machine that is told the transcript does the
// same again, to the letter.
func TestReplayIsTheSame(t *testing.T) {
	for seed := range uint64(300) {
		l := begin(seed)
		for range 200 {
			l.step()
		}
		got, gaps, err := Replay(string(l.text))
		if err != nil || gaps != nil {
			t.Fatalf("seed %d: gaps %v, error %v", seed, gaps, err)
		}
		if got != string(l.text) {
			t.Fatalf("seed %d (-written +replayed):\n%s", seed, cmp.Diff(strings.Split(string(l.text), "\n"), strings.Split(got, "\n")))
		}
	}
}

// Each input that is written reads back as it was.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(100) {
		l := begin(seed)
		p := parser{cfg: l.cfg}
		var got parser
		if err := got.config(strings.TrimPrefix(strings.TrimSpace(string(l.text)), "config")); err != nil || !equal(got.cfg, l.cfg) {
			t.Fatalf("seed %d: %s reads as %+v, %v", seed, l.text, got.cfg, err)
		}
		for range 100 {
			want := l.event()
			line := string(l.writer.Step(nil, start.Add(-1234567), want, nil, time.Time{}))
			at, ev, err := p.event(strings.SplitN(line, "\n", 2)[0])
			if err != nil || at != -1234567 || !equal(ev, want) {
				t.Fatalf("seed %d: %+v is written as\n%sand reads as %v %+v, %v", seed, want, line, at, ev, err)
			}
		}
	}
}

func equal(a, b any) bool {
	return cmp.Equal(a, b, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty())
}

func TestMillis(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0ms": 0, "0.000001ms": 1, "-0.000001ms": -1, "360.9375ms": 360937500, "100ms": 100 * ms, "-1500ms": -1500 * ms,
		// More digits than a float64 has.
		"9223372036854.775807ms": 1<<63 - 1, "-9223372036854.775808ms": -1 << 63,
	} {
		got := string(appendMillis(nil, d))
		if back, err := time.ParseDuration(got); got != want || back != d || err != nil {
			t.Errorf("%d: got %s, which reads as %d, %v", d, got, back, err)
		}
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"@0ms startup 10.0.0.1":                        `line 1: "@0ms startup 10.0.0.1" comes before any config line`,
		"config\n@0ms":                                 `line 2: unknown event ""`,
		"config\n@zero timeout":                        `line 2: time: invalid duration "zero"`,
		"config\nsomething":                            `line 2: want @<time> <event>, have "something"`,
		"config\n@0ms jump":                            `line 2: unknown event "jump"`,
		"config\n@0ms timeout 1":                       `line 2: unexpected "1"`,
		"config\n@0ms startup x":                       `line 2: ParseAddr("x"): unable to parse IP`,
		"config\n@0ms receive":                         `line 2: ParseAddr(""): unable to parse IP`,
		"config\n@0ms receive 10.0.0.1 priority=256":   `line 2: priority=256: strconv.ParseUint: parsing "256": value out of range`,
		"config\n@0ms receive 10.0.0.1 color=red":      `line 2: color=red: unknown key`,
		"config\n@0ms shutdown \"x":                    `line 2: the cause "x: invalid syntax`,
		"config version=4":                             `line 1: version=4: unknown word`,
		"config failback=maybe":                        `line 1: failback=maybe: unknown word`,
		"config addresses=10.0.0.1,x":                  `line 1: addresses=10.0.0.1,x: ParseAddr("x"): unable to parse IP`,
		"config priority=0":                            `line 1: vrrp: priority 0 means releasing, use 1-255`,
		"config\n@0ms reconfigure vrid=52":             `line 2: VRID 51 cannot become 52`,
		"config\n@0ms reconfigure interval=1ms":        `line 2: vrrp: interval 1ms is not valid, use 10ms to 40.95s in steps of 10ms`,
		"config\nlost 3\n@0ms timeout\nconfig\n@0ms x": `line 5: unknown event "x"`,
	} {
		if _, _, err := Replay(text); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// What cannot be replayed is copied, and the rest is replayed.
func TestGaps(t *testing.T) {
	const good = "config\n@0ms startup 10.77.0.1\n-> backup hold=false number=1 cause=\"startup\"\ndeadline 360.9375ms\n"
	const half = "@900ms timeout\n-> advert priority=9\ndeadline 1s\n"
	for name, tt := range map[string]struct {
		text string
		gaps []Gap
	}{
		"none":                        {good, nil},
		"steps are lost":              {good + "lost 3\n" + half, []Gap{{5, 9}}},
		"and lost again":              {good + "lost 3\n" + half + "lost 4\n" + half, []Gap{{5, 13}}},
		"a Machine of its own after":  {good + "lost 3\n" + half + good, []Gap{{5, 9}}},
		"the beginning is elsewhere":  {"# web\ncontinues\n" + half, []Gap{{2, 6}}},
		"the beginning is just above": {good + "continues\n@1ms timeout\ndeadline 360.9375ms\n", nil},
		"two gaps":                    {"continues\n" + half + good + "lost 1\n" + half, []Gap{{1, 5}, {9, 13}}},
		"the gap goes on":             {good + "lost 3\ncontinues\n" + half, []Gap{{5, 10}}},
	} {
		got, gaps, err := Replay(tt.text)
		if err != nil || got != tt.text || !slices.Equal(gaps, tt.gaps) {
			t.Errorf("%s: gaps %v, error %v, got\n%s", name, gaps, err, got)
		}
	}
}

// A replay writes what Machines do, whatever the text said that they did.
func TestReplayCorrects(t *testing.T) {
	got, _, err := Replay("  # note\n\nconfig priority=200\n-> advert priority=9\n@0ms startup 10.77.0.1\ndeadline none")
	want := "  # note\n\nconfig priority=200\n@0ms startup 10.77.0.1\n-> backup hold=false number=1 cause=\"startup\"\ndeadline 321.875ms\n"
	if err != nil || got != want {
		t.Errorf("error %v, got\n%s", err, got)
	}
}

func FuzzReplay(f *testing.F) {
	files, err := filepath.Glob("../testdata/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for seed := range uint64(10) {
		l := begin(seed)
		for range 20 {
			l.step()
		}
		f.Add(string(Continues(Lost(l.text, seed))))
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, gaps, err := Replay(text)
		if err != nil {
			return
		}
		again, gapsAgain, err := Replay(once)
		if err != nil || again != once || len(gaps) != len(gapsAgain) {
			t.Errorf("error %v, gaps %v and %v (-once +again):\n%s", err, gaps, gapsAgain, cmp.Diff(strings.Split(once, "\n"), strings.Split(again, "\n")))
		}
	})
}

func BenchmarkStep(b *testing.B) {
	var w Writer
	buf := w.Begin(nil, start, Default())
	ev := vrrp.Received{Src: netip.MustParseAddr("10.77.0.2"), Advert: advert(Default())}
	b.ReportAllocs()
	for b.Loop() {
		buf = w.Step(buf[:0], start.Add(123456789), ev, nil, start.Add(time.Second))
	}
	if len(buf) == 0 {
		b.Error("nothing was written")
	}
}
