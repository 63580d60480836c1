package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"

	"github.com/spf13/cobra"

	"tandem/integration/load"
)

// clientFlags are the options that are not fields of a load.Client.
type clientFlags struct {
	http, echo              string
	sources                 []string
	stdin, events, progress bool
	draw                    int
}

func clientCommand() *cobra.Command {
	var c load.Client
	var f clientFlags
	cmd := &cobra.Command{
		Use:   "client",
		Short: "Drive load through a virtual IP and report what users notice",
		Long: `Client opens new connections at a steady rate and keeps streams busy, until
--duration has passed, a SIGINT or SIGTERM, or (with --stdin) the end of its
standard input. The result goes to standard output as one line of JSON, a
summary for people to standard error.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runClient(cmd, c, f) },
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringVar(&f.http, "http", "", "address and port for new connections, such as 192.0.2.10:80")
	fl.Float64Var(&c.Rate, "rate", 200, "new connections per second")
	fl.StringVar(&c.Path, "path", "/", "what they ask for")
	fl.DurationVar(&c.Timeout, "timeout", load.DefaultTimeout, "how long one may take to connect")
	fl.DurationVar(&c.ResponseTimeout, "response-timeout", 0, "how long its answer may take (default: as --timeout)")
	fl.StringSliceVar(&f.sources, "source", nil, "local addresses to use in turn (default: as the kernel chooses)")
	fl.StringVar(&f.echo, "echo", "", "address and port for streams, such as 192.0.2.10:7")
	fl.IntVar(&c.Streams, "streams", 20, "number of streams")
	fl.DurationVar(&c.StreamInterval, "stream-interval", 0, "time between two messages of a stream (default: 20ms, with more than 50 streams 0.4ms for each)")
	fl.DurationVar(&c.StreamTimeout, "stream-timeout", load.DefaultStreamTimeout, "silence after which a stream is lost")
	fl.DurationVar(&c.Duration, "duration", 0, "how long to run (default: until told to end)")
	fl.BoolVar(&f.stdin, "stdin", false, "end at the end of the standard input")
	fl.DurationVar(&c.Bucket, "bucket", load.DefaultBucket, "resolution of the timeline")
	fl.DurationVar(&c.GapOver, "gap", load.DefaultGapOver, "time without a success that is worth an event")
	fl.BoolVar(&f.events, "events", false, "write events to standard output too, one line of JSON each, before the result")
	fl.BoolVar(&f.progress, "progress", false, "write a line to standard error each second")
	fl.IntVar(&f.draw, "draw", 0, "draw the timeline on standard error, this many columns wide")
	return cmd
}

func runClient(cmd *cobra.Command, c load.Client, f clientFlags) (err error) {
	if c.HTTP, err = target("http", f.http); err != nil {
		return err
	}
	if c.Echo, err = target("echo", f.echo); err != nil {
		return err
	}
	// Only what was asked for by its address is driven.
	if !c.HTTP.IsValid() {
		c.Rate = 0
	}
	if !c.Echo.IsValid() {
		c.Streams = 0
	}
	for _, s := range f.sources {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("--source: %w", err)
		}
		c.Sources = append(c.Sources, a)
	}
	ctx := cmd.Context()
	if f.stdin {
		ctx = untilEOF(ctx, cmd.InOrStdin())
	}
	out, text := json.NewEncoder(cmd.OutOrStdout()), cmd.ErrOrStderr()
	var writeErr error
	if f.events {
		c.OnEvent = func(e load.Event) {
			if err := out.Encode(e); err != nil {
				writeErr = err
			}
		}
	}
	if f.progress {
		c.OnProgress = func(p load.Progress) { fmt.Fprintln(text, p) }
	}
	res, err := c.Run(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(text, res)
	if f.draw > 0 {
		fmt.Fprint(text, "\n", res.Timeline.Draw(f.draw, nil))
	}
	if err := out.Encode(res); err != nil {
		writeErr = err
	}
	if writeErr != nil {
		return fmt.Errorf("write result: %w", writeErr)
	}
	return nil
}

// target parses the address of a flag that may be empty.
func target(flag, s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return a, fmt.Errorf("--%s: %w; want ADDRESS:PORT", flag, err)
	}
	return a, nil
}

// untilEOF returns a context that ends when r does.
func untilEOF(ctx context.Context, r io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, r) // an error is an end too
	}()
	return ctx
}
