package main

import (
	"slices"
	"strings"
	"testing"
)

func TestQEMUArgs(t *testing.T) {
	args := qemuArgs(machine{memoryMiB: 512, cpus: 3}, kernel{image: "/c/vmlinux"}, []string{"/out,1", "/p"}, 3, 4)
	for _, want := range [][]string{
		{"-m", "512M"},
		{"-smp", "3"},
		{"-kernel", "/c/vmlinux"},
		{"-initrd", "/proc/self/fd/3"},
		{"-chardev", "socket,id=port,fd=4"},
		{"-fsdev", "local,id=root,path=/,security_model=none,multidevs=remap,readonly=on"},
		{"-fsdev", "local,id=writable0,path=/out,,1,security_model=none,multidevs=remap,readonly=off"},
		{"-device", "virtio-9p-pci,fsdev=writable0,mount_tag=writable0"},
		{"-fsdev", "local,id=writable1,path=/p,security_model=none,multidevs=remap,readonly=off"},
	} {
		if !containsPair(args, want[0], want[1]) {
			t.Errorf("no %s %s in %q", want[0], want[1], args)
		}
	}
	// Only what was asked for is writable.
	if n := strings.Count(strings.Join(args, " "), "readonly=off"); n != 2 {
		t.Errorf("%d writable exports, want 2", n)
	}
}

// containsPair says whether b follows a.
func containsPair(args []string, a, b string) bool {
	for i := range args {
		if slices.Equal(args[i:min(i+2, len(args))], []string{a, b}) {
			return true
		}
	}
	return false
}
