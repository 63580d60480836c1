// Package ledger keeps on disk what the daemon put into the kernel, so that it
// can be taken back after a crash. It belongs on a file system that a reboot
// empties, as the kernel's tables are.
package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"tandem/director"
)

// File is a ledger at a path.
type File string

// Load reads the ledger. A file that does not exist is an empty ledger.
func (f File) Load() (director.Owned, error) {
	var o director.Owned
	data, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return director.Owned{}, fmt.Errorf("%s is damaged (delete it, then check the addresses, the IPVS table and the sysctls by hand): %w", f, err)
	}
	return o, nil
}

// Save replaces the ledger in one step: a reader sees the old one or the new.
func (f File) Save(o director.Owned) error {
	data, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(string(f)), ".ledger-*")
	if err != nil {
		return fmt.Errorf("%w (does the directory exist and may this user write to it?)", err)
	}
	defer os.Remove(tmp.Name()) // fails when it was renamed, as it should be
	if err := ownedAs(tmp, filepath.Dir(string(f))); err != nil {
		tmp.Close()
		return err
	}
	if _, err := tmp.Write(append(data, '\n')); err != nil {
		tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), string(f))
}

// ownedAs gives a file that root wrote, by `tandem release` say, to the user whose
// directory it is in: the daemon, who is not root, has to read it again.
func ownedAs(file *os.File, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	return file.Chown(int(owner.Uid), int(owner.Gid))
}
