package director

import (
	"testing"
	"testing/synctest"

	"tandem/vrrp"
)

// A takeover does not wait for the list of the kernel's addresses: the address is
// there and announced before, and nothing of it is done twice.
func TestTakeoverBeforeListing(t *testing.T) {
	bubble(t, "a list that fails", func(t *testing.T, w *world) {
		d := direct(t, w, w.options(config(t, routerWeb+routerTwo)))
		d.active(t, idTwo)
		w.steps()
		w.edit(func() { w.fails["list"] = true })
		d.election(t, idWeb).become(vrrp.Active, true)
		synctest.Wait()
		wantList(t, "steps", w.steps(), "add 10.0.0.100/32", "announce 10.0.0.100/32")
		w.edit(func() { w.fails["list"] = false })
		after(sec(1))
		w.wantHeld(vipWeb, vipTwo, vipInside)
		for _, s := range w.steps() {
			if s == "add 10.0.0.100/32" || s == "announce 10.0.0.100/32" {
				t.Errorf("again: %s", s)
			}
		}
	})
}
