package main

import (
	"fmt"
	"strings"
	"time"
)

const (
	qemuProgram = "qemu-system-x86_64"
	portName    = "labrun" // the virtio serial port, see frame.go
	rootTag     = "root"   // the 9p export of the host's root
)

// machine is what the user may choose of the virtual machine.
type machine struct {
	memoryMiB int
	cpus      int
	bootLimit time.Duration // how long a boot may take
}

// qemuArgs are QEMU's arguments. The files are given as numbers of inherited
// file descriptors: the initramfs and a connected socket for the port. The
// console goes to standard output.
func qemuArgs(m machine, k kernel, writable []string, initramfsFD, portFD int) []string {
	args := []string{
		"-no-user-config", "-nodefaults", "-display", "none", "-monitor", "none", "-nic", "none",
		// Nested KVM hangs on some hosts, and emulation is fast enough.
		"-accel", "tcg,thread=multi", "-cpu", "max",
		"-smp", fmt.Sprint(m.cpus), "-m", fmt.Sprintf("%dM", m.memoryMiB),
		"-kernel", k.image,
		"-initrd", fmt.Sprintf("/proc/self/fd/%d", initramfsFD),
		"-append", strings.Join(kernelCommandLine, " "),
		"-no-reboot",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-device", "virtio-serial-pci",
		"-chardev", fmt.Sprintf("socket,id=port,fd=%d", portFD),
		"-device", "virtserialport,chardev=port,name=" + portName,
	}
	args = append(args, export("/", rootTag, "readonly=on")...)
	for i, dir := range writable {
		args = append(args, export(dir, writableTag(i), "readonly=off")...)
	}
	return args
}

// kernelCommandLine makes the kernel tell on the console how far it is, and a
// crash end the machine with its report there; leaves out work that protects nobody here; and lets the emulated
// processor's random numbers count, as there is no other source at boot.
var kernelCommandLine = []string{
	"rdinit=" + guestInit, "console=ttyS0", "panic=-1", "oops=panic",
	"mitigations=off", "cryptomgr.notests", "random.trust_cpu=on",
	// The kernel distrusts the emulated TSC and would read the HPET instead,
	// which costs every time.Now() seven times as much.
	"tsc=reliable", "clocksource=tsc",
}

// export are the arguments for a 9p export of a directory of the host.
func export(dir, tag, access string) []string {
	// QEMU's option syntax doubles a comma that is part of a value.
	dir = strings.ReplaceAll(dir, ",", ",,")
	return []string{
		// Files on several host file systems may share inode numbers: remap.
		"-fsdev", fmt.Sprintf("local,id=%s,path=%s,security_model=none,multidevs=remap,%s", tag, dir, access),
		"-device", fmt.Sprintf("virtio-9p-pci,fsdev=%s,mount_tag=%s", tag, tag),
	}
}

// writableTag names the 9p export of the i-th writable directory.
func writableTag(i int) string { return fmt.Sprintf("writable%d", i) }
