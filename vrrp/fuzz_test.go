package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

// FuzzStep lets the fuzzer write the life of a machine, 4 bytes for each event,
// and checks what must hold whatever happens.
func FuzzStep(f *testing.F) {
	f.Add(uint8(100), uint8(0), []byte{0, 0, 0, 2, 4, 0, 40, 0, 4, 0, 11, 0, 1, 0, 5, 200, 4, 0, 50, 0})             // start, active, lose
	f.Add(uint8(255), uint8(2), []byte{0, 0, 0, 2, 2, 1, 10, 0, 1, 0, 5, 50, 4, 0, 200, 0})                          // owner, hand-over
	f.Add(uint8(200), uint8(1), []byte{0, 0, 0, 2, 1, 0, 5, 100, 1, 0, 5, 100, 1, 0, 5, 0, 4, 0, 40, 0})             // failback delay, release
	f.Add(uint8(150), uint8(2), []byte{0, 0, 0, 2, 4, 0, 40, 0, 4, 0, 255, 0, 3, 7, 1, 20, 2, 0, 1, 0})              // pause, reconfigure, fault
	f.Add(uint8(1), uint8(0), []byte{0, 0, 0, 2, 1, 0xff, 1, 255, 1, 2, 1, 255, 4, 0, 255, 0, 4, 0, 255, 0, 9})      // odd VRID, own source
	f.Add(uint8(100), uint8(6), []byte{0, 0, 0, 2, 4, 0, 40, 0, 4, 0, 11, 0, 1, 0, 5, 200, 4, 0, 50, 0, 1, 0, 5, 0}) // IPv6
	f.Add(uint8(100), uint8(3), []byte{0, 0, 0, 2, 4, 0, 255, 0, 4, 0, 255, 0, 3, 1, 1, 20, 1, 0, 5, 200})           // version 2
	f.Fuzz(func(t *testing.T, prio, mode uint8, life []byte) {
		cfg := config(func(c *Config) {
			c.Priority, c.Failback, c.FailbackDelay = max(1, prio), Failback(mode%3), time.Second
			if mode/3%2 == 1 {
				c.Version, c.Interval = V2, time.Second
			} else if mode/6%2 == 1 {
				c.Addresses = vip6
			}
		})
		m := NewMachine(cfg)
		now, prev := epoch, m.Role()
		for ; len(life) >= 4; life = life[4:] {
			now = now.Add(time.Duration(life[2]) * 10 * ms)
			ev := fuzzEvent(&cfg, life)
			checkStep(t, now, prev, m, ev, m.Step(now, ev))
			prev = m.Role()
		}
		checkProgress(t, m)
	})
}

// fuzzEvent makes an event of 4 bytes: kind, argument, time (used by the caller),
// priority.
func fuzzEvent(cfg *Config, b []byte) Event {
	switch b[0] % 5 {
	case 0:
		return Startup{fuzzAddr(cfg, b[3])}
	case 1:
		r := heardEvery(fuzzAddr(cfg, b[1]%4), b[3], centisecond*time.Duration(1+int(b[1])*16))
		if b[1] == 0xff {
			r.Advert.VRID++
		}
		return r
	case 2:
		return Shutdown{HandOver: b[1]&1 == 1}
	case 3:
		_, _, step := cfg.Version.intervals()
		cfg.Priority, cfg.Interval = max(1, b[3]), step*(1+time.Duration(b[1]%255))
		return Reconfigure{*cfg}
	}
	return Timeout{}
}

// fuzzAddr is the primary address of a router, of the family of cfg.
func fuzzAddr(cfg *Config, host byte) netip.Addr {
	if cfg.Addresses[0].Is4() {
		return netip.AddrFrom4([4]byte{10, 77, 0, host})
	}
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: host})
}

// checkStep has the invariants of one step.
func checkStep(t *testing.T, now time.Time, prev Role, m *Machine, ev Event, actions []Action) {
	t.Helper()
	role := prev
	for _, a := range actions {
		switch a := a.(type) {
		case SetRole:
			if a.Role.Number != role.Number+1 {
				t.Fatalf("role %+v follows %+v", a.Role, role)
			}
			if a.Role.State == role.State && a.Role.Hold == role.Hold {
				t.Fatalf("nothing new in %+v", a.Role)
			}
			role = a.Role
		case SendAdvert:
			// What comes before the role that it belongs to: taking it, or giving it up.
			if _, shutdown := ev.(Shutdown); shutdown != (a.Priority == 0) || shutdown && role.State != Active {
				t.Fatalf("%T in %v sent priority %d", ev, role.State, a.Priority)
			}
			if role.State != Active && m.Role().State != Active {
				t.Fatalf("advertised in %v and %v", role.State, m.Role().State)
			}
		case Announce:
			if role.State != Active {
				t.Fatalf("announced in %v", role.State)
			}
		}
	}
	if role != m.Role() {
		t.Fatalf("reported %+v, is %+v", role, m.Role())
	}
	if role.State == Active && !role.Hold {
		t.Fatal("active without the addresses")
	}
	if role.State == Active && m.hold.running() {
		t.Fatal("an active router is going to let go")
	}
	d, running := m.Deadline()
	if !running && (role.State != Init || role.Hold) {
		t.Fatalf("no deadline in %+v", role)
	}
	if _, timeout := ev.(Timeout); timeout && running && !d.After(now) {
		t.Fatalf("the deadline %v is not after the timeout at %v", d, now)
	}
}

// checkProgress: left alone, a machine that was started becomes active, and one
// that was stopped lets go of the addresses.
func checkProgress(t *testing.T, m *Machine) {
	t.Helper()
	for range 3 { // hold, down, and the end of a pause
		if d, ok := m.Deadline(); ok && m.Role().State != Active {
			m.Step(d, Timeout{})
		}
	}
	if r := m.Role(); r.State == Backup || r.State == Init && r.Hold {
		t.Fatalf("stuck in %+v", r)
	}
}
