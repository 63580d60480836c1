package vrrp

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func grouped(c *Config) { c.Grouped = true }

// TestGroupedMachine: a grouped router waits at the door.
func TestGroupedMachine(t *testing.T) {
	start := func() *Machine {
		m, _ := run(config(grouped), startup)
		return m
	}
	t.Run("ready, told, active", func(t *testing.T) {
		m := start()
		down := deadline(m)
		step(t, m, down, Timeout{}, "backup")
		if r := m.Role(); !r.Ready || r.State != Backup {
			t.Fatalf("role %+v", r)
		}
		wantDeadline(t, m, -1)
		step(t, m, time.Minute, TakeOver{}, "advert 100, active hold")
		if m.Role().Ready {
			t.Error("an active router is ready")
		}
	})
	t.Run("told too early", func(t *testing.T) { step(t, start(), 10*ms, TakeOver{}, "") })
	t.Run("an active is heard before it is told", func(t *testing.T) {
		m := start()
		step(t, m, deadline(m), Timeout{}, "backup")
		step(t, m, time.Second, heard(higher, 150), "backup")
		step(t, m, time.Second, TakeOver{}, "")
		wantDeadline(t, m, time.Second+360937500)
	})
	t.Run("a release does not start the timer again", func(t *testing.T) {
		m := start()
		step(t, m, deadline(m), Timeout{}, "backup")
		step(t, m, time.Second, heard(higher, 0), "")
		wantDeadline(t, m, -1)
	})
	t.Run("no longer grouped", func(t *testing.T) {
		m := start()
		step(t, m, deadline(m), Timeout{}, "backup")
		step(t, m, time.Second, Reconfigure{config(nil)}, "backup")
		step(t, m, time.Second, Timeout{}, "advert 100, active hold")
	})
	t.Run("reconfigured while ready", func(t *testing.T) {
		m := start()
		step(t, m, deadline(m), Timeout{}, "backup")
		step(t, m, time.Second, Reconfigure{config(func(c *Config) { c.Grouped, c.Priority = true, 90 })}, "")
		wantDeadline(t, m, -1)
		step(t, m, time.Second, TakeOver{}, "advert 90, active hold")
	})
	t.Run("shut down while ready", func(t *testing.T) {
		m := start()
		step(t, m, deadline(m), Timeout{}, "backup")
		step(t, m, time.Second, Shutdown{}, "init")
		step(t, m, time.Second, TakeOver{}, "")
	})
	t.Run("resigns", func(t *testing.T) {
		m := start()
		step(t, m, 10*ms, Resign{"early"}, "")
		step(t, m, deadline(m), Timeout{}, "backup")
		step(t, m, 400*ms, TakeOver{}, "advert 100, active hold")
		step(t, m, 450*ms, Resign{"for the others"}, "advert 0, backup hold")
		if c := m.Role().Cause; c != "for the others" {
			t.Errorf("cause %q", c)
		}
		step(t, m, 460*ms, heard(lower, 50), "")
		step(t, m, 560*ms, Timeout{}, "note, backup") // the successor has had its overlap
	})
	if err := config(func(c *Config) { c.Grouped, c.Priority = true, 255 }).Validate(); err == nil {
		t.Error("an address owner may be grouped")
	}
}

// TestGroup leads a group by hand. Each turn gives the roles of the members a, b
// and c, a letter each: init, backup, ready, active. One that is as it was is the
// same role still.
func TestGroup(t *testing.T) {
	type turn struct {
		at    time.Duration
		roles string
		want  string
	}
	for name, turns := range map[string][]turn{
		"both ready":                {{0, "ib", ""}, {1, "bb", ""}, {2, "rb", ""}, {3, "rr", "a TakeOver, b TakeOver"}, {4, "rr", ""}, {5, "ar", ""}, {6, "aa", ""}},
		"one hears an active again": {{0, "rb", ""}, {time.Hour, "bb", ""}, {2 * time.Hour, "br", ""}},
		"one loses":                 {{0, "aa", ""}, {1, "ba", "b Resign, again at 800ms"}, {2, "ba", "again at 800ms"}, {3, "bb", ""}, {4, "rr", "again at 200ms"}, {201 * ms, "rr", "a TakeOver, b TakeOver"}, {202 * ms, "aa", ""}},
		"one loses, long ago":       {{0, "aa", ""}, {1, "ba", "b Resign, again at 800ms"}, {3, "bb", ""}, {4 * time.Second, "rr", "a TakeOver, b TakeOver"}},
		"one is shut":               {{0, "aa", ""}, {1, "ia", "b Resign, again at 800ms"}, {2, "ib", ""}, {time.Hour, "ir", ""}},
		"one joins":                 {{0, "ai", ""}, {time.Hour, "ab", "again at 1h0m0.8s"}, {time.Hour + 300*ms, "ar", "b TakeOver"}, {time.Hour + 301*ms, "aa", ""}},
		"one joins, another comes":  {{0, "arb", "again at 800ms"}, {300 * ms, "arr", "b TakeOver, c TakeOver"}},
		"half, and it stays so":     {{0, "ab", "again at 800ms"}, {799 * ms, "ab", "again at 800ms"}, {800 * ms, "ab", "a Resign, again at 1.6s"}, {801 * ms, "bb", ""}},
		"half for a moment":         {{0, "ab", "again at 800ms"}, {799 * ms, "aa", ""}, {2 * time.Second, "aa", ""}, {3 * time.Second, "aab", "again at 3.8s"}},
		"lost while one takes over": {{0, "rr", "a TakeOver, b TakeOver"}, {1, "ar", ""}, {2, "br", "again at 800ms"}, {3, "ba", "b Resign, again at 800ms"}, {4, "bb", ""}, {250 * ms, "rr", "again at 450ms"}},
		"one leaves the group":      {{0, "aab", "again at 800ms"}, {1, "aa", ""}, {2, "a", ""}},
		"another is faster":         {{0, "rr", "a TakeOver, b TakeOver"}, {1, "rb", "again at 800ms"}, {2, "ab", "a Resign, again at 800ms"}, {3, "bb", ""}},
		"an order that was ignored": {{0, "rr", "a TakeOver, b TakeOver"}, {1, "rb", "again at 800ms"}, {2, "bb", ""}, {3, "rr", "again at 200ms"}},
		"an order without effect":   {{0, "rr", "a TakeOver, b TakeOver"}, {1, "br", "again at 800ms"}, {801 * ms, "br", ""}},
		"nobody":                    {{0, "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewGroup(100*ms, 1)
			numbers, before := [3]uint64{}, "   "
			for i, turn := range turns {
				var members []Member
				for j, c := range turn.roles {
					if j >= len(before) || before[j] != byte(c) {
						numbers[j] = uint64(i + 1)
					}
					role := map[rune]Role{'i': {}, 'b': {State: Backup}, 'r': {State: Backup, Ready: true}, 'a': {State: Active, Hold: true}}[c]
					role.Number = numbers[j]
					members = append(members, Member{string(rune('a' + j)), role})
				}
				before = turn.roles
				orders, again := g.Step(epoch.Add(turn.at), members)
				if got := ordersText(orders, again); got != turn.want {
					t.Fatalf("turn %d, %s: got %q, want %q", i, turn.roles, got, turn.want)
				}
			}
		})
	}
}

// A router that is made anew counts its roles anew. What the one before it was
// told is not what it was told.
func TestGroupNewMachine(t *testing.T) {
	g := NewGroup(100*ms, 0)
	for i, turn := range []struct {
		role Role
		want string
	}{
		{Role{State: Backup, Ready: true, Number: 2}, "a TakeOver"},
		{Role{State: Active, Number: 3}, ""},
		{Role{State: Backup, Number: 1}, ""},
		{Role{State: Backup, Ready: true, Number: 2}, "a TakeOver"},
		{Role{State: Active, Number: 3}, ""},
		{Role{}, ""}, // and again, while it was active
		{Role{State: Backup, Ready: true, Number: 2}, "a TakeOver"},
	} {
		orders, again := g.Step(epoch.Add(time.Duration(i)*time.Hour), []Member{{"a", turn.role}})
		if got := ordersText(orders, again); got != turn.want {
			t.Errorf("turn %d: got %q, want %q", i, got, turn.want)
		}
	}
}

func ordersText(orders []Order, again time.Time) string {
	var out []string
	for _, o := range orders {
		out = append(out, o.Name+" "+strings.TrimPrefix(fmt.Sprintf("%T", o.Event), "vrrp."))
	}
	if !again.IsZero() {
		out = append(out, "again at "+round(again.Sub(epoch)).String())
	}
	return strings.Join(out, ", ")
}
