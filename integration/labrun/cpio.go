package main

import (
	"fmt"
	"io"
	"strings"
)

// File types of a cpio entry, as in stat(2).
const (
	cpioDir  = 0o040000
	cpioFile = 0o100000
)

// cpioWriter writes the "newc" archive format that the kernel unpacks as its
// first root file system: Documentation/driver-api/early-userspace/buffer-format.rst.
type cpioWriter struct {
	w     io.Writer
	inode int
	err   error // the first one; later calls do nothing
}

// dir adds a directory, which must come before what lies in it.
func (c *cpioWriter) dir(name string) { c.entry(name, cpioDir|0o755, nil) }

// file adds an executable file.
func (c *cpioWriter) file(name string, data []byte) { c.entry(name, cpioFile|0o755, data) }

// close ends the archive and returns the first error.
func (c *cpioWriter) close() error {
	c.entry("TRAILER!!!", 0, nil)
	return c.err
}

// entry writes a header, the name with its NUL, and the data. Header plus name
// and data are each padded to a multiple of four octets.
func (c *cpioWriter) entry(name string, mode int, data []byte) {
	if c.err != nil {
		return
	}
	c.inode++
	const nlink, owner, group, mtime, devMajor, devMinor, checksum = 1, 0, 0, 0, 0, 0, 0
	header := "070701"
	for _, field := range []int{
		c.inode, mode, owner, group, nlink, mtime, len(data),
		devMajor, devMinor, 0, 0, len(name) + 1, checksum,
	} {
		header += fmt.Sprintf("%08X", field)
	}
	header += name + "\x00"
	header += strings.Repeat("\x00", pad4(len(header)))
	tail := make([]byte, pad4(len(data)))
	for _, b := range [][]byte{[]byte(header), data, tail} {
		if _, err := c.w.Write(b); err != nil {
			c.err = fmt.Errorf("write %s to the initramfs: %w", name, err)
			return
		}
	}
}

// pad4 is the number of octets from n to the next multiple of four.
func pad4(n int) int { return -n & 3 }
