package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bootAttempts is how many machines are booted until one is ready. A boot under
// software emulation hangs once in a long while, before the first process runs.
const bootAttempts = 3

// runInVM boots a machine, runs the job in it and returns the job's exit
// status. When it returns, the machine is gone and has left nothing behind.
func runInVM(m machine, k kernel, j job, l limits) (int, error) {
	qemu, err := exec.LookPath(qemuProgram)
	if err != nil {
		return 0, missingTool(qemuProgram)
	}
	// The guest's kernel loads IPVS schedulers and the like by itself, with the
	// modprobe that it finds among the host's files.
	if !exists(modprobeProgram) {
		return 0, missingTool(modprobeProgram)
	}
	j.Modules = k.modules
	vm, err := bootVM(qemu, m, k, j.Writable, l)
	if err != nil {
		return 0, err
	}
	defer vm.kill()
	return vm.run(j, l)
}

// errNotReady says that a machine's boot took longer than it may.
var errNotReady = errors.New("not ready in time")

// bootVM starts a machine and returns when it waits for its job. One that is not
// ready in time is ended, and another one started.
func bootVM(qemu string, m machine, k kernel, writable []string, l limits) (*virtualMachine, error) {
	for attempt := 1; ; attempt++ {
		vm, err := startVM(qemu, m, k, writable)
		if err != nil {
			return nil, fmt.Errorf("start the virtual machine: %w", err)
		}
		err = vm.getReady(l.signals, func() error { return vm.expect(frameHello) })
		if err == nil {
			return vm, nil
		}
		vm.kill()
		if !errors.Is(err, errNotReady) || attempt == bootAttempts {
			return nil, err
		}
		say("%v", err)
		say("trying again, attempt %d of %d", attempt+1, bootAttempts)
	}
}

// virtualMachine is a running QEMU.
type virtualMachine struct {
	qemu      *exec.Cmd
	port      *os.File      // our end of the virtio serial port
	console   *tail         // what the guest's kernel and QEMU print
	bootLimit time.Duration // for each step of the boot
	kill      func()        // ends the machine; may be called again
}

// startVM starts QEMU. All that it gets from us are file descriptors, so
// there is no file to clean up even if this process is killed.
func startVM(qemu string, m machine, k kernel, writable []string) (*virtualMachine, error) {
	initramfs, err := initramfsFile(k)
	if err != nil {
		return nil, err
	}
	defer initramfs.Close()
	port, far, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer far.Close()

	vm := &virtualMachine{port: port, console: &tail{}, bootLimit: m.bootLimit}
	const firstExtra = 3 // descriptors 0, 1 and 2 are the standard ones
	vm.qemu = exec.Command(qemu, qemuArgs(m, k, writable, firstExtra, firstExtra+1)...)
	vm.qemu.ExtraFiles = []*os.File{initramfs, far}
	vm.qemu.Stdout, vm.qemu.Stderr = vm.console, vm.console
	// In its own process group a Ctrl-C reaches only us; and it must not
	// outlive us, however we end.
	vm.qemu.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := vm.qemu.Start(); err != nil {
		port.Close()
		return nil, err
	}
	vm.kill = sync.OnceFunc(func() {
		vm.qemu.Process.Kill()
		vm.qemu.Wait()
		port.Close()
	})
	return vm, nil
}

// initramfsFile builds the initramfs in a file that exists in memory only.
func initramfsFile(k kernel) (*os.File, error) {
	data, err := buildInitramfs(k)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("initramfs", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "initramfs")
	if _, err := f.Write(data); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// socketPair returns two connected stream sockets: one for us, one for QEMU.
func socketPair() (near, far *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "port"), os.NewFile(uintptr(fds[1]), "port"), nil
}

// getReady does a step of the boot, within the machine's limit. The caller's time
// limit is for the command. Once it has returned an error, the machine is good
// for nothing more.
func (vm *virtualMachine) getReady(signals <-chan os.Signal, step func() error) error {
	booting := limits{timeout: vm.bootLimit, signals: signals}
	err := whileSupervised(booting, func(syscall.Signal) {}, step)
	if stopped, ok := errors.AsType[*stoppedError](err); ok && stopped.signal == 0 {
		return vm.broken(fmt.Errorf("%w (%v, -boot-limit sets another)", errNotReady, vm.bootLimit))
	}
	return err
}

// run has a machine that has booted run the job, forwards its output, and returns
// its exit status. Once it has returned an error, the machine is good for nothing
// more.
func (vm *virtualMachine) run(j job, l limits) (int, error) {
	if err := vm.getReady(l.signals, func() error { return vm.start(j) }); err != nil {
		return 0, err
	}
	to := &frameWriter{w: vm.port}
	deliver := func(sig syscall.Signal) {
		to.write(frameSignal, []byte{byte(sig)}) // if the machine is gone, forward says so
	}
	var status syscall.WaitStatus
	err := whileSupervised(l, deliver, func() (err error) {
		status, err = vm.forward(os.Stdout, os.Stderr)
		return err
	})
	if err != nil {
		return 0, err
	}
	return exitCode(status), nil
}

// whileSupervised calls do, and returns its error or, earlier, the one of
// supervise. In the latter case do is still running.
func whileSupervised(l limits, deliver func(syscall.Signal), do func() error) error {
	ended := make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		err = do()
	}()
	if err := supervise(l, ended, deliver); err != nil {
		return err
	}
	return err
}

// start has the machine start the job.
func (vm *virtualMachine) start(j job) error {
	j.Clock = time.Now()
	data, err := j.encode()
	if err != nil {
		return err
	}
	if err := (&frameWriter{w: vm.port}).write(frameJob, data); err != nil {
		return vm.broken(err)
	}
	return vm.expect(frameStarted)
}

// forward copies the command's output until its exit status arrives.
func (vm *virtualMachine) forward(stdout, stderr io.Writer) (syscall.WaitStatus, error) {
	for {
		f, err := readFrame(vm.port)
		if err != nil {
			return 0, vm.broken(err)
		}
		switch f.kind {
		case frameStdout:
			_, err = stdout.Write(f.payload)
		case frameStderr:
			_, err = stderr.Write(f.payload)
		case frameExit:
			if len(f.payload) != 4 {
				return 0, vm.broken(fmt.Errorf("exit status of %d octets", len(f.payload)))
			}
			return syscall.WaitStatus(binary.BigEndian.Uint32(f.payload)), nil
		case frameFailed:
			return 0, guestError(f)
		default:
			return 0, vm.broken(fmt.Errorf("unexpected frame of kind %d", f.kind))
		}
		if err != nil {
			return 0, fmt.Errorf("pass the command's output on: %w", err)
		}
	}
}

// expect reads one frame, which must be of the given kind.
func (vm *virtualMachine) expect(kind frameKind) error {
	f, err := readFrame(vm.port)
	switch {
	case err != nil:
		return vm.broken(err)
	case f.kind == frameFailed:
		return guestError(f)
	case f.kind != kind:
		return vm.broken(fmt.Errorf("unexpected frame of kind %d", f.kind))
	}
	return nil
}

// guestError is the error in a frame of kind frameFailed.
func guestError(f frame) error {
	return fmt.Errorf("in the virtual machine: %s", f.payload)
}

// broken ends the machine and explains a failure of it with the end of its
// console.
func (vm *virtualMachine) broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		err = errors.New("it stopped by itself")
	}
	vm.kill() // also waits until the console is complete
	return fmt.Errorf("the virtual machine failed: %w; the end of its console:\n%s", err, indent(vm.console.String()))
}
