// Package hooks runs the programs that an operator wants to be run when something
// happens.
//
// Each hook is told the states that objects take, one run at a time. While one is
// on, a newer state of an object replaces an older one that still waits: an object
// that flaps does not queue a thousand runs, and the last state is always told. At
// the start, and when a hook comes with a reload, it is told the present state of
// every object. Whoever says that something happened waits for none of this.
package hooks

import (
	"context"
	"log/slog"
	"sync"

	"tandem/configs"
	"tandem/director"
	"tandem/internal/events"
	"tandem/internal/program"
)

// Options is what Hooks need. All are required.
type Options struct {
	// Start runs a program, see program.Start.
	Start func(context.Context, program.Run) <-chan program.Outcome
	Log   *slog.Logger
}

// Hooks are the hooks of a configuration. The methods may be called from any
// goroutine; only Run and Drain block.
type Hooks struct {
	o     Options
	ready chan struct{}
	all   sync.WaitGroup // the loops

	mu      sync.Mutex
	running context.Context // of Run; nil: not yet
	drained bool            // by Drain: no hook starts any more
	states  states
	hooks   []*hook // in the order of the configuration
}

// New returns the hooks of a configuration.
func New(cfg *configs.Config, o Options) *Hooks {
	h := &Hooks{o: o, ready: make(chan struct{}), states: make(states)}
	h.SetConfig(cfg)
	return h
}

// SetConfig replaces the configuration. A hook whose command and restrictions stay
// goes on, with what it has not been told yet.
func (h *Hooks) SetConfig(cfg *configs.Config) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states.keep(cfg)
	present := h.states.present()
	old := make(map[configs.HookID]*hook)
	for _, k := range h.hooks {
		old[k.id()] = k
	}
	h.hooks = nil
	for _, c := range cfg.Hooks {
		k := old[c.ID()]
		if k == nil {
			k = newHook(configs.Hook{Command: c.Command}, h.o) // that wants nothing yet
			h.launch(k)
		}
		delete(old, c.ID())
		k.setConfig(c, present)
		h.hooks = append(h.hooks, k)
	}
	for _, k := range old {
		k.retire()
	}
}

// launch starts the loop of a hook, if Run runs. The caller holds h.mu.
func (h *Hooks) launch(k *hook) {
	if h.running == nil || h.drained {
		return
	}
	ctx, cancel := context.WithCancel(h.running)
	k.cancel = cancel
	h.all.Go(func() { k.loop(ctx) })
}

// Offer takes an event in. It must be given every event, in order.
func (h *Hooks) Offer(e events.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, news := h.states.note(e)
	if !news {
		return
	}
	for _, k := range h.hooks {
		k.put(c)
	}
}

func (h *Hooks) String() string { return "hooks" }

// Ready is closed when hooks are run.
func (h *Hooks) Ready() <-chan struct{} { return h.ready }

// Run runs hooks until ctx is done, and then kills what still runs.
func (h *Hooks) Run(ctx context.Context) error {
	h.mu.Lock()
	h.running = ctx
	for _, k := range h.hooks {
		h.launch(k)
	}
	h.mu.Unlock()
	close(h.ready)
	<-ctx.Done()
	h.mu.Lock()
	h.drained = true
	h.mu.Unlock()
	h.all.Wait()
	return nil
}

// Drain returns when all hooks have been told everything, each after its timeout
// at the latest. No hook is run after that.
func (h *Hooks) Drain() {
	h.mu.Lock()
	h.drained = true
	var draining sync.WaitGroup
	for _, k := range h.hooks {
		if k.cancel != nil {
			draining.Go(k.drain)
		}
	}
	h.mu.Unlock()
	draining.Wait()
}

// Status is what became of each hook, in the order of the configuration.
func (h *Hooks) Status() []director.HookStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []director.HookStatus
	for _, k := range h.hooks {
		out = append(out, k.Status())
	}
	return out
}
