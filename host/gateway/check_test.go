package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestHosts(t *testing.T) {
	set := newHostSet("192.0.2.7:8080", newSelfSet("192.0.2.7:8080", nil), []Route{{Host: "Api.Example"}, {Host: "port.example:99"}}, []string{"ci.example", "box:8080", "2001:db8::1"})
	for host, want := range map[string]bool{
		"":                     true,
		"localhost":            true,
		"LOCALHOST:1":          true,
		"localhost.:80":        true,
		"gaia.localhost:8080":  true,
		"127.0.0.1:8080":       true,
		"127.9.9.9":            true,
		"[::1]:8080":           true,
		"[::1]":                true,
		"[::ffff:127.0.0.1]:1": true,
		"192.0.2.7":            true,
		"192.0.2.7:8080":       true,
		"192.0.2.7:9":          true,
		"api.example":          true,
		"API.example:8080":     true,
		"port.example:99":      true,
		"ci.example:1234":      true,
		"box:8080":             true,
		"[2001:db8::1]:8080":   true,
		"[2001:db8::2]:8080":   false,
		"port.example:98":      false,
		"box:8081":             false,
		"192.0.2.8:8080":       false,
		"evil.example":         false,
		"evil.example:8080":    false,
		"notlocalhost":         false,
		"localhost.evil":       false,
		"127.0.0.1.evil":       false,
		"0x7f.1":               false,
		"127.1":                false,
		"1.2.3.4":              false,
		"a/b":                  false,
	} {
		if got := set.allows(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
	const everywhere = "0.0.0.0:80"
	all := newHostSet(everywhere, newSelfSet(everywhere, []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")}), nil, nil)
	for host, want := range map[string]bool{everywhere: true, "192.0.2.7:80": true, "[2001:db8::7]": true, "1.2.3.4": false, "evil.example": false} {
		if got := all.allows(host); got != want {
			t.Errorf("listening on all addresses, %q: %v, want %v", host, got, want)
		}
	}
}

// TestCrossSite compares with net/http for the methods that it refuses, and shows
// where the gateway is stricter.
func TestCrossSite(t *testing.T) {
	std := http.NewCrossOriginProtection()
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "DELETE", "X"} {
		safe := method == "GET" || method == "HEAD" || method == "OPTIONS"
		for _, site := range []string{"", "none", "same-origin", "same-site", "cross-site", "nonsense"} {
			for _, origin := range []string{"", "http://gaia.test:8080", "http://GAIA.test:8080", "http://gaia.test", "http://evil.test", "null", "file://"} {
				r := httptest.NewRequest(method, "http://gaia.test:8080/", nil)
				if site != "" {
					r.Header.Set("Sec-Fetch-Site", site)
				}
				if origin != "" {
					r.Header.Set("Origin", origin)
				}
				want := std.Check(r) != nil
				if safe {
					want = site == "cross-site" || site == "nonsense" || site == "" && origin != "" && !sameHost(origin)
				} else if sameHost(origin) && site == "" {
					want = false // hosts know no case
				}
				if got := crossSite(method, site, origin, r.Host); got != want {
					t.Errorf("%s, site %q, origin %q: refused %v, want %v", method, site, origin, got, want)
				}
			}
		}
	}
}

func sameHost(origin string) bool {
	return origin == "http://gaia.test:8080" || origin == "http://GAIA.test:8080"
}

func TestSelf(t *testing.T) {
	lan := netip.MustParseAddr("192.0.2.7")
	for _, c := range []struct {
		addr, target string
		want         bool
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", true},
		{"127.0.0.1:8080", "LocalHost:8080", true},
		{"127.0.0.1:8080", "[::1]:8080", true},
		{"127.0.0.1:8080", "0.0.0.0:8080", true},
		{"127.0.0.1:8080", "127.0.0.1:8081", false},
		{"127.0.0.1:8080", "192.0.2.7:8080", false},
		{"[::]:8080", "192.0.2.7:8080", true},
		{"[::]:8080", "[::ffff:192.0.2.7]:8080", true},
		{"[::]:8080", "localhost:8080", true},
		{"[::]:8080", "192.0.2.9:8080", false},
		{"192.0.2.7:8080", "192.0.2.7:8080", true},
		{"192.0.2.7:8080", "localhost:8080", false},
		{"127.0.0.1:8080", "example.com:8080", false},
	} {
		if got := newSelfSet(c.addr, []netip.Addr{lan}).has(c.target); got != c.want {
			t.Errorf("%s at %s: %v, want %v", c.target, c.addr, got, c.want)
		}
	}
}

func TestTargets(t *testing.T) {
	for in, want := range map[string]string{
		"http://h": "/", "http://h/": "/", "http://h?q": "/?q", "http://h/a%2Fb//?x=http://y": "/a%2Fb//?x=http://y", "http://h?/x": "/?/x",
	} {
		if got := absolutePath(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string][2]string{
		"a": {"a", ""}, "a:1": {"a", "1"}, "[::1]": {"[::1]", ""}, "[::1]:1": {"[::1]", "1"}, "::1": {"::1", ""}, "": {"", ""}, "a:": {"a", ""}, ":1": {"", "1"},
	} {
		if h, p := splitPort(in); h != want[0] || p != want[1] {
			t.Errorf("%q: %q %q", in, h, p)
		}
	}
	for in, want := range map[string]bool{
		"example.com:443": true, "[::1]:443": true, "127.0.0.1:65535": true, "a_b-c.d:1": true,
		"example.com": false, "example.com:": false, ":443": false, "a:0": false, "a:65536": false, "a:-1": false, "a:+1": false, "a:1x": false,
		"/x": false, "http://a:1/": false, "a b:1": false, "[::1:443": false, "[::1]x:1": false, "[a]:1": false, "a@b:1": false, "::1:443": false,
	} {
		if _, _, ok := connectTarget(in); ok != want {
			t.Errorf("CONNECT %s: %v, want %v", in, ok, want)
		}
	}
	for in, want := range map[string]string{"A.Example:443": "a.example", "a:80": "a:80", "[::1]:443": "[::1]", "a": "a"} {
		if got := keyOf(in, "443"); got != want {
			t.Errorf("key of %s: %s, want %s", in, got, want)
		}
	}
}

func FuzzTargets(f *testing.F) {
	for _, s := range []string{"example.com:443", "[::1]:443", "http://h/a?b", "", ":", "[", "]:1", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port := splitPort(s)
		if len(host)+len(port) > len(s) {
			t.Errorf("%q became longer: %q %q", s, host, port)
		}
		if p := absolutePath(s); p == "" || p[0] != '/' {
			t.Errorf("%q has the path %q", s, p)
		}
		if h, p, ok := connectTarget(s); ok && (h == "" || p == "" || h+":"+p != s) {
			t.Errorf("CONNECT %q became %q %q", s, h, p)
		}
		newHostSet("127.0.0.1:1", newSelfSet("127.0.0.1:1", nil), nil, nil).allows(s)
		newSelfSet("127.0.0.1:1", nil).has(s)
		crossSite("GET", "", s, s)
	})
}

func TestChecksAllocateNothing(t *testing.T) {
	tab := tableOf(t, Route{Name: "a", PathPrefix: "/a/", StripPrefix: true}, Route{Name: "h", Host: "api.example", PathPrefix: "/v1/"})
	set := newHostSet("127.0.0.1:8080", newSelfSet("127.0.0.1:8080", nil), tab.routes, []string{"ci.example"})
	if n := testing.AllocsPerRun(500, func() {
		for _, host := range [...]string{"127.0.0.1:8080", "localhost:8080", "[::1]:1", "api.example", "ci.example:80", "evil.example"} {
			set.allows(host)
			if e := tab.find(host, "/a/b/c"); e != nil {
				e.rest("/a/b/c")
			}
			crossSite("POST", "", "http://x", host)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
