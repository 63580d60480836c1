package director

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"tandem/configs"
	"tandem/vrrp"
)

// Entries is what a kernel table has of ours: its entries carry tandem's protocol
// number, so that no list is needed to tell them from those of others.
type Entries[T any] interface {
	List() ([]T, error)
	// Put adds an entry. With replace, the one of the same key that List had gives
	// way to it. The error wraps fs.ErrExist if somebody else's is in the way.
	Put(entry T, replace bool) error
	// Remove takes an entry away. One that is absent, or is not ours, is no error.
	Remove(T) error
}

// Routes are the kernel's routes, Rules its policy routing rules. An entry of
// List has its zero value where the kernel says nothing; a route always has its
// interface.
type (
	Routes = Entries[configs.Route]
	Rules  = Entries[configs.Rule]
)

// Followed is an entry that this director should have now.
type Followed[T any] struct {
	Entry  T
	Router RouterID
	Role   vrrp.Role // that asks for it
}

// Desired says which entries the roles ask for: those of routers that hold their
// addresses, in the order of the file. of are those of a router.
func Desired[T any](cfg *configs.Config, roles map[RouterID]vrrp.Role, of func(configs.VirtualRouter) []T) []Followed[T] {
	var want []Followed[T]
	for _, r := range cfg.Routers {
		role := roles[idOf(r)]
		if !role.Hold {
			continue
		}
		for _, e := range of(r) {
			want = append(want, Followed[T]{e, idOf(r), role})
		}
	}
	return want
}

// following keeps entries of one kind in line with the roles. Withdraw and
// establish are the two halves of a pass, with the removal of addresses between
// them; the holder's loop alone calls them.
type following[T comparable, K comparable] struct {
	kind    string // of entries, for people
	entries Entries[T]
	of      func(configs.VirtualRouter) []T
	key     func(T) K
	same    func(have, want T) bool // of the same key
	hint    string                  // what to do about somebody else's in the way
	fresh   func(RouterID, vrrp.Role) bool
	log     *slog.Logger

	// Only the loop uses these.
	put  map[K]T // by us, and not withdrawn since
	read bool    // the last withdraw could read what is there

	mu      sync.Mutex
	ours    bool    // some may be in the kernel, or may get there
	have    map[K]T // at the last pass; replaced, never changed
	repairs int
}

// expect notes that a configuration is in force.
func (f *following[T, K]) expect(cfg *configs.Config) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ours = f.ours || namesAny(cfg, f.of)
}

// namesAny says whether a configuration has such entries.
func namesAny[T any](cfg *configs.Config, of func(configs.VirtualRouter) []T) bool {
	return slices.ContainsFunc(cfg.Routers, func(r configs.VirtualRouter) bool { return len(of(r)) > 0 })
}

// withdraw reads what is there and takes away what is not wanted. Nothing is
// asked of the kernel while no configuration names any and none is left.
func (f *following[T, K]) withdraw(want []Followed[T]) error {
	f.mu.Lock()
	ours := f.ours
	f.mu.Unlock()
	f.read = false
	if !ours {
		return nil
	}
	list, err := f.entries.List()
	if err != nil {
		return err
	}
	f.read = true
	have := make(map[K]T, len(list))
	for _, e := range list {
		have[f.key(e)] = e
	}
	wanted := make(map[K]bool, len(want))
	for _, w := range want {
		wanted[f.key(w.Entry)] = true
	}
	maps.DeleteFunc(f.put, func(k K, _ T) bool { return !wanted[k] })
	var errs []error
	for _, e := range slices.SortedFunc(maps.Values(have), func(a, b T) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) }) {
		if wanted[f.key(e)] {
			continue
		}
		if err := f.entries.Remove(e); err != nil {
			errs = append(errs, fmt.Errorf("remove %s %v: %w", f.kind, e, err))
			continue
		}
		delete(have, f.key(e))
		f.log.Info(f.kind+" removed", f.kind, fmt.Sprint(e))
	}
	f.setHave(have)
	return errors.Join(errs...)
}

// establish puts in what is wanted and missing, or not as it should be, if the
// withdraw before could read. stale says that an election was too stale to act on.
func (f *following[T, K]) establish(want []Followed[T]) (stale bool, err error) {
	if !f.read {
		return false, nil
	}
	have := maps.Clone(f.view().have)
	var errs []error
	for _, w := range want {
		k := f.key(w.Entry)
		is, ok := have[k]
		if ok && f.same(is, w.Entry) || w.Role.State != vrrp.Active {
			continue
		}
		if !f.fresh(w.Router, w.Role) {
			stale = true
			continue
		}
		if err := f.entries.Put(w.Entry, ok); err != nil {
			if errors.Is(err, fs.ErrExist) {
				err = fmt.Errorf("is there already, and not by tandem: left alone; %s", f.hint)
			}
			errs = append(errs, fmt.Errorf("%s %v: %w", f.kind, w.Entry, err))
			continue
		}
		f.note(k, w.Entry)
		have[k] = w.Entry
	}
	f.setHave(have)
	return stale, errors.Join(errs...)
}

// note takes down that an entry was put in, and whether it had been before.
func (f *following[T, K]) note(k K, e T) {
	if f.put[k] != e {
		f.put[k] = e
		f.log.Info(f.kind+" added", f.kind, fmt.Sprint(e))
		return
	}
	f.log.Warn(f.kind+" was changed by someone else, or went with its address; put back", f.kind, fmt.Sprint(e))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.repairs++
}

// forget stops looking when nothing is left and cfg names none, and says whether
// this is so now and was not before.
func (f *following[T, K]) forget(cfg *configs.Config) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ours || !f.read || len(f.have) > 0 || namesAny(cfg, f.of) {
		return false
	}
	f.ours = false
	return true
}

func (f *following[T, K]) setHave(have map[K]T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.have = have
}

type followView[T, K comparable] struct {
	have    map[K]T
	repairs int
}

func (f *following[T, K]) view() followView[T, K] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return followView[T, K]{f.have, f.repairs}
}

// statuses are the entries of a router as they were at the last pass.
func (f *following[T, K]) statuses(r configs.VirtualRouter) []FollowStatus {
	var out []FollowStatus
	have := f.view().have
	for _, e := range f.of(r) {
		is, ok := have[f.key(e)]
		out = append(out, FollowStatus{What: fmt.Sprint(e), InKernel: ok && f.same(is, e)})
	}
	return out
}

// FollowStatus is a route or a rule that follows a role.
type FollowStatus struct {
	What     string `json:"what"`
	InKernel bool   `json:"in_kernel"`
}
