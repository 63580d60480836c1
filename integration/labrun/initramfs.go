package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
)

const (
	// guestInit is labrun inside the initramfs.
	guestInit = "/labrun"
	// guestModules holds the modules for reaching the host, named so that
	// loading them in lexical order is right.
	guestModules = "/modules"
)

// bootModules reach the host: its files, the overlay over them, and the port
// that carries the job and its output.
var bootModules = []string{"virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console"}

// buildInitramfs makes the archive that the kernel starts from: this program
// as init, and the modules it has to load.
func buildInitramfs(k kernel) ([]byte, error) {
	self, err := staticSelf()
	if err != nil {
		return nil, err
	}
	tree, err := readModuleTree(k.modules)
	if err != nil {
		return nil, fmt.Errorf("read the kernel's module index: %w", err)
	}
	order, err := tree.loadOrder(bootModules...)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	archive := cpioWriter{w: &buf}
	archive.file(guestInit[1:], self)
	archive.dir(guestModules[1:])
	for i, path := range order {
		data, err := os.ReadFile(filepath.Join(k.modules, path))
		if err != nil {
			return nil, err
		}
		archive.file(fmt.Sprintf("%s/%02d-%s", guestModules[1:], i, filepath.Base(path)), data)
	}
	if err := archive.close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// staticSelf returns this program's file, which must not need a dynamic loader:
// there is none in the initramfs.
func staticSelf() ([]byte, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	self, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	file, err := elf.NewFile(bytes.NewReader(self))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("%s is dynamically linked and cannot start the virtual machine; build it with CGO_ENABLED=0", path)
		}
	}
	return self, nil
}
