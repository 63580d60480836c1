package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"tandem/configs"
	"tandem/director"
	"tandem/vrrp"
)

// writeKey writes a key file.
func writeKey(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vrrp.key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

func key(n int) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat("Sesame, open thyself. ", 4)[:n]))
}

func TestReadKey(t *testing.T) {
	dir, absent := t.TempDir(), filepath.Join(t.TempDir(), "absent")
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path, want string // want: in the error; empty: it is read
	}{
		{"32 bytes", writeKey(t, key(32)+"\n", 0o600), ""},
		{"64 bytes, for a group", writeKey(t, key(64), 0o640), ""},
		{"in lines, as base64 writes them", writeKey(t, key(64)[:76]+"\n"+key(64)[76:]+"\n", 0o440), ""},
		{"31 bytes", writeKey(t, key(31), 0o600), "the key has 31 bytes, it must have 32 to 64; make one with"},
		{"65 bytes", writeKey(t, key(65), 0o600), "the key has 65 bytes"},
		{"empty", writeKey(t, "", 0o600), "the key has 0 bytes"},
		{"raw", writeKey(t, strings.Repeat("\xfe", 32), 0o600), "is not base64"},
		{"large", writeKey(t, strings.Repeat("A", maxKeyFile+1), 0o600), "has 1025 bytes, which is no key"},
		{"readable by others", writeKey(t, key(32), 0o644), "can be used by others (-rw-r--r--)"},
		{"writable by others", writeKey(t, key(32), 0o602), "can be used by others"},
		{"writable by its group", writeKey(t, key(32), 0o660), "can be written by its group"},
		{"absent", absent, "no such file"},
		{"a directory", dir, "is not a regular file"},
		{"a pipe", fifo, "is not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readKey(tt.path)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.path) {
				t.Fatalf("error %v, want one about %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "Sesame") || strings.Contains(err.Error(), key(31)[:8]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

// authConfig is the good configuration with keys.
func authConfig(auth string) string {
	return strings.Replace(goodConfig, "[[virtual_router]]", "[vrrp.auth]\n"+auth+"\n[[virtual_router]]", 1)
}

func parseConfig(t *testing.T, text string) *configs.Config {
	t.Helper()
	cfg, err := configs.Parse("t.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestWireRouters(t *testing.T) {
	one, two := writeKey(t, key(32), 0o640), writeKey(t, key(64), 0o600)
	cfg := parseConfig(t, authConfig(`mode = "enforce"
keys = { 1 = "`+one+`", 9 = "`+two+`" }
active_key = 9`))
	routers, err := wireRouters(cfg, "lb1")
	if err != nil {
		t.Fatal(err)
	}
	r := routers[director.RouterID{Interface: "eth0", VRID: 51}]
	if a := r.Format.Auth; a.Mode.String() != "enforce" || len(a.Keys) != 2 || a.ActiveKey != 9 || a.Replay.String() != "time" || a.Window != cfg.Routers[0].Auth.Window {
		t.Errorf("format %+v", r.Format)
	}
	if len(r.Peers) != 0 {
		t.Errorf("peers %v of multicast", r.Peers)
	}
	// Without authentication no file is touched.
	if routers, err := wireRouters(parseConfig(t, goodConfig), "lb1"); err != nil || len(routers) != 1 {
		t.Errorf("routers %v, %v", routers, err)
	}
}

func TestWireRoutersUnicast(t *testing.T) {
	cfg := parseConfig(t, strings.Replace(goodConfig, "vrid = 51", "vrid = 51\ntransport = \"unicast\"", 1))
	for node, peer := range map[string]string{"lb1": "10.0.0.2", "lb2": "10.0.0.1"} {
		routers, err := wireRouters(cfg, node)
		if err != nil {
			t.Fatal(err)
		}
		if got := routers[director.RouterID{Interface: "eth0", VRID: 51}].Peers; len(got) != 1 || got[0].String() != peer {
			t.Errorf("%s has the peers %v, want %s", node, got, peer)
		}
	}
}

func TestWireRoutersVersions(t *testing.T) {
	for _, tt := range []struct {
		keys string
		want vrrp.Format
		pass bool
	}{
		{"", vrrp.Format{}, false},
		{`checksum = "rfc9568"`, vrrp.Format{Checksum: vrrp.ChecksumMessageOnly}, false},
		{"version = 2", vrrp.Format{Version: vrrp.V2, Interval: time.Second}, false},
		{"version = 2\nadvert_interval = \"9s\"\nauth_pass = \"abc\"", vrrp.Format{Version: vrrp.V2, Interval: 9 * time.Second}, true},
	} {
		cfg := parseConfig(t, strings.Replace(goodConfig, "vrid = 51", "vrid = 51\n"+tt.keys, 1))
		routers, err := wireRouters(cfg, "lb1")
		if err != nil {
			t.Fatal(err)
		}
		got := routers[director.RouterID{Interface: "eth0", VRID: 51}].Format
		if got.Version != tt.want.Version || got.Checksum != tt.want.Checksum || got.Interval != tt.want.Interval {
			t.Errorf("%q: format %+v", tt.keys, got)
		}
		if reflect.ValueOf(got.Password).IsZero() == tt.pass {
			t.Errorf("%q: password %v", tt.keys, tt.pass)
		}
	}
}

// A reload with a bad key is refused before anything changes, and names every
// bad one.
func TestPrepareRefusesBadKeys(t *testing.T) {
	n := testNetwork(t)
	defer n.close()
	good, open := writeKey(t, key(32), 0o600), writeKey(t, key(32), 0o644)
	err := n.prepare(parseConfig(t, authConfig(`mode = "permissive"
keys = { 1 = "`+good+`", 2 = "`+open+`", 3 = "/nonexistent/key" }
active_key = 1`)))
	if err == nil || !strings.Contains(err.Error(), "VRRP key 2: "+open) || !strings.Contains(err.Error(), "VRRP key 3: open /nonexistent/key") {
		t.Errorf("error %v", err)
	}
	if n.routers != nil || len(n.segments) != 0 {
		t.Errorf("routers %v, segments %v", n.routers, n.segments)
	}
}

// What check cannot see, it says.
func TestCheckNamesKeyFiles(t *testing.T) {
	path := write(t, authConfig(`mode = "enforce"
keys = { 1 = "/nonexistent/a.key", 2 = "/nonexistent/b.key" }
active_key = 2`))
	status, out, _ := tandem("check", path)
	want := path + ": not checked: the key files, which run and reload read: /nonexistent/a.key, /nonexistent/b.key\n"
	if status != 0 || !strings.HasSuffix(out, want) {
		t.Errorf("status %d, %s", status, out)
	}
}
