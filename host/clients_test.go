package host

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

// A thousand clients at once: each is answered.
func TestThousandClients(t *testing.T) {
	th := run(t, map[string]string{"std/per-host": ""}, "routes.up.url="+plainUpstream(t), "policies.per-host.params.rate=100000")
	if got := hammer(t, th.client, "http://"+th.Addr()+"/up/", 1000, 3000); got[200] != 3000 {
		t.Errorf("3000 requests of 1000 clients: %v", got)
	}
}

// Clients that leave while they wait give their tokens back: those that come after
// do not wait for them.
func TestVanishedClientsGiveTheirTokensBack(t *testing.T) {
	var served atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
	defer srv.Close()
	th := run(t, map[string]string{"p.js": `
import { limiter } from "gaia";
const l = limiter.tokenBucket("l", { rate: 5, burst: 1, maxWait: "60s" });
export function onRequest() { return l.admit(); }`}, "routes.up.url="+srv.URL)
	if code, _, _ := th.get("/up/"); code != 200 {
		t.Fatal(code)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 50 { // they reserve the next ten seconds
		wg.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+th.Addr()+"/up/", nil)
			if res, err := th.client.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
	testkit.Until(t, "50 waiting", func() bool { return th.Status().Subsystems["api"]["queued"] >= 45 })
	cancel()
	wg.Wait()
	testkit.Until(t, "nobody waiting", func() bool { return th.Status().Subsystems["api"]["queued"] == 0 })
	began := time.Now()
	if code, _, _ := th.get("/up/"); code != 200 {
		t.Error(code)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the next client waited %v for those that left", took)
	}
	if n := served.Load(); n > 10 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

// What an upstream says about its limits is waited out by the standard policy, in
// seconds and as a date.
func TestRetryAfterIsWaitedOut(t *testing.T) {
	for name, field := range map[string]func() string{
		"seconds": func() string { return "1" },
		"date":    func() string { return time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n, refused atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if n.Add(1) == 1 {
					refused.Add(1)
					w.Header().Set("Retry-After", field())
					w.WriteHeader(429)
				}
			}))
			defer srv.Close()
			th := run(t, map[string]string{"std/retry-after": ""}, "routes.up.url="+srv.URL)
			if got := hammer(t, th.client, "http://"+th.Addr()+"/up/", 4, 12); got[200] != 12 {
				t.Errorf("12 requests: %v", got)
			}
			if refused.Load() != 1 {
				t.Errorf("%d refusals", refused.Load())
			}
		})
	}
}
