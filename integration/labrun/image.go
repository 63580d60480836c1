package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A compressed kernel unpacks itself when it boots. Under emulation that takes
// two to three seconds of every run, so it is done once, here. The result is
// an ELF file, which QEMU boots through its PVH entry point.

// plainImage is where the uncompressed kernel lies below root.
func plainImage(root, release string) string {
	return filepath.Join(root, "boot", "vmlinux-"+release)
}

// packings are the compressions that Debian's kernels use.
var packings = []struct{ magic, tool string }{
	{"\xfd7zXZ\x00", "xz"},       // Debian 12
	{"\x28\xb5\x2f\xfd", "zstd"}, // Debian 13
}

// unpackImage writes the uncompressed kernel beside the compressed one. A
// kernel in an unknown compression stays as it is, and boots more slowly.
func unpackImage(root, release string) error {
	image, err := os.ReadFile(filepath.Join(root, "boot", "vmlinuz-"+release))
	if err != nil {
		return err
	}
	payload, err := imagePayload(image)
	if err != nil {
		return err
	}
	for _, p := range packings {
		if !bytes.HasPrefix(payload, []byte(p.magic)) {
			continue
		}
		// The build puts the unpacked length, four octets, after the packed data.
		plain, err := filter(payload[:len(payload)-4], p.tool, "-dc")
		if err != nil {
			return fmt.Errorf("unpack the kernel: %w", err)
		}
		return os.WriteFile(plainImage(root, release), plain, 0o644)
	}
	return nil
}

var errNotBootImage = errors.New("not a Linux boot image of protocol 2.08 or later")

// imagePayload returns the compressed kernel inside an x86 boot image:
// Documentation/x86/boot.rst, "The Real-Mode Kernel Header".
func imagePayload(image []byte) ([]byte, error) {
	const (
		setupSectors  = 0x1f1 // octet: length of the real mode code less one, in sectors
		magic         = 0x202
		version       = 0x206 // of the boot protocol
		payloadOffset = 0x248 // from the end of the real mode code
		payloadLength = 0x24c
		headerEnd     = 0x250
		sector        = 512
	)
	little := binary.LittleEndian
	if len(image) < headerEnd || string(image[magic:version]) != "HdrS" || little.Uint16(image[version:]) < 0x208 {
		return nil, errNotBootImage
	}
	sectors := int(image[setupSectors])
	if sectors == 0 {
		sectors = 4 // as ancient boot loaders left it
	}
	start := (sectors+1)*sector + int(little.Uint32(image[payloadOffset:]))
	end := start + int(little.Uint32(image[payloadLength:]))
	if end > len(image) || end < start+4 {
		return nil, fmt.Errorf("%w: a payload from %d to %d of %d octets", errNotBootImage, start, end, len(image))
	}
	return image[start:end], nil
}
