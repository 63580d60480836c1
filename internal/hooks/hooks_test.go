package hooks

import (
	"log/slog"
	"testing"
	"time"

	"tandem/internal/events"
)

func TestTold(t *testing.T) {
	bubble(t, "in order, one at a time", func(t *testing.T) {
		w := run(t, config(t, hookText("/on", allRoles)))
		w.set(func() { w.takes = time.Second })
		w.role("web", "backup")
		w.role("mail", "backup")
		pass(10 * time.Second)
		w.role("web", "active")
		w.want("0s /on: web backup", "1s /on: mail backup", "10s /on: web active")
	})
	bubble(t, "two hooks beside each other", func(t *testing.T) {
		w := run(t, config(t, hookText("/a", allRoles), hookText("/b", allRoles)))
		w.set(func() { w.takes = time.Second })
		w.role("web", "backup")
		pass(0)
		w.role("web", "active")
		pass(5 * time.Second)
		w.want("0s /a: web backup", "0s /b: web backup", "1s /a: web active", "1s /b: web active")
	})
	bubble(t, "only what is new", func(t *testing.T) {
		w := run(t, config(t, hookText("/on", allRoles)))
		w.role("web", "backup")
		w.want("0s /on: web backup")
		for _, kind := range []events.Kind{events.Hold, events.Ready, events.Priority, events.Address} {
			w.log.Publish(events.Event{Kind: kind, Router: "web", To: "active"})
		}
		w.role("web", "backup")
		w.want()
	})
	bubble(t, "what each is about", func(t *testing.T) {
		w := run(t, config(t, hookText("/all", allEvents), hookText("/mail", allRoles, `router = "mail"`),
			hookText("/site", `"group-fault"`, `group = "site"`), hookText("/http", `"service-empty", "server-down"`, `service = "http"`)))
		for _, e := range []events.Event{
			{Kind: events.Role, Router: "web", To: "active"},
			{Kind: events.Role, Router: "mail", To: "active"},
			{Kind: events.Group, Group: "site", To: "fault"},
			{Kind: events.Service, Service: "http", To: "empty"},
			{Kind: events.Verdict, Service: "http", Server: "10.0.0.11:80", To: "down"},
			{Kind: events.Verdict, Service: "http", Server: "10.0.0.11:80", To: "up"},
			{Kind: events.Verdict, Service: "http", Server: "10.0.0.12:80", To: "unknown"},
			{Kind: events.Role, Router: "mail", To: "init"},
			{Kind: events.Group, Group: "site", To: "init"},
		} {
			w.log.Publish(e)
			pass(time.Second)
		}
		w.want("0s /all: web active", "1s /all: mail active", "1s /mail: mail active", "2s /all: site group-fault", "2s /site: site group-fault",
			"3s /all: http service-empty", "3s /http: http service-empty", "4s /all: 10.0.0.11:80 server-down", "4s /http: 10.0.0.11:80 server-down",
			"5s /all: 10.0.0.11:80 server-up")
	})
}

// A fault is known before the role that ends it, and an older role may come
// between them.
func TestFault(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		w := run(t, config(t, hookText("/on", allRoles)))
		w.role("web", "backup")
		pass(time.Second)
		w.fault("web", "yes")
		pass(time.Second)
		w.role("web", "active") // it took over at that very moment
		pass(time.Second)
		w.role("web", "init")
		w.fault("web", "yes") // another one beside
		pass(time.Second)
		w.want("0s /on: web backup", "1s /on: web fault")
		w.fault("web", "no")
		pass(time.Second)
		w.want()
		w.role("web", "backup")
		w.want("5s /on: web backup")
	})
}

func TestCoalesced(t *testing.T) {
	bubble(t, "a router that flaps", func(t *testing.T) {
		w := run(t, config(t, hookText("/on", allRoles)))
		w.set(func() { w.takes = 3 * time.Second })
		w.role("web", "backup")
		pass(time.Second)
		for range 1000 {
			w.role("web", "active")
			w.role("web", "backup")
		}
		w.role("mail", "backup")
		w.role("web", "active")
		pass(time.Minute)
		w.want("0s /on: web backup", "3s /on: web active", "6s /on: mail backup")
		if s := w.hooks.Status()[0]; s.Merged != 2000 || s.Runs != 3 || s.Waiting != 0 || s.Running != "" {
			t.Errorf("status %+v", s)
		}
	})
}

func TestTimeout(t *testing.T) {
	bubble(t, "is killed and counted", func(t *testing.T) {
		w := run(t, config(t, hookText("/on", allRoles, `timeout = "2s"`)))
		w.set(func() { w.takes = time.Hour })
		w.role("web", "backup")
		pass(time.Second)
		if s := w.hooks.Status()[0]; s.Running != "backup" || s.Runs != 0 {
			t.Errorf("status %+v", s)
		}
		w.role("web", "active")
		pass(10 * time.Second)
		w.want("0s /on: web backup", "2s /on: web active")
		if s := w.hooks.Status()[0]; s.Timeouts != 2 || s.Failures != 2 || s.Runs != 2 || s.LastError != "killed" || s.LastEvent != "active" {
			t.Errorf("status %+v", s)
		}
	})
	bubble(t, "one that cannot be killed is not joined by a second", func(t *testing.T) {
		w := run(t, config(t, hookText("/on", allRoles, `timeout = "2s"`)))
		w.set(func() { w.takes, w.stuck = time.Minute, true })
		w.role("web", "backup")
		pass(time.Second)
		w.role("web", "active")
		pass(50 * time.Second)
		w.want("0s /on: web backup")
		pass(10 * time.Second)
		w.want("1m0s /on: web active")
		pass(time.Minute)
	})
	bubble(t, "a failure is not told again", func(t *testing.T) {
		w := run(t, config(t, hookText("/on", allRoles)))
		w.set(func() { w.bad = true })
		w.role("web", "backup")
		pass(time.Minute)
		w.want("0s /on: web backup")
		if s := w.hooks.Status()[0]; s.Failures != 1 || s.Timeouts != 0 || s.LastError != "as told" {
			t.Errorf("status %+v", s)
		}
	})
}

func (w *world) stop() time.Duration {
	begin := time.Now()
	w.log.Publish(events.Event{Kind: events.Stopping})
	w.hooks.Drain()
	return time.Since(begin)
}

func TestStop(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration
		stuck bool
		took  time.Duration
		told  []string
	}{
		{"nothing runs", 0, false, 0, []string{"10s /on: lb1 stopping"}},
		{"it takes a while", time.Second, false, time.Second, []string{"10s /on: lb1 stopping"}},
		{"it does not end", time.Hour, false, 2 * time.Second, []string{"10s /on: lb1 stopping"}},
		{"nor when it is killed", time.Hour, true, 2*time.Second + 2*600*time.Millisecond, []string{"10s /on: lb1 stopping"}},
	} {
		bubble(t, tt.name, func(t *testing.T) {
			w := run(t, config(t, hookText("/on", allRoles, `timeout = "2s"`)))
			pass(10 * time.Second)
			w.set(func() { w.takes, w.stuck = tt.takes, tt.stuck })
			if took := w.stop(); took != tt.took {
				t.Errorf("took %v, want %v", took, tt.took)
			}
			w.want(tt.told...)
			w.role("web", "init")
			w.role("web", "backup")
			pass(time.Minute)
			w.want() // the stop was the last
			pass(time.Hour)
		})
	}
	bubble(t, "behind another run, which is cut short, and before what waits", func(t *testing.T) {
		w := run(t, config(t, hookText("/on", allRoles, `timeout = "4s"`)))
		w.set(func() { w.takes = 3 * time.Second })
		w.role("web", "backup")
		w.role("mail", "backup")
		pass(time.Second)
		if took := w.stop(); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
		w.want("0s /on: web backup", "1s /on: killed", "1s /on: lb1 stopping")
	})
	bubble(t, "what waits is told in time by one that is not to hear of the stop", func(t *testing.T) {
		w := run(t, config(t, hookText("/on", `"backup"`, `timeout = "4s"`)))
		w.set(func() { w.takes = 3 * time.Second })
		w.role("web", "backup")
		w.role("mail", "backup")
		pass(time.Second)
		if took := w.stop(); took != 4*time.Second+600*time.Millisecond {
			t.Errorf("took %v", took)
		}
		w.want("0s /on: web backup", "3s /on: mail backup", "5.6s /on: killed")
	})
	bubble(t, "before anything ran", func(t *testing.T) {
		h := New(config(t, hookText("/on", allRoles)), Options{Log: slog.New(slog.DiscardHandler)})
		h.Offer(events.Event{Kind: events.Stopping})
		h.Drain() // returns
	})
}

func TestReload(t *testing.T) {
	bubble(t, "a hook that stays loses nothing and is told nothing twice", func(t *testing.T) {
		w := run(t, config(t, hookText("/on", allRoles)))
		w.set(func() { w.takes = 2 * time.Second })
		w.role("web", "backup")
		pass(time.Second)
		w.role("mail", "backup")
		w.hooks.SetConfig(config(t, hookText("/new", `"fault"`), hookText("/on", allRoles, `timeout = "3s"`)))
		pass(time.Minute)
		w.want("0s /on: web backup", "2s /on: mail backup")
	})
	bubble(t, "a hook that comes is told the present", func(t *testing.T) {
		w := run(t, config(t))
		w.role("web", "backup")
		w.role("mail", "backup")
		w.role("web", "active")
		w.hooks.SetConfig(config(t, hookText("/on", allRoles)))
		w.want("0s /on: mail backup", "0s /on: web active")
	})
	bubble(t, "so is one that has more to be told", func(t *testing.T) {
		w := run(t, config(t, hookText("/on", `"active"`)))
		w.role("web", "backup")
		w.role("mail", "active")
		w.want("0s /on: mail active")
		w.hooks.SetConfig(config(t, hookText("/on", `"active", "backup"`)))
		w.want("0s /on: web backup")
	})
	bubble(t, "a hook that goes may end its run and is told no more", func(t *testing.T) {
		w := run(t, config(t, hookText("/on", allRoles)))
		w.set(func() { w.takes = 2 * time.Second })
		w.role("web", "backup")
		w.role("mail", "backup")
		pass(time.Second)
		w.hooks.SetConfig(config(t))
		w.role("web", "active")
		pass(time.Minute)
		w.want("0s /on: web backup")
		if s := w.hooks.Status(); len(s) != 0 {
			t.Errorf("status %+v", s)
		}
	})
	bubble(t, "what goes is forgotten", func(t *testing.T) {
		cfg := config(t, hookText("/on", allRoles))
		w := run(t, cfg)
		w.role("mail", "backup")
		w.want("0s /on: mail backup")
		less := *cfg
		less.Routers = cfg.Routers[:1]
		w.hooks.SetConfig(&less)
		w.hooks.SetConfig(cfg)
		w.role("mail", "backup")
		w.want("0s /on: mail backup")
	})
}

// The end of Run kills at once: after a second signal nobody waits.
func TestKilled(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		w := run(t, config(t, hookText("/on", allRoles)))
		w.set(func() { w.takes = 4 * time.Second })
		w.role("web", "backup")
		w.role("mail", "backup")
		pass(time.Second)
		w.end()
		w.want("0s /on: web backup", "1s /on: killed")
		if took := time.Since(w.begin); took != time.Second {
			t.Errorf("ended after %v", took)
		}
	})
}
