//go:build lab

package wire

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tandem/vrrp"
	"tandem/vrrp/runner"
)

// electionPatience bounds every wait for an election, on a machine that has other
// things to do.
const electionPatience = 30 * time.Second

// voter is an election of tandem on a real network.
type voter struct {
	*runner.Runner
	conn    *endpoint
	router  *Router
	silence func() // ends it without a goodbye
}

// election is VRID 51 every 100 ms.
func election(priority uint8) vrrp.Config {
	return vrrp.Config{VRID: 51, Priority: priority, Interval: 100 * time.Millisecond, Addresses: []netip.Addr{vip}}
}

// elect lets a voter take part.
func (h *host) elect(t *testing.T, r *Router, cfg vrrp.Config) *voter {
	t.Helper()
	v := &voter{router: r}
	v.conn = h.listen(t, Options{
		IPv6:    cfg.Addresses[0].Is6(),
		Virtual: func(ip netip.Addr) bool { return slices.Contains(cfg.Addresses, ip) },
		Router: func(vrid uint8) *Router {
			if vrid != cfg.VRID {
				return nil
			}
			return r
		},
		OnPacket: func(p Packet) { v.Receive(p.At, vrrp.Received{Advert: p.Advert, Src: p.Src}) },
	})
	loop := runner.NewLoop(runner.LoopOptions{Network: v.conn.poller, Log: slog.New(slog.DiscardHandler)})
	v.Runner = loop.Add("test", cfg, runner.Options{
		Queue:      v.conn.Queue,
		OnRole:     func(vrrp.Role) {},
		OnAnnounce: func(string) {},
	})
	h.background(t, v.conn.Run)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- loop.Run(ctx) }()
	v.silence = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("elections ended with %v", err)
		}
	})
	t.Cleanup(v.silence)
	eventually(t, "an address to send from", func() bool { return v.conn.PrimaryAddr().IsValid() })
	v.Startup(v.conn.PrimaryAddr())
	return v
}

// soon waits for a condition.
func (v *voter) soon(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(electionPatience)
	for !cond() {
		if time.Now().After(deadline) {
			s := v.Status()
			t.Fatalf("not within %v: %s; %v because %q, heard %+v, dropped %v, %d errors, the last %q",
				electionPatience, what, s.Role.State, s.Role.Cause, s.Heard, v.conn.Drops(), s.SendErrors, s.LastSendError)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// becomes waits for a state.
func (v *voter) becomes(t *testing.T, want vrrp.State) {
	t.Helper()
	v.soon(t, want.String(), func() bool { return v.Status().Role.State == want })
}

// hears waits until the voter has heard that many more advertisements.
func (v *voter) hears(t *testing.T, more uint64) {
	t.Helper()
	want := v.Status().Counters.AdvertsReceived + more
	v.soon(t, "advertisements are heard", func() bool { return v.Status().Counters.AdvertsReceived >= want })
}

// heard waits for an advertisement of a priority.
func (v *voter) heard(t *testing.T, priority uint8) {
	t.Helper()
	v.soon(t, fmt.Sprintf("priority %d is heard", priority), func() bool { return v.Status().Heard.Priority == priority })
}

// stays says whether the role is the same as before.
func (v *voter) stays(t *testing.T, before vrrp.Role) {
	t.Helper()
	if now := v.Status().Role; now != before {
		t.Errorf("role %+v, was %+v", now, before)
	}
}

// Two directors that share a key elect, hand over, fail over and change their
// key. Who does not have it changes nothing, whatever the priority.
func TestSignedElection(t *testing.T) {
	left, right := newHosts(t)
	a := left.elect(t, NewRouter(signing(t, vrrp.AuthEnforce, 1)), election(200))
	b := right.elect(t, NewRouter(signing(t, vrrp.AuthEnforce, 1)), election(100))
	a.becomes(t, vrrp.Active)
	b.becomes(t, vrrp.Backup)
	b.hears(t, 3)

	before := b.Status().Role
	a.router.Set(signing(t, vrrp.AuthEnforce, 2))
	b.hears(t, 3)
	b.stays(t, before)
	if d := b.conn.Drops(); len(d) != 0 {
		t.Errorf("dropped %v", d)
	}

	a.Shutdown("maintenance", true)
	b.becomes(t, vrrp.Active)
	intruder := left.listen(t, Options{})
	rival := advert
	rival.Priority = 254
	before = b.Status().Role
	b.soon(t, "unsigned packets are dropped", func() bool {
		send(t, intruder, rival)
		return b.conn.Drops()[vrrp.DropAuthMissing] >= 3
	})
	b.stays(t, before)

	a.Startup(a.conn.PrimaryAddr())
	a.becomes(t, vrrp.Active)
	b.becomes(t, vrrp.Backup)
	a.silence()
	b.becomes(t, vrrp.Active)
}

// A recording of the active director does not keep its successor from taking
// over.
func TestReplayedElection(t *testing.T) {
	left, right := newHosts(t)
	frames := right.capture(t, unix.ETH_P_IP)
	a := left.elect(t, NewRouter(signing(t, vrrp.AuthEnforce, 1)), election(200))
	b := right.elect(t, NewRouter(signing(t, vrrp.AuthEnforce, 1)), election(100))
	a.becomes(t, vrrp.Active)
	b.hears(t, 3)
	a.silence()

	var recorded [][]byte
	for len(frames) > 0 {
		if f := <-frames; f[14+9] == vrrp.Protocol && [4]byte(f[14+12:]) == leftAddr.Addr().As4() {
			recorded = append(recorded, f[14+ipv4HeaderLen:])
		}
	}
	if len(recorded) == 0 {
		t.Fatal("nothing was recorded")
	}
	deadline := time.Now().Add(electionPatience)
	for i := 0; b.Status().Role.State != vrrp.Active; i++ {
		if time.Now().After(deadline) {
			t.Fatalf("no takeover; dropped %v", b.conn.Drops())
		}
		a.conn.raw(t, recorded[i%len(recorded)])
		time.Sleep(20 * time.Millisecond)
	}
	if d := b.conn.Drops(); d[vrrp.DropAuthReplayed] == 0 {
		t.Errorf("dropped %v", d)
	}
}

// peers is a configuration with peers.
func peers(list ...netip.Addr) RouterConfig { return RouterConfig{Peers: list} }

// Two directors elect by unicast. One after the other they go over from
// multicast, and nobody takes over meanwhile.
func TestUnicastElection(t *testing.T) {
	left, right := newHosts(t)
	a := left.elect(t, NewRouter(RouterConfig{}), election(200))
	b := right.elect(t, NewRouter(RouterConfig{}), election(100))
	a.becomes(t, vrrp.Active)
	b.becomes(t, vrrp.Backup)
	before := b.Status().Role
	b.hears(t, 3)
	a.router.Set(peers(rightAddr.Addr()))
	b.hears(t, 3)
	b.router.Set(peers(leftAddr.Addr()))
	b.hears(t, 3)
	b.stays(t, before)

	a.Shutdown("maintenance", true)
	b.becomes(t, vrrp.Active)
	a.Startup(a.conn.PrimaryAddr())
	a.becomes(t, vrrp.Active)
	b.becomes(t, vrrp.Backup)
	a.silence()
	b.becomes(t, vrrp.Active)
	if d := b.conn.Drops(); len(d) != 0 {
		t.Errorf("dropped %v", d)
	}
}

// Directors that send different checksums understand each other.
func TestMixedChecksums(t *testing.T) {
	left, right := newHosts(t)
	rfc9568 := RouterConfig{Format: vrrp.Format{Checksum: vrrp.ChecksumMessageOnly}}
	a := left.elect(t, NewRouter(rfc9568), election(200))
	b := right.elect(t, NewRouter(RouterConfig{}), election(100))
	a.becomes(t, vrrp.Active)
	b.heard(t, 200)
	b.becomes(t, vrrp.Backup)
	a.silence()
	b.becomes(t, vrrp.Active)
}
