package gateway

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestGaiaFields(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        steering
		fault       string
	}{
		{"Gaia-Tenant", "acme", steering{tenant: "acme"}, ""},
		{"Gaia-Tenant", "", steering{}, ""},
		{"Gaia-Tenant", strings.Repeat("x", 257), steering{}, "Gaia-Tenant"},
		{"Gaia-Tenant", "\xff", steering{}, "Gaia-Tenant"},
		{"Gaia-Priority", "0", steering{hasPriority: true}, ""},
		{"Gaia-Priority", "9", steering{priority: 9, hasPriority: true}, ""},
		{"Gaia-Priority", "10", steering{}, "Gaia-Priority"},
		{"Gaia-Priority", "-1", steering{}, "Gaia-Priority"},
		{"Gaia-Priority", "high", steering{}, "Gaia-Priority"},
		{"Gaia-Priority", "", steering{}, "Gaia-Priority"},
		{"Gaia-Cost", "1500", steering{cost: 1500}, ""},
		{"Gaia-Cost", "1099511627776", steering{cost: 1 << 40}, ""},
		{"Gaia-Cost", "1099511627777", steering{}, "Gaia-Cost"},
		{"Gaia-Cost", "0", steering{}, "Gaia-Cost"},
		{"Gaia-Cost", "-3", steering{}, "Gaia-Cost"},
		{"Gaia-Cost", "+3", steering{}, "Gaia-Cost"},
		{"Gaia-Cost", "1.5", steering{}, "Gaia-Cost"},
		{"Gaia-Cost", "99999999999999999999", steering{}, "Gaia-Cost"},
		{"Gaia-Timeout", "2s", steering{timeout: 2 * time.Second}, ""},
		{"Gaia-Timeout", "1500", steering{timeout: 1500 * time.Millisecond}, ""},
		{"Gaia-Timeout", "1m30s", steering{timeout: 90 * time.Second}, ""},
		{"Gaia-Timeout", "24h", steering{timeout: 24 * time.Hour}, ""},
		{"Gaia-Timeout", "25h", steering{}, "Gaia-Timeout"},
		{"Gaia-Timeout", "0", steering{}, "Gaia-Timeout"},
		{"Gaia-Timeout", "-1s", steering{}, "Gaia-Timeout"},
		{"Gaia-Timeout", "soon", steering{}, "Gaia-Timeout"},
		{"Gaia-Explain", "1", steering{}, ""},
	} {
		h := http.Header{c.name: {c.value}, "Accept": {"*/*"}}
		var got steering
		fault := got.take(h)
		if (fault == "") != (c.fault == "") || !strings.Contains(fault, c.fault) {
			t.Errorf("%s %q: fault %q, want %q", c.name, c.value, fault, c.fault)
		}
		if c.fault == "" && got != c.want {
			t.Errorf("%s %q: %+v, want %+v", c.name, c.value, got, c.want)
		}
		if len(h[c.name]) != 0 || len(h["Accept"]) != 1 {
			t.Errorf("%s %q: %v is sent on", c.name, c.value, h)
		}
	}
}

func TestRequestFields(t *testing.T) {
	h := http.Header{
		"Connection": {"keep-alive, X-Hop", "Upgrade"}, "X-Hop": {"1"}, "Upgrade": {"websocket"}, "Keep-Alive": {"timeout=5"},
		"Proxy-Connection": {"keep-alive"}, "Proxy-Anything": {"1"}, "Te": {"gzip, trailers;q=0.5"}, "Trailer": {"X"}, "Transfer-Encoding": {"chunked"},
		"Http2-Settings": {"A"}, "Gaia-Other": {"kept"}, "Accept": {"a", "b"}, "User-Agent": {"own/1"},
	}
	var s steering
	if fault := s.take(h); fault != "" {
		t.Fatal(fault)
	}
	want := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Te": {"trailers"}, "Gaia-Other": {"kept"}, "Accept": {"a", "b"}, "User-Agent": {"own/1"},
	}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("sent on: %v\nwant: %v", h, want)
	}
	for _, h := range []http.Header{
		{"Connection": {"Upgrade"}, "Upgrade": {"h2c"}},
		{"Connection": {"Upgrade"}, "Upgrade": {"websocket, H2C"}},
		{"Connection": {"keep-alive"}, "Upgrade": {"websocket"}},
		{"Upgrade": {"websocket"}},
	} {
		var s steering
		_ = s.take(h)
		if s.upgrade != "" || len(h["Upgrade"]) != 0 || len(h["Connection"]) != 0 {
			t.Errorf("an upgrade is sent on: %v", h)
		}
	}
}

func TestAnswerFields(t *testing.T) {
	from := http.Header{"Connection": {"x-hop, close"}, "X-Hop": {"1"}, "Keep-Alive": {"1"}, "Upgrade": {"x"}, "Proxy-Authenticate": {"Basic"}, "Set-Cookie": {"a", "b"}}
	dst := http.Header{}
	passFields(dst, from)
	if !reflect.DeepEqual(dst, http.Header{"Set-Cookie": {"a", "b"}}) {
		t.Errorf("passed: %v", dst)
	}
	if len(from) != 6 {
		t.Errorf("the upstream's fields were changed: %v", from)
	}
}

func FuzzGaiaFields(f *testing.F) {
	f.Add("acme", "5", "1", "2s", "keep-alive, x")
	f.Fuzz(func(t *testing.T, tenant, priority, cost, timeout, connection string) {
		h := http.Header{"Gaia-Tenant": {tenant}, "Gaia-Priority": {priority}, "Gaia-Cost": {cost}, "Gaia-Timeout": {timeout}, "Connection": {connection}, "Te": {timeout}, "Upgrade": {tenant}}
		var s steering
		fault := s.take(h)
		if s.priority < 0 || s.priority > 9 || s.cost < 0 || s.cost > 1<<40 || s.timeout < 0 || s.timeout > maxTimeout || len(s.tenant) > maxTenant {
			t.Errorf("out of bounds: %+v (%s)", s, fault)
		}
		for name := range h {
			if strings.HasPrefix(name, "Gaia-") {
				t.Errorf("%s is sent on", name)
			}
		}
	})
}
