package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/api"
)

// TestAllocationsOfARequest bounds what a request through the gateway allocates, where
// client and upstream allocate nothing.
func TestAllocationsOfARequest(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates, and makes sync.Pool forget")
	}
	allow := newPool(t, func(c *api.Config) {
		c.Slot = hooktest.Slot(7, &hooktest.Policy{Request: func(_ *policy.Request, d *policy.Decision) { d.Action = policy.ActionAllow }})
	})
	_, addr := start(t, Config{Routes: upRoute(t, "http://"+rawServer(t, 1024)), Pool: allow})
	c := newRawClient(t, addr, "/up/x")
	n := testing.AllocsPerRun(300, func() {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%v allocations", n)
	if n > 10 {
		t.Errorf("%v allocations, want at most 10", n)
	}
}

// TestRequestsDoNotMix sends requests of different fields, bodies and fates over the same
// connections: what one is made of is used again for the next.
func TestRequestsDoNotMix(t *testing.T) {
	up := origin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Seen", r.Header.Get("X-Own")+"|"+r.Header.Get("X-Other")+"|"+r.RequestURI)
	})
	pool := newPool(t, func(c *api.Config) {
		c.Slot = hooktest.Slot(7, &hooktest.Policy{Request: func(r *policy.Request, d *policy.Decision) {
			switch r.Path {
			case "/denied":
				d.Action, d.RetryAfter = policy.ActionDeny, time.Second
			case "/held":
				d.Action, d.Delay = policy.ActionDelay, 10*time.Millisecond
			}
		}})
	})
	_, addr := start(t, Config{Routes: upRoute(t, up.URL), Pool: pool})
	c := client(t)
	for range 20 {
		if res, _ := send(t, c, "GET", "http://"+addr+"/up/a", "X-Own", "1"); res.Header.Get("X-Seen") != "1||/a" || res.Header.Get("Retry-After") != "" {
			t.Fatalf("the first: %v", res.Header)
		}
		if res, _ := send(t, c, "GET", "http://"+addr+"/up/denied", "X-Other", "2"); res.StatusCode != 429 || res.Header.Get("Retry-After") != "1" || res.Header.Get("X-Seen") != "" {
			t.Fatalf("the denied: %v", res.Header)
		}
		if res, _ := send(t, c, "POST", "http://"+addr+"/up/held?q", "X-Other", "3"); res.Header.Get("X-Seen") != "|3|/held?q" || res.Header.Get("Gaia-Wait") == "" {
			t.Fatalf("the held: %v", res.Header)
		}
		if res, _ := send(t, c, "GET", "http://"+addr+"/nowhere"); res.StatusCode != 404 || res.Header.Get("Gaia-Wait") != "" {
			t.Fatalf("the lost: %v", res.Header)
		}
	}
}
