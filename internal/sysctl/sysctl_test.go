package sysctl

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func newTree(t *testing.T, files map[string]string) tree {
	t.Helper()
	dir := t.TempDir()
	for key, value := range files {
		path := filepath.Join(dir, key)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return tree(dir)
}

func TestGet(t *testing.T) {
	tr := newTree(t, map[string]string{
		"net/ipv4/ip_forward":                "1\n",
		"net/ipv4/vs/sync_threshold":         "3\t50\n",
		"net/ipv4/conf/eth0.10/arp_announce": "2\n",
		"net/ipv4/ip_local_reserved_ports":   "\n",
	})
	for key, want := range map[string]string{
		"net/ipv4/ip_forward":                "1",
		"net/ipv4/vs/sync_threshold":         "3 50",
		"net/ipv4/conf/eth0.10/arp_announce": "2",
		"net/ipv4/ip_local_reserved_ports":   "",
	} {
		got, err := tr.get(key)
		if err != nil || got != want {
			t.Errorf("get(%q) = %q, %v; want %q", key, got, err, want)
		}
	}
}

func TestSet(t *testing.T) {
	tr := newTree(t, map[string]string{"net/ipv4/vs/sync_threshold": "3\t50\n"})
	if err := tr.set("net/ipv4/vs/sync_threshold", "0 0"); err != nil {
		t.Fatal(err)
	}
	if got, err := tr.get("net/ipv4/vs/sync_threshold"); err != nil || !strings.HasPrefix(got, "0 0") {
		t.Errorf("after set: %q, %v", got, err)
	}
}

func TestMissing(t *testing.T) {
	tr := newTree(t, nil)
	_, err := tr.get("net/ipv4/vs/sloppy_tcp")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "net/ipv4/vs/sloppy_tcp") {
		t.Errorf("get of a missing parameter: %v", err)
	}
	if err := tr.set("net/ipv4/vs/sloppy_tcp", "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("set of a missing parameter: %v", err)
	}
	if entries, err := os.ReadDir(string(tr)); err != nil || len(entries) != 0 {
		t.Errorf("set created something: %v, %v", entries, err)
	}
}

func TestKeyStaysInside(t *testing.T) {
	tr := newTree(t, map[string]string{"a": "1"})
	for _, key := range []string{"", ".", "..", "../a", "/a", "net//a", "net/../../a", "a/"} {
		if v, err := tr.get(key); err == nil {
			t.Errorf("get(%q) = %q, want an error", key, v)
		}
		if err := tr.set(key, "1"); err == nil {
			t.Errorf("set(%q) succeeded", key)
		}
	}
}

func TestExplain(t *testing.T) {
	const net, vm = "net/ipv4/ip_forward", "vm/swappiness"
	for _, tt := range []struct {
		key   string
		errno syscall.Errno
		want  string
	}{
		{net, syscall.ENOENT, "no such file or directory: the kernel module or the interface it belongs to is not there"},
		{net, syscall.EACCES, "permission denied: needs CAP_NET_ADMIN"},
		{net, syscall.EPERM, "operation not permitted: needs CAP_NET_ADMIN"},
		{vm, syscall.EACCES, "permission denied: needs root"},
		{vm, syscall.EPERM, "operation not permitted: needs root"},
		{net, syscall.EROFS, "read-only file system: /proc/sys is mounted read-only here, as in an unprivileged container"},
		{net, syscall.EINVAL, "invalid argument: the kernel rejects this value"},
		{net, syscall.EIO, "input/output error"},
	} {
		err := explain(tt.key, &fs.PathError{Op: "open", Path: "/proc/sys/" + tt.key, Err: tt.errno})
		if !errors.Is(err, tt.errno) || err.Error() != tt.want {
			t.Errorf("explain(%s, %v) = %q, want the cause and %q", tt.key, tt.errno, err, tt.want)
		}
	}
}
