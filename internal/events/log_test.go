package events

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fill publishes so many events in an empty Log.
func fill(l *Log, count uint64) {
	for n := range count {
		l.Publish(Event{Kind: Role, Router: fmt.Sprint("r", n+1)})
	}
}

// from is everything after number n.
func from(l *Log, n uint64) []Event {
	var out []Event
	for {
		list := l.After(n)
		if len(list) == 0 {
			return out
		}
		out = append(out, list...)
		n = list[len(list)-1].Seq
	}
}

func TestAfter(t *testing.T) {
	for _, tt := range []struct {
		published, after   uint64
		lost, first, count uint64
	}{
		{0, 0, 0, 0, 0},
		{0, 7, 0, 0, 0},
		{3, 0, 0, 1, 3},
		{3, 2, 0, 3, 1},
		{3, 3, 0, 0, 0},
		{3, 4, 0, 1, 3}, // of an earlier run
		{Kept, 0, 0, 1, Kept},
		{Kept + 1, 0, 1, 2, Kept},
		{Kept + 1, 1, 0, 2, Kept},
		{3*Kept + 5, 10, 2*Kept - 5, 2*Kept + 6, Kept},
		{3*Kept + 5, 3*Kept + 4, 0, 3*Kept + 5, 1},
	} {
		l := New("lb1", nil)
		fill(l, tt.published)
		got := from(l, tt.after)
		if tt.lost > 0 {
			if len(got) == 0 || got[0].Kind != Lost || got[0].Count != tt.lost || got[0].Seq != tt.first-1 || got[0].Node != "lb1" || got[0].At.IsZero() {
				t.Errorf("%+v: begins with %+v", tt, got[0])
				continue
			}
			got = got[1:]
		}
		if uint64(len(got)) != tt.count {
			t.Errorf("%+v: %d events", tt, len(got))
			continue
		}
		for i, e := range got {
			if n := tt.first + uint64(i); e.Seq != n || e.Router != fmt.Sprint("r", n) || e.Node != "lb1" {
				t.Errorf("%+v: event %d is %+v", tt, i, e)
				break
			}
		}
	}
}

// A batch is bounded, and what comes after it goes on where it ended.
func TestBatch(t *testing.T) {
	l := New("lb1", nil)
	fill(l, 2*batch+1)
	n := uint64(0)
	for _, want := range []int{batch, batch, 1, 0} {
		list := l.After(n)
		if len(list) != want {
			t.Errorf("%d events, want %d", len(list), want)
		}
		n += uint64(len(list))
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New("lb1", nil)
		begin := time.Now()
		var wg sync.WaitGroup
		for _, n := range []uint64{0, 100} { // the second one's number is of an earlier run
			wg.Go(func() {
				got := l.Wait(t.Context(), n)
				if len(got) != 1 || got[0].Kind != Start || time.Since(begin) != time.Second || !got[0].At.Equal(time.Now()) {
					t.Errorf("got %+v after %v", got, time.Since(begin))
				}
			})
		}
		time.Sleep(time.Second)
		l.Publish(Event{Kind: Start})
		wg.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if got := l.Wait(ctx, 1); got != nil || time.Since(begin) != time.Second+time.Hour {
			t.Errorf("got %+v after %v", got, time.Since(begin))
		}
	})
}

// Publishers do not wait for readers, events are numbered without a gap, and the
// tap hears them in order.
func TestManyPublishers(t *testing.T) {
	var tapped []uint64
	l := New("lb1", func(e Event) { tapped = append(tapped, e.Seq) })
	var publishing, reading sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range 3 {
		reading.Go(func() {
			for n := uint64(0); ; {
				list := l.Wait(ctx, n)
				if list == nil {
					return
				}
				for _, e := range list {
					if step := max(1, e.Count); e.Seq != n+step {
						t.Errorf("after %d came %+v", n, e)
					}
					n = e.Seq
				}
			}
		})
	}
	for range 4 {
		publishing.Go(func() {
			for range 2000 {
				l.Publish(Event{Kind: Verdict})
			}
		})
	}
	publishing.Wait()
	cancel()
	reading.Wait()
	var want []uint64
	for n := range uint64(8000) {
		want = append(want, n+1)
	}
	if !slices.Equal(tapped, want) {
		t.Errorf("the tap heard %d events, or not in order", len(tapped))
	}
}

func TestLongCause(t *testing.T) {
	l := New("lb1", nil)
	l.Publish(Event{Kind: Reload, Cause: strings.Repeat("x", maxCause-1) + "ü and so on"})
	if got := l.After(0)[0].Cause; got != strings.Repeat("x", maxCause-1)+"…" {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-10:])
	}
}

func TestJSON(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 250e6, time.UTC)
	e := Event{Seq: 7, At: at, Node: "lb1", Kind: Role, Router: "web", From: "backup", To: "active", Priority: 150, Cause: "10.0.0.2 was silent for 361ms"}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"seq":7,"at":"2026-03-01T12:00:00.25Z","node":"lb1","kind":"role","router":"web","from":"backup","to":"active","priority":150,"cause":"10.0.0.2 was silent for 361ms"}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	var back Event
	if err := json.Unmarshal(text, &back); err != nil || back != e {
		t.Errorf("read back as %+v, %v", back, err)
	}
}

func TestString(t *testing.T) {
	for want, e := range map[string]Event{
		"director lb1: start (tandem 1.0)":                                      {Kind: Start, Node: "lb1", Cause: "tandem 1.0"},
		"director lb1: reload refused (line 3: no)":                             {Kind: Reload, Node: "lb1", To: "refused", Cause: "line 3: no"},
		"router web: role backup -> active, priority 150 (10.0.0.2 was silent)": {Kind: Role, Router: "web", From: "backup", To: "active", Priority: 150, Cause: "10.0.0.2 was silent"},
		"router web: priority 150 -> 90":                                        {Kind: Priority, Router: "web", From: "150", To: "90", Priority: 90},
		"file /etc/f of router web: track well -> failed (holds 1)":             {Kind: Track, Router: "web", Thing: "file /etc/f", From: "well", To: "failed", Cause: "holds 1"},
		"address 10.0.0.100/32 on eth0: address absent -> held":                 {Kind: Address, Router: "web", Address: "10.0.0.100/32", Interface: "eth0", From: "absent", To: "held"},
		"address 10.0.0.100 on eth0: conflict (claimed by 02:00:00:00:00:66)":   {Kind: Conflict, Address: "10.0.0.100", Interface: "eth0", Cause: "claimed by 02:00:00:00:00:66"},
		"router web: decision take-over":                                        {Kind: Decision, Router: "web", Group: "site", To: "take-over"},
		"group site: group backup -> active":                                    {Kind: Group, Group: "site", From: "backup", To: "active"},
		"server 10.0.0.11:80 of http: verdict up -> down (status: 503)":         {Kind: Verdict, Service: "http", Server: "10.0.0.11:80", From: "up", To: "down", Cause: "status: 503"},
		"service http: service served -> empty (no server is up)":               {Kind: Service, Service: "http", From: "served", To: "empty", Cause: "no server is up"},
		"sync master: sync stopped -> running":                                  {Kind: Sync, Daemon: "master", From: "stopped", To: "running"},
		"events: lost 12, read too late":                                        {Kind: Lost, Count: 12},
	} {
		if got := e.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	l := New("lb1", func(Event) {})
	e := Event{Kind: Role, Router: "web", From: "backup", To: "active", Cause: "10.0.0.2 was silent for 361ms"}
	b.ReportAllocs()
	for b.Loop() {
		l.Publish(e)
	}
}
