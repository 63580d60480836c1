// Demo shows the main job live: a pair of directors, two web servers and
// clients; then a server fails, the active director is stopped, comes back, and
// its peer's host dies. It tells what happens as it happens, and at the end what
// the clients noticed.
//
// It needs root and a kernel with IPVS, and finds tandem and labload beside
// itself:
//
//	bin/labrun bin/demo
//
// Its exit status is 0 if the pair did its job, 1 if it did not, and 130 after
// Ctrl-C.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tandem/integration/drill"
	"tandem/integration/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Stdout)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "demo: interrupted; everything is taken down")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run builds the lab, plays, and takes the lab down again.
func run(ctx context.Context, out io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces take root: run it as root, or by bin/labrun bin/demo")
	}
	if _, err := os.Stat("/proc/net/ip_vs"); err != nil {
		return fmt.Errorf("this kernel has no IPVS (%w): modprobe ip_vs, or run it by bin/labrun bin/demo", err)
	}
	pair, err := drill.New(drill.Options{Advert: 100 * time.Millisecond, Failback: "never"})
	if err != nil {
		return fmt.Errorf("build the lab: %w", err)
	}
	p := newPlay(pair, out, wantColor(os.Getenv, isTerminal(os.Stdout)))
	return errors.Join(p.perform(ctx), pair.Close())
}

// wantColor decides by two customs: NO_COLOR=1 (no-color.org) forbids colours,
// CLICOLOR_FORCE=1 asks for them where the output ends at a terminal without
// being one, as inside labrun's virtual machine.
func wantColor(getenv func(string) string, terminal bool) bool {
	if getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return false
	}
	return terminal || getenv("CLICOLOR_FORCE") != ""
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// names gives the addresses of the lab's machines their names.
func names(l *lab.Lab) map[string]string {
	m := map[string]string{}
	for _, n := range append(l.Directors, l.Servers...) {
		m[n.Addr(lab.LAN).String()] = n.Name
	}
	return m
}
