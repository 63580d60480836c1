package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Host and guest talk over one virtio serial port in frames, so that output
// and exit status arrive complete and in order:
//
//	kind (1 octet) | length of the payload (4 octets, big endian) | payload
type frameKind byte

const (
	frameHello   frameKind = iota + 1 // guest: booted, waiting for a job
	frameJob                          // host: the job, encoded
	frameStarted                      // guest: the command runs
	frameSignal                       // host: one octet, a signal for the command
	frameStdout                       // guest: bytes from the command
	frameStderr                       // guest: bytes from the command
	frameExit                         // guest: wait status of the command, 4 octets, big endian
	frameFailed                       // guest: why the command could not be run
)

// maxFrame bounds a payload, so that a broken peer cannot ask for any amount
// of memory. The job with its environment is the longest.
const maxFrame = 8 << 20

var errFrameLength = errors.New("frame is longer than allowed")

// frame is one message.
type frame struct {
	kind    frameKind
	payload []byte
}

// readFrame reads one frame. The error is io.EOF only between frames.
func readFrame(r io.Reader) (frame, error) {
	var header [5]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(header[1:])
	if n > maxFrame {
		return frame{}, fmt.Errorf("frame of %d octets: %w", n, errFrameLength)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	return frame{frameKind(header[0]), payload}, nil
}

// frameWriter writes frames from several goroutines.
type frameWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// write sends one frame.
func (fw *frameWriter) write(kind frameKind, payload []byte) error {
	if len(payload) > maxFrame {
		return fmt.Errorf("frame of %d octets: %w", len(payload), errFrameLength)
	}
	b := make([]byte, 5, 5+len(payload))
	b[0] = byte(kind)
	binary.BigEndian.PutUint32(b[1:], uint32(len(payload)))
	fw.mu.Lock()
	defer fw.mu.Unlock()
	_, err := fw.w.Write(append(b, payload...))
	return err
}

// stream is an io.Writer whose bytes travel in frames of one kind.
type stream struct {
	fw   *frameWriter
	kind frameKind
}

func (s stream) Write(p []byte) (int, error) {
	if err := s.fw.write(s.kind, p); err != nil {
		return 0, err
	}
	return len(p), nil
}
