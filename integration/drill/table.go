package drill

import (
	"os"
	"path/filepath"

	"tandem/ipvsctl"
	"tandem/ipvsctl/kernel"
)

// Program is the path of one of the project's programs: beside this one, or in
// bin/ of the source tree that this program was started in.
func Program(name string) string {
	if self, err := os.Executable(); err == nil {
		if path := filepath.Join(filepath.Dir(self), name); exists(path) {
			return path
		}
	}
	dir, err := os.Getwd()
	for err == nil && dir != "/" && !exists(filepath.Join(dir, "go.mod")) {
		dir = filepath.Dir(dir)
	}
	return filepath.Join(dir, "bin", name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Table reads the IPVS table of a director's kernel.
func (p *Pair) Table(i int) (ipvsctl.Table, map[ipvsctl.StatsKey]ipvsctl.ServerStats, error) {
	var t ipvsctl.Table
	var stats map[ipvsctl.StatsKey]ipvsctl.ServerStats
	err := p.Directors[i].Do(func() error {
		h, err := kernel.Open()
		if err != nil {
			return err
		}
		defer h.Close()
		t, stats, err = h.Table()
		return err
	})
	return t, stats, err
}

// TableServers counts the real servers with a weight in a director's table.
func (p *Pair) TableServers(i int) (int, error) {
	t, _, err := p.Table(i)
	n := 0
	for _, e := range t {
		for _, s := range e.Servers {
			if s.Weight > 0 {
				n++
			}
		}
	}
	return n, err
}
