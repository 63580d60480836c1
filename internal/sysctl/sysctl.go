// Package sysctl reads and writes kernel parameters below /proc/sys.
//
// A key is written with slashes, as in "net/ipv4/conf/eth0.10/arp_ignore":
// interface names may contain dots, so the dotted form is ambiguous. sysctl(8)
// accepts the same spelling. Parameters below net/ belong to the network
// namespace of the calling thread.
package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// proc is where the kernel shows its parameters (proc(5)).
const proc tree = "/proc/sys"

// Get returns the value of a parameter. White space is normalised: the several
// numbers of one like net/ipv4/vs/sync_threshold are separated by one space.
func Get(key string) (string, error) { return proc.get(key) }

// Set writes a parameter. Several values are separated by a space. The kernel
// may round or reject a value; a rejected one is an error.
func Set(key, value string) error { return proc.set(key, value) }

// tree is a directory of parameters; tests have their own.
type tree string

func (t tree) get(key string) (string, error) {
	path, err := t.path(key)
	if err != nil {
		return "", fmt.Errorf("read sysctl %q: %w", key, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read sysctl %s: %w", key, explain(key, err))
	}
	return strings.Join(strings.Fields(string(b)), " "), nil
}

func (t tree) set(key, value string) error {
	path, err := t.path(key)
	if err != nil {
		return fmt.Errorf("write sysctl %q: %w", key, err)
	}
	// Without O_CREATE: a missing parameter is then "does not exist", where
	// procfs would answer a creation with "permission denied".
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("write sysctl %s=%q: %w", key, value, explain(key, err))
	}
	// One write: the kernel parses each write(2) by itself.
	_, err = f.WriteString(value + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write sysctl %s=%q: %w", key, value, explain(key, err))
	}
	return nil
}

// path keeps a key inside the tree.
func (t tree) path(key string) (string, error) {
	if key == "." || !fs.ValidPath(key) {
		return "", errors.New("not a key; write it like net/ipv4/ip_forward")
	}
	return filepath.Join(string(t), key), nil
}

// explain reduces a file error to its cause and adds what to do about it. To
// what is below net/ the kernel gives root's access by capability alone
// (net_ctl_permissions in net/sysctl_net.c); the rest belongs to root.
func explain(key string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: the kernel module or the interface it belongs to is not there", err)
	case errors.Is(err, fs.ErrPermission) && strings.HasPrefix(key, "net/"):
		return fmt.Errorf("%w: needs CAP_NET_ADMIN", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: needs root", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: /proc/sys is mounted read-only here, as in an unprivileged container", err)
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("%w: the kernel rejects this value", err)
	}
	return err
}
