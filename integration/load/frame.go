package load

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// frameLen is the length of every frame on a stream. Layout, big endian:
//
//	 0  run     uint64  random, the same for all streams of a run
//	 8  stream  uint32  number of the stream
//	12  seq     uint64  0, 1, 2, … in each stream
//	20  sum     uint32  CRC-32C of the bytes before
//
// The echo service returns the bytes as they are (RFC 862), so that a frame
// of another run, of another stream, out of order or damaged is noticed.
const frameLen = 24

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame identifies one message of one stream.
type frame struct {
	run    uint64
	stream uint32
	seq    uint64
}

// append appends the encoded frame to b.
func (f frame) append(b []byte) []byte {
	n := len(b)
	b = binary.BigEndian.AppendUint64(b, f.run)
	b = binary.BigEndian.AppendUint32(b, f.stream)
	b = binary.BigEndian.AppendUint64(b, f.seq)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[n:], castagnoli))
}

// parseFrame decodes the frame at the beginning of b, which must hold at least
// frameLen bytes. Its errors wrap errCorrupt.
func parseFrame(b []byte) (frame, error) {
	if len(b) < frameLen {
		return frame{}, fmt.Errorf("%w: frame of %d bytes, want %d", errCorrupt, len(b), frameLen)
	}
	sum := binary.BigEndian.Uint32(b[20:])
	if got := crc32.Checksum(b[:20], castagnoli); got != sum {
		return frame{}, fmt.Errorf("%w: checksum %08x, computed %08x", errCorrupt, sum, got)
	}
	return frame{
		run:    binary.BigEndian.Uint64(b),
		stream: binary.BigEndian.Uint32(b[8:]),
		seq:    binary.BigEndian.Uint64(b[12:]),
	}, nil
}

// deframer checks the bytes of one stream against the frames that were sent.
type deframer struct {
	next frame // the frame that must come next
	rest []byte
}

// feed takes the next bytes of the stream and returns how many frames they
// complete. Its errors wrap errCorrupt.
func (d *deframer) feed(b []byte) (int, error) {
	d.rest = append(d.rest, b...)
	n, at := 0, 0
	for ; len(d.rest)-at >= frameLen; at += frameLen {
		f, err := parseFrame(d.rest[at:])
		if err != nil {
			return n, err
		}
		if f != d.next {
			return n, fmt.Errorf("%w: got %+v, want %+v", errCorrupt, f, d.next)
		}
		d.next.seq++
		n++
	}
	d.rest = append(d.rest[:0], d.rest[at:]...)
	return n, nil
}
