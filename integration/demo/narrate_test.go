package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tandem/director"
	"tandem/integration/load"
)

var (
	noon   = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	people = map[string]string{"10.77.0.1": "lb1", "10.77.0.2": "lb2", "10.77.0.11": "s1", "10.77.0.12": "s2"}
)

// snapshot is lb2 at some seconds after noon.
func snapshot(seconds int, change ...func(*director.Snapshot)) director.Snapshot {
	s := director.Snapshot{
		Node: "lb2", Started: noon, At: noon.Add(time.Duration(seconds) * time.Second),
		Routers: []director.RouterStatus{{Name: "web", State: "backup", Cause: "startup", Since: noon}},
	}
	for _, svc := range []struct{ name, port string }{{"http", ":80"}, {"echo", ":7"}} {
		st := director.ServiceStatus{Name: svc.name}
		for _, server := range []string{"10.77.0.11", "10.77.0.12"} {
			st.Servers = append(st.Servers, director.ServerStatus{Address: netip.MustParseAddrPort(server + svc.port), Verdict: "up", InKernel: true})
		}
		s.Services = append(s.Services, st)
	}
	for _, f := range change {
		f(&s)
	}
	return s
}

func becomes(second int, state, cause string) func(*director.Snapshot) {
	return func(s *director.Snapshot) {
		s.Routers[0].State, s.Routers[0].Cause = state, cause
		s.Routers[0].Since = noon.Add(time.Duration(second) * time.Second)
	}
}

// out takes a server out of a service.
func out(service, server int, detail string) func(*director.Snapshot) {
	return func(s *director.Snapshot) {
		srv := &s.Services[service].Servers[server]
		srv.InKernel, srv.Verdict, srv.Reason, srv.Detail = false, "down", "refused", detail
	}
}

func TestNews(t *testing.T) {
	at := func(second int, text string) line {
		return line{noon.Add(time.Duration(second) * time.Second), "lb2", text}
	}
	restarted := func(s *director.Snapshot) { s.Started = noon.Add(time.Second) }
	tests := []struct {
		name     string
		old, now director.Snapshot
		want     []line
	}{
		{"nothing", snapshot(1), snapshot(2), nil},
		{"first sight", director.Snapshot{}, snapshot(1), []line{
			at(0, "is a backup and listens"),
			at(1, "put s1 and s2 into http and echo"),
		}},
		{"another process", snapshot(1), snapshot(3, restarted, out(0, 1, "")), []line{
			at(0, "is a backup and listens"),
			at(3, "put s1 into http and echo"),
			at(3, "put s2 into echo"),
		}},
		{"a takeover is told with its own time", snapshot(1), snapshot(5, becomes(4, "active", "10.77.0.1 released the role")), []line{
			at(4, "is ACTIVE: lb1 released the role"),
		}},
		{"a planned stop", snapshot(1, becomes(1, "active", "x")), snapshot(5, becomes(5, "init", "stopping")), []line{
			at(5, "gives up its role: stopping"),
		}},
		{"a router that has not begun", director.Snapshot{}, director.Snapshot{Node: "lb2", Routers: []director.RouterStatus{{State: "init"}}}, nil},
		{"a better router", snapshot(1, becomes(1, "active", "x")), snapshot(5, becomes(5, "backup", "10.77.0.1 has the higher priority 150")), []line{
			at(5, "steps down to backup: lb1 has the higher priority 150"),
		}},
		{"a role that was left and taken between two looks", snapshot(1, becomes(1, "active", "x")), snapshot(5, becomes(4, "active", "10.77.0.1 was silent for 353ms")), []line{
			at(4, "is ACTIVE: lb1 was silent for 353ms"),
		}},
		{"one service loses a server", snapshot(1), snapshot(2, out(0, 1, "503 Service Unavailable")), []line{
			at(2, "took s2 out of http: 503 Service Unavailable"),
		}},
		{"a server fails in all services for one reason", snapshot(1), snapshot(2, out(0, 0, ""), out(1, 0, "")), []line{
			at(2, "took s1 out of http and echo: refused"),
		}},
		{"two reasons", snapshot(1), snapshot(2, out(0, 0, "503"), out(1, 0, ""), out(1, 1, "")), []line{
			at(2, "took s1 out of http: 503"),
			at(2, "took s1 and s2 out of echo: refused"),
		}},
		{"a server comes back", snapshot(1, out(0, 1, "503")), snapshot(2), []line{
			at(2, "put s2 into http"),
		}},
		{"problems and faults, each once", snapshot(1, func(s *director.Snapshot) { s.Problems = []string{"old"} }), snapshot(2, func(s *director.Snapshot) {
			s.Problems = []string{"old", "the table"}
			s.Routers[0].Fault = "eth0 has no carrier"
		}), []line{
			at(2, "cannot take part: eth0 has no carrier"),
			at(2, "has a problem: the table"),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, news(tt.old, tt.now, people), cmp.AllowUnexported(line{})); diff != "" {
				t.Errorf("news (-want +got):\n%s", diff)
			}
		})
	}
}

// The virtual IP begins like a director's address and is not one.
func TestNamed(t *testing.T) {
	got := named("10.77.0.100 is claimed, says 10.77.0.1:7 to 10.77.0.12.", people)
	if want := "10.77.0.100 is claimed, says lb1:7 to s2."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClients(t *testing.T) {
	steps := []struct {
		event   load.Event
		want    string
		noticed bool
	}{
		{load.Event{Type: load.Failing, At: 1, Kind: load.DialTimeout}, "", false}, // before the clients are ready
		{load.Event{Type: load.GapClosed, At: 2, Gap: 900}, "", false},
		{load.Event{Type: load.Ready, At: 3}, "connect, and are served", false},
		{load.Event{Type: load.ServerSeen, At: 4, Server: "s1"}, "", false},
		{load.Event{Type: load.GapOpen, At: 5, Gap: 100}, "", false},
		{load.Event{Type: load.GapClosed, At: 6, Gap: 249}, "", false},
		{load.Event{Type: load.GapClosed, At: 7, Gap: 250}, "no new connection succeeded for 250 ms; now they do", true},
		{load.Event{Type: load.Failing, At: 8, Kind: load.BadStatus}, "some new connections fail: the reply is an error", true},
		{load.Event{Type: load.Failing, At: 9, Kind: load.Reset}, "some new connections fail: reset", true},
		{load.Event{Type: load.StreamLost, At: 10, Kind: load.Reset}, "long-lived connections are lost: reset", true},
		{load.Event{Type: load.StreamLost, At: 1009, Kind: load.Reset}, "", true}, // one of many
		{load.Event{Type: load.StreamLost, At: 2009, Kind: load.EOF}, "long-lived connections are lost: closed before the reply", true},
	}
	var c clients
	for _, s := range steps {
		c.calm()
		if got := c.sentence(s.event); got != s.want {
			t.Errorf("%s at %v: %q, want %q", s.event.Type, s.event.At, got, s.want)
		}
		if c.noticed != s.noticed {
			t.Errorf("%s at %v: noticed is %v", s.event.Type, s.event.At, c.noticed)
		}
	}
	if c.losses() != 3 {
		t.Errorf("%d streams lost, want 3", c.losses())
	}
}

// Only an act that went by unnoticed is said to have done so.
func TestVerdict(t *testing.T) {
	var c clients
	told := newTeller(nil, false)
	c.verdict(told)
	if len(told.waiting) != 1 || told.waiting[0].text != "noticed nothing: no failure, no gap of 250 ms" {
		t.Errorf("after nothing: %v", told.waiting)
	}
	c.sentence(load.Event{Type: load.Ready})
	c.sentence(load.Event{Type: load.Failing})
	c.verdict(told)
	if len(told.waiting) != 1 {
		t.Errorf("after a failure: %v", told.waiting)
	}
}

func TestPossession(t *testing.T) {
	tests := []struct {
		held, running bool
		want          string
	}{
		{true, true, "holds the virtual IP 10.77.0.100"},
		{true, false, "holds the virtual IP 10.77.0.100"}, // taken before the first answer
		{false, true, "has let go of the virtual IP 10.77.0.100"},
		{false, false, "lost the virtual IP 10.77.0.100: nobody renewed its lease in the kernel"},
	}
	for _, tt := range tests {
		if got := possession(tt.held, tt.running); got != tt.want {
			t.Errorf("held %v, running %v: %q, want %q", tt.held, tt.running, got, tt.want)
		}
	}
}

func TestList(t *testing.T) {
	for want, words := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := list(words); got != want {
			t.Errorf("%v: %q, want %q", words, got, want)
		}
	}
}
