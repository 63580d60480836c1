package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A place is the set of namespaces that make a node: network, mount and host
// name, all anonymous, kept by a thread and two descriptors. A node gets a new
// one when it reboots.
type place struct {
	thread *thread
	ns     netns.NsHandle
	nl     *netlink.Handle // bound to ns
	root   string          // the mount namespace's root, as seen from everywhere
}

// sysctl is a key below /proc/sys, with slashes, and its value.
type sysctl struct{ key, value string }

// newPlace creates the namespaces with a host name and kernel parameters. The
// loopback device is up and nothing else exists.
func newPlace(hostname string, params []sysctl) (*place, error) {
	pl := &place{ns: netns.None()}
	t, err := newThread(func() error { return pl.unshare(hostname, params) })
	if err != nil {
		pl.closeHandles()
		return nil, fmt.Errorf("create the namespaces of %s: %w", hostname, err)
	}
	pl.thread = t
	return pl, nil
}

// unshare moves the calling thread into new namespaces and fills them.
func (pl *place) unshare(hostname string, params []sysctl) (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("unshare (needs root): %w", err)
	}
	if pl.ns, err = netns.New(); err != nil {
		return fmt.Errorf("new network namespace: %w", err)
	}
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := mountPrivate(); err != nil {
		return err
	}
	pl.root = fmt.Sprintf("/proc/%d/task/%d/root", os.Getpid(), unix.Gettid())
	for _, p := range params {
		if err := os.WriteFile(filepath.Join("/proc/sys", p.key), []byte(p.value), 0); err != nil {
			return fmt.Errorf("set %s to %s: %w", p.key, p.value, err)
		}
	}
	if pl.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open rtnetlink: %w", err)
	}
	lo, err := pl.nl.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := pl.nl.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// mountPrivate gives the thread's mount namespace a /sys that shows its own
// network devices and an empty /run, for pid files and control sockets.
func mountPrivate() error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", flags, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	return nil
}

// close gives the namespaces back. No process may be left in them.
func (pl *place) close() {
	pl.thread.stop()
	pl.closeHandles()
}

func (pl *place) closeHandles() {
	if pl.nl != nil {
		pl.nl.Close()
	}
	if pl.ns.IsOpen() {
		pl.ns.Close()
	}
}

// pids returns the processes in the network namespace, this program excepted:
// one of its threads may be visiting.
func (pl *place) pids() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if pl.contains(pid) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// contains reports whether a process is in the network namespace. One that has
// exited is in none, even before it is reaped.
func (pl *place) contains(pid int) bool {
	var mine, theirs unix.Stat_t
	if unix.Fstat(int(pl.ns), &mine) != nil ||
		unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &theirs) != nil {
		return false
	}
	return mine.Dev == theirs.Dev && mine.Ino == theirs.Ino
}

// signal sends a signal to every process in the network namespace and returns
// those that it reached.
func (pl *place) signal(sig unix.Signal) ([]int, error) {
	pids, err := pl.pids()
	if err != nil {
		return nil, err
	}
	var reached []int
	for _, pid := range pids {
		// The descriptor pins the process, so that the number cannot have
		// passed to a stranger between the check and the signal.
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // exited
		}
		if pl.contains(pid) && unix.PidfdSendSignal(fd, sig, nil, 0) == nil {
			reached = append(reached, pid)
		}
		unix.Close(fd)
	}
	return reached, nil
}
