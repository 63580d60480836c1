package runner

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tandem/vrrp"
	"tandem/vrrp/runner/runnertest"
)

const ms = time.Millisecond

var vip = []netip.Addr{netip.MustParseAddr("10.77.0.100")}

// config is a router that advertises every 100 ms.
func config(priority uint8) vrrp.Config {
	return vrrp.Config{VRID: 51, Priority: priority, Interval: 100 * ms, Addresses: vip}
}

// skew and down are Skew_Time and Active_Down_Interval of config.
func skew(priority uint8) time.Duration {
	return time.Duration(256-int(priority)) * 100 * ms / 256
}
func down(priority uint8) time.Duration { return 300*ms + skew(priority) }

// segment is a network in memory: an advertisement reaches everybody else at
// once. It only works inside of a synctest bubble.
type segment struct {
	t       *testing.T
	mu      sync.Mutex
	members []*member
}

// member is a Runner on a segment and what it did.
type member struct {
	*Runner
	net  *runnertest.Network
	addr netip.Addr
	stop func() // ends Run and waits for it

	mu    sync.Mutex
	sent  []sent
	roles []vrrp.Role
	// announced counts OnAnnounce. cut takes the member off the network, sendErr makes
	// sending fail. afterSend and afterRole are called by the loop and may block.
	announced int
	cut       bool
	sendErr   error
	afterSend func()
	afterRole func(vrrp.Role)
}

// sent is an advertisement and when it was sent.
type sent struct {
	at  time.Time
	adv vrrp.Advert
}

// add starts a Runner with the address 10.77.0.<host>.
func (s *segment) add(host byte, cfg vrrp.Config, log slog.Handler) *member {
	s.t.Helper()
	m := &member{net: runnertest.NewNetwork(), addr: netip.AddrFrom4([4]byte{10, 77, 0, host})}
	loop := NewLoop(LoopOptions{Network: m.net, Log: slog.New(log)})
	m.Runner = loop.Add("test", cfg, Options{
		Queue:  m.net.Queue(func(a vrrp.Advert) error { return s.deliver(m, a) }),
		OnRole: m.onRole,
		OnAnnounce: func(string) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.announced++
		},
	})
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- loop.Run(ctx) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Run: %v", err)
		}
	})
	<-loop.Ready()
	s.mu.Lock()
	s.members = append(s.members, m)
	s.mu.Unlock()
	s.t.Cleanup(m.stop)
	m.Startup(m.addr)
	return m
}

func (s *segment) deliver(from *member, a vrrp.Advert) error {
	from.mu.Lock()
	after, err, cut := from.afterSend, from.sendErr, from.cut
	if err == nil {
		from.sent = append(from.sent, sent{time.Now(), a})
	}
	from.mu.Unlock()
	if err == nil && !cut {
		s.mu.Lock()
		for _, to := range s.members {
			if to != from && !to.isCut() {
				to.hear(vrrp.Received{Advert: a, Src: from.addr})
			}
		}
		s.mu.Unlock()
	}
	if after != nil {
		after()
	}
	return err
}

func (m *member) onRole(r vrrp.Role) {
	m.mu.Lock()
	m.roles = append(m.roles, r)
	after := m.afterRole
	m.mu.Unlock()
	if after != nil {
		after(r)
	}
}

// hear lets an advertisement arrive.
func (m *member) hear(r vrrp.Received) {
	m.net.Arrive(func(at time.Time) { m.Receive(at, r) })
}

func (m *member) isCut() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cut
}

// set changes the member's hooks.
func (m *member) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *member) state() vrrp.State { return m.Status().Role.State }

// lastSent is the latest advertisement.
func (m *member) lastSent() sent {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sent) == 0 {
		return sent{}
	}
	return m.sent[len(m.sent)-1]
}

// sentSince is all advertisements that were sent after t.
func (m *member) sentSince(t time.Time) []sent {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []sent
	for _, s := range m.sent {
		if s.at.After(t) {
			out = append(out, s)
		}
	}
	return out
}

// pass lets virtual time go by, until everybody has reacted.
func pass(d time.Duration) {
	time.Sleep(d) // the clock of the bubble
	synctest.Wait()
}

// wantStates checks the states of members in order.
func wantStates(t *testing.T, members []*member, want ...vrrp.State) {
	t.Helper()
	for i, m := range members {
		if got := m.state(); got != want[i] {
			t.Fatalf("%v is %v, want %v; roles %+v", m.addr, got, want[i], m.roles)
		}
	}
}
