package director

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"

	"tandem/ipvsctl"
)

// sideEffects are settings that the kernel changes by itself when another one is
// set: inet_forward_change in net/ipv4/devinet.c makes accept_redirects the
// opposite of ip_forward, so putting ip_forward back does not put that back.
var sideEffects = map[string][]string{
	"net/ipv4/ip_forward": {"net/ipv4/conf/all/accept_redirects"},
}

// RestoreOrder is the order in which settings must be put back: those that change
// others first.
func RestoreOrder(before map[string]string) []string {
	return slices.SortedFunc(maps.Keys(before), func(a, b string) int {
		return cmp.Or(len(sideEffects[b])-len(sideEffects[a]), cmp.Compare(a, b))
	})
}

// NamedSysctls is the keys that a profile sets, or changes on the side.
func NamedSysctls(profile []ipvsctl.Sysctl) map[string]bool {
	named := make(map[string]bool)
	for _, s := range profile {
		named[s.Key] = true
		for _, key := range sideEffects[s.Key] {
			named[key] = true
		}
	}
	return named
}

// tuner sets the sysctls that LVS needs, logs each with its reason, and puts
// the old values back. It is not safe for concurrent use.
type tuner struct {
	sysctls Sysctls
	books   *books
	log     *slog.Logger
	before  map[string]string // what to restore
}

func newTuner(o Options, books *books) *tuner {
	t := &tuner{sysctls: o.Sysctls, books: books, log: o.Log.With("part", "sysctls"), before: make(map[string]string)}
	maps.Copy(t.before, books.owned.Sysctls)
	return t
}

// SysctlChange is one setting that differs from the profile.
type SysctlChange struct {
	Key  string `json:"key"`
	Have string `json:"have"`
	Want string `json:"want"`
	Why  string `json:"why"`
}

// PlanSysctls lists what of a profile would be changed. A key that does not
// exist is passed over: this kernel is older and lacks it.
func PlanSysctls(get func(string) (string, error), profile []ipvsctl.Sysctl) ([]SysctlChange, error) {
	var out []SysctlChange
	var errs []error
	for _, s := range profile {
		have, err := get(s.Key)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs = append(errs, err)
		case !s.Satisfied(have):
			out = append(out, SysctlChange{Key: s.Key, Have: have, Want: s.Want, Why: s.Why})
		}
	}
	return out, errors.Join(errs...)
}

// apply sets what differs, and restores what an earlier profile set and this
// one does not name. It goes on after an error.
func (t *tuner) apply(profile []ipvsctl.Sysctl) error {
	named := NamedSysctls(profile)
	err := t.restore(func(key string) bool { return !named[key] })
	changes, planErr := PlanSysctls(t.sysctls.Get, profile)
	errs := []error{err, planErr}
	if len(changes) == 0 {
		return errors.Join(errs...)
	}
	for _, c := range changes {
		errs = append(errs, t.remember(c))
	}
	if err := t.books.sysctls(t.before); err != nil {
		// What is not in the ledger would never be restored after a crash.
		return errors.Join(append(errs, err)...)
	}
	for _, c := range changes {
		t.log.Info("sysctl", "key", c.Key, "from", c.Have, "to", c.Want, "why", c.Why)
		errs = append(errs, t.sysctls.Set(c.Key, c.Want))
	}
	return errors.Join(errs...)
}

// remember keeps what a setting, and those that follow it, were before.
func (t *tuner) remember(c SysctlChange) error {
	if _, ok := t.before[c.Key]; ok {
		return nil
	}
	t.before[c.Key] = c.Have
	var errs []error
	for _, key := range sideEffects[c.Key] {
		have, err := t.sysctls.Get(key)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.before[key] = have
	}
	return errors.Join(errs...)
}

// repair sets again what others changed since apply, for example an interface
// that was made anew, and says how many settings that were.
func (t *tuner) repair(profile []ipvsctl.Sysctl) (int, error) {
	changes, err := PlanSysctls(t.sysctls.Get, profile)
	if len(changes) == 0 {
		return 0, err
	}
	t.log.Warn("sysctls were changed by someone else, repairing", "count", len(changes))
	return len(changes), t.apply(profile)
}

// revert puts every value back.
func (t *tuner) revert() error { return t.restore(func(string) bool { return true }) }

// restore puts back the values of the keys that which chooses. What cannot be
// put back stays on the ledger, unless the setting is gone with its interface.
func (t *tuner) restore(which func(key string) bool) error {
	var errs []error
	n := len(t.before)
	for _, key := range RestoreOrder(t.before) {
		if !which(key) {
			continue
		}
		old := t.before[key]
		if err := t.sysctls.Set(key, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("restore: %w", err))
			continue
		}
		delete(t.before, key)
		t.log.Info("sysctl restored", "key", key, "to", old)
	}
	if len(t.before) != n {
		errs = append(errs, t.books.sysctls(t.before))
	}
	return errors.Join(errs...)
}
