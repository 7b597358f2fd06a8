package api

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/internal/testkit"
)

func TestTargets(t *testing.T) {
	for _, tt := range []struct{ base, call, want string }{
		{"http://h", "/x?a=1", "http://h/x?a=1"},
		{"http://h/", "/x", "http://h/x"},
		{"http://h/v1", "/x", "http://h/v1/x"},
		{"http://h/v1/", "/x", "http://h/v1/x"},
		{"http://h/v1", "x", "http://h/v1/x"},
		{"http://h/v1", "", "http://h/v1"},
		{"http://h/v1", "/a%2Fb", "http://h/v1/a%2Fb"},
		{"http://h/a%2Fb", "/c", "http://h/a%2Fb/c"},
		{"http://u:p@h/?k=v", "/x?a=1", "http://h/x?k=v&a=1"},
		{"http://h/?k=v", "/x", "http://h/x?k=v"},
		{"https://h", "/x?", "https://h/x?"},
	} {
		c := &Call{URL: testkit.URL(t, tt.call)}
		got := &url.URL{}
		if c.target(got, testkit.URL(t, tt.base)); got.String() != tt.want || urlText(got) != tt.want {
			t.Errorf("%s + %s = %s, want %s", tt.base, tt.call, got, tt.want)
		}
	}
}

func TestTunnelToAGroup(t *testing.T) {
	u := testkit.Connections(t, func(c net.Conn, _ int) { _, _ = io.Copy(c, c) })
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	l.Close()
	g, err := route.NewGroup([]route.Upstream{{Name: "a", URL: testkit.URL(t, "http://"+l.Addr().String()), Weight: 1}, {Name: "b", URL: u, Weight: 1}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, &hooktest.Policy{Request: func(_ *policy.Request, d *policy.Decision) { d.Timeout = 5 * time.Second }}, nil)
	c := &Call{Group: g, URL: testkit.URL(t, "/"), Timeout: 5 * time.Second}
	lease, err := p.Admit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if c.Result.Upstream != "b" || c.Result.Attempts != 2 {
		t.Errorf("result %+v", c.Result)
	}
	lease.Done("", 0)
	if _, err := p.Admit(t.Context(), &Call{}); kind(err) != policy.ErrorOther || err.Error() != "api: error: "+errURL.Error() {
		t.Errorf("no target: %v", err)
	}
}

func TestFailover(t *testing.T) {
	good := testkit.Serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "b") })
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	l.Close()
	g, err := route.NewGroup([]route.Upstream{{Name: "a", URL: testkit.URL(t, "http://"+l.Addr().String()), Weight: 1}, {Name: "b", URL: good, Weight: 1}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, nil, nil)
	for range 4 {
		c := &Call{Key: "r", Group: g, URL: testkit.URL(t, "/")}
		if _, body := text(t, p, c); body != "b" || c.Result.Upstream != "b" || c.Result.Attempts > 2 {
			t.Errorf("%q %+v", body, c.Result)
		}
	}
}
