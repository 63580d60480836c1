package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"tandem/director"
	"tandem/integration/drill"
	"tandem/integration/lab"
	"tandem/integration/load"
)

const (
	// More load takes an emulated machine to its limit, and what it cannot do in
	// time shows as an outage.
	rate    = 25 // new connections per second
	streams = 10 // long-lived connections

	// timeout is how long a new connection waits for the answer to its SYN, and
	// again for that to its request: less than TCP's first retransmission takes,
	// so that one that meets an outage fails.
	timeout = 500 * time.Millisecond

	// patience is how long an act waits for what must happen. It is far beyond
	// what a working pair takes, also on an emulated machine that is busy.
	patience = 20 * time.Second
	// calm is the time between acts: long enough to see that nothing happens.
	calm = 3 * time.Second
	// watchEvery is how often each director is asked how it is.
	watchEvery = 200 * time.Millisecond
)

// play is the demo under way.
type play struct {
	pair    *drill.Pair
	names   map[string]string // of machines, by address
	tell    *teller
	out     io.Writer
	color   bool
	load    *drill.Load
	clients clients

	stopped  int // the director that a planned stop ended
	survivor int // the director that is left in the end

	mu     sync.Mutex
	newest []director.Snapshot // of each director; zero: it does not answer
	held   []bool              // by each director: the virtual IP
	events []load.Event
	marks  []mark
}

// mark is something that was done to the pair.
type mark struct {
	at    time.Time
	label string
}

func newPlay(pair *drill.Pair, out io.Writer, color bool) *play {
	return &play{
		pair: pair, names: names(pair.Lab), tell: newTeller(out, color), out: out, color: color,
		newest: make([]director.Snapshot, len(pair.Directors)), held: make([]bool, len(pair.Directors)),
	}
}

// perform tells the story live, and then shows the account. Its error says what
// the pair failed to do.
func (p *play) perform(ctx context.Context) error {
	fmt.Fprint(p.out, opening, "\n", sideBySide(p.pair.TOML()), "\n")
	if err := p.story(ctx); err != nil {
		return err
	}
	return p.curtain(ctx)
}

// story plays one act after the other. When it returns, all is told.
func (p *play) story(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer cancel()
	watchers.Go(func() { p.tell.run(ctx) })

	for i := range p.pair.Directors {
		if err := p.watchAddress(ctx, i); err != nil {
			return err
		}
		watchers.Go(func() { p.watch(ctx, i) })
	}
	if err := p.prologue(ctx); err != nil {
		return err
	}
	for i, act := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"A web server fails, and recovers", p.serverFails},
		{"The active director is stopped, as for an upgrade", p.plannedStop},
		{"It comes back, as the backup", p.comeBack},
		{"The host of the active director dies", p.hostDies},
	} {
		p.tell.heading(fmt.Sprintf("%d. %s", i+1, act.title))
		p.clients.calm()
		if err := act.play(ctx); err != nil {
			return fmt.Errorf("part %d (%s): %w", i+1, act.title, err)
		}
		p.clients.verdict(p.tell)
	}
	return nil
}

// prologue starts the pair and its clients.
func (p *play) prologue(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	p.we("start tandem on lb1, then on lb2")
	if err := p.pair.StartAll(ctx); err != nil {
		return err
	}
	p.we(fmt.Sprintf("start the clients: %d new connections a second to %v, and %d that stay open; the times count from here", rate, lab.VIP, streams))
	var err error
	p.load, err = p.pair.StartLoad(ctx, drill.LoadOptions{Rate: rate, Streams: streams, Timeout: timeout, OnEvent: p.clientEvent})
	if err != nil {
		return err
	}
	return pause(ctx, calm)
}

// serverFails: the failure is found by the checks, both directors take the
// server out, and both take it back.
func (p *play) serverFails(ctx context.Context) error {
	const s2 = 1
	p.mark("s2 answers 503")
	p.we("break the web server s2: it answers every request with 503")
	if err := p.pair.SetServer(s2, "503"); err != nil {
		return err
	}
	if err := p.until(ctx, "both directors have taken s2 out", p.all(inTable("http", p.pair.Servers[s2], false))); err != nil {
		return err
	}
	if err := pause(ctx, calm); err != nil {
		return err
	}
	p.mark("s2 is repaired")
	p.we("repair s2")
	if err := p.pair.SetServer(s2, "ok"); err != nil {
		return err
	}
	if err := p.until(ctx, "both directors have taken s2 back", p.all(inTable("http", p.pair.Servers[s2], true))); err != nil {
		return err
	}
	return pause(ctx, calm)
}

// plannedStop: the peer takes over before the active lets go.
func (p *play) plannedStop(ctx context.Context) error {
	active, err := p.active(ctx)
	if err != nil {
		return err
	}
	name, peer := p.pair.Directors[active].Name, p.pair.Directors[1-active].Name
	p.mark(name + " is stopped (SIGTERM)")
	p.we(fmt.Sprintf("stop tandem on %s, the active director: SIGTERM, which is what systemctl stop sends", name))
	if err := p.pair.Daemon(active).Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := p.until(ctx, peer+" holds the virtual IP", p.holds(1-active)); err != nil {
		return err
	}
	ended, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := p.pair.Daemon(active).Wait(ended); err != nil {
		return fmt.Errorf("%s did not end in good order: %w\n%s", name, err, p.pair.Logs())
	}
	p.tell.say(line{time.Now(), name, "has ended with exit status 0"})
	p.stopped = active
	return pause(ctx, calm)
}

// comeBack: the director that returns becomes the backup, for failback is
// "never", and learns the connections that exist.
func (p *play) comeBack(ctx context.Context) error {
	back, name := p.stopped, p.pair.Directors[p.stopped].Name
	p.mark(name + " is back")
	p.we(fmt.Sprintf("start tandem on %s again; failback = \"never\" keeps it from taking its role back", name))
	if _, err := p.pair.StartDirector(back); err != nil {
		return err
	}
	if err := p.until(ctx, name+" is ready to take over", p.at(back, func(s director.Snapshot) bool {
		return servers(s) == 2*len(p.pair.Servers)
	})); err != nil {
		return err
	}
	p.we(fmt.Sprintf("wait until %s knows the connections that began without it: its peer's kernel sends each again within 10 s", name))
	known := 0
	err := p.until(ctx, name+" knows the long-lived connections", p.at(back, func(s director.Snapshot) bool {
		known = connections(s, "echo")
		return known >= streams-p.clients.losses()
	}))
	if err != nil && known == 0 {
		return err
	}
	p.tell.say(line{time.Now(), name, fmt.Sprintf("knows %d of %d long-lived connections", known, streams)})
	return pause(ctx, time.Second)
}

// hostDies: nobody says goodbye, the backup notices the silence.
func (p *play) hostDies(ctx context.Context) error {
	active, err := p.active(ctx)
	if err != nil {
		return err
	}
	p.survivor = 1 - active
	name, peer := p.pair.Directors[active].Name, p.pair.Directors[p.survivor].Name
	p.mark(name + " dies, host and link")
	p.we(fmt.Sprintf("kill %s, the active director: its cable goes silent, then every process in it is killed (kill -9)", name))
	if err := p.pair.Directors[active].Kill(); err != nil {
		return err
	}
	if err := p.until(ctx, peer+" holds the virtual IP", p.holds(p.survivor)); err != nil {
		return err
	}
	return pause(ctx, calm)
}

// curtain ends the load and shows the account.
func (p *play) curtain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res, err := p.load.Stop(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	marks := p.marksFrom(res.Start())
	wins := windows(res, p.events, marks)
	p.mu.Unlock()

	p.tell.heading("What the clients noticed")
	fmt.Fprint(p.out, table(wins, res), "\n")
	if p.color {
		fmt.Fprint(p.out, res.Timeline.DrawColor(width, marks))
	} else {
		fmt.Fprint(p.out, res.Timeline.Draw(width, marks))
	}
	p.tell.heading("tandem status, on " + p.pair.Directors[p.survivor].Name)
	if err := p.status(ctx, p.survivor); err != nil {
		return err
	}
	fmt.Fprint(p.out, "\n", closing)
	return served(res)
}

// served is an error if the clients were left without service in the end.
func served(res load.Result) error {
	gap := res.Connections.LongestGap
	switch {
	case res.Connections.OK == 0:
		return fmt.Errorf("not one of %d new connections succeeded", res.Connections.Total)
	case gap.Open && gap.Length.Duration() > calm:
		return fmt.Errorf("the clients were not served again: nothing succeeded in the last %v", gap.Length.Duration().Round(time.Millisecond))
	}
	return nil
}

// status prints what an operator sees on a director.
func (p *play) status(ctx context.Context, i int) error {
	proc, err := p.pair.Directors[i].Start(lab.Command{
		Path: drill.Program("tandem"),
		Args: []string{"status", "--config", p.pair.ConfigPath(i), "--node", p.pair.Directors[i].Name},
	})
	if err != nil {
		return err
	}
	if err := proc.Wait(ctx); err != nil {
		return fmt.Errorf("tandem status: %w\n%s", err, proc.Output())
	}
	for _, l := range proc.Lines() {
		fmt.Fprintln(p.out, cut(l.Text, width))
	}
	return nil
}

// we tells what is being done.
func (p *play) we(text string) { p.tell.say(line{time.Now(), "we", text}) }

// mark notes that now something is done to the pair.
func (p *play) mark(label string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marks = append(p.marks, mark{time.Now(), label})
}

// marksFrom puts the marks on the clients' time axis. The caller holds p.mu.
func (p *play) marksFrom(start time.Time) []load.Mark {
	var out []load.Mark
	for _, m := range p.marks {
		out = append(out, load.Mark{At: m.at.Sub(start), Label: m.label})
	}
	return out
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
