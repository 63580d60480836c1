package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// output runs a tool in dir and returns what it prints.
func output(dir, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	return runTool(cmd)
}

// filter runs a tool with data as its standard input and returns what it prints.
func filter(data []byte, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(data)
	return runTool(cmd)
}

// runTool returns what cmd prints. The error holds the end of its messages.
func runTool(cmd *exec.Cmd) ([]byte, error) {
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return nil, missingTool(cmd.Args[0])
		}
		lines := strings.Split(strings.TrimSpace(messages.String()), "\n")
		last := lines[max(0, len(lines)-3):]
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.Join(last, "; "))
	}
	return out.Bytes(), nil
}

// missingTool says which package brings a program that is not there.
func missingTool(name string) error {
	packages := map[string]string{
		"qemu-system-x86_64": "qemu-system-x86",
		"depmod":             "kmod",
		"modprobe":           "kmod",
		"xz":                 "xz-utils",
		"zstd":               "zstd",
	}
	pkg, ok := packages[filepath.Base(name)]
	if !ok {
		return fmt.Errorf("%s is missing; the virtual machine's kernel comes from Debian's packages: run labrun on Debian, or on a kernel with IPVS", name)
	}
	return fmt.Errorf("%s is missing: install package %s, or run `make deps`", name, pkg)
}

// exists says whether there is a file of that name.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
