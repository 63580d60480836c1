package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"tandem/integration/lab"
	"tandem/integration/load"
)

// Load is clients at work.
type Load struct {
	proc   *lab.Process
	out    *os.File
	ready  chan struct{}
	result chan outcome
	start  time.Time
}

type outcome struct {
	res load.Result
	err error
}

// streamInterval is how often each long-lived connection sends: often enough to
// see a stall, seldom enough to leave an emulated machine its breath.
const streamInterval = 50 * time.Millisecond

// LoadOptions are how much load there is.
type LoadOptions struct {
	Rate    float64 // new connections per second, default 50
	Streams int     // long-lived connections, default 20
	Timeout time.Duration
	OnEvent func(load.Event)
}

// StartLoad starts clients of the VIP and returns when every kind of traffic
// flows.
func (p *Pair) StartLoad(ctx context.Context, o LoadOptions) (*Load, error) {
	if o.Rate == 0 {
		o.Rate = 50
	}
	if o.Streams == 0 {
		o.Streams = 20
	}
	if o.Timeout == 0 {
		o.Timeout = load.DefaultTimeout
	}
	out, err := os.CreateTemp(p.dir, "load-*.json")
	if err != nil {
		return nil, err
	}
	l := &Load{out: out, ready: make(chan struct{}), result: make(chan outcome, 1), start: time.Now()}
	r, w := io.Pipe()
	l.proc, err = p.Client.Start(lab.Command{
		Path: Program("labload"),
		Args: []string{
			"client", "--http", lab.VIP.String() + ":80", "--echo", lab.VIP.String() + ":7", "--events",
			"--rate", fmt.Sprint(o.Rate), "--streams", fmt.Sprint(o.Streams), "--timeout", o.Timeout.String(),
			"--stream-interval", streamInterval.String(),
		},
		OnLine: func(line lab.Line) {
			if strings.HasPrefix(line.Text, "{") {
				fmt.Fprintln(w, line.Text)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	go func() {
		<-l.proc.Done()
		w.Close()
	}()
	go l.read(r, o.OnEvent)
	select {
	case <-l.ready:
		return l, nil
	case <-l.proc.Done():
		return nil, fmt.Errorf("load ended before it began:\n%s", l.proc.Output())
	case <-ctx.Done():
		return nil, fmt.Errorf("load never flowed: %w\n%s\n%s", ctx.Err(), l.proc.Output(), p.Logs())
	}
}

// read takes in what the clients write for programs. Lines for people do not
// arrive here.
func (l *Load) read(r io.Reader, onEvent func(load.Event)) {
	res, err := load.ReadOutput(r, func(e load.Event) {
		if e.Type == load.Ready {
			close(l.ready)
		}
		if onEvent != nil {
			onEvent(e)
		}
	})
	// Whatever is left must be read, or the writer would wait for ever.
	_, drainErr := io.Copy(io.Discard, r)
	l.result <- outcome{res, errors.Join(err, drainErr)}
}

// Stop ends the clients and returns their account.
func (l *Load) Stop(ctx context.Context) (load.Result, error) {
	if err := l.proc.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return load.Result{}, err
	}
	select {
	case o := <-l.result:
		if o.err != nil {
			o.err = fmt.Errorf("%w\n%s", o.err, l.proc.Output())
		}
		return o.res, o.err
	case <-ctx.Done():
		return load.Result{}, fmt.Errorf("the clients do not end: %w", ctx.Err())
	}
}
