package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"tandem/control"
	"tandem/internal/events"
)

func eventsCommand(s *settings) *cobra.Command {
	var follow, asJSON bool
	var after uint64
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what has happened, and follow what happens",
		Long: `Events asks the running tandem, through its control socket, for what happened
to the director, its virtual routers, groups, addresses, services and servers.

The daemon keeps the last 1000 events. They are numbered from 1 since it started;
what was overwritten before it was read is shown as lost. With --follow the
command goes on until it is interrupted, or with status 1 until the daemon ends.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			socket, err := s.controlSocket()
			if err != nil {
				return err
			}
			ctx, cancel := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer cancel()
			if !follow {
				bound, cancel := context.WithTimeout(ctx, statusTimeout)
				defer cancel()
				ctx = bound
			}
			err = control.Events(ctx, socket, after, follow, func(e events.Event, line []byte) error {
				out := eventLine(e)
				if asJSON {
					out = string(line)
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), out)
				return err
			})
			if errors.Is(err, syscall.EPIPE) {
				return nil // whoever read has seen enough
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on with what happens from now on")
	f.Uint64Var(&after, "after", 0, "only those after this `number`")
	f.BoolVar(&asJSON, "json", false, "print a line of JSON for each")
	return cmd
}

// eventLine is an event for people, at the local time.
func eventLine(e events.Event) string {
	return fmt.Sprintf("%s %5d  %s", e.At.Local().Format("2006-01-02 15:04:05.000"), e.Seq, e)
}
