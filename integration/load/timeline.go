package load

import "time"

// Timeline is a run cut into buckets of equal length.
type Timeline struct {
	// Bucket is the length of one bucket; bucket i begins at i*Bucket.
	Bucket Millis `json:"bucket_ms"`
	// Streams is the number of streams that Stalled and Lost are out of.
	Streams int      `json:"streams"`
	Buckets []Bucket `json:"buckets"`
}

// Bucket counts what happened in one slice of the run.
type Bucket struct {
	// OK and Failed count the attempts that were due in this bucket, whenever
	// they completed: together they follow the rate, and the first failure
	// shows where it was felt and not one timeout later.
	OK     int `json:"ok"`
	Failed int `json:"failed"`
	// Servers splits OK by server.
	Servers map[string]int `json:"servers,omitempty"`
	// Stalled is the number of streams that waited in vain during the bucket
	// or a part of it, as a part of a [Stall] of [Client.StallOver] or more.
	Stalled int `json:"stalled,omitempty"`
	// Lost is the number of streams that broke in this bucket.
	Lost int `json:"lost,omitempty"`
}

// grow makes sure that the bucket of offset at exists and returns its index.
func (t *Timeline) grow(at time.Duration) int {
	i := max(0, int(at/t.Bucket.Duration()))
	for len(t.Buckets) <= i {
		t.Buckets = append(t.Buckets, Bucket{})
	}
	return i
}

// attempt counts one attempt that was due at the given offset. A failed one
// has no server.
func (t *Timeline) attempt(due time.Duration, ok bool, server string) {
	b := &t.Buckets[t.grow(due)]
	if !ok {
		b.Failed++
		return
	}
	b.OK++
	if b.Servers == nil {
		b.Servers = make(map[string]int)
	}
	b.Servers[server]++
}

// stalled counts a stream that waited in [from, to).
func (t *Timeline) stalled(from, to time.Duration) {
	if to <= from {
		return
	}
	last := t.grow(to - 1)
	for i := t.grow(from); i <= last; i++ {
		t.Buckets[i].Stalled++
	}
}

// lost counts a stream that broke at the given offset.
func (t *Timeline) lost(at time.Duration) { t.Buckets[t.grow(at)].Lost++ }

// cut makes the timeline end with the bucket that holds the last instant
// before end: quiet buckets are added, later ones removed. Losses noticed
// after the end move into the last bucket, so that none disappears.
func (t *Timeline) cut(end time.Duration) {
	n := t.grow(max(0, end-1)) + 1
	for _, b := range t.Buckets[n:] {
		t.Buckets[n-1].Lost += b.Lost
	}
	t.Buckets = t.Buckets[:n]
}
