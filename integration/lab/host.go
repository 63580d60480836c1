package lab

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// exitTimeout bounds the wait for killed processes to be gone and for stopped
// ones to stand still.
const exitTimeout = 10 * time.Second

// ErrDead is the error of Start on a node that was killed.
var ErrDead = errors.New("host is dead: Revive or Reset it first")

// Kill is the death of the host: its cables go silent, then every process in
// it is killed, in this order, so that nobody hears a goodbye, not even a
// connection reset by the kernel. It returns when the processes are gone. What
// they left in the kernel (addresses, the IPVS table) stays until Reset.
func (n *Node) Kill() error {
	n.mu.Lock()
	n.dead = true
	n.mu.Unlock()
	var errs []error
	for _, ln := range n.links {
		errs = append(errs, n.LinkDown(ln.dev))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return errors.Join(append(errs, n.killProcesses())...)
}

// Revive puts the cables of a killed host back and allows Start again. The
// kernel is as Kill left it, like a machine that was cut off and whose daemons
// died; Reset is the reboot.
func (n *Node) Revive() error {
	n.mu.Lock()
	n.dead = false
	n.mu.Unlock()
	var errs []error
	for _, ln := range n.links {
		errs = append(errs, n.LinkUp(ln.dev))
	}
	return errors.Join(errs...)
}

// Reset reboots the host: it kills what runs and comes back with new, empty
// namespaces, the same name, hardware and base addresses, and its cables
// connected. Isolate, Drop and Impair stay in force, for they are the
// network's. Captures in the node end. A switch has no Reset.
func (n *Node) Reset() error {
	if len(n.links) == 0 {
		return fmt.Errorf("lab: reset %s: %w", n.Name, errors.ErrUnsupported)
	}
	if err := n.Kill(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.shutdown(); err != nil {
		return fmt.Errorf("lab: reset %s: %w", n.Name, err)
	}
	for _, ln := range n.links {
		ln.cut = false
	}
	if err := n.boot(); err != nil {
		return fmt.Errorf("lab: reset %s: %w", n.Name, err)
	}
	n.dead = false
	return nil
}

// Freeze stops every process of the host, as a hypervisor's pause would, except
// that the kernel goes on: it answers ARP, forwards, and keeps connections. It
// returns when all stand still.
func (n *Node) Freeze() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.place == nil {
		return fmt.Errorf("lab: freeze %s: %w", n.Name, ErrClosed)
	}
	pids, err := n.place.signal(unix.SIGSTOP)
	if err != nil {
		return fmt.Errorf("lab: freeze %s: %w", n.Name, err)
	}
	for _, pid := range pids {
		if err := awaitStopped(pid); err != nil {
			return fmt.Errorf("lab: freeze %s: %w", n.Name, err)
		}
	}
	return nil
}

// Thaw lets the processes of a frozen host continue.
func (n *Node) Thaw() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.place == nil {
		return fmt.Errorf("lab: thaw %s: %w", n.Name, ErrClosed)
	}
	if _, err := n.place.signal(unix.SIGCONT); err != nil {
		return fmt.Errorf("lab: thaw %s: %w", n.Name, err)
	}
	return nil
}

// killProcesses kills until nothing is left, for a process may be forking. mu
// is held.
func (n *Node) killProcesses() error {
	if n.place == nil {
		return fmt.Errorf("lab: kill %s: %w", n.Name, ErrClosed)
	}
	for deadline := time.Now().Add(exitTimeout); ; time.Sleep(time.Millisecond) {
		pids, err := n.place.signal(unix.SIGKILL)
		if err != nil {
			return fmt.Errorf("lab: kill %s: %w", n.Name, err)
		}
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("lab: kill %s: processes %v are still there after %v", n.Name, pids, exitTimeout)
		}
	}
}

// shutdown ends processes and captures and removes links and namespaces. mu is
// held.
func (n *Node) shutdown() error {
	errs := []error{n.killProcesses()}
	for _, p := range n.procs {
		<-p.done
	}
	for _, c := range n.captures {
		c.end()
	}
	n.captures = nil
	errs = append(errs, n.unplug())
	n.place.close()
	n.place = nil
	return errors.Join(errs...)
}

func (n *Node) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.place == nil {
		return nil
	}
	return n.shutdown()
}
