package recorder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tandem/vrrp"
	"tandem/vrrp/transcript"
)

var quiet = slog.New(slog.DiscardHandler)

// election is a Machine that is recorded as a runner does it: the actions are
// overwritten after each call.
type election struct {
	*Recorder
	machine *vrrp.Machine
	now     time.Time
}

func elect(r *Recorder) *election {
	return &election{r, vrrp.NewMachine(transcript.Default()), time.Now()}
}

func (e *election) step(ev vrrp.Event) {
	out := e.machine.Step(e.now, ev)
	deadline, _ := e.machine.Deadline()
	e.Record(e.now, ev, out, deadline)
	clear(out)
}

// live lets the router come up and advertise so many times.
func (e *election) live(adverts int) {
	e.step(vrrp.Startup{PrimaryAddr: netip.MustParseAddr("10.77.0.1")})
	for range 1 + adverts {
		e.now, _ = e.machine.Deadline()
		e.step(vrrp.Timeout{})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wantReplay checks that a recording is what a Machine does.
func wantReplay(t *testing.T, text string, gaps ...transcript.Gap) {
	t.Helper()
	again, got, err := transcript.Replay(text)
	if err != nil || again != text || !slices.Equal(got, gaps) {
		t.Errorf("gaps %v, want %v; error %v; the same: %v", got, gaps, err, again == text)
	}
}

func TestRecord(t *testing.T) {
	dir := t.TempDir()
	r, err := Start(dir, "vrid51-eth0", "web, vrid 51 on eth0, of lb1", transcript.Default(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	e := elect(r)
	e.live(1000)
	e.step(vrrp.Shutdown{Cause: "stopping", HandOver: true})
	r.Close()
	e.step(vrrp.Timeout{}) // goes nowhere
	path := filepath.Join(dir, "vrid51-eth0.txt")
	text := read(t, path)
	if !strings.HasPrefix(text, "# web, vrid 51 on eth0, of lb1\n# begins 20") || strings.Count(text, "-> advert") != 1002 || !strings.Contains(text, " shutdown hand-over stopping\n-> advert priority=0\n") {
		t.Errorf("got %.300s", text)
	}
	wantReplay(t, text)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	// The next run has a file of its own.
	r, err = Start(dir, "vrid51-eth0", "web", transcript.Default(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if old := read(t, filepath.Join(dir, "vrid51-eth0.1.txt")); old != text {
		t.Error("the older file has changed")
	}
	wantReplay(t, read(t, path))
}

func TestNoDirectory(t *testing.T) {
	_, err := Start(filepath.Join(t.TempDir(), "absent"), "x", "web", transcript.Default(), quiet)
	if err == nil || !strings.Contains(err.Error(), "record web: ") || !strings.Contains(err.Error(), "the directory must exist") {
		t.Errorf("got %v", err)
	}
}

// Files turn over, and put together they are one transcript. The oldest go.
func TestTurn(t *testing.T) {
	for _, tt := range []struct {
		adverts, have int
		whole         bool
	}{{100, 2, true}, {270, 4, true}, {1000, 4, false}} {
		dir := t.TempDir()
		r := newRecorder(filepath.Join(dir, "x"), "web", quiet)
		r.most = 6000
		if err := r.begin(time.Now(), transcript.Default()); err != nil {
			t.Fatal(err)
		}
		// One step at a time, as an election does: not all in one batch.
		e := elect(r)
		e.live(0)
		for range tt.adverts {
			e.now, _ = e.machine.Deadline()
			e.step(vrrp.Timeout{})
			for waits := true; waits; {
				r.mu.Lock()
				waits = len(r.waiting) > 0
				r.mu.Unlock()
			}
		}
		r.Close()
		list, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(list) != tt.have {
			t.Errorf("%d adverts: files %v, %v", tt.adverts, list, err)
		}
		var all string
		for i := range list {
			text := read(t, r.name(len(list)-1-i))
			if len(text) > 6000 {
				t.Errorf("a file of %d bytes", len(text))
			}
			all += text
		}
		if tt.whole {
			wantReplay(t, all)
			continue
		}
		if _, gaps, err := transcript.Replay(all); err != nil || len(gaps) != 1 || gaps[0].Line != 2 {
			t.Errorf("without its beginning: gaps %v, %v", gaps, err)
		}
	}
}

// disk is a file whose writes hang, or fail.
type disk struct {
	bytes.Buffer
	hang chan struct{} // closed: it does not
	err  error
}

func (d *disk) Write(p []byte) (int, error) {
	<-d.hang
	if d.err != nil {
		return 0, d.err
	}
	return d.Buffer.Write(p)
}

func (d *disk) Close() error { return nil }

func onDisk(t *testing.T, d *disk, log *slog.Logger) *Recorder {
	t.Helper()
	r := newRecorder(filepath.Join(t.TempDir(), "x"), "web", log)
	r.open = func(string) (io.WriteCloser, error) { return d, nil }
	if err := r.begin(time.Now(), transcript.Default()); err != nil {
		t.Fatal(err)
	}
	return r
}

// A disk that hangs holds up no election, and what is missing is counted.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{hang: make(chan struct{})}
		r := onDisk(t, d, quiet)
		e := elect(r)
		begin := time.Now()
		e.live(20000)
		if cap(r.waiting) > 4*maxWaiting {
			t.Errorf("%d bytes wait", cap(r.waiting))
		}
		lost := r.lost
		if lost == 0 || lost > 20000 || !time.Now().Equal(begin) {
			t.Errorf("%d steps lost in %v", lost, time.Since(begin))
		}
		close(d.hang)
		synctest.Wait()
		e.now, _ = e.machine.Deadline()
		e.step(vrrp.Timeout{})
		r.Close()
		text := d.String()
		line := strings.Count(text[:strings.Index(text, "lost ")], "\n") + 1
		wantReplay(t, text, transcript.Gap{Line: line, Until: strings.Count(text, "\n") + 1})
		steps := uint64(strings.Count(text, "\ndeadline "))
		if !strings.Contains(text, fmt.Sprintf("\nlost %d\n@", lost)) || steps+lost != 1+20001+1 {
			t.Errorf("%d steps and %d lost; the end is %s", steps, lost, text[len(text)-200:])
		}
	})
}

// What is lost at the very end is said, too.
func TestLostAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{hang: make(chan struct{})}
		r := onDisk(t, d, quiet)
		elect(r).live(20000)
		lost := r.lost
		go close(d.hang)
		r.Close()
		if !strings.HasSuffix(d.String(), fmt.Sprintf("\nlost %d\n", lost)) || lost == 0 {
			t.Errorf("%d lost; the end is %s", lost, d.String()[d.Len()-200:])
		}
	})
}

func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{hang: make(chan struct{}), err: errors.New("no space left")}
		close(d.hang)
		var log bytes.Buffer
		r := onDisk(t, d, slog.New(slog.NewTextHandler(&log, nil)))
		synctest.Wait()
		elect(r).live(100)
		if len(r.waiting) > 0 {
			t.Error("it goes on to record")
		}
		r.Close()
		if n := strings.Count(log.String(), "the election is not recorded any more"); n != 1 || !strings.Contains(log.String(), "no space left") {
			t.Errorf("log: %s", log.String())
		}
	})
}
