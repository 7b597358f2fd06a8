package gateway

import (
	"net/url"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/host/gateway/gatewaytest"
	"github.com/gaia-host/gaia/subsystems/api"
)

func TestAcceptance(t *testing.T) { gatewaytest.Run(t, startForSuite) }

func startForSuite(tb testing.TB, c gatewaytest.Config) string {
	holds := &holder{c: c}
	pool := newPool(tb, func(a *api.Config) {
		a.Slot = hooktest.Slot(7, &hooktest.Policy{Request: holds.onRequest})
		a.MaxIdleConnsPerHost = 1000
		if c.DialTimeout > 0 {
			a.DialTimeout = c.DialTimeout
		}
		if c.HeaderTimeout > 0 {
			a.HeaderTimeout = c.HeaderTimeout
		}
	})
	cfg := Config{
		Pool: pool, ForwardProxy: c.ForwardProxy, MaxHeaderBytes: c.MaxHeaderBytes,
		ReadHeaderTimeout: c.ReadHeaderTimeout, MaxRequestBody: c.MaxRequestBody,
	}
	for _, r := range c.Routes {
		u, err := url.Parse(r.Upstream)
		if err != nil {
			tb.Fatal(err)
		}
		g, err := route.NewGroup([]route.Upstream{{Name: r.Name, URL: u, Weight: 1}}, nil)
		if err != nil {
			tb.Fatal(err)
		}
		cfg.Routes = append(cfg.Routes, Route{Name: r.Name, PathPrefix: r.PathPrefix, StripPrefix: r.Strip, Group: g})
	}
	_, addr := start(tb, cfg)
	return addr
}

// holder holds what asks for it, and learns from what it took being given back that
// the caller has left.
type holder struct{ c gatewaytest.Config }

func (h *holder) onRequest(r *policy.Request, _ *policy.Decision) {
	v, ok := r.HeaderValue(gatewaytest.HoldField)
	if !ok {
		return
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		return
	}
	r.Ledger.Add(policy.Entry{From: h, Limiter: "hold", OK: true, Wait: d, Taken: r.Now, Remaining: -1})
	if h.c.Held != nil {
		h.c.Held()
	}
}

// GiveBack implements policy.Taker.
func (h *holder) GiveBack(int64, string, int64, int64) {
	if h.c.Cancelled != nil {
		h.c.Cancelled()
	}
}

// Release implements policy.Taker.
func (h *holder) Release(int64, string, int64) {}

// Settle implements policy.Taker.
func (h *holder) Settle(int64, string, int64, int64, int64) {}
