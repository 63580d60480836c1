package elect

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tandem/integration/drill"
	"tandem/integration/lab"
)

// A Speaker is a program that speaks VRRP.
type Speaker interface {
	String() string
	// Start runs it on member i of a segment, with its files in dir, and returns
	// the process that elects.
	Start(s *Segment, i int, dir string) (*lab.Process, error)
}

// A Router is a virtual router.
type Router struct {
	VRID      uint8
	Addresses []netip.Addr
}

// A Member is one machine that takes part in the elections.
type Member struct {
	Speaker  Speaker
	Priority int
	Routers  []Router // nil: those of Options
}

// Options describe a segment.
type Options struct {
	Members []Member
	Routers []Router      // nil: VRID 51 with its Address
	Advert  time.Duration // 0: 100 ms
	IPv6    bool          // the machines have IPv6 addresses, too
}

// DefaultVRID is the virtual router of a segment without Options.Routers.
const DefaultVRID = 51

// Address is the virtual address that belongs to a VRID. It is on no segment of
// the lab, so that routers of which nothing is routed do not meet its hosts.
func Address(vrid uint8) netip.Addr { return netip.AddrFrom4([4]byte{10, 177, 0, vrid}) }

// Routers are n virtual routers, VRIDs 1 to n, with an address each.
func Routers(n int) []Router {
	list := make([]Router, n)
	for i := range list {
		vrid := uint8(i + 1)
		list[i] = Router{vrid, []netip.Addr{Address(vrid)}}
	}
	return list
}

// Segment is a lab whose directors are the members.
type Segment struct {
	*lab.Lab
	options Options
	dir     string
	daemons []*lab.Process       // by member; nil: not started
	zebras  map[int]*lab.Process // by member, of FRR
}

// New builds the network; Start starts the members. Close it.
func New(o Options) (*Segment, error) {
	if o.Routers == nil {
		o.Routers = []Router{{DefaultVRID, []netip.Addr{Address(DefaultVRID)}}}
	}
	if o.Advert == 0 {
		o.Advert = 100 * time.Millisecond
	}
	for i := range o.Members {
		if o.Members[i].Routers == nil {
			o.Members[i].Routers = o.Routers
		}
	}
	l, err := lab.New(lab.Options{Directors: len(o.Members), IPv6: o.IPv6})
	if err != nil {
		return nil, err
	}
	s := &Segment{Lab: l, options: o, daemons: make([]*lab.Process, len(o.Members)), zebras: make(map[int]*lab.Process)}
	if s.dir, err = os.MkdirTemp("", "elect-"); err == nil {
		// Not every member is root, and the source tree may be in a home directory that
		// only its owner can enter.
		err = errors.Join(os.Chmod(s.dir, 0o755), s.install())
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Segment) install() error {
	data, err := os.ReadFile(drill.Program("tandem"))
	if err != nil {
		return fmt.Errorf("the program under test is missing, run make first: %w", err)
	}
	return os.WriteFile(s.tandem(), data, 0o755)
}

func (s *Segment) tandem() string { return filepath.Join(s.dir, "tandem") }

// Close ends everything.
func (s *Segment) Close() error { return errors.Join(s.Lab.Close(), os.RemoveAll(s.dir)) }

// Dir is where the files of a member are.
func (s *Segment) Dir(i int) string { return filepath.Join(s.dir, s.Directors[i].Name) }

// Start starts a member.
func (s *Segment) Start(i int) (*lab.Process, error) {
	return s.StartAs(i, s.options.Members[i].Speaker)
}

// StartAs starts a member with another speaker than it had, from now on.
func (s *Segment) StartAs(i int, speaker Speaker) (*lab.Process, error) {
	s.options.Members[i].Speaker = speaker
	if err := os.MkdirAll(s.Dir(i), 0o755); err != nil {
		return nil, err
	}
	proc, err := speaker.Start(s, i, s.Dir(i))
	if err != nil {
		return nil, fmt.Errorf("%s on %s: %w", speaker, s.Directors[i].Name, err)
	}
	s.daemons[i] = proc
	return proc, nil
}

// Daemon is the electing process of a member, nil if it was never started.
func (s *Segment) Daemon(i int) *lab.Process { return s.daemons[i] }

// StartAll starts the members in their order, each when the one before has settled:
// the first holds every address, the others none.
func (s *Segment) StartAll(ctx context.Context) error {
	for i := range s.Directors {
		if _, err := s.Start(i); err != nil {
			return err
		}
		if i == 0 {
			if err := s.Eventually(ctx, s.Directors[0].Name+" holds the addresses", s.HoldsAll(0)); err != nil {
				return err
			}
		}
	}
	return s.Eventually(ctx, "the others are backups", func() (bool, error) {
		for i := 1; i < len(s.Directors); i++ {
			if ok, err := s.listens(i); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

// listens says whether a member hears the active.
func (s *Segment) listens(i int) (bool, error) {
	if l, ok := s.options.Members[i].Speaker.(interface {
		Listens(*Segment, int) (bool, error)
	}); ok {
		return l.Listens(s, i)
	}
	return false, fmt.Errorf("%s does not say whether it listens", s.options.Members[i].Speaker)
}

// Holds lists the virtual addresses that a member has.
func (s *Segment) Holds(i int) (map[netip.Addr]bool, error) {
	list, err := s.Directors[i].Addresses()
	if err != nil {
		return nil, err
	}
	held := make(map[netip.Addr]bool)
	for _, a := range list {
		held[a.Prefix.Addr()] = true
	}
	virtual := make(map[netip.Addr]bool)
	for _, r := range s.options.Members[i].Routers {
		for _, ip := range r.Addresses {
			if held[ip] {
				virtual[ip] = true
			}
		}
	}
	return virtual, nil
}

// HoldsAll asks whether a member has every virtual address; HoldsNone, whether it
// has none. FRR's addresses are always on its macvlan: ask the wire about it.
func (s *Segment) HoldsAll(i int) func() (bool, error) {
	return func() (bool, error) {
		held, err := s.Holds(i)
		n := 0
		for _, r := range s.options.Members[i].Routers {
			n += len(r.Addresses)
		}
		return len(held) == n, err
	}
}

// HoldsNone is the opposite of HoldsAll.
func (s *Segment) HoldsNone(i int) func() (bool, error) {
	return func() (bool, error) {
		held, err := s.Holds(i)
		return len(held) == 0, err
	}
}

// Eventually asks until the answer is yes. The error says what was waited for,
// and what every member wrote.
func (s *Segment) Eventually(ctx context.Context, what string, ask func() (bool, error)) error {
	var last error
	for {
		ok, err := ask()
		if ok && err == nil {
			return nil
		}
		if err != nil {
			last = err
		}
		select {
		case <-ctx.Done():
			err := ctx.Err()
			if last != nil {
				err = fmt.Errorf("%w (last: %w)", err, last)
			}
			return fmt.Errorf("waiting until %s: %w\n%s", what, err, s.Logs())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Logs is what every member wrote, the newest lines of each.
func (s *Segment) Logs() string {
	const most = 40
	var b strings.Builder
	for _, d := range s.Directors {
		for _, proc := range d.Processes() {
			lines := proc.Lines()
			fmt.Fprintf(&b, "--- %s\n", proc)
			for _, l := range lines[max(0, len(lines)-most):] {
				fmt.Fprintln(&b, l.At.Format("15:04:05.000"), l.Text)
			}
		}
	}
	return b.String()
}
