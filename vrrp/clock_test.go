package vrrp

import (
	"errors"
	"testing"
	"time"
)

// TestClockJumps sets one clock of two wrong for a while, as an operator or a time
// server may. Elections take no notice, since their timers are monotonic; the time in
// the trailer is the only thing that a clock decides, and it does so by the window.
// After the mistake all is as before: no packet is refused, none is taken twice.
func TestClockJumps(t *testing.T) {
	for _, tt := range []struct {
		name             string
		sender, receiver time.Duration // how far their clocks are wrong
		edit             func(*AuthConfig)
		want             DropReason // meanwhile
	}{
		{"the receiver's, ahead", 0, time.Hour, nil, DropAuthWindow},
		{"the receiver's, back", 0, -time.Hour, nil, DropAuthWindow},
		{"the receiver's, within the window", 0, 4 * time.Second, nil, 0},
		{"the sender's, ahead", time.Hour, 0, nil, DropAuthWindow},
		{"the sender's, back", -time.Hour, 0, nil, DropAuthWindow},
		{"the sender's, back within the window", -4 * time.Second, 0, nil, 0}, // its sequence grows on
		{"both, ahead", time.Hour, time.Hour, nil, 0},
		{"monotonic, the receiver's", 0, time.Hour, monotonic, 0},
		{"monotonic, the sender's, ahead", time.Hour, 0, monotonic, 0},
		{"monotonic, the sender's, back", -time.Hour, 0, monotonic, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from, to := NewCodec(authFormat(t, tt.edit)), NewCodec(authFormat(t, tt.edit))
			now := vectorTime()
			exchange := func(sender, receiver time.Duration) ([]byte, DropReason) {
				now = now.Add(time.Second)
				b := signed(t, from, now.Add(sender), signer)
				reason, _ := errors.AsType[DropReason](accept(to, now.Add(receiver), b, signer))
				return b, reason
			}
			for range 3 {
				if _, reason := exchange(0, 0); reason != 0 {
					t.Fatalf("before: %v", reason)
				}
			}
			for range 3 {
				if _, reason := exchange(tt.sender, tt.receiver); reason != tt.want {
					t.Errorf("meanwhile: %v, want %v", reason, tt.want)
				}
			}
			for range 3 {
				b, reason := exchange(0, 0)
				if reason != 0 {
					t.Errorf("after: %v", reason)
				}
				if err := accept(to, now, b, signer); !errors.Is(err, DropAuthReplayed) {
					t.Errorf("the same packet again: %v", err)
				}
			}
		})
	}
}
