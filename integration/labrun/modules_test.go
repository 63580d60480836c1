package main

import (
	"slices"
	"testing"
)

const (
	sampleDeps = `kernel/lib/libcrc32c.ko:
kernel/net/netfilter/nf_conntrack.ko: kernel/net/ipv6/netfilter/nf_defrag_ipv6.ko kernel/lib/libcrc32c.ko
kernel/net/ipv6/netfilter/nf_defrag_ipv6.ko:
kernel/net/netfilter/ipvs/ip_vs.ko: kernel/net/netfilter/nf_conntrack.ko kernel/net/ipv6/netfilter/nf_defrag_ipv6.ko kernel/lib/libcrc32c.ko
kernel/drivers/misc/dash-ed.ko.xz: kernel/lib/libcrc32c.ko
`
	sampleBuiltin = "kernel/fs/proc/proc.ko\nkernel/drivers/virtio/virtio-pci.ko\n"
)

func TestLoadOrder(t *testing.T) {
	tree, err := parseModuleTree("/lib/modules/6.1.0", []byte(sampleDeps), []byte(sampleBuiltin))
	if err != nil {
		t.Fatal(err)
	}
	const (
		crc       = "kernel/lib/libcrc32c.ko"
		defrag    = "kernel/net/ipv6/netfilter/nf_defrag_ipv6.ko"
		conntrack = "kernel/net/netfilter/nf_conntrack.ko"
		ipvs      = "kernel/net/netfilter/ipvs/ip_vs.ko"
		dashed    = "kernel/drivers/misc/dash-ed.ko.xz"
	)
	tests := []struct {
		names []string
		want  []string
	}{
		{nil, nil},
		{[]string{"libcrc32c"}, []string{crc}},
		{[]string{"ip_vs"}, []string{defrag, crc, conntrack, ipvs}},
		{[]string{"libcrc32c", "ip_vs", "nf_conntrack"}, []string{crc, defrag, conntrack, ipvs}},
		{[]string{"dash_ed"}, []string{crc, dashed}},
		{[]string{"proc", "virtio_pci"}, nil},
	}
	for _, tt := range tests {
		got, err := tree.loadOrder(tt.names...)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("loadOrder(%q) = %q, %v, want %q", tt.names, got, err, tt.want)
		}
	}

	_, err = tree.loadOrder("libcrc32c", "twos")
	if want := "kernel 6.1.0 has no module twos"; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestParseModuleTreeError(t *testing.T) {
	_, err := parseModuleTree("/m", []byte("a.ko:\nb.ko\n"), nil)
	if want := `/m/modules.dep: line "b.ko" has no colon`; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}
