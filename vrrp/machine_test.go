package vrrp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const ms = time.Millisecond

var (
	epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	vip   = addrs("10.77.0.100")
	// self is the router under test; lower and higher are the other two.
	lower  = netip.MustParseAddr("10.77.0.1")
	self   = netip.MustParseAddr("10.77.0.2")
	higher = netip.MustParseAddr("10.77.0.10") // higher as a number, not as text
)

// config is a router with priority 100 that advertises every 100 ms: its skew is
// 60.9375 ms and its Active_Down_Interval 360.9375 ms.
func config(edit func(*Config)) Config {
	c := Config{VRID: 51, Priority: 100, Interval: 100 * ms, Addresses: vip}
	if edit != nil {
		edit(&c)
	}
	return c
}

func priority(p uint8) func(*Config) { return func(c *Config) { c.Priority = p } }

func failback(f Failback) func(*Config) { return func(c *Config) { c.Failback = f } }

// heard is an advertisement every 100 ms.
func heard(from netip.Addr, priority uint8) Received { return heardEvery(from, priority, 100*ms) }

func heardEvery(from netip.Addr, priority uint8, interval time.Duration) Received {
	return Received{Src: from, Advert: Advert{VRID: 51, Priority: priority, Interval: interval, Addresses: vip}}
}

// input is an event and its time after epoch.
type input struct {
	at time.Duration
	ev Event
}

var startup = input{0, Startup{self}}

// brief writes actions without their texts and numbers: "advert 100, active hold".
func brief(actions []Action) string {
	var out []string
	for _, a := range actions {
		switch a := a.(type) {
		case SendAdvert:
			out = append(out, fmt.Sprintf("advert %d", a.Priority))
		case SetRole:
			s := a.Role.State.String()
			if a.Role.Hold {
				s += " hold"
			}
			out = append(out, s)
		case Announce:
			out = append(out, "announce")
		case Note:
			out = append(out, "note")
		}
	}
	return strings.Join(out, ", ")
}

// run makes a Machine and steps it; it returns the actions of the last step.
func run(cfg Config, inputs ...input) (*Machine, []Action) {
	m := NewMachine(cfg)
	var last []Action
	for _, in := range inputs {
		last = m.Step(epoch.Add(in.at), in.ev)
	}
	return m, last
}

// deadline is the Deadline after epoch, -1 if there is none.
func deadline(m *Machine) time.Duration {
	at, ok := m.Deadline()
	if !ok {
		return -1
	}
	return at.Sub(epoch)
}

// TestStateTable has one row for each sentence of the state tables. The deadline
// shows the timer: 360.9375 ms is Active_Down_Interval, 60.9375 ms Skew_Time and
// 100 ms Adver_Timer.
func TestStateTable(t *testing.T) {
	toActive := []input{startup, {400 * ms, Timeout{}}}
	tests := []struct {
		section  string // of RFC 9568
		name     string
		cfg      Config
		before   []input
		last     input
		want     string
		deadline time.Duration
	}{
		{"6.4.1", "address owner starts", config(priority(255)), nil,
			startup, "advert 255, active hold", 100 * ms},
		{"6.4.1", "other starts", config(nil), nil,
			startup, "backup", 360937500},
		{"6.4.1", "nothing but a startup matters in Init", config(nil), nil,
			input{0, heard(lower, 200)}, "", -1},
		{"6.4.1", "a timeout does not start", config(nil), nil,
			input{time.Hour, Timeout{}}, "", -1},

		{"6.4.2", "shutdown", config(nil), []input{startup},
			input{10 * ms, Shutdown{}}, "init", -1},
		{"6.4.2", "Active_Down_Timer fires", config(nil), []input{startup},
			input{360937500, Timeout{}}, "advert 100, active hold", 460937500},
		{"6.4.2", "a nanosecond before that", config(nil), []input{startup},
			input{360937499, Timeout{}}, "", 360937500},
		{"6.4.2", "priority 0: Skew_Time", config(nil), []input{startup},
			input{10 * ms, heard(lower, 0)}, "", 10*ms + 60937500},
		{"6.4.2", "priority 0 after an interval was learned: its Skew_Time", config(nil),
			[]input{startup, {10 * ms, heardEvery(lower, 200, time.Second)}},
			input{20 * ms, heard(lower, 0)}, "", 20*ms + 609375000},
		{"6.4.2", "higher priority", config(nil), []input{startup},
			input{10 * ms, heard(lower, 200)}, "", 10*ms + 360937500},
		{"6.4.2", "equal priority, lower address: no tie-break in Backup", config(nil), []input{startup},
			input{10 * ms, heard(lower, 100)}, "", 10*ms + 360937500},
		{"6.4.2", "equal priority, higher address", config(nil), []input{startup},
			input{10 * ms, heard(higher, 100)}, "", 10*ms + 360937500},
		{"6.4.2", "interval learned, skew and down recomputed", config(nil), []input{startup},
			input{10 * ms, heardEvery(lower, 200, time.Second)}, "note", 10*ms + 3609375000},
		{"6.4.2", "lower priority, Preempt_Mode true: discarded", config(nil), []input{startup},
			input{10 * ms, heard(higher, 99)}, "", 360937500},
		{"6.4.2", "its interval is not learned either", config(nil), []input{startup},
			input{10 * ms, heardEvery(higher, 99, time.Second)}, "note", 360937500},
		{"6.4.2", "lower priority, Preempt_Mode false: followed", config(failback(FailbackNever)), []input{startup},
			input{10 * ms, heardEvery(higher, 99, time.Second)}, "note", 10*ms + 3609375000},

		{"6.4.3", "shutdown: priority 0", config(nil), toActive,
			input{410 * ms, Shutdown{}}, "advert 0, init", -1},
		{"6.4.3", "Adver_Timer fires", config(nil), toActive,
			input{500 * ms, Timeout{}}, "advert 100", 600 * ms},
		{"6.4.3", "a nanosecond before that", config(nil), toActive,
			input{500*ms - 1, Timeout{}}, "", 500 * ms},
		{"6.4.3", "priority 0: advertise now", config(nil), toActive,
			input{410 * ms, heard(lower, 0)}, "advert 100", 510 * ms},
		{"6.4.3", "priority 0 right after an advertisement: again", config(nil), toActive,
			input{401 * ms, heard(lower, 0)}, "advert 100", 501 * ms},
		{"6.4.3", "priority 0 a nanosecond earlier: the answer waits for that nanosecond", config(nil), toActive,
			input{401*ms - 1, heard(lower, 0)}, "", 401 * ms},
		{"6.4.3", "Adver_Timer fires for it", config(nil), append(toActive[:2:2], input{400*ms + 1, heard(lower, 0)}),
			input{401 * ms, Timeout{}}, "advert 100", 501 * ms},
		{"6.4.3", "higher priority", config(nil), toActive,
			input{410 * ms, heard(lower, 101)}, "advert 100, backup hold", 510 * ms},
		{"6.4.3", "higher priority: interval learned", config(nil), toActive,
			input{410 * ms, heardEvery(lower, 101, 10*ms)}, "note, advert 100, backup hold", 410*ms + 36093750},
		{"6.4.3", "equal priority, higher address", config(nil), toActive,
			input{410 * ms, heard(higher, 100)}, "advert 100, backup hold", 510 * ms},
		{"6.4.3", "equal priority, lower address: assert", config(nil), toActive,
			input{410 * ms, heard(lower, 100)}, "advert 100", 510 * ms},
		{"6.4.3", "lower priority: assert", config(nil), toActive,
			input{410 * ms, heard(higher, 99)}, "advert 100", 510 * ms},
		{"6.4.3", "Preempt_Mode has no say in Active", config(failback(FailbackNever)), toActive,
			input{410 * ms, heard(higher, 99)}, "advert 100", 510 * ms},
		{"6.4.3", "the address owner can lose to another one (erratum 8298)", config(priority(255)), []input{startup},
			input{10 * ms, heard(higher, 255)}, "advert 255, backup hold", 110 * ms},
	}
	for _, tt := range tests {
		t.Run(tt.section+" "+tt.name, func(t *testing.T) {
			m, actions := run(tt.cfg, append(tt.before[:len(tt.before):len(tt.before)], tt.last)...)
			if got := brief(actions); got != tt.want {
				t.Errorf("actions %q, want %q", got, tt.want)
			}
			if got := deadline(m); got != tt.deadline {
				t.Errorf("deadline %v, want %v", got, tt.deadline)
			}
		})
	}
}

// TestTimers has exact values in nanoseconds (RFC 9568, section 6.1).
func TestTimers(t *testing.T) {
	tests := []struct {
		interval   time.Duration
		priority   uint8
		skew, down time.Duration
	}{
		{time.Second, 100, 609375000, 3609375000},
		{time.Second, 254, 7812500, 3007812500},
		{time.Second, 255, 3906250, 3003906250},
		{time.Second, 1, 996093750, 3996093750},
		{200 * ms, 100, 121875000, 721875000},
		{100 * ms, 100, 60937500, 360937500},
		{100 * ms, 254, 781250, 300781250}, // in whole centiseconds the skew would be 0
		{50 * ms, 100, 30468750, 180468750},
		{10 * ms, 254, 78125, 30078125},
		{10 * ms, 255, 39062, 30039062}, // rounded down by half a nanosecond
		{500 * ms, 1, 498046875, 1998046875},
		{MaxInterval, 1, 40790039062, 163640039062},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%v priority %d", tt.interval, tt.priority), func(t *testing.T) {
			m := NewMachine(config(func(c *Config) { c.Interval, c.Priority = tt.interval, tt.priority }))
			s := m.Status()
			if s.Skew != tt.skew || s.ActiveDown != tt.down {
				t.Errorf("skew %d, down %d, want %d, %d", s.Skew, s.ActiveDown, tt.skew, tt.down)
			}
		})
	}
}

// TestReleaseNeverDelays: a stream of releases must not keep a backup waiting.
func TestReleaseNeverDelays(t *testing.T) {
	m, _ := run(config(nil), startup, input{10 * ms, heard(lower, 0)}, input{40 * ms, heard(lower, 0)}, input{70 * ms, heard(higher, 0)})
	if got, want := deadline(m), 10*ms+60937500; got != want {
		t.Errorf("deadline %v, want %v", got, want)
	}
}

// TestReleaseFlood: anybody on the segment can send releases as fast as it carries
// them. The first is answered at once, the others once a millisecond together, also
// while nothing can be sent; none is left without an answer.
func TestReleaseFlood(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fails bool
	}{
		{"sent", false},
		{"not sent", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := run(config(nil), startup, input{400 * ms, Timeout{}})
			answers := 0
			var last time.Duration
			take := func(at time.Duration, ev Event) {
				if got := brief(m.Step(epoch.Add(at), ev)); got == "advert 100" {
					answers, last = answers+1, at
					if tt.fails {
						m.Step(epoch.Add(at), SendFailed{})
					}
				} else if got != "" {
					t.Fatalf("at %v: actions %q", at, got)
				}
			}
			const begin, end = 450 * ms, 460 * ms
			for at := begin; at < end; at += 10 * time.Microsecond {
				if deadline(m) <= at {
					take(deadline(m), Timeout{})
				}
				take(at, heard(lower, 0))
				if at == begin && answers != 1 {
					t.Fatal("the first is not answered at once")
				}
			}
			take(deadline(m), Timeout{})
			if last < end || answers != 11 {
				t.Errorf("%d answers to 1,000 releases, the last at %v, want 11", answers, last)
			}
		})
	}
}

// TestStaleTimeout: a timer that was moved or stopped does not fire.
func TestStaleTimeout(t *testing.T) {
	m, actions := run(config(nil), startup, input{360 * ms, heard(lower, 200)}, input{361 * ms, Timeout{}})
	if brief(actions) != "" || m.Role().State != Backup {
		t.Errorf("actions %q in %v", brief(actions), m.Role().State)
	}
}

// TestPacketBeforeTimeout: a packet that is judged after the timer ran out but
// before the Timeout counts.
func TestPacketBeforeTimeout(t *testing.T) {
	m, actions := run(config(nil), startup, input{370 * ms, heard(lower, 200)})
	if brief(actions) != "" || deadline(m) != 370*ms+360937500 {
		t.Errorf("actions %q, deadline %v", brief(actions), deadline(m))
	}
}

// TestTimeRunsForward: an event with an earlier time counts as one of now.
func TestTimeRunsForward(t *testing.T) {
	m, _ := run(config(nil), startup, input{100 * ms, heard(lower, 200)}, input{50 * ms, heard(lower, 200)})
	if got, want := deadline(m), 100*ms+360937500; got != want {
		t.Errorf("deadline %v, want %v", got, want)
	}
}

// TestDiscards: what only the machine can judge is dropped in every state and
// counted.
func TestDiscards(t *testing.T) {
	for _, before := range [][]input{{startup, {1, Shutdown{}}}, {startup}, {startup, {400 * ms, Timeout{}}}} {
		m, _ := run(config(nil), before...)
		t.Run(m.Role().State.String(), func(t *testing.T) {
			was := deadline(m)
			own := heard(self, 200)
			wrong := heard(lower, 200)
			wrong.Advert.VRID = 52
			if got := brief(m.Step(epoch.Add(401*ms), own)); got != "note" {
				t.Errorf("own address: actions %q", got)
			}
			if got := brief(m.Step(epoch.Add(401*ms), wrong)); got != "" {
				t.Errorf("wrong VRID: actions %q", got)
			}
			c := m.Status().Counters
			if c.OwnSource != 1 || c.WrongVRID != 1 || c.AdvertsReceived != 0 {
				t.Errorf("counters %+v", c)
			}
			if got := deadline(m); got != was {
				t.Errorf("deadline %v, was %v", got, was)
			}
		})
	}
}

// TestNotes: differences of configuration are noted once, not for each packet.
// notes leaves out what is not a Note.
func notes(actions []Action) []Action {
	return slices.DeleteFunc(actions, func(a Action) bool { _, ok := a.(Note); return !ok })
}

func TestNotes(t *testing.T) {
	m := NewMachine(config(nil))
	m.Step(epoch, Startup{self})
	differs := heardEvery(lower, 200, time.Second)
	differs.Advert.Addresses = addrs("10.77.0.101")
	reordered := heardEvery(lower, 200, time.Second)
	steps := []struct {
		ev   Received
		want string
	}{
		{heard(lower, 200), ""},
		{differs, "note, note"}, // interval and addresses
		{differs, ""},
		{reordered, ""},
		{differs, "note"}, // the addresses changed again
		{heard(higher, 200), ""},
		{differs, ""}, // known of this sender
	}
	for i, s := range steps {
		if got := brief(notes(m.Step(epoch.Add(time.Duration(i)*differGap), s.ev))); got != s.want {
			t.Errorf("step %d: %q, want %q", i, got, s.want)
		}
	}
	// A reload of this router alone makes them differ too.
	at := epoch.Add(time.Duration(len(steps)) * differGap)
	m.Step(at, heard(lower, 200))
	m.Step(at, Reconfigure{config(func(c *Config) { c.Interval, c.Addresses = 50*ms, addrs("10.77.0.101") })})
	if got := brief(notes(m.Step(at, heard(lower, 200)))); got != "note, note" {
		t.Errorf("after a reload: %q", got)
	}
	// Two that take turns are not noted at every turn, but not forgotten either.
	other := differs
	other.Src = higher
	var n int
	for i := range 1000 {
		for _, ev := range []Received{differs, other} {
			n += len(notes(m.Step(at.Add(time.Duration(i)*ms), ev)))
		}
	}
	if n != 0 {
		t.Errorf("%d notes within a second of the last", n)
	}
	if got := brief(notes(m.Step(at.Add(differGap), other))); got != "note" {
		t.Errorf("after that second: %q", got)
	}
}

func TestSameAddresses(t *testing.T) {
	a := addrs("10.0.0.1", "10.0.0.2", "10.0.0.3")
	for _, tt := range []struct {
		b    []netip.Addr
		want bool
	}{
		{addrs("10.0.0.1", "10.0.0.2", "10.0.0.3"), true},
		{addrs("10.0.0.3", "10.0.0.1", "10.0.0.2"), true},
		{addrs("10.0.0.1", "10.0.0.2"), false},
		{addrs("10.0.0.1", "10.0.0.2", "10.0.0.4"), false},
		{addrs("10.0.0.1", "10.0.0.1", "10.0.0.2"), false},
	} {
		if got := sameAddresses(a, tt.b); got != tt.want {
			t.Errorf("%v: %v", tt.b, got)
		}
	}
}

// TestStatus is a value: changing the machine does not change it.
func TestStatus(t *testing.T) {
	m, _ := run(config(func(c *Config) { c.Failback, c.FailbackDelay = FailbackDelayed, 10*time.Second }),
		startup, input{10 * ms, heardEvery(lower, 50, 200*ms)})
	got := m.Status()
	m.Step(epoch.Add(time.Second), Timeout{})
	want := Status{
		VRID: 51, Priority: 100, PrimaryAddr: self,
		Role:           Role{State: Backup, Number: 1, Cause: "startup", Since: epoch},
		Heard:          Heard{Src: lower, Priority: 50, Interval: 200 * ms, At: epoch.Add(10 * ms), IntervalDiffers: true},
		ActiveInterval: 200 * ms, Skew: 121875000, ActiveDown: 721875000,
		DownAt:     epoch.Add(10*ms + 721875000),
		FailbackAt: epoch.Add(10*ms + 10*time.Second),
		Counters:   Counters{AdvertsReceived: 1},
	}
	if diff := cmp.Diff(want, got, cmpAddr); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestConfigValidate(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"VRID", func(c *Config) { c.VRID = 0 }, "VRID 0"},
		{"priority", func(c *Config) { c.Priority = 0 }, "priority 0"},
		{"interval", func(c *Config) { c.Interval = 5 * ms }, "interval 5ms"},
		{"addresses", func(c *Config) { c.Addresses = nil }, "0 addresses"},
		{"no link-local address", func(c *Config) { c.Addresses = addrs("2001:db8::100") }, "must be link-local"},
		{"version 2 for IPv6", func(c *Config) { c.Version, c.Interval, c.Addresses = V2, time.Second, vip6 }, "version 2 is for IPv4"},
		{"failback", func(c *Config) { c.Failback = 3 }, "failback(3)"},
		{"failback delay", func(c *Config) { c.FailbackDelay = -1 }, "-1ns"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(tt.edit)
			if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about %q", err, tt.want)
			}
			defer func() {
				if recover() == nil {
					t.Error("NewMachine did not panic")
				}
			}()
			NewMachine(cfg)
		})
	}
	if err := config(nil).Validate(); err != nil {
		t.Error(err)
	}
}
