package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// readJob reads the job that the host sends after hello, and sets the clock.
func readJob(port io.Reader) (job, error) {
	f, err := readFrame(port)
	if err != nil {
		return job{}, err
	}
	if f.kind != frameJob {
		return job{}, fmt.Errorf("unexpected frame of kind %d", f.kind)
	}
	received := time.Now()
	j, err := decodeJob(f.payload)
	if err != nil {
		return job{}, err
	}
	// Decoding takes a tenth of a second here.
	now := unix.NsecToTimespec(j.Clock.Add(time.Since(received)).UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
		return job{}, fmt.Errorf("set the clock: %w", err)
	}
	return j, nil
}

// prepareJob makes the machine ready for this job: the directories that reach
// the host, the kernel's modules, and IPVS.
func prepareJob(j job) error {
	modules := filepath.Join("/lib/modules", filepath.Base(j.Modules))
	mounts := []mountPoint{{j.Modules, modules, "", unix.MS_BIND, ""}}
	for i, dir := range j.Writable {
		// The host should see writes at once, and memory maps must work.
		mounts = append(mounts, mountPoint{writableTag(i), dir, "9p", 0, "trans=virtio,version=9p2000.L,msize=512000,cache=mmap"})
	}
	if err := mountAll(mounts); err != nil {
		return err
	}
	if !exists(j.Dir) {
		return fmt.Errorf("there is no working directory %s: /dev, /proc, /run and /sys are the virtual machine's own", j.Dir)
	}
	tree, err := readModuleTree(modules)
	if err != nil {
		return err
	}
	files, err := tree.loadOrder("ip_vs")
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := insertModule(filepath.Join(modules, file)); err != nil {
			return err
		}
	}
	return nil
}

// runJob runs the command and sends its output and then its wait status.
func runJob(j job, port io.Reader, to *frameWriter) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	var pumps sync.WaitGroup
	stdout, err := pump(&pumps, stream{to, frameStdout})
	if err != nil {
		return err
	}
	stderr, err := pump(&pumps, stream{to, frameStderr})
	if err != nil {
		return err
	}
	process, err := os.StartProcess(j.Path, j.Args, &os.ProcAttr{
		Dir: j.Dir, Env: j.Env,
		Files: []*os.File{null, stdout, stderr},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	stdout.Close()
	stderr.Close()
	if err != nil {
		return fmt.Errorf("start %s: %w", j.Path, err)
	}
	if err := to.write(frameStarted, nil); err != nil {
		return err
	}
	go takeSignals(port, process.Pid)

	status, err := reapUntil(process.Pid)
	if err != nil {
		return err
	}
	// What it left running ends here. With all writers gone, the pumps see the
	// end of the output, and not a byte of it is lost.
	unix.Kill(-1, unix.SIGKILL) // fails only if nobody is left
	pumps.Wait()
	unix.Sync()
	return to.write(frameExit, binary.BigEndian.AppendUint32(nil, uint32(status)))
}

// pump starts to copy what is written to the returned file to w.
func pump(group *sync.WaitGroup, w io.Writer) (*os.File, error) {
	r, file, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	group.Go(func() {
		defer r.Close()
		// An error means that the host is gone; takeSignals deals with that.
		io.Copy(w, r)
	})
	return file, nil
}

// takeSignals delivers the signals that the host sends, and ends the machine
// when the host is gone.
func takeSignals(port io.Reader, pid int) {
	for {
		f, err := readFrame(port)
		if err != nil {
			powerOff()
		}
		if f.kind == frameSignal && len(f.payload) == 1 {
			unix.Kill(pid, syscall.Signal(f.payload[0])) // it may have ended
		}
	}
}

// reapUntil does the first process's duty to wait for orphans, until the
// process pid has ended.
func reapUntil(pid int) (syscall.WaitStatus, error) {
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, fmt.Errorf("wait for the command: %w", err)
		case ended == pid:
			return status, nil
		}
	}
}
