package configs

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// The defaults. reference.toml repeats them, and a test compares the two.
const (
	defaultName           = "tandem"
	defaultPriority       = 100 // RFC 9568, section 5.2.4
	defaultSyncID         = 51
	defaultTransport      = "multicast"
	defaultVersion        = 3
	defaultChecksum       = "pseudo-header"
	defaultAdvertInterval = 100 * time.Millisecond
	defaultSlowInterval   = time.Second // with version 2
	defaultFailback       = "delay"
	defaultFailbackDelay  = 30 * time.Second
	defaultWeight         = 100
	defaultCheckInterval  = time.Second
	defaultCheckTimeout   = 500 * time.Millisecond
	defaultRise           = 2
	defaultFall           = 3
	defaultSocket         = "/run/tandem/control.sock"
)

// Bounds of the address lease. The kernel counts the life of an address in
// whole seconds, and tandem renews it four times in that time.
const (
	autoLease time.Duration = -1 // until the interval of the adverts is known
	minLease                = 2 * time.Second
	maxLease                = time.Hour
)

// Two directors make a pair; more can stand by.
const (
	minDirectors = 2
	maxDirectors = 5
)

// maxPersistence is what the kernel's clients allow (ipvsadm: 31 days).
const maxPersistence = 31 * 24 * time.Hour

// Parse reads a tandem.toml. The name of the file is only for the errors. A
// non-nil error is of type Errors and holds everything that is wrong.
func Parse(file string, data []byte) (*Config, error) {
	c, _, err := parse(file, data)
	return c, err
}

// parse also returns the vocabulary that it went by.
func parse(file string, data []byte) (*Config, map[string][]string, error) {
	d := &decoder{file: file, vocabulary: make(map[string][]string)}
	top := d.open(data)
	if top == nil {
		return nil, nil, d.result()
	}
	// Elements stay in the order of the file, the bad ones included, so that
	// check can name their places by index.
	c := new(Config)
	c.readPair(top.table("pair"))
	vrrp := top.table("vrrp")
	defaults := readVRRP(vrrp)
	for _, t := range top.tables("virtual_router") {
		if !t.has("interface") && !vrrp.has("interface") {
			t.key("interface").fail("is missing", `write for example interface = "eth0" here or in [vrrp]`)
		}
		c.Routers = append(c.Routers, c.readRouter(t, defaults))
	}
	c.readConnectionSync(top.table("connection_sync"), defaults.Interface)
	for _, t := range top.tables("service") {
		c.Services = append(c.Services, readService(t))
	}
	for _, t := range top.tables("hook") {
		c.Hooks = append(c.Hooks, readHook(t))
	}
	c.readHost(top)
	top.done()
	check(c, top.place)
	if err := d.result(); err != nil {
		return nil, nil, err
	}
	return c, d.vocabulary, nil
}

func (c *Config) readPair(t *table) {
	c.Name = read(t, "name", defaultName, name)
	directors := t.tables("director")
	if n := len(directors); n < minDirectors || n > maxDirectors {
		t.key("director").fail(fmt.Sprintf("the file has %d", n),
			fmt.Sprintf("write %d to %d tables [[pair.director]], the same in the file of each", minDirectors, maxDirectors))
		directors = directors[:min(n, maxDirectors)] // each router has a priority for each
	}
	for _, dt := range directors {
		d := Director{
			Name:     need(dt, "name", `"lb1"`, name),
			Address6: read(dt, "address6", netip.Addr{}, linkLocal),
			Priority: read(dt, "priority", defaultPriority, whole[uint8](1, 255)),
		}
		if dt.has("address6") {
			d.Address = read(dt, "address", netip.Addr{}, address)
		} else {
			d.Address = need(dt, "address", `"10.77.0.1"`, address)
		}
		dt.done()
		c.Directors = append(c.Directors, d)
	}
	t.done()
}

// readVRRP returns the [vrrp] table as the router that other routers start from.
func readVRRP(t *table) VirtualRouter {
	defaults := VirtualRouter{
		Transport:     defaultTransport,
		Version:       defaultVersion,
		Checksum:      defaultChecksum,
		Failback:      defaultFailback,
		FailbackDelay: defaultFailbackDelay,
		AddressLease:  autoLease,
	}
	readElection(t, &defaults)
	defaults.Auth = readAuth(t.table("auth"))
	t.done()
	return defaults
}

// readElection reads the keys that [vrrp] and [[virtual_router]] share over the
// defaults in r.
func readElection(t *table, r *VirtualRouter) {
	r.Interface = read(t, "interface", r.Interface, interfaceName)
	r.Transport = read(t, "transport", r.Transport, oneOf("multicast", "unicast"))
	r.Version = read(t, "version", r.Version, whole[uint8](2, 3))
	r.AdvertInterval = read(t, "advert_interval", r.AdvertInterval, intervalOf(r.Version))
	readVersion(t, r)
	r.VirtualMAC = read(t, "virtual_mac", r.VirtualMAC, boolean)
	r.Failback = read(t, "failback", r.Failback, oneOf("delay", "immediate", "never"))
	r.FailbackDelay = read(t, "failback_delay", r.FailbackDelay, span(time.Millisecond, 24*time.Hour, time.Millisecond))
	r.StartupDelay = read(t, "startup_delay", r.StartupDelay, span(0, 10*time.Minute, time.Millisecond))
	r.AddressLease = read(t, "address_lease", r.AddressLease, lease)
	if t.has("failback_delay") && r.Failback != "delay" {
		t.key("failback_delay").fail(fmt.Sprintf("has no effect with failback = %q", r.Failback),
			`remove it, or write failback = "delay"`)
	}
}

// readVersion reads the keys that one version of VRRP has.
func readVersion(t *table, r *VirtualRouter) {
	r.Checksum = read(t, "checksum", r.Checksum, oneOf("pseudo-header", "rfc9568"))
	r.AuthPass = read(t, "auth_pass", r.AuthPass, password)
	if t.has("checksum") && r.Version == 2 {
		t.key("checksum").fail("has no effect with version = 2", "remove it, or write version = 3")
	}
	if t.has("auth_pass") && r.Version != 2 {
		t.key("auth_pass").fail("has no effect with version = 3", "remove it, or write version = 2; [vrrp.auth] authenticates either version")
	}
}

// resolve gives what depends on the version its final value.
func (r *VirtualRouter) resolve(t *table) {
	if r.Version == 2 {
		r.Checksum = ""
	} else {
		r.AuthPass = ""
	}
	if r.AuthPass != "" && r.Auth.Mode != "off" {
		t.key("auth_pass").fail("cannot be used together with [vrrp.auth]", `remove one of the two; only [vrrp.auth] keeps attackers out`)
	}
	switch least, most, step := intervals(r.Version); {
	case r.AdvertInterval == 0 && r.Version == 2:
		r.AdvertInterval = defaultSlowInterval
	case r.AdvertInterval == 0:
		r.AdvertInterval = defaultAdvertInterval
	case r.AdvertInterval < least || r.AdvertInterval > most || r.AdvertInterval%step != 0:
		t.key("advert_interval").fail(fmt.Sprintf("%s of [vrrp] is not possible with version = %d", short(r.AdvertInterval), r.Version),
			fmt.Sprintf("write one from %q to %q in steps of %q here", short(least), short(most), short(step)))
	}
}

// readRouter reads a router over the defaults in r.
func (c *Config) readRouter(t *table, r VirtualRouter) VirtualRouter {
	r.Name = need(t, "name", `"web"`, name)
	r.VRID = need(t, "vrid", "51", whole[uint8](1, 255))
	r.Group = read(t, "group", "", name)
	readElection(t, &r)
	if r.Failback != "delay" {
		r.FailbackDelay = 0
	}
	r.resolve(t)
	if r.AddressLease == autoLease {
		r.AddressLease = leaseFor(r.AdvertInterval)
	}
	r.Auth = r.Auth.of(r)
	r.Priority = c.readPriority(t)
	for _, e := range t.needList("addresses", `["10.77.0.100/32"]`) {
		r.Addresses = append(r.Addresses, readAddress(e, r.Interface))
	}
	r.Accept = read(t, "accept", true, boolean)
	if r.IPv6() {
		r.Checksum = ""
	}
	for _, tt := range t.tables("track") {
		r.Track = append(r.Track, readTrack(tt))
	}
	for _, rt := range t.tables("route") {
		r.Routes = append(r.Routes, readRoute(rt, r.ipv6()))
	}
	for _, rt := range t.tables("rule") {
		r.Rules = append(r.Rules, readRule(rt, r.ipv6()))
	}
	t.done()
	return r
}

// leaseFor is how long addresses live without renewal if the file leaves it to
// us. When a daemon freezes, up to a quarter of the lease has gone since the
// last renewal, and its peer takes over within four intervals (RFC 9568,
// section 6.1: three and the skew, which is less than one). The addresses shall
// go after that, for until then the kernel of the frozen director still
// forwards, but not much later.
func leaseFor(advertInterval time.Duration) time.Duration {
	lease := 4 * advertInterval * 4 / 3
	lease = (lease + time.Second - 1).Truncate(time.Second)
	return max(minLease, lease)
}

// readPriority returns the priority of every director.
func (c *Config) readPriority(t *table) map[string]uint8 {
	priority := make(map[string]uint8)
	var names []string
	for _, director := range c.Directors {
		priority[director.Name] = director.Priority
		names = append(names, director.Name)
	}
	own := t.table("priority")
	for _, director := range slices.Sorted(maps.Keys(own.values)) {
		if _, ok := priority[director]; !ok {
			own.key(director).fail("is no director of the pair", meant(director, names, "the directors are"))
			continue
		}
		priority[director] = read(own, director, priority[director], whole[uint8](1, 255))
	}
	return priority
}

// readAddress accepts "10.88.0.254/24", or a table of it, an interface and
// options.
func readAddress(e element, routerInterface string) RouterAddress {
	values, ok := e.value.(map[string]any)
	if !ok {
		p, _ := prefix(e)
		a := VirtualAddress{Prefix: p, Interface: routerInterface}
		return RouterAddress{a, defaultOptions(a)}
	}
	t := &table{place: e.place, values: values}
	a := VirtualAddress{
		Prefix:    need(t, "address", `"10.88.0.254/24"`, prefix),
		Interface: read(t, "interface", routerInterface, interfaceName),
	}
	o := readOptions(t, a)
	t.done()
	return RouterAddress{a, o}
}

func (c *Config) readConnectionSync(t *table, vrrpInterface string) {
	if vrrpInterface == "" && len(c.Routers) > 0 {
		vrrpInterface = c.Routers[0].Interface
	}
	c.ConnectionSync = ConnectionSync{
		Mode:      SyncMode(read(t, "mode", string(SyncMulticast), oneOf(string(SyncMulticast), string(SyncOff)))),
		ID:        read(t, "id", defaultSyncID, whole[uint8](1, 255)),
		Interface: read(t, "interface", vrrpInterface, interfaceName),
	}
	t.done()
}

func (c *Config) readHost(top *table) {
	sysctl := top.table("sysctl")
	c.SysctlProfile = read(sysctl, "profile", "director", oneOf("director", "none"))
	sysctl.done()
	control := top.table("control")
	c.ControlSocket = read(control, "socket", defaultSocket, socketPath)
	c.ControlGroup = read(control, "group", "", groupName)
	control.done()
}
