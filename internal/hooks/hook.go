package hooks

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"tandem/configs"
	"tandem/director"
	"tandem/internal/program"
)

// hook runs the program of one hook, one run at a time.
type hook struct {
	start func(context.Context, program.Run) <-chan program.Outcome
	log   *slog.Logger
	wake  chan struct{}

	cancel context.CancelFunc // ends the loop and kills the run; nil: there is no loop yet
	done   chan struct{}      // the loop has ended

	mu     sync.Mutex
	cfg    configs.Hook
	queue  queue
	ending bool               // the loop ends when nothing waits
	cut    context.CancelFunc // kills the run; nil: none is on
	status director.HookStatus
}

func newHook(cfg configs.Hook, o Options) *hook {
	path := cfg.Command.Args()[0]
	return &hook{
		start:  o.Start,
		log:    o.Log.With("program", path),
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
		cfg:    cfg,
		status: director.HookStatus{Program: path},
	}
}

// put queues a state if the hook is to be told. It does not block.
func (h *hook) put(c call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if wants(h.cfg, c) {
		h.queue.put(c)
		h.poke()
	}
}

func (h *hook) poke() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// setConfig replaces the configuration. present is the states of all objects: the
// hook is told those that it was not to be told before.
func (h *hook) setConfig(cfg configs.Hook, present []call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.cfg
	h.cfg = cfg
	h.queue.keep(func(c call) bool { return wants(cfg, c) })
	for _, c := range present {
		if wants(cfg, c) && !wants(old, c) {
			h.queue.put(c)
		}
	}
	h.poke()
}

// retire ends a hook that is no longer configured. A run that is on may end.
func (h *hook) retire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue.keep(func(call) bool { return false })
	h.ending = true
	h.poke()
}

// drain returns when the hook has been told everything, after its timeout at the
// latest. A run that is on is cut short if the stop waits behind it.
func (h *hook) drain() {
	h.mu.Lock()
	h.ending = true
	timeout := h.cfg.Timeout
	if h.cut != nil && h.queue.stopped && len(h.queue.order) > 0 {
		h.cut()
	}
	h.mu.Unlock()
	h.poke()
	limit := time.NewTimer(timeout + program.Grace)
	defer limit.Stop()
	select {
	case <-h.done:
	case <-limit.C:
		h.cancel()
		<-h.done
	}
}

// loop tells one state after the other until ctx is done, or the hook is ending
// and nothing waits.
func (h *hook) loop(ctx context.Context) {
	defer close(h.done)
	for ctx.Err() == nil {
		callCtx, cut := context.WithCancel(ctx)
		c, run, ok, over := h.next(cut)
		switch {
		case ok:
			h.call(callCtx, c, run)
		case !over:
			select {
			case <-ctx.Done():
			case <-h.wake:
			}
		}
		cut()
		if over {
			return
		}
	}
}

// next takes the next state, which cut ends the run for.
func (h *hook) next(cut context.CancelFunc) (c call, run program.Run, ok, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok = h.queue.take()
	if !ok {
		return c, run, false, h.ending
	}
	h.cut = cut
	h.status.Running = c.word
	return c, program.Run{Args: h.cfg.Command.Args(), Env: variables(c), Stdin: input(c), Timeout: h.cfg.Timeout}, true, false
}

// call runs the program once and waits for its end, or at the end of ctx until it
// should long have been killed. One that does not end is not joined by a second.
func (h *hook) call(ctx context.Context, c call, run program.Run) {
	done := h.start(ctx, run)
	late := time.NewTimer(run.Timeout + program.Grace)
	defer late.Stop()
	killed := ctx.Done()
	for {
		select {
		case o := <-done:
			h.ended(c, o)
			return
		case <-killed:
			killed = nil
			late.Reset(program.Grace)
		case <-late.C:
			if killed == nil {
				h.ended(c, program.Outcome{Reason: "was killed and does not end"})
				return
			}
			h.log.Error("a hook was killed after its timeout and does not end; it is told nothing more until it does", "event", c.word, "timeout", run.Timeout)
		}
	}
}

// ended takes a result down.
func (h *hook) ended(c call, o program.Outcome) {
	h.mu.Lock()
	s := &h.status
	s.Running, h.cut = "", nil
	s.Runs++
	s.LastEvent, s.LastEnd, s.LastError = c.word, time.Now(), ""
	if !o.Well {
		s.Failures++
		s.LastError = o.Reason
	}
	if o.Expired {
		s.Timeouts++
	}
	h.mu.Unlock()
	args := []any{"event", c.word, c.kind, c.name, "seq", c.event.Seq, "reason", o.Reason}
	if o.Well {
		h.log.Debug("hook", args...)
	} else {
		h.log.Warn("hook failed", args...)
	}
}

func (h *hook) id() configs.HookID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cfg.ID()
}

// Status is a copy of what is known.
func (h *hook) Status() director.HookStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.status
	s.Events, s.Waiting, s.Merged = h.cfg.Events, len(h.queue.order), h.queue.merged
	return s
}
