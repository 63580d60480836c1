package hooks

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/configs"
	"tandem/internal/events"
	"tandem/internal/program"
)

const pair = `
[[pair.director]]
name = "lb1"
address = "10.0.0.1"
[[pair.director]]
name = "lb2"
address = "10.0.0.2"
[vrrp]
interface = "eth0"
[[virtual_router]]
name = "web"
vrid = 51
group = "site"
addresses = ["10.0.0.100"]
[[virtual_router]]
name = "mail"
vrid = 52
addresses = ["10.0.0.101"]
[[service]]
name = "http"
virtual = ["10.0.0.100:80"]
[[service.server]]
address = "10.0.0.11:80"
[[service.server]]
address = "10.0.0.12:80"
`

// hookText is the table of a hook, with the program as its name.
func hookText(program string, events string, more ...string) string {
	return fmt.Sprintf("[[hook]]\ncommand = [%q]\nevents = [%s]\n%s\n", program, events, strings.Join(more, "\n"))
}

const (
	allRoles  = `"active", "backup", "fault", "stopping"`
	allEvents = `"active", "backup", "fault", "group-active", "group-backup", "group-fault", "service-empty", "service-served", "server-up", "server-down", "stopping"`
)

func config(t *testing.T, hooks ...string) *configs.Config {
	t.Helper()
	c, err := configs.Parse("t.toml", []byte(pair+strings.Join(hooks, "")))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// world runs programs that take as long as it says, and remembers what they were
// told. It insists that no program runs twice at a time.
type world struct {
	t     *testing.T
	log   *events.Log
	hooks *Hooks
	begin time.Time
	end   func() // ends Run and waits for it

	mu      sync.Mutex
	takes   time.Duration
	stuck   bool // programs cannot be killed
	bad     bool
	running map[string]bool
	told    []line
}

// run starts the hooks of a configuration.
func run(t *testing.T, cfg *configs.Config) *world {
	t.Helper()
	w := &world{t: t, begin: time.Now(), running: make(map[string]bool)}
	w.hooks = New(cfg, Options{Start: w.start, Log: slog.New(slog.DiscardHandler)})
	w.log = events.New("lb1", w.hooks.Offer)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.hooks.Run(ctx) }()
	w.end = func() { cancel(); <-done }
	t.Cleanup(w.end)
	synctest.Wait()
	return w
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func variable(r program.Run, name string) string {
	for _, v := range r.Env {
		if value, ok := strings.CutPrefix(v, "TANDEM_"+name+"="); ok {
			return value
		}
	}
	return "(not set)"
}

// start notes "2s /on: web active", and the end of a run that was killed.
func (w *world) start(ctx context.Context, r program.Run) <-chan program.Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	path := r.Args[0]
	if w.running[path] {
		w.t.Errorf("%s runs twice at a time", path)
	}
	w.running[path] = true
	of := variable(r, strings.ToUpper(variable(r, "OBJECT")))
	if of == "(not set)" {
		of = variable(r, "NODE")
	}
	w.note(path, of+" "+variable(r, "EVENT"))
	takes, stuck, bad := w.takes, w.stuck, w.bad
	done := make(chan program.Outcome, 1)
	go func() {
		o := program.Outcome{Well: !bad, Reason: "as told"}
		limit := r.Timeout
		if stuck {
			limit, ctx = 24*time.Hour, context.Background()
		}
		select {
		case <-time.After(min(takes, limit)):
			if takes > limit {
				o = program.Outcome{Expired: true, Reason: "killed"}
			}
		case <-ctx.Done():
			w.set(func() { w.note(path, "killed") })
			o = program.Outcome{Reason: "signal: killed"}
		}
		w.set(func() { w.running[path] = false })
		done <- o
	}()
	return done
}

func (w *world) note(program, what string) {
	w.told = append(w.told, line{time.Since(w.begin), program, what})
}

// line is one thing that a program was told.
type line struct {
	at            time.Duration
	program, what string
}

func (l line) String() string { return fmt.Sprintf("%v %s: %s", l.at, l.program, l.what) }

func (w *world) role(router, to string) {
	w.log.Publish(events.Event{Kind: events.Role, Router: router, To: to, Priority: 100})
}

func (w *world) fault(router, to string) {
	w.log.Publish(events.Event{Kind: events.Fault, Router: router, To: to, Cause: "interface eth0 is down"})
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want compares what was told since the last call. What two programs are told at
// the same time has no order.
func (w *world) want(want ...string) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortStableFunc(w.told, func(a, b line) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.program, b.program)) })
	var got []string
	for _, l := range w.told {
		got = append(got, l.String())
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("told\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	w.told = nil
}

// bubble runs f as a subtest in virtual time.
func bubble(t *testing.T, name string, f func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
