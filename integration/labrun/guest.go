package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What follows runs as the first process inside the virtual machine. Its
// standard output is the console, which the host shows when something fails.

// hostLimit is how long the guest waits for what the host does at once.
const hostLimit = 3 * time.Minute

// guestMain does the guest's whole work and turns the machine off.
func guestMain() {
	fmt.Println("labrun:", guestRun())
	powerOff()
}

// powerOff ends the machine. It does not return.
func powerOff() {
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	panic(fmt.Sprintf("power off: %v", err)) // the kernel panics when init dies
}

// guestRun boots the rest of the system and runs the job that the host sends.
// The host ends the machine when it has the result, so a return is a failure.
func guestRun() error {
	if err := mountAll(kernelFileSystems("")); err != nil {
		return err
	}
	if err := loadBootModules(); err != nil {
		return err
	}
	port, err := openPort(portName)
	if err != nil {
		return err
	}
	to := &frameWriter{w: port}
	if err := serveJob(port, to); err != nil {
		fmt.Println("labrun:", err)
		if err := to.write(frameFailed, []byte(err.Error())); err != nil {
			return err
		}
	}
	// Powering off here could lose bytes that the host has not read yet.
	time.Sleep(hostLimit)
	return errors.New("the host does not end the machine")
}

// serveJob sets the system up, and runs one job.
func serveJob(port io.Reader, to *frameWriter) error {
	if err := enterHostRoot(); err != nil {
		return err
	}
	if err := configureSystem(); err != nil {
		return err
	}
	if err := quietConsole(); err != nil {
		return err
	}
	if err := to.write(frameHello, nil); err != nil {
		return err
	}
	j, err := readJob(port)
	if err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	if err := prepareJob(j); err != nil {
		return err
	}
	return runJob(j, port, to)
}

// mountPoint is one mount(2) call.
type mountPoint struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

// kernelFileSystems are the mounts that a Linux system expects below root.
func kernelFileSystems(root string) []mountPoint {
	const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	return []mountPoint{
		{"proc", root + "/proc", "proc", quiet, ""},
		{"sysfs", root + "/sys", "sysfs", quiet, ""},
		{"cgroup2", root + "/sys/fs/cgroup", "cgroup2", quiet, ""},
		{"devtmpfs", root + "/dev", "devtmpfs", unix.MS_NOSUID, "mode=755"},
		{"devpts", root + "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=620,ptmxmode=666"},
		{"tmpfs", root + "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"tmpfs", root + "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
	}
}

// mountAll makes the targets and mounts in order.
func mountAll(mounts []mountPoint) error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.source, m.target, err)
		}
	}
	return nil
}

// loadBootModules loads what the initramfs brings, in the order of the names.
func loadBootModules() error {
	files, err := filepath.Glob(guestModules + "/*.ko*")
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := insertModule(file); err != nil {
			return err
		}
	}
	return nil
}

// insertModule loads one module file, unless it is loaded.
func insertModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if filepath.Ext(file) != ".ko" {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	err = unix.FinitModule(int(f.Fd()), "", flags)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load %s: %w", file, err)
	}
	return nil
}

// openPort waits for the virtio serial port of that name, and until the host
// holds its other end: before that a read means end of file.
func openPort(name string) (*os.File, error) {
	for deadline := time.Now().Add(hostLimit); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		dev := findPort(name)
		if dev == "" {
			continue
		}
		fd, err := unix.Open(dev, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", dev, err)
		}
		for time.Now().Before(deadline) {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			if _, err := unix.Poll(poll, 0); err == nil && poll[0].Revents&unix.POLLHUP == 0 {
				return os.NewFile(uintptr(fd), dev), nil
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil, fmt.Errorf("no virtio serial port %s after %v", name, hostLimit)
}

// findPort returns the device of a virtio serial port, or "".
func findPort(name string) string {
	files, _ := filepath.Glob("/sys/class/virtio-ports/*/name") // the pattern is valid
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(text)) == name {
			return "/dev/" + filepath.Base(filepath.Dir(file))
		}
	}
	return ""
}

// enterHostRoot makes the host's files, with a writable layer in memory above
// them, the root of this process and of the kernel's own helpers.
func enterHostRoot() error {
	const root = "/newroot"
	err := mountAll([]mountPoint{
		// The host's files do not change under a run, so cache them freely.
		{rootTag, "/lower", "9p", unix.MS_RDONLY, "trans=virtio,version=9p2000.L,msize=512000,cache=loose"},
		{"tmpfs", "/upper", "tmpfs", 0, "mode=755"},
	})
	if err != nil {
		return err
	}
	for _, dir := range []string{"/upper/files", "/upper/work"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	err = mountAll(append([]mountPoint{
		{"overlay", root, "overlay", 0, "lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work"},
	}, kernelFileSystems(root)...))
	if err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move %s to /: %w", root, err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return os.Chdir("/")
}

// configureSystem does what an init system would do before services start.
func configureSystem() error {
	if err := unix.Sethostname([]byte("lab")); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if err := linkUp("lo"); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	// The kernel's own limit of 4096 open files is too low for load tests. The
	// soft limit is low on purpose, for programs that use select(2); Go raises it.
	files := syscall.Rlimit{Cur: 1024, Max: 1 << 20}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("set the limit of open files: %w", err)
	}
	return nil
}

// quietConsole lets only warnings and worse reach the console from now on: it
// shows how far the boot came, but each character takes the emulated processor's
// time.
func quietConsole() error {
	const warnings = "5"
	return os.WriteFile("/proc/sys/kernel/printk", []byte(warnings), 0)
}

// linkUp sets the flag IFF_UP of an interface.
func linkUp(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
		return err
	}
	req.SetUint16(req.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}
