// Labload is the traffic of the drills: a client that measures what users
// notice during a failover, and the real servers at the other end.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	spareTheProcessors()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends a run in order, with its result; a second kills.
	context.AfterFunc(ctx, stop)
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "labload:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "labload",
		Short:         "Load and real servers for drills",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(clientCommand(), serverCommand(), setCommand(), stateCommand())
	return root
}

// spareTheProcessors makes the program cheap for the system under test, which
// it usually shares a small machine with. One processor is plenty for a client
// or a server, and waking threads on others costs more than it gains, most of
// all under emulation. Short-lived garbage over a small heap need not be
// collected often. The usual environment variables override both.
func spareTheProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
