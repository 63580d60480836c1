package configs

// loopback is the interface whose addresses are the host's alone by default.
const loopback = "lo"

// defaultOptions are those of an address without any. IPv6 has none: the kernel
// knows no labels there and derives the scope from the address.
func defaultOptions(a VirtualAddress) AddressOptions {
	if a.Interface == loopback && a.Prefix.Addr().Is4() {
		return AddressOptions{Scope: scopeHost}
	}
	return AddressOptions{Scope: scopeGlobal}
}

// readOptions reads how an address is to be added.
func readOptions(t *table, a VirtualAddress) AddressOptions {
	o := defaultOptions(a)
	o.Label = read(t, "label", o.Label, label(a.Interface))
	o.Scope = read(t, "scope", o.Scope, scope)
	if !a.Prefix.Addr().Is6() {
		return o
	}
	if t.has("label") {
		t.key("label").fail("is not possible: only IPv4 addresses have labels", "remove it")
	}
	if t.has("scope") {
		t.key("scope").fail("has no effect: the kernel derives the scope of an IPv6 address from the address", "remove it")
	}
	return defaultOptions(a)
}
