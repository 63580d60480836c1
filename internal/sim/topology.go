package sim

// topology says who hears whom, links and interfaces together.
type topology struct {
	hears [maxDirectors][maxDirectors]bool // hears[a][b]: a hears b
	part  [maxDirectors]int                // the connected component, one-way links count
	// regular says that in this component everybody hears everybody: only there is
	// it certain that one is enough.
	regular [maxDirectors]bool
}

// survey makes the topology anew.
func (w *World) survey() {
	t := topology{}
	for a, da := range w.directors {
		t.part[a] = a
		for b, db := range w.directors {
			t.hears[a][b] = w.net.link[b][a] && da.linkUp && db.linkUp
		}
	}
	for range w.directors {
		for a := range w.directors {
			for b := range w.directors {
				if t.hears[a][b] || t.hears[b][a] {
					t.part[a] = min(t.part[a], t.part[b])
				}
			}
		}
	}
	for a := range w.directors {
		t.regular[t.part[a]] = true
	}
	for a := range w.directors {
		for b := range w.directors {
			if a != b && t.part[a] == t.part[b] && !t.hears[a][b] {
				t.regular[t.part[a]] = false
			}
		}
	}
	w.topology = t
}

// allRegular says whether every component is regular.
func (w *World) allRegular() bool {
	for a := range w.directors {
		if !w.topology.regular[w.topology.part[a]] {
			return false
		}
	}
	return true
}

// together says whether two directors are in one regular component.
func (w *World) together(a, b *director) bool {
	p := w.topology.part[a.id]
	return p == w.topology.part[b.id] && w.topology.regular[p]
}
