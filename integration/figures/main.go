// Figures measures elections of tandem and of keepalived, one beside the other, on
// this machine's own kernel: how long a takeover takes, what many routers cost, and
// whether roles stay where they are while the processors are busy. Each program
// runs as it is shipped, on two directors with priorities 150 and 100, and the two
// take turns.
//
//	figures                          # all of it, about ten minutes
//	figures -only takeover -runs 10
//	figures -only busy -busy 5m
//
// It needs root and keepalived, and a machine that does nothing else.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"tandem/integration/elect"
)

// options are the flags.
type options struct {
	only     []string
	runs     int
	slowRuns int // with an interval of 1 s
	routers  int
	scale    time.Duration
	busy     time.Duration
}

// sections are what can be measured, in order.
var sections = []struct {
	name string
	run  func(context.Context, io.Writer, options) error
}{
	{"takeover", takeovers},
	{"scale", scale},
	{"busy", busy},
}

// speakers are compared; the second is what the first is divided by.
var speakers = []elect.Speaker{elect.Tandem{}, elect.Keepalived{}}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	for _, s := range sections {
		if len(o.only) > 0 && !slices.Contains(o.only, s.name) {
			continue
		}
		if err := s.run(ctx, out, o); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func parse(args []string) (options, error) {
	var o options
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	fl := flag.NewFlagSet("figures", flag.ContinueOnError)
	only := fl.String("only", "", "comma-separated `sections`, of "+strings.Join(names, ", "))
	fl.IntVar(&o.runs, "runs", 50, "takeovers of each program with an interval of 100 ms, and of 10 ms")
	fl.IntVar(&o.slowRuns, "slow-runs", 5, "takeovers of each program with an interval of 1 s")
	fl.IntVar(&o.routers, "routers", 255, "virtual routers of the sections scale and busy, 1 to 255")
	fl.DurationVar(&o.scale, "scale", 20*time.Second, "how long the processors' time is measured")
	fl.DurationVar(&o.busy, "busy", 30*time.Second, "how long the processors are kept busy")
	if err := fl.Parse(args); err != nil {
		return o, err
	}
	if fl.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fl.Arg(0))
	}
	if o.routers < 1 || o.routers > 255 {
		return o, fmt.Errorf("-routers %d: want 1 to 255", o.routers)
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(names, name) {
			return o, fmt.Errorf("-only %s: no such section; there are %s", name, strings.Join(names, ", "))
		}
	}
	return o, nil
}

// members is a pair that runs a program.
func members(s elect.Speaker) []elect.Member {
	return []elect.Member{{Speaker: s, Priority: 150}, {Speaker: s, Priority: 100}}
}
