package load

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStreamAccount(t *testing.T) {
	tests := []struct {
		name   string
		events func(r *recorder)
		want   Stream
		// stalled is what the timeline's buckets of 50 ms must show.
		stalled []int
		lost    []int
	}{
		{
			name: "survives",
			events: func(r *recorder) {
				r.streamConnected(0, 0)
				r.streamSend(0, 20*ms)
				r.streamEchoed(0, 1, 21*ms)
				r.streamSend(0, 180*ms) // silence with nothing to wait for
				r.streamEchoed(0, 1, 182*ms)
				r.streamEnded(0, 210*ms, "", nil)
			},
			want:    Stream{Outcome: Survived, Echoes: 2, LongestStall: 2, StallFrom: 180},
			stalled: []int{0, 0, 0, 0},
			lost:    []int{0, 0, 0, 0},
		},
		{
			name: "stalls from the last echo while more is on the way",
			events: func(r *recorder) {
				r.streamConnected(0, 0)
				r.streamSend(0, 20*ms)
				r.streamSend(0, 40*ms)
				r.streamEchoed(0, 1, 45*ms)
				r.streamEchoed(0, 1, 155*ms)
				r.streamEnded(0, 210*ms, "", nil)
			},
			want:    Stream{Outcome: Survived, Echoes: 2, LongestStall: 110, StallFrom: 45},
			stalled: []int{1, 1, 1, 1},
			lost:    []int{0, 0, 0, 0},
		},
		{
			name: "stalls from the send that got no echo",
			events: func(r *recorder) {
				r.streamConnected(0, 0)
				r.streamSend(0, 60*ms)
				r.streamSend(0, 80*ms)
				r.streamEchoed(0, 2, 160*ms)
				r.streamEnded(0, 210*ms, "", nil)
			},
			want:    Stream{Outcome: Survived, Echoes: 2, LongestStall: 100, StallFrom: 60},
			stalled: []int{0, 1, 1, 1},
			lost:    []int{0, 0, 0, 0},
		},
		{
			name: "lost while it waits",
			events: func(r *recorder) {
				r.streamConnected(0, 0)
				r.streamSend(0, 20*ms)
				r.streamEnded(0, 140*ms, Reset, errors.New("connection reset"))
			},
			want: Stream{Outcome: Lost, Kind: Reset, Error: "connection reset", At: 140,
				LongestStall: 120, StallFrom: 20},
			stalled: []int{1, 1, 1, 0},
			lost:    []int{0, 0, 1, 0},
		},
		{
			name: "never connected",
			events: func(r *recorder) {
				r.streamEnded(0, 70*ms, Refused, errors.New("refused"))
			},
			want:    Stream{Outcome: NeverConnected, Kind: Refused, Error: "refused", At: 70},
			stalled: []int{0, 0, 0, 0},
			lost:    []int{0, 0, 0, 0},
		},
		{
			name: "lost after the end of the traffic",
			events: func(r *recorder) {
				r.streamConnected(0, 0)
				r.streamSend(0, 190*ms)
				r.streamEnded(0, 600*ms, ResponseTimeout, errors.New("no echo"))
			},
			want: Stream{Outcome: Lost, Kind: ResponseTimeout, Error: "no echo", At: 600,
				LongestStall: 410, StallFrom: 190},
			stalled: []int{0, 0, 0, 1},
			lost:    []int{0, 0, 0, 1},
		},
		{
			name:   "never tried",
			events: func(*recorder) {},
			want: Stream{Outcome: NeverConnected, Kind: Other, At: 200,
				Error: "the run ended before the connection was tried"},
			stalled: []int{0, 0, 0, 0},
			lost:    []int{0, 0, 0, 0},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := testRecorder(t, Client{Streams: 1})
			tt.events(r)
			res := r.result(Client{}, 200*ms)
			if diff := cmp.Diff(tt.want, res.Streams.Each[0]); diff != "" {
				t.Errorf("stream (-want +got):\n%s", diff)
			}
			var stalled, lost []int
			for _, b := range res.Timeline.Buckets {
				stalled, lost = append(stalled, b.Stalled), append(lost, b.Lost)
			}
			if !slices.Equal(stalled, tt.stalled) || !slices.Equal(lost, tt.lost) {
				t.Errorf("stalled %v, lost %v; want %v, %v", stalled, lost, tt.stalled, tt.lost)
			}
		})
	}
}

func TestStreamsAccount(t *testing.T) {
	r := testRecorder(t, Client{Streams: 4})
	for i := range 3 {
		r.streamConnected(i, 0)
		r.streamSend(i, time.Duration(i)*ms)
		r.streamEchoed(i, 1, 5*ms)
	}
	r.streamEnded(0, 50*ms, "", nil)
	r.streamEnded(1, 50*ms, "", nil)
	r.streamEnded(2, 40*ms, EOF, errors.New("eof"))
	r.streamEnded(3, 30*ms, Refused, errors.New("refused"))
	got := r.result(Client{StreamInterval: 20 * ms}, 50*ms).Streams
	got.Each = nil // TestStreamAccount
	want := Streams{
		Count: 4, Survived: 2, Lost: 1, NeverConnected: 1,
		Interval: 20, Echoes: 3,
		Failures:     map[Kind]int{EOF: 1, Refused: 1},
		LongestStall: Stall{Length: 5, From: 0, To: 5, Stream: 0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
}

func TestStreamWindow(t *testing.T) {
	r := testRecorder(t, Client{Streams: 1})
	if _, may := r.streamSend(0, 0); may {
		t.Error("may send before it is connected")
	}
	r.streamConnected(0, 0)
	for i := range streamWindow {
		if seq, may := r.streamSend(0, 0); !may || seq != uint64(i) {
			t.Fatalf("frame %d: number %d, may %v", i, seq, may)
		}
	}
	if _, may := r.streamSend(0, 0); may {
		t.Error("may send beyond the window")
	}
	r.streamEchoed(0, 1, 0)
	if seq, may := r.streamSend(0, 0); !may || seq != streamWindow {
		t.Errorf("after an echo: number %d, may %v; want %d, true", seq, may, streamWindow)
	}
	r.streamEnded(0, 0, Reset, nil)
	if _, may := r.streamSend(0, 0); may {
		t.Error("may send after the end")
	}
}

func TestSilent(t *testing.T) {
	r := testRecorder(t, Client{Streams: 4})
	for i := range 3 { // stream 3 is not connected
		r.streamConnected(i, 0)
	}
	r.streamSend(1, 100*ms)
	r.streamSend(2, 100*ms)
	r.streamEnded(2, 150*ms, Reset, nil)
	if got := r.silent(1099*ms, time.Second); got != nil {
		t.Errorf("silent before the timeout: %v", got)
	}
	if got := r.silent(1100*ms, time.Second); !slices.Equal(got, []int{1}) {
		t.Errorf("silent: %v, want [1]", got)
	}
	if got := r.liveStreams(); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("live: %v, want [0 1]", got)
	}
}
