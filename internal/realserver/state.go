package realserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
)

// state is what Apply changed. It is written before each change, so that an
// interrupted Apply can be cleared too.
type state struct {
	// Sysctls are the values before the first Apply.
	Sysctls map[string]string `json:"sysctls"`
	// Addresses were not on the loopback interface before.
	Addresses []netip.Addr `json:"addresses"`
}

// loadState reads a state file; a missing one is a state without changes.
func loadState(path string) (state, error) {
	st := state{Sysctls: map[string]string{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return st, fmt.Errorf("real server state: %w", err)
	}
	if err := json.Unmarshal(b, &st); err != nil {
		return st, fmt.Errorf("real server state %s: %w; it says what to restore, so restore that by hand and delete the file", path, err)
	}
	if st.Sysctls == nil {
		st.Sysctls = map[string]string{}
	}
	return st, nil
}

// save replaces the file as a whole.
func (st *state) save(path string) error {
	b, err := json.MarshalIndent(st, "", "\t")
	if err != nil {
		return fmt.Errorf("real server state: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("real server state: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("real server state: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("real server state: %w", err)
	}
	return nil
}

func deleteState(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("real server state: %w", err)
	}
	return nil
}

// rememberSysctl keeps the oldest value, and reports whether that is news.
func (st *state) rememberSysctl(key, value string) bool {
	if _, known := st.Sysctls[key]; known {
		return false
	}
	st.Sysctls[key] = value
	return true
}

// rememberAddress reports whether the address is news.
func (st *state) rememberAddress(a netip.Addr) bool {
	if slices.Contains(st.Addresses, a) {
		return false
	}
	st.Addresses = append(st.Addresses, a)
	return true
}

func (st *state) forgetAddress(a netip.Addr) {
	st.Addresses = slices.DeleteFunc(st.Addresses, func(b netip.Addr) bool { return a == b })
}
