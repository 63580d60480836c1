package elect

import (
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const good = "4711 (a (b) c) S 1 4711 4711 0 -1 4194560 1 2 3 4 250 12 7 8 20 0 9"
	if got, err := parseStat(good); got != 2620*time.Millisecond || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "4711 (x) S 1 2", "4711 (x) S 1 4711 4711 0 -1 4194560 1 2 3 4 many 12 7"} {
		if got, err := parseStat(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, got)
		}
	}
}
