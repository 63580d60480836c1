package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"syscall"

	"tandem/vrrp"
)

// maxKeyFile is more than a key has in base64, with lines.
const maxKeyFile = 1 << 10

// makeKey is what to do about a file that holds no key.
const makeKey = "make one with: head -c 32 /dev/urandom | base64"

// readKeys reads key files by key id. An error names the file, and never what is
// in it.
func readKeys(files map[uint8]string) (map[uint8]vrrp.Key, error) {
	keys := make(map[uint8]vrrp.Key, len(files))
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(files)) {
		key, err := readKey(files[id])
		if err != nil {
			errs = append(errs, fmt.Errorf("VRRP key %d: %w", id, err))
			continue
		}
		keys[id] = key
	}
	return keys, errors.Join(errs...)
}

// readKey reads a secret of 32 to 64 bytes in base64.
func readKey(path string) (vrrp.Key, error) {
	text, err := readSecret(path)
	if err != nil {
		return vrrp.Key{}, err
	}
	secret, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		return vrrp.Key{}, fmt.Errorf("%s is not base64 (%w); %s", path, err, makeKey)
	}
	key, err := vrrp.NewKey(secret)
	if err != nil {
		return vrrp.Key{}, fmt.Errorf("%s: %w; %s", path, err, makeKey)
	}
	return key, nil
}

// readSecret reads a small file that others cannot read. It asks the open file,
// so that nothing can be exchanged in between, and does not wait for a pipe.
func readSecret(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w; make it readable for the user or the group that tandem runs as: chown root:tandem, chmod 640", err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case mode.Perm()&0o007 != 0:
		return nil, fmt.Errorf("%s can be used by others (%v), so the key in it is no secret: make a new key, and chmod 640", path, mode.Perm())
	case mode.Perm()&0o020 != 0:
		return nil, fmt.Errorf("%s can be written by its group (%v): chmod 640", path, mode.Perm())
	case info.Size() > maxKeyFile:
		return nil, fmt.Errorf("%s has %d bytes, which is no key; %s", path, info.Size(), makeKey)
	}
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}
