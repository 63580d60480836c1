package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKernelDependency(t *testing.T) {
	const record = `Package: linux-image-amd64
Source: linux-signed-amd64
Depends: linux-base, linux-image-6.1.0-56-amd64 (= 6.1.192-2), kmod
Description: Linux for 64-bit PCs (meta-package)
`
	got, err := kernelDependency([]byte(record))
	if want := "linux-image-6.1.0-56-amd64"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, record := range []string{"", "Depends: linux-image-amd64\n", "Description: Depends: linux-image-6.1\n"} {
		if got, err := kernelDependency([]byte(record)); err == nil {
			t.Errorf("%q gave %q, want an error", record, got)
		}
	}
}

func TestFindKernel(t *testing.T) {
	cache := t.TempDir()
	if k, err := findKernel(cache); err != nil || k != (kernel{}) {
		t.Errorf("empty cache: got %+v, %v", k, err)
	}
	boot := filepath.Join(cache, "kernel", "boot")
	if err := os.MkdirAll(boot, 0o755); err != nil {
		t.Fatal(err)
	}
	want := kernel{
		release: "6.1.0-1-amd64",
		modules: filepath.Join(cache, "kernel", "lib", "modules", "6.1.0-1-amd64"),
	}
	// The uncompressed image, when there is one, is the one to boot.
	for _, name := range []string{"vmlinuz-6.1.0-1-amd64", "vmlinux-6.1.0-1-amd64"} {
		want.image = filepath.Join(boot, name)
		if err := os.WriteFile(want.image, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if k, err := findKernel(cache); err != nil || k != want {
			t.Errorf("with %s: got %+v, %v, want %+v", name, k, err, want)
		}
	}
}

func TestCacheDir(t *testing.T) {
	t.Setenv("HOME", "/home/h")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("TANDEM_LAB_CACHE", "")
	expect := func(want string) {
		t.Helper()
		if got, err := cacheDir(); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	expect("/home/h/.cache/tandem-lab")
	t.Setenv("XDG_CACHE_HOME", "/x")
	expect("/x/tandem-lab")
	t.Setenv("TANDEM_LAB_CACHE", "/y")
	expect("/y")
}

// TestLockCache: while one holds the lock no other gets it. A lock belongs to
// the open file, so two in one process exclude each other as two processes do.
func TestLockCache(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "new")
	unlock, err := lockCache(cache)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(filepath.Join(cache, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	try := func() error { return unix.Flock(int(other.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
	if err := try(); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("a second lock: got error %v, want %v", err, unix.EWOULDBLOCK)
	}
	unlock()
	if err := try(); err != nil {
		t.Errorf("lock after unlock: %v", err)
	}
}

// bootImage makes an x86 boot image with two sectors of real mode code.
func bootImage(version uint16, offset, length uint32, payload string) []byte {
	image := make([]byte, 3*512)
	image[0x1f1] = 2
	copy(image[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(image[0x206:], version)
	binary.LittleEndian.PutUint32(image[0x248:], offset)
	binary.LittleEndian.PutUint32(image[0x24c:], length)
	return append(image, payload...)
}

func TestImagePayload(t *testing.T) {
	got, err := imagePayload(bootImage(0x208, 2, 5, "..hello.."))
	if err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v, want hello", got, err)
	}
	bad := map[string][]byte{
		"empty":         nil,
		"no magic":      make([]byte, 4096),
		"old protocol":  bootImage(0x207, 2, 5, "..hello.."),
		"no length":     bootImage(0x208, 2, 3, "..hello.."),
		"cut":           bootImage(0x208, 2, 5, "..hell"),
		"largest field": bootImage(0x208, 0xffffffff, 0xffffffff, "..hello.."),
	}
	for name, image := range bad {
		if got, err := imagePayload(image); !errors.Is(err, errNotBootImage) {
			t.Errorf("%s: got %q, %v, want an error", name, got, err)
		}
	}
}

// TestUnpackImageUnknown: other compressions are left to the kernel itself.
func TestUnpackImageUnknown(t *testing.T) {
	root := imageDir(t, bootImage(0x20f, 0, 8, "BZhxxxxx"))
	if err := unpackImage(root, "1"); err != nil {
		t.Error(err)
	}
	if exists(plainImage(root, "1")) {
		t.Error("something was unpacked")
	}
}

// imageDir makes a directory as a kernel package leaves it, for release "1".
func imageDir(t *testing.T, image []byte) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "boot"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "boot", "vmlinuz-1"), image, 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestMissingTool(t *testing.T) {
	if got, want := missingTool("qemu-system-x86_64").Error(), "qemu-system-x86_64 is missing: install package qemu-system-x86, or run `make deps`"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := missingTool("/sbin/depmod").Error(), "/sbin/depmod is missing: install package kmod, or run `make deps`"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := missingTool("dpkg").Error(); !strings.Contains(got, "run labrun on Debian") {
		t.Errorf("got %q", got)
	}
}

func TestOutputError(t *testing.T) {
	_, err := output("/", "sh", "-c", "printf '1\n2\n3\n4\n' >&2; exit 5")
	if err == nil || !strings.HasSuffix(err.Error(), "exit status 5: 2; 3; 4") {
		t.Errorf("got error %v, want the last three lines", err)
	}
	for _, tool := range []string{"no-such-tool", "/no/such/tool"} {
		_, err = output("/", tool)
		if err == nil || !strings.HasPrefix(err.Error(), tool+" is missing") {
			t.Errorf("got error %v", err)
		}
	}
}

func TestTail(t *testing.T) {
	var c tail
	c.Write(bytes.Repeat([]byte("x"), tailLength))
	c.Write([]byte("end"))
	if got, want := c.String(), strings.Repeat("x", tailLength-3)+"end"; got != want {
		t.Errorf("got %d octets that end in %q", len(got), got[len(got)-5:])
	}
	if got, want := indent("a\r\nb\r\n"), "    a\n    b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := indent(""); !strings.Contains(got, "empty") {
		t.Errorf("got %q", got)
	}
}
