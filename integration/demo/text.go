package main

import (
	"strings"
	"unicode/utf8"
)

const opening = `tandem: two directors, one highly available load balancer

  clients .200            lb1 .1     lb2 .2           s1 .11     s2 .12
     │                       │          │                │          │
  ───┴───────────────────────┴──────────┴────────────────┴──────────┴───
     10.77.0.0/24         virtual IP .100: the active director has it

Both directors run with the same tandem.toml. (Left out: a second service, echo,
for the long-lived connections; it is like http, with a TCP check.)
`

const closing = `That was one run, on this machine. Next:
  make test    every fault above and many more, against a real IPVS
  make bench   the figures, with keepalived on the same topology beside them
  tandem plan  what a configuration would do to a machine, without doing it
`

// sideBySide lays a configuration out in two columns: what there is before the
// first service, and that service. Others are left out.
func sideBySide(toml string) string {
	const service = "[[service]]\n"
	parts := strings.SplitN(toml, service, 3)
	if len(parts) < 2 {
		return toml
	}
	head, svc := lines(parts[0]), lines(service+parts[1])
	const column = width / 2
	var b strings.Builder
	for i := range max(len(head), len(svc)) {
		l, r := "", ""
		if i < len(head) {
			l = "  " + head[i]
		}
		if i < len(svc) {
			r = svc[i]
		}
		row := l + strings.Repeat(" ", max(2, column-utf8.RuneCountInString(l))) + r
		b.WriteString(strings.TrimRight(row, " ") + "\n")
	}
	return b.String()
}

func lines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }
