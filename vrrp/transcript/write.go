package transcript

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tandem/vrrp"
)

// Writer writes the transcript of one Machine. It keeps the configuration in force,
// so that a line names only what differs.
type Writer struct {
	start time.Time
	cfg   vrrp.Config
}

// Begin appends the line that makes the Machine. Times count from start.
func (w *Writer) Begin(b []byte, start time.Time, cfg vrrp.Config) []byte {
	w.start, w.cfg = start, clone(cfg)
	b = append(b, "config"...)
	return append(appendPairs(b, Default(), cfg), '\n')
}

// clone is cfg with memory of its own.
func clone(cfg vrrp.Config) vrrp.Config {
	cfg.Addresses = slices.Clone(cfg.Addresses)
	return cfg
}

// Step appends an event, what the Machine did, and when it is due next; a zero
// deadline means that no timer runs.
func (w *Writer) Step(b []byte, at time.Time, ev vrrp.Event, out []vrrp.Action, deadline time.Time) []byte {
	b = append(b, '@')
	b = append(w.appendEvent(append(appendMillis(b, at.Sub(w.start)), ' '), ev), '\n')
	for _, a := range out {
		b = append(appendAction(append(b, "-> "...), a), '\n')
	}
	if deadline.IsZero() {
		return append(b, "deadline none\n"...)
	}
	b = append(b, "deadline "...)
	return append(appendMillis(b, deadline.Sub(w.start)), '\n')
}

// Lost appends that so many steps are missing. What follows cannot be replayed.
func Lost(b []byte, steps uint64) []byte { return fmt.Appendf(b, "lost %d\n", steps) }

// Continues appends that the beginning is in an older file.
func Continues(b []byte) []byte { return append(b, "continues\n"...) }

// appendEvent also follows the configuration.
func (w *Writer) appendEvent(b []byte, ev vrrp.Event) []byte {
	switch ev := ev.(type) {
	case vrrp.Timeout:
		return append(b, "timeout"...)
	case vrrp.SendFailed:
		return append(b, "send-failed"...)
	case vrrp.TakeOver:
		return append(b, "take-over"...)
	case vrrp.Resign:
		return appendText(append(b, "resign"...), ev.Cause)
	case vrrp.Startup:
		return appendAddr(append(b, "startup "...), ev.PrimaryAddr)
	case vrrp.Shutdown:
		b = append(b, "shutdown"...)
		if ev.HandOver {
			b = append(b, " hand-over"...)
		}
		return appendText(b, ev.Cause)
	case vrrp.Reconfigure:
		b = appendPairs(append(b, "reconfigure"...), w.cfg, ev.Config)
		w.cfg = clone(ev.Config)
		return b
	case vrrp.Received:
		b = appendAddr(append(b, "receive "...), ev.Src)
		return appendPairs(b, w.cfg, sender(w.cfg, ev.Advert))
	}
	return fmt.Appendf(b, "unknown event %T", ev)
}

// sender is a configuration that makes a router send this advertisement.
func sender(cfg vrrp.Config, a vrrp.Advert) vrrp.Config {
	cfg.Version, cfg.VRID, cfg.Priority, cfg.Interval, cfg.Addresses = a.Version, a.VRID, a.Priority, a.Interval, a.Addresses
	return cfg
}

// advert is the inverse of sender.
func advert(cfg vrrp.Config) vrrp.Advert {
	return vrrp.Advert{Version: cfg.Version, VRID: cfg.VRID, Priority: cfg.Priority, Interval: cfg.Interval, Addresses: cfg.Addresses}
}

// appendPairs appends " key=value" for what is different in to.
func appendPairs(b []byte, from, to vrrp.Config) []byte {
	if to.VRID != from.VRID {
		b = fmt.Appendf(b, " vrid=%d", to.VRID)
	}
	if to.Version != from.Version {
		b = fmt.Appendf(b, " version=%v", to.Version)
	}
	if to.Priority != from.Priority {
		b = fmt.Appendf(b, " priority=%d", to.Priority)
	}
	if to.Interval != from.Interval {
		b = appendMillis(append(b, " interval="...), to.Interval)
	}
	if to.Failback != from.Failback {
		b = fmt.Appendf(b, " failback=%v", to.Failback)
	}
	if to.FailbackDelay != from.FailbackDelay {
		b = appendMillis(append(b, " delay="...), to.FailbackDelay)
	}
	if to.Grouped != from.Grouped {
		b = fmt.Appendf(b, " grouped=%v", to.Grouped)
	}
	if !slices.Equal(to.Addresses, from.Addresses) {
		b = append(b, " addresses="...)
		for i, a := range to.Addresses {
			if i > 0 {
				b = append(b, ',')
			}
			b = a.AppendTo(b)
		}
	}
	return b
}

// appendAction appends what a Machine did.
func appendAction(b []byte, a vrrp.Action) []byte {
	switch a := a.(type) {
	case vrrp.SendAdvert:
		return fmt.Appendf(b, "advert priority=%d", a.Priority)
	case vrrp.SetRole:
		r := a.Role
		b = fmt.Appendf(b, "%v hold=%v", r.State, r.Hold)
		if r.Ready {
			b = append(b, " ready=true"...)
		}
		return fmt.Appendf(b, " number=%d cause=%q", r.Number, r.Cause)
	case vrrp.Announce:
		return fmt.Appendf(b, "announce %q", a.Cause)
	case vrrp.Note:
		return fmt.Appendf(b, "note %q", a.Text)
	}
	return fmt.Appendf(b, "unknown action %T", a)
}

func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, "none"...)
	}
	return a.AppendTo(b)
}

// appendText appends a space and a cause, quoted if it would be read otherwise.
func appendText(b []byte, s string) []byte {
	if s == "" {
		return b
	}
	b = append(b, ' ')
	plain := utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) &&
		s == strings.TrimSpace(s) && s[0] != '"' && !strings.HasPrefix(s, handOver)
	if plain {
		return append(b, s...)
	}
	return strconv.AppendQuote(b, s)
}

// appendMillis appends a duration in milliseconds, all of its digits.
func appendMillis(b []byte, d time.Duration) []byte {
	n := uint64(d)
	if d < 0 {
		b, n = append(b, '-'), -n
	}
	b = strconv.AppendUint(b, n/1e6, 10)
	if rest := n % 1e6; rest != 0 {
		b = append(b, strings.TrimRight(fmt.Sprintf(".%06d", rest), "0")...)
	}
	return append(b, "ms"...)
}
