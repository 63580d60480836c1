// Command tandem makes this machine one director of a highly available LVS
// load balancer.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"tandem/internal/realtime"
)

// version is set by the linker.
var version = "unknown"

// settings are the flags that every command has.
type settings struct {
	config   string
	node     string
	stateDir string
	socket   string
}

// exitCode is an error that only sets the exit status: the command has already
// said why.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func main() {
	var status int
	realtime.Main(func() { status = execute(os.Args[1:], os.Stdout, os.Stderr) })
	os.Exit(status)
}

// execute runs a command line and returns the exit status.
func execute(args []string, out, errOut io.Writer) int {
	c := command()
	c.SetArgs(args)
	c.SetOut(out)
	c.SetErr(errOut)
	err := c.Execute()
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	fmt.Fprintln(errOut, "tandem:", err)
	return 1
}

func command() *cobra.Command {
	s := &settings{}
	root := &cobra.Command{
		Use:           "tandem",
		Short:         "A highly available LVS load balancer from two ordinary machines",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	f := root.PersistentFlags()
	f.StringVarP(&s.config, "config", "c", "/etc/tandem/tandem.toml", "configuration `file`, the same on both directors")
	f.StringVar(&s.node, "node", "", "which `director` of the file this machine is (default: the host name)")
	f.StringVar(&s.stateDir, "state-dir", "/run/tandem", "`directory` for what a crash must not forget; a reboot may empty it")
	f.StringVar(&s.socket, "socket", "", "`path` of the control socket (default: what the configuration says)")
	root.AddCommand(
		runCommand(s), checkCommand(s), planCommand(s), statusCommand(s), eventsCommand(s),
		realserverCommand(s), releaseCommand(s), versionCommand(),
	)
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "tandem", version) },
	}
}
