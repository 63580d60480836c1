package realtime

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain is the main function of the tests.
func TestMain(m *testing.M) {
	Main(func() { m.Run() })
}

// TestOnFirstThread: what is asked for runs there, once each, and nothing else does.
func TestOnFirstThread(t *testing.T) {
	if unix.Gettid() == unix.Getpid() {
		t.Error("the program runs on the first thread")
	}
	ran := 0
	for range 3 {
		OnFirstThread(func() {
			ran++
			if unix.Gettid() != unix.Getpid() {
				t.Error("on another thread")
			}
		})
	}
	if ran != 3 {
		t.Errorf("ran %d times", ran)
	}
}
