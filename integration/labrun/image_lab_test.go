//go:build lab

package main

import (
	"encoding/binary"
	"os"
	"testing"
)

// TestUnpackImage packs a kernel the way a kernel build does.
func TestUnpackImage(t *testing.T) {
	const plain = "\x7fELF and more"
	for _, p := range packings {
		packed, err := filter([]byte(plain), p.tool, "-c")
		if err != nil {
			t.Fatal(err)
		}
		packed = binary.LittleEndian.AppendUint32(packed, uint32(len(plain)))
		root := imageDir(t, bootImage(0x20f, 0, uint32(len(packed)), string(packed)))
		if err := unpackImage(root, "1"); err != nil {
			t.Errorf("%s: %v", p.tool, err)
		}
		if got, err := os.ReadFile(plainImage(root, "1")); err != nil || string(got) != plain {
			t.Errorf("%s: got %q, %v, want %q", p.tool, got, err, plain)
		}
	}
}
