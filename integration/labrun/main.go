// Labrun runs a command as root on a kernel that has IPVS, wherever it is
// started: directly if this machine's kernel has it, otherwise inside a
// virtual machine that sees this machine's files.
//
//	labrun ipvsadm -Ln
//	go test -tags lab -exec "$PWD/bin/labrun" ./ipvsctl/kernel
//
// The virtual machine is QEMU with software emulation, so it needs no
// hardware support and no privilege. It boots Debian's stock kernel, mounts
// the host's root read-only over 9p under a tmpfs overlay, and runs the command
// with the caller's arguments, environment and working directory. Nothing the
// command does reaches the host, except files it writes below $LAB_OUT,
// $GOCOVERDIR and the coverage files of a Go test binary. Standard output and
// standard error arrive live and apart; standard input is empty both ways.
//
// The kernel comes from the package behind linux-image-amd64 of the Debian
// release that labrun runs on (12 and 13 are known to work). It is fetched once
// into $TANDEM_LAB_CACHE, or tandem-lab in the user's cache directory; delete
// that to get a newer one. QEMU, kmod, xz and zstd must be installed.
//
// The same binary is the first process inside the virtual machine: see guest.go.
//
// Exit status: that of the command, 128+n if signal n killed it, 124 if the
// time limit ended it, 125 if labrun itself failed, 126 or 127 if the command
// cannot be executed or does not exist.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// defaultTimeout bounds a run when neither -timeout nor LABRUN_TIMEOUT does.
const defaultTimeout = 30 * time.Minute

// defaultBootLimit is for the virtual machine. It boots in a few seconds; on a
// host that runs many at once it takes longer.
const defaultBootLimit = time.Minute

func init() {
	// The parent-death signal given to child processes is tied to the thread
	// that starts them, so main must stay on the thread that lives longest.
	runtime.LockOSThread()
}

func main() {
	if os.Getpid() == 1 && os.Args[0] == guestInit {
		guestMain()
	}
	os.Exit(hostMain(os.Args[1:]))
}

// options are the command line flags.
type options struct {
	direct, vm bool
	prepare    bool
	selfTest   bool
	timeout    time.Duration
	machine    machine
}

// hostMain is labrun as the user starts it. It returns the exit status.
func hostMain(args []string) int {
	opts, command, err := parseArgs(args, os.Getenv("LABRUN_TIMEOUT"))
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return fail(err)
	}
	switch {
	case opts.prepare:
		if _, err := cachedKernel(); err != nil {
			return fail(err)
		}
		return 0
	case opts.selfTest:
		return selfTest(opts)
	}
	return runCommand(opts, command)
}

// parseArgs splits labrun's own flags from the command to run.
func parseArgs(args []string, envTimeout string) (options, []string, error) {
	opts := options{timeout: defaultTimeout}
	if envTimeout != "" {
		d, err := time.ParseDuration(envTimeout)
		if err != nil {
			return opts, nil, fmt.Errorf("LABRUN_TIMEOUT=%q: want a duration such as 90s or 10m", envTimeout)
		}
		opts.timeout = d
	}
	fl := flag.NewFlagSet("labrun", flag.ContinueOnError)
	fl.Usage = func() {
		fmt.Fprintln(fl.Output(), "usage: labrun [flags] COMMAND [ARG…]")
		fl.PrintDefaults()
	}
	fl.BoolVar(&opts.direct, "direct", false, "run on this kernel, without looking for IPVS")
	fl.BoolVar(&opts.vm, "vm", false, "run in the virtual machine even if this kernel has IPVS")
	fl.BoolVar(&opts.prepare, "prepare", false, "fetch the virtual machine's kernel into the cache, and exit")
	fl.BoolVar(&opts.selfTest, "self-test", false, "check labrun itself by running it, and exit")
	fl.DurationVar(&opts.timeout, "timeout", opts.timeout, "end the command after this long (also LABRUN_TIMEOUT)")
	fl.IntVar(&opts.machine.memoryMiB, "memory", 4096, "memory of the virtual machine in MiB")
	fl.IntVar(&opts.machine.cpus, "cpus", 2, "processors of the virtual machine")
	fl.DurationVar(&opts.machine.bootLimit, "boot-limit", defaultBootLimit, "end a virtual machine that takes longer to boot, and try again")
	if err := fl.Parse(args); err != nil {
		return opts, nil, err
	}
	switch {
	case opts.machine.bootLimit <= 0:
		return opts, nil, fmt.Errorf("boot limit %v: must be positive", opts.machine.bootLimit)
	case opts.timeout <= 0:
		return opts, nil, fmt.Errorf("time limit %v: must be positive", opts.timeout)
	case opts.direct && opts.vm:
		return opts, nil, errors.New("-direct and -vm exclude each other")
	case fl.NArg() == 0 && !opts.prepare && !opts.selfTest:
		return opts, nil, errors.New("no command given; see labrun -help")
	}
	return opts, fl.Args(), nil
}

// runCommand runs one command, says on standard error where, and returns the
// exit status.
func runCommand(opts options, command []string) int {
	path, err := exec.LookPath(command[0])
	if err != nil {
		fail(err)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return exitNotFound
		}
		return exitNotExecutable
	}
	dir, err := os.Getwd()
	if err != nil {
		return fail(err)
	}
	j := job{Path: path, Args: command, Env: os.Environ(), Dir: dir}
	j.Writable = writableDirs(j)
	for _, dir := range j.Writable {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fail(fmt.Errorf("make a directory for results: %w", err))
		}
	}
	where := chooseWay(opts)
	if where.direct {
		say("directly on this kernel: %s", where.why)
		return report(runDirect(j, catchSignals(opts.timeout)))
	}
	say("in a virtual machine: %s", where.why)
	k, err := cachedKernel()
	if err != nil {
		return fail(err)
	}
	return report(runInVM(opts.machine, k, j, catchSignals(opts.timeout)))
}

// catchSignals returns the limits of a run, and turns signals that would kill
// this process into one of them. Before the run starts they may kill it.
func catchSignals(timeout time.Duration) limits {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	return limits{timeout: timeout, signals: signals}
}

// report turns the result of a run into an exit status, and prints its error.
func report(code int, err error) int {
	if err == nil {
		return code
	}
	if stopped, ok := errors.AsType[*stoppedError](err); ok {
		say("%v", err)
		return stopped.exitCode()
	}
	return fail(err)
}

// fail prints err and returns the exit status for a failure of labrun itself.
func fail(err error) int {
	say("%v", err)
	return exitLabrun
}

// say prints one line about labrun itself to standard error.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "labrun: "+format+"\n", args...)
}
