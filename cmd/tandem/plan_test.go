package main

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tandem/director"
	"tandem/ipvsctl"
)

func TestPlanSysctls(t *testing.T) {
	errBroken := errors.New("broken")
	kernel := map[string]string{"net/kept": "2", "net/left": "2", "net/right": "1", "net/new": "0",
		"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/accept_redirects": "0"}
	get := func(key string) (string, error) {
		if key == "net/broken" {
			return "", errBroken
		}
		value, ok := kernel[key]
		if !ok {
			return "", fs.ErrNotExist
		}
		return value, nil
	}
	profile := []ipvsctl.Sysctl{{Key: "net/kept", Want: "2"}, {Key: "net/new", Want: "1", Why: "because"}}
	before := map[string]string{"net/kept": "0", "net/left": "0", "net/right": "1", "net/gone-with-eth1": "0"}
	const why = "as it was before tandem changed it; the configuration no longer asks for that"
	restored := func(key string) director.SysctlChange {
		return director.SysctlChange{Key: key, Have: "2", Want: "0", Why: why}
	}

	for _, tt := range []struct {
		name    string
		profile []ipvsctl.Sysctl
		before  map[string]string
		want    []director.SysctlChange
		err     error
	}{
		{"nothing was changed", profile[:1], nil, nil, nil},
		{"one left the profile", profile, before, []director.SysctlChange{restored("net/left"), {Key: "net/new", Have: "0", Want: "1", Why: "because"}}, nil},
		{"no profile any more", nil, before, []director.SysctlChange{restored("net/kept"), restored("net/left")}, nil},
		{"changed by the kernel on the side", []ipvsctl.Sysctl{{Key: "net/ipv4/ip_forward", Want: "1"}},
			map[string]string{"net/ipv4/ip_forward": "0", "net/ipv4/conf/all/accept_redirects": "1"}, nil, nil},
		{"one cannot be read", nil, map[string]string{"net/broken": "0", "net/left": "0"}, []director.SysctlChange{restored("net/left")}, errBroken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := planSysctls(get, tt.profile, tt.before)
			if !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}
