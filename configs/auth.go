package configs

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Bounds of the window in which an authenticated advert is accepted.
const (
	autoWindow     time.Duration = 0 // until the interval of the adverts is known
	minWindow                    = time.Second
	maxWindow                    = 300 * time.Second
	leastAutomatic               = 5 * time.Second
)

// readAuth reads the [vrrp.auth] table. With mode "off" the keys may be there, so
// that one line switches.
func readAuth(t *table) Auth {
	a := Auth{
		Mode:   read(t, "mode", "off", oneOf("off", "receive-only", "permissive", "enforce")),
		Keys:   readKeys(t),
		Replay: read(t, "replay", "time", oneOf("time", "monotonic")),
		Window: read(t, "window", autoWindow, window),
	}
	if list, _ := t.values["keys"].(map[string]any); a.Mode != "off" && (!t.has("keys") || list != nil && len(list) == 0) {
		t.key("keys").fail("there is none", remedyFor("keys", `{ 1 = "/etc/tandem/vrrp.key" }`))
	}
	a.ActiveKey = readActiveKey(t, a)
	if t.has("window") && a.Replay != "time" {
		t.key("window").fail(fmt.Sprintf("has no effect with replay = %q", a.Replay), `remove it, or write replay = "time"`)
	}
	t.done()
	if a.Mode == "off" {
		return Auth{Mode: a.Mode}
	}
	return a
}

// readKeys reads the table of key files. TOML has strings as keys, so the ids are
// numbers without quotes only to the eye.
func readKeys(t *table) map[uint8]string {
	keys, own := make(map[uint8]string), t.table("keys")
	for _, id := range slices.Sorted(maps.Keys(own.values)) {
		n, err := strconv.ParseUint(id, 10, 8)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != id {
			own.key(id).fail("is not the number of a key", "write one from 1 to 255, without leading zeros")
			continue
		}
		if file := read(own, id, "", filePath); file != "" {
			keys[uint8(n)] = file
		}
	}
	return keys
}

// readActiveKey returns the key to sign with: the only one, if nothing is said.
// What it must not do is to leave it open, because then nothing would be signed.
func readActiveKey(t *table, a Auth) uint8 {
	ids := slices.Sorted(maps.Keys(a.Keys))
	if !t.has("active_key") {
		read(t, "active_key", 0, whole[uint8](1, 255))
		switch {
		case len(ids) == 1:
			return ids[0]
		case len(ids) > 1 && (a.Mode == "permissive" || a.Mode == "enforce"):
			t.key("active_key").fail("is missing, and there are several keys",
				remedyFor("active_key", fmt.Sprint(ids[0])))
		}
		return 0
	}
	active := read(t, "active_key", 0, whole[uint8](1, 255))
	if active != 0 && a.Keys[active] == "" {
		t.key("active_key").fail(fmt.Sprintf("%d is not among the keys", active),
			fmt.Sprintf(`add it, for example keys = { %d = "/etc/tandem/vrrp.key" }, or write another`, active))
	}
	return active
}

// window accepts "auto" or a duration.
func window(e element) (time.Duration, bool) {
	if e.value == "auto" {
		return autoWindow, true
	}
	if s, ok := e.value.(string); ok {
		if _, err := time.ParseDuration(s); err == nil {
			return span(minWindow, maxWindow, time.Second)(e)
		}
	}
	e.refuse("a window", `write "auto" or a duration, for example "5s"`)
	return 0, false
}

// windowFor is how far from this director's clock an advert may be if the file
// leaves it to us: as long as a backup waits before it takes over, and no less
// than clocks that are synchronised over a network can differ.
func windowFor(advertInterval time.Duration) time.Duration {
	return min(max(3*advertInterval, leastAutomatic), maxWindow)
}

// of is the authentication of one router.
func (a Auth) of(r VirtualRouter) Auth {
	if a.Mode != "off" && a.Replay == "time" && a.Window == autoWindow {
		a.Window = windowFor(r.AdvertInterval)
	}
	return a
}

// Signs says whether adverts are sent with a signature.
func (a Auth) Signs() bool { return a.Mode == "permissive" || a.Mode == "enforce" }

// warnings are about the modes of the way to mode "enforce".
func (a Auth) warnings() []Warning {
	warn := func(problem, remedy string) []Warning { return []Warning{{"vrrp.auth", problem, remedy}} }
	switch a.Mode {
	case "receive-only":
		return warn("adverts are not signed, and those of others are accepted without a signature",
			`write mode = "permissive" once every director runs with this mode`)
	case "permissive":
		return warn("adverts are accepted without a signature",
			`write mode = "enforce" once every director runs with this mode`)
	}
	return nil
}
