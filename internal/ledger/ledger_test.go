package ledger

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tandem/configs"
	"tandem/director"
	"tandem/ipvsctl"
)

var (
	compare = cmpopts.EquateComparable(configs.VirtualAddress{}, ipvsctl.ServiceKey{})
	full    = director.Owned{
		Addresses: []configs.VirtualAddress{{Prefix: netip.MustParsePrefix("10.0.0.100/32"), Interface: "eth0.10"}},
		Services:  []ipvsctl.ServiceKey{{Protocol: ipvsctl.UDP, Address: netip.MustParseAddrPort("[fd00::1]:53")}},
		Sysctls:   map[string]string{"net/ipv4/vs/sync_threshold": "3 50"},
		Sync:      true,
	}
)

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	f := File(filepath.Join(dir, "ledger.json"))
	for _, want := range []director.Owned{full, {}} {
		if err := f.Save(want); err != nil {
			t.Fatal(err)
		}
		got, err := f.Load()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, compare); d != "" {
			t.Error(d)
		}
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

// The daemon reads again what root wrote into its directory.
func TestOwner(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		const nobody = 65534
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "ledger.json")
	if err := File(path).Save(full); err != nil {
		t.Fatal(err)
	}
	owner := func(path string) [2]uint32 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		return [2]uint32{st.Uid, st.Gid}
	}
	if got, want := owner(path), owner(dir); got != want {
		t.Errorf("the ledger belongs to %v, its directory to %v", got, want)
	}
}

func TestAbsent(t *testing.T) {
	got, err := File(filepath.Join(t.TempDir(), "absent")).Load()
	if d := cmp.Diff(director.Owned{}, got); err != nil || d != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.json")
	for _, text := range []string{"", "{", `{"addresses": 7}`, `{"sync": true} and more`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := File(path).Load()
		if err == nil || !strings.Contains(err.Error(), path+" is damaged (delete it, then check") {
			t.Errorf("%q: %v", text, err)
		}
		if d := cmp.Diff(director.Owned{}, got); d != "" {
			t.Errorf("%q: half a ledger: %s", text, d)
		}
	}
}

// A ledger that cannot be written leaves the old one whole.
func TestSaveFails(t *testing.T) {
	t.Run("the rename", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "ledger.json")
		if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := File(path).Save(full); err == nil {
			t.Error("saved over a directory")
		}
		list, err := os.ReadDir(dir)
		if err != nil || len(list) != 1 {
			t.Errorf("left behind: %v, %v", list, err)
		}
	})
	t.Run("no directory", func(t *testing.T) {
		err := File(filepath.Join(t.TempDir(), "absent", "ledger.json")).Save(full)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "does the directory exist") {
			t.Errorf("got %v", err)
		}
	})
}

// Readers that come at any moment see a whole ledger.
func TestAtomic(t *testing.T) {
	f := File(filepath.Join(t.TempDir(), "ledger.json"))
	if err := f.Save(full); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		var err error
		for range 200 {
			err = errors.Join(err, f.Save(full))
		}
		done <- err
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
			if got, err := f.Load(); err != nil || !got.Sync {
				t.Fatalf("got %+v, %v", got, err)
			}
		}
	}
}
