package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"tandem/director"
	"tandem/integration/load"
)

// news says what changed from one snapshot of a director to the next. A zero
// old snapshot, or one of an earlier process, makes everything new. names are
// those of machines, by address.
func news(old, now director.Snapshot, names map[string]string) []line {
	if !old.Started.Equal(now.Started) {
		old = director.Snapshot{}
	}
	var out []line
	tell := func(at time.Time, text string) {
		out = append(out, line{at, now.Node, named(text, names)})
	}
	for i, r := range now.Routers {
		var was director.RouterStatus
		if i < len(old.Routers) {
			was = old.Routers[i]
		}
		routerNews(was, r, now.At, tell)
	}
	tableNews(old, now, tell)
	for _, text := range now.Problems {
		if !slices.Contains(old.Problems, text) {
			tell(now.At, "has a problem: "+text)
		}
	}
	return out
}

func routerNews(was, now director.RouterStatus, at time.Time, tell func(time.Time, string)) {
	if now.State != was.State || !now.Since.Equal(was.Since) {
		if text := role(was, now); text != "" {
			tell(now.Since, text)
		}
	}
	if now.Fault != was.Fault && now.Fault != "" {
		tell(at, "cannot take part: "+now.Fault)
	}
}

// role puts a change of role into words, "" if it is nothing to speak of.
func role(was, now director.RouterStatus) string {
	switch now.State {
	case "active":
		return "is ACTIVE: " + now.Cause
	case "backup":
		if now.Cause == "startup" {
			return "is a backup and listens"
		}
		return "steps down to backup: " + now.Cause
	}
	if was.State == "active" || was.State == "backup" {
		return "gives up its role: " + now.Cause
	}
	return ""
}

// tableNews tells what came into the table and what left it. Servers that share
// the fate and the reason share a sentence.
func tableNews(old, now director.Snapshot, tell func(time.Time, string)) {
	type fate struct{ verb, services, why string }
	type key struct {
		server, verb, why string
	}
	var order []key
	services := make(map[key][]string)
	for i, svc := range now.Services {
		for j, srv := range svc.Servers {
			had := i < len(old.Services) && j < len(old.Services[i].Servers) && old.Services[i].Servers[j].InKernel
			if srv.InKernel == had {
				continue
			}
			k := key{server: srv.Address.Addr().String(), verb: "put %s into %s"}
			if had {
				k.verb, k.why = "took %s out of %s", reason(srv)
			}
			if services[k] == nil {
				order = append(order, k)
			}
			services[k] = append(services[k], svc.Name)
		}
	}
	var fates []fate
	shared := make(map[fate][]string)
	for _, k := range order {
		f := fate{k.verb, list(services[k]), k.why}
		if shared[f] == nil {
			fates = append(fates, f)
		}
		shared[f] = append(shared[f], k.server)
	}
	for _, f := range fates {
		tell(now.At, fmt.Sprintf(f.verb, list(shared[f]), f.services)+f.why)
	}
}

// reason is why a server left, as the end of a sentence.
func reason(s director.ServerStatus) string {
	switch {
	case s.Verdict != "down":
		return ""
	case s.Detail != "":
		return ": " + s.Detail
	}
	return ": " + s.Reason
}

var ipv4 = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+`)

// named replaces addresses of machines by their names.
func named(text string, names map[string]string) string {
	return ipv4.ReplaceAllStringFunc(text, func(a string) string {
		if name, ok := names[a]; ok {
			return name
		}
		return a
	})
}

// list joins words as a sentence does.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// clients turns the clients' events into sentences, and knows whether they have
// noticed anything of an act. It may be used by several goroutines.
type clients struct {
	mu       sync.Mutex
	ready    bool
	noticed  bool
	lost     int         // streams
	lostLast load.Millis // when the last of them was
}

// notable is the least gap that is worth a line: less than any takeover that
// somebody has to notice first, and more than most pauses of an emulated machine.
const notable = 250 * time.Millisecond

// lossQuiet is how long no stream has to be lost before a loss is told again:
// the account at the end has the number.
const lossQuiet = 1000 // ms

// sentence puts an event into words, "" if it is not worth any.
func (c *clients) sentence(e load.Event) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Type == load.Ready {
		c.ready = true
		return "connect, and are served"
	}
	if !c.ready {
		return ""
	}
	switch e.Type {
	case load.Failing:
		c.noticed = true
		return "some new connections fail: " + inWords(e.Kind)
	case load.GapClosed:
		if e.Gap.Duration() < notable {
			return ""
		}
		c.noticed = true
		return fmt.Sprintf("no new connection succeeded for %d ms; now they do", e.Gap.Duration().Milliseconds())
	case load.StreamLost:
		c.noticed = true
		told := c.lost > 0 && e.At-c.lostLast < lossQuiet
		c.lost, c.lostLast = c.lost+1, e.At
		if !told {
			return "long-lived connections are lost: " + inWords(e.Kind)
		}
	}
	return ""
}

// losses is how many streams have been lost so far.
func (c *clients) losses() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// calm begins an act: nothing has been noticed of it yet.
func (c *clients) calm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noticed = false
}

// verdict says so if an act went by unnoticed.
func (c *clients) verdict(t *teller) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.noticed {
		t.say(line{time.Now(), "clients", fmt.Sprintf("noticed nothing: no failure, no gap of %d ms", notable.Milliseconds())})
	}
}

// inWords is why a connection failed.
func inWords(k load.Kind) string {
	switch k {
	case load.DialTimeout:
		return "nobody answers"
	case load.ResponseTimeout:
		return "connected, but no reply in time"
	case load.BadStatus:
		return "the reply is an error"
	case load.EOF:
		return "closed before the reply"
	case load.Local:
		return "the clients' own machine is out of ports or files"
	}
	return string(k)
}
