// Package recorder writes down what elections go through, in the format of package
// transcript, so that it can be replayed:
//
//	go test ./vrrp -run TestTranscripts -transcript /path/to/vrid51-eth0.txt
//
// An election never waits for a disk. What does not fit into memory while the disk
// is slow is counted, and the transcript says so where it is missing: from there on
// it can be read and not be replayed.
package recorder

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tandem/vrrp"
	"tandem/vrrp/transcript"
)

const (
	// maxWaiting is how many bytes of one election wait for the disk at most: some
	// thousand steps, half a minute of the shortest interval.
	maxWaiting = 256 << 10
	// An election has so many files of this size at most. An active router that
	// advertises every 100 ms fills one in a day.
	maxFile = 64 << 20
	files   = 4
)

// Recorder records one election. Record may be called from one goroutine at a time.
type Recorder struct {
	path string // of the file, without .txt
	log  *slog.Logger
	open func(path string) (io.WriteCloser, error)
	most int64 // see maxFile

	wake chan struct{} // one token: there is something to write
	done chan struct{} // everything was written

	mu      sync.Mutex
	writer  transcript.Writer
	waiting []byte // whole steps
	lost    uint64 // steps that are missing at the end of waiting
	over    bool   // nothing more is recorded: closed, or the disk failed

	// Only the goroutine that writes uses these.
	spare []byte // the memory of the batch before
	file  io.WriteCloser
	size  int64
	about string // the first line of each file
}

// Start begins to record an election in a new file of dir, name.txt. Older files of
// that name become name.1.txt and so on, the oldest goes. about is for people.
func Start(dir, name, about string, cfg vrrp.Config, log *slog.Logger) (*Recorder, error) {
	r := newRecorder(filepath.Join(dir, name), about, log)
	if err := r.begin(time.Now(), cfg); err != nil {
		return nil, fmt.Errorf("record %s: %w (the directory must exist, and the daemon's user be allowed to write there)", about, err)
	}
	return r, nil
}

func newRecorder(path, about string, log *slog.Logger) *Recorder {
	return &Recorder{
		path:  path,
		log:   log,
		open:  create,
		most:  maxFile,
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
		about: about,
	}
}

// create makes a file that only the daemon's user can read.
func create(path string) (io.WriteCloser, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func (r *Recorder) begin(at time.Time, cfg vrrp.Config) error {
	if err := r.turn(); err != nil {
		return err
	}
	r.waiting = fmt.Appendf(r.waiting, "# %s\n# begins %s, 0ms\n", r.about, at.UTC().Format(time.RFC3339Nano))
	r.waiting = r.writer.Begin(r.waiting, at, cfg)
	r.poke()
	go r.run()
	return nil
}

// Record takes a step down: an event, what the Machine did, and when it is due
// next. It does not block, and keeps nothing of what it is given.
func (r *Recorder) Record(at time.Time, ev vrrp.Event, out []vrrp.Action, deadline time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	before := len(r.waiting)
	if r.lost > 0 {
		r.waiting = transcript.Lost(r.waiting, r.lost)
	}
	r.waiting = r.writer.Step(r.waiting, at, ev, out, deadline)
	if len(r.waiting) > maxWaiting {
		r.waiting = r.waiting[:before]
		r.lost++
		return
	}
	r.lost = 0
	r.poke()
}

func (r *Recorder) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Close writes what waits and ends the recording.
func (r *Recorder) Close() {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.poke()
	<-r.done
}

// run writes until Close, or until the disk fails.
func (r *Recorder) run() {
	defer close(r.done)
	for over := false; !over; {
		<-r.wake
		var batch []byte
		batch, over = r.take()
		if err := r.write(batch); err != nil {
			r.log.Error("the election is not recorded any more", "file", r.path+".txt", "err", err)
			r.mu.Lock()
			r.over, r.waiting = true, nil
			r.mu.Unlock()
			over = true
		}
	}
	if err := r.file.Close(); err != nil {
		r.log.Error("the end of a recording may be missing", "file", r.path+".txt", "err", err)
	}
}

// take is what waits. The result is valid until the next take.
func (r *Recorder) take() (batch []byte, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	batch = r.waiting
	if r.over && r.lost > 0 {
		batch, r.lost = transcript.Lost(batch, r.lost), 0
	}
	r.waiting, r.spare = r.spare[:0], batch
	return batch, r.over
}

// write appends to the file, or to a new one if that is full.
func (r *Recorder) write(batch []byte) error {
	if len(batch) == 0 {
		return nil
	}
	if r.size > 0 && r.size+int64(len(batch)) > r.most {
		if err := r.file.Close(); err != nil {
			return err
		}
		if err := r.turn(); err != nil {
			return err
		}
		head := transcript.Continues(fmt.Appendf(nil, "# %s\n", r.about))
		if _, err := r.file.Write(head); err != nil {
			return err
		}
		r.size = int64(len(head))
	}
	n, err := r.file.Write(batch)
	r.size += int64(n)
	return err
}

// turn makes a new file, in which nothing is yet, and moves the older ones on.
func (r *Recorder) turn() error {
	for i := files - 1; i > 0; i-- {
		if err := os.Rename(r.name(i-1), r.name(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	f, err := r.open(r.name(0))
	if err != nil {
		return err
	}
	r.file, r.size = f, 0
	return nil
}

// name is the file with this age, 0 the one that is written.
func (r *Recorder) name(age int) string {
	if age == 0 {
		return r.path + ".txt"
	}
	return fmt.Sprintf("%s.%d.txt", r.path, age)
}
