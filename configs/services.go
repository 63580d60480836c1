package configs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tandem/ipvsctl"
)

func readService(t *table) Service {
	s := Service{
		Name:        need(t, "name", `"http"`, name),
		Protocol:    read(t, "protocol", "tcp", oneOf("tcp", "udp", "sctp")),
		Scheduler:   read(t, "scheduler", "wlc", oneOf(ipvsctl.Schedulers()...)),
		Forwarding:  read(t, "forwarding", "direct", oneOf("direct", "masquerade")),
		Persistence: read(t, "persistence", 0, span(0, maxPersistence, time.Second)),
		OnFailure:   read(t, "on_failure", "remove", oneOf("remove", "quiesce")),
	}
	for _, e := range t.needList("virtual", `["10.77.0.100:80"]`) {
		a, _ := endpoint(e)
		s.Virtual = append(s.Virtual, a)
	}
	s.Flags = readFlags(t, s)
	s.Check = readCheck(t.table("check"))
	for _, st := range t.tables("server") {
		s.Servers = append(s.Servers, Server{
			Address: need(st, "address", `"10.77.0.11:80"`, endpoint),
			Weight:  read(st, "weight", defaultWeight, whole[int32](0, 65535)),
		})
		st.done()
	}
	t.done()
	return s
}

// readFlags accepts the flags that the service's scheduler and protocol know.
func readFlags(t *table, s Service) []string {
	list, ok := t.get("flags")
	if !ok {
		return nil
	}
	var flags []string
	for _, e := range list.elements(`write for example ["sh-port"]`) {
		flag, ok := oneOf("sh-port", "sh-fallback", "mh-port", "mh-fallback", "ops")(e)
		scheduler, _, ofScheduler := strings.Cut(flag, "-")
		switch {
		case !ok:
		case slices.Contains(flags, flag):
			e.fail(describe(flag)+" is there twice", "remove one")
		case ofScheduler && scheduler != s.Scheduler:
			e.fail(fmt.Sprintf("%q is not a flag of scheduler %q", flag, s.Scheduler),
				fmt.Sprintf("remove it, or write scheduler = %q", scheduler))
		case flag == "ops" && s.Protocol != "udp":
			e.fail(`"ops" (one-packet scheduling) is not for `+s.Protocol, `remove it, or write protocol = "udp"`)
		default:
			flags = append(flags, flag)
		}
	}
	return flags
}

func readCheck(t *table) Check {
	c := Check{
		Type:     read(t, "type", "tcp", oneOf("tcp", "http")),
		Port:     read(t, "port", 0, whole[uint16](1, 65535)),
		Interval: read(t, "interval", defaultCheckInterval, span(10*time.Millisecond, time.Hour, time.Millisecond)),
		Timeout:  read(t, "timeout", defaultCheckTimeout, span(time.Millisecond, time.Hour, time.Millisecond)),
		Rise:     read(t, "rise", defaultRise, whole(1, 1000)),
		Fall:     read(t, "fall", defaultFall, whole(1, 1000)),
	}
	h := Check{
		Method: read(t, "method", "GET", oneOf("GET", "HEAD")),
		Host:   read(t, "host", "", httpHost),
		Path:   read(t, "path", "/", httpPath),
	}
	h.StatusMin, h.StatusMax = readExpect(t.table("expect"))
	if c.Type == "http" {
		c.Method, c.Host, c.Path, c.StatusMin, c.StatusMax = h.Method, h.Host, h.Path, h.StatusMin, h.StatusMax
	} else {
		for _, key := range []string{"method", "host", "path", "expect"} {
			if t.has(key) {
				t.key(key).fail(fmt.Sprintf("has no effect with type = %q", c.Type), `remove it, or write type = "http"`)
			}
		}
	}
	t.done()
	return c
}

// readExpect returns the range of good HTTP statuses.
func readExpect(t *table) (least, most int) {
	defer t.done()
	e, ok := t.get("status")
	if !ok {
		return 200, 299
	}
	status := whole(100, 599)
	list, ok := e.value.([]any)
	if !ok {
		n, _ := status(e)
		return n, n
	}
	if len(list) != 2 {
		e.fail(fmt.Sprintf("has %d numbers", len(list)), "write the lowest and the highest, for example [200, 299]")
		return 0, 0
	}
	least, ok = status(element{e.index(0), list[0]})
	most, ok2 := status(element{e.index(1), list[1]})
	if ok && ok2 && least > most {
		e.fail(fmt.Sprintf("%d is above %d", least, most), fmt.Sprintf("write [%d, %d]", most, least))
	}
	return least, most
}
