package main

import (
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestExitCode(t *testing.T) {
	tests := []struct {
		status syscall.WaitStatus // as wait(2) encodes it
		want   int
	}{
		{0, 0},
		{3 << 8, 3},
		{255 << 8, 255},
		{syscall.WaitStatus(syscall.SIGKILL), 137},
		{syscall.WaitStatus(syscall.SIGSEGV) | 0x80, 139}, // with a core dump
	}
	for _, tt := range tests {
		if got := exitCode(tt.status); got != tt.want {
			t.Errorf("exitCode(%#x) = %d, want %d", int(tt.status), got, tt.want)
		}
	}
}

func TestStoppedError(t *testing.T) {
	tests := []struct {
		err  stoppedError
		code int
		text string
	}{
		{stoppedError{signal: syscall.SIGINT}, 130, "stopped by signal: interrupt"},
		{stoppedError{timeout: time.Minute}, 124, "stopped at the time limit of 1m0s; -timeout or LABRUN_TIMEOUT sets another"},
	}
	for _, tt := range tests {
		if tt.err.exitCode() != tt.code || tt.err.Error() != tt.text {
			t.Errorf("got %d %q, want %d %q", tt.err.exitCode(), tt.err.Error(), tt.code, tt.text)
		}
	}
}

func TestWritableDirs(t *testing.T) {
	tests := []struct {
		name      string
		env, args []string
		want      []string
	}{
		{name: "nothing asked", env: []string{"HOME=/root", "LAB_OUT=", "LAB_OUTER=/x"}},
		{name: "results", env: []string{"LAB_OUT=/b/../results/"}, want: []string{"/results"}},
		{name: "relative", env: []string{"LAB_OUT=out"}, want: []string{"/work/dir/out"}},
		{
			name: "coverage",
			env:  []string{"GOCOVERDIR=/cover"},
			args: []string{"-test.v", "-test.coverprofile=/tmp/b/c.out", "-test.gocoverdir=/tmp/a", "-test.run=LAB_OUT=/x"},
			want: []string{"/cover", "/tmp/a", "/tmp/b"},
		},
		{name: "parent first, each once", env: []string{"LAB_OUT=/a/b", "GOCOVERDIR=/a"}, args: []string{"-test.gocoverdir=/a"}, want: []string{"/a", "/a/b"}},
	}
	for _, tt := range tests {
		j := job{Args: append([]string{"prog"}, tt.args...), Env: tt.env, Dir: "/work/dir"}
		if got := writableDirs(j); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestJobTravels: names and values that quoting would spoil arrive unchanged.
func TestJobTravels(t *testing.T) {
	want := job{
		Path: "/bin/x y", Args: []string{"", "a b", "\"'$\\\n\t", "é\u2028\xff"},
		Env: []string{"A=b=c", "EMPTY=", "B=\x01\n"}, Dir: "/d",
		Writable: []string{"/w,1"}, Modules: "/m",
		Clock: time.Date(2026, 2, 28, 23, 59, 59, 123456789, time.UTC),
	}
	data, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeJob(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := decodeJob(data[:len(data)-1]); err == nil {
		t.Error("a cut job decodes without an error")
	}
}
