package configs

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestCheckRequest: what a check may say makes the request that it says.
func TestCheckRequest(t *testing.T) {
	file := string(readFile(t, "testdata/invalid-check-path.toml"))
	for _, host := range []string{
		"", "www.example.com", "www.example.com.", "www.example.com:8080", "localhost", "my_server-1", "10.77.0.11", "10.77.0.11:8080",
		"[2001:db8::1]", "[2001:db8::1]:8080", "1.example", "xn--bcher-kva.example",
	} {
		for _, path := range []string{"/", "/healthz", "//two", "/a%20b", "/a%2fb", "/a%23b", "/a?deep=1&from=lb", "/a?", "/~x/(y);z=1,2:3@4"} {
			t.Run(host+path, func(t *testing.T) {
				check := fmt.Sprintf("host = %q\n  path = %q", host, path)
				if host == "" {
					check = fmt.Sprintf("path = %q", path)
				}
				c := mustParse(t, "tandem.toml", []byte(strings.Replace(file, `path = "healthz"`, check, 1)))
				checkRequest(t, c.Services[0].Check)
				if got := c.Services[0].Check; got.Host != host || got.Path != path {
					t.Errorf("host %q, path %q", got.Host, got.Path)
				}
			})
		}
	}
}

// checkRequest checks that a check makes a request, with the host and the path
// that it has.
func checkRequest(t *testing.T, c Check) {
	t.Helper()
	host := cmp.Or(c.Host, "10.77.0.11")
	r, err := http.NewRequest(c.Method, "http://"+host+c.Path, nil)
	if err != nil {
		t.Fatalf("%q and %q make no request: %v", c.Host, c.Path, err)
	}
	written, err := url.PathUnescape(strings.SplitN(c.Path, "?", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	if r.Host != host || r.URL.Host != host || r.URL.User != nil || r.URL.Path != written || r.URL.Fragment != "" {
		t.Errorf("%q and %q ask %q for %q", c.Host, c.Path, r.Host, r.URL.Path)
	}
}
