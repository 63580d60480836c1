package wire

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is the network of a Repeater under test.
type recorder struct {
	start time.Time
	mu    sync.Mutex
	sent  []string                // "time address"
	stand map[netip.Addr]Standing // Held if it is not in here
	err   error
}

func (r *recorder) send(a netip.Addr) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, fmt.Sprint(time.Since(r.start), " ", a))
	return r.err
}

func (r *recorder) held(a netip.Addr) Standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.stand[a]; ok {
		return s
	}
	return Held
}

func (r *recorder) set(a netip.Addr, s Standing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stand[a] = s
}

// take returns what was sent since the last call.
func (r *recorder) take() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent = nil
	return sent
}

// repeat runs f with a Repeater in a bubble of virtual time.
func repeat(t *testing.T, f func(*testing.T, *Repeater, *recorder)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := &recorder{start: time.Now(), stand: map[netip.Addr]Standing{}}
		r := NewRepeater(net.send, net.held, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		f(t, r, net)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("sent %q\nwant %q", got, want)
	}
}

var (
	a1 = netip.MustParseAddr("192.0.2.1")
	a2 = netip.MustParseAddr("192.0.2.2")
)

func TestRepeats(t *testing.T) {
	repeat(t, func(t *testing.T, r *Repeater, net *recorder) {
		r.Announce(a1)
		time.Sleep(126 * time.Second)
		expect(t, net.take(), "0s 192.0.2.1", "100ms 192.0.2.1", "1.1s 192.0.2.1", "2.2s 192.0.2.1",
			"5s 192.0.2.1", "1m5s 192.0.2.1", "2m5s 192.0.2.1")
	})
}

func TestAnnounceAgainRestarts(t *testing.T) {
	repeat(t, func(t *testing.T, r *Repeater, net *recorder) {
		r.Announce(a1)
		time.Sleep(2 * time.Second)
		expect(t, net.take(), "0s 192.0.2.1", "100ms 192.0.2.1", "1.1s 192.0.2.1")
		r.Announce(a1)
		time.Sleep(6 * time.Second)
		expect(t, net.take(), "2s 192.0.2.1", "2.1s 192.0.2.1", "3.1s 192.0.2.1", "4.2s 192.0.2.1", "7s 192.0.2.1")
	})
}

// A rival that sends adverts as fast as it can makes us announce again and
// again, but not as fast.
func TestAnnounceFlood(t *testing.T) {
	repeat(t, func(t *testing.T, r *Repeater, net *recorder) {
		for range 1000 {
			r.Announce(a1)
			time.Sleep(time.Millisecond)
		}
		if n := len(net.take()); n < 9 || n > 11 {
			t.Errorf("%d announcements in a second, want one in %v", n, minGap)
		}
	})
}

func TestCancel(t *testing.T) {
	repeat(t, func(t *testing.T, r *Repeater, net *recorder) {
		r.Announce(a1, a2)
		time.Sleep(time.Second)
		net.take()
		r.Cancel(a1, netip.MustParseAddr("192.0.2.99"))
		time.Sleep(time.Second)
		expect(t, net.take(), "1.1s 192.0.2.2")
		r.Cancel(a2)
		time.Sleep(time.Hour)
		expect(t, net.take())
	})
}

// An address that was lost is never announced, and is forgotten until it is
// announced anew.
func TestNotHeld(t *testing.T) {
	repeat(t, func(t *testing.T, r *Repeater, net *recorder) {
		r.Announce(a1)
		time.Sleep(500 * time.Millisecond)
		net.take()
		net.set(a1, Lost)
		time.Sleep(time.Second)
		net.set(a1, Held)
		time.Sleep(time.Hour)
		expect(t, net.take())
		r.Announce(a1)
		if sent := net.take(); len(sent) != 1 {
			t.Errorf("sent %q, want one", sent)
		}
	})
}

// A moment of doubt costs the announcements that fall into it, and no more.
func TestDoubtful(t *testing.T) {
	repeat(t, func(t *testing.T, r *Repeater, net *recorder) {
		r.Announce(a1)
		time.Sleep(500 * time.Millisecond)
		net.take()
		net.set(a1, Doubtful)
		time.Sleep(time.Second)
		expect(t, net.take())
		net.set(a1, Held)
		time.Sleep(time.Second)
		expect(t, net.take(), "2.2s 192.0.2.1")
	})
}

// Announce while held is being asked: what the answer was about is over.
func TestRestartWinsOverLoss(t *testing.T) {
	s := newSchedule()
	now := time.Unix(1000, 0)
	s.restart(now, a1)
	old, ok := s.pop(now)
	if !ok {
		t.Fatal("not due at once")
	}
	s.restart(now, a1)
	s.abandon(old)
	if _, ok := s.next(); !ok {
		t.Error("the restarted address was abandoned")
	}
	again, ok := s.pop(now.Add(minGap))
	if !ok {
		t.Fatal("not due after the gap")
	}
	s.abandon(again)
	if _, ok := s.next(); ok {
		t.Error("the address was not abandoned")
	}
}

func TestSendErrorsAreToldAndSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &recorder{start: time.Now(), err: errors.New("interface down")}
		var failed []netip.Addr
		r := NewRepeater(net.send, net.held, func(a netip.Addr, err error) {
			if err != net.err {
				t.Errorf("told %v", err)
			}
			failed = append(failed, a)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		r.Announce(a1)
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		if len(failed) != len(repeats) {
			t.Errorf("told of %d failures, want %d", len(failed), len(repeats))
		}
	})
}

func manyAddrs(n int) []netip.Addr {
	addrs := make([]netip.Addr, n)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
	}
	return addrs
}

// A thousand addresses go out in bursts, however they are asked for.
func TestPacing(t *testing.T) {
	for name, announce := range map[string]func(*Repeater, []netip.Addr){
		"together": func(r *Repeater, addrs []netip.Addr) { r.Announce(addrs...) },
		"one by one": func(r *Repeater, addrs []netip.Addr) {
			for _, a := range addrs {
				r.Announce(a)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			repeat(t, func(t *testing.T, r *Repeater, net *recorder) {
				announce(r, manyAddrs(1000))
				// Twenty full bursts, and the first one may come when only some are in.
				time.Sleep(20 * announcePause)
				perInstant, announced := map[string]int{}, map[string]bool{}
				for _, s := range net.take() {
					var at, addr string
					if _, err := fmt.Sscan(s, &at, &addr); err != nil {
						t.Fatal(err)
					}
					perInstant[at]++
					announced[addr] = true
				}
				if len(announced) != 1000 {
					t.Errorf("%d addresses announced, want all 1000", len(announced))
				}
				for at, n := range perInstant {
					if n > announceBurst {
						t.Errorf("%d at %s, want at most %d", n, at, announceBurst)
					}
				}
			})
		})
	}
}

// After a long pause of the machine the missed steps are left out.
func TestMissedSteps(t *testing.T) {
	s := newSchedule()
	start := time.Unix(1000, 0)
	s.restart(start, a1)
	late := start.Add(3 * time.Second)
	if _, ok := s.pop(late); !ok {
		t.Fatal("not due")
	}
	if next, ok := s.next(); !ok || !next.Equal(start.Add(5*time.Second)) {
		t.Errorf("next at %v, want the step at 5s", next.Sub(start))
	}
	if _, ok := s.pop(late); ok {
		t.Error("due twice")
	}
}
