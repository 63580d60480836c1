package track

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tandem/director"
)

// fileResync is how often a file is read without an event: for what inotify does
// not tell, such as a link to a file elsewhere or a network file system.
const fileResync = 2 * time.Second

// maxFile is more than a number takes.
const maxFile = 64

func fileEye(path string) eye {
	return eye{
		every:  fileResync,
		see:    func(context.Context) (director.ThingState, error) { return readNumber(path) },
		notify: func(ctx context.Context, changed func()) error { return watchFile(ctx, path, changed) },
	}
}

// readNumber reads the number in a file. A file that is absent or empty holds 0.
func readNumber(path string) (director.ThingState, error) {
	// Without O_NONBLOCK a pipe would block for as long as nobody writes.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return director.ThingState{Known: true, Well: true, Reason: "absent"}, nil
	}
	if err != nil {
		return director.ThingState{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return director.ThingState{}, errors.Join(err, errors.New("not a regular file"))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return director.ThingState{}, err
	}
	text := strings.TrimSpace(string(data))
	if text == "" && len(data) <= maxFile {
		return director.ThingState{Known: true, Well: true, Reason: "empty"}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || len(data) > maxFile {
		return director.ThingState{}, fmt.Errorf("holds %.20q, which is not a whole number", text)
	}
	return director.ThingState{Known: true, Well: n == 0, Number: n, Reason: fmt.Sprintf("holds %d", n)}, nil
}

// watched is the changes of a directory that can change what a file in it holds.
// A file that is being written counts when its writer closes it: before, it may
// hold half a number or, truncated, none.
const watched = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// watchFile calls changed when a file may hold something else, until ctx is done
// or its directory goes.
func watchFile(ctx context.Context, path string, changed func()) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("inotify: %w", err)
	}
	f := os.NewFile(uintptr(fd), "inotify") // of the poller: Close ends a Read
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	dir, name := filepath.Split(path)
	if _, err := unix.InotifyAddWatch(fd, dir, watched); err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	changed() // for what happened before
	buf := make([]byte, 16<<10)
	for {
		n, err := f.Read(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("inotify: %w", err)
		}
		hit, gone := judge(buf[:n], name)
		if hit {
			changed()
		}
		if gone {
			return fmt.Errorf("directory %s has gone", dir)
		}
	}
}

// judge reads events (inotify(7)): whether one concerns the file, and whether
// the directory has gone. Events that were lost concern it.
func judge(events []byte, name string) (hit, gone bool) {
	for len(events) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(events[4:])
		length := int(binary.NativeEndian.Uint32(events[12:]))
		events = events[unix.SizeofInotifyEvent:]
		if length > len(events) {
			return true, gone
		}
		of, _, _ := bytes.Cut(events[:length], []byte{0})
		events = events[length:]
		gone = gone || mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_IGNORED) != 0
		hit = hit || string(of) == name || mask&unix.IN_Q_OVERFLOW != 0
	}
	return hit || gone, gone
}
