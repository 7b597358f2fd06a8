package host

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/gaia-host/gaia/host/control"
)

// Two of four requests wait in the line of a policy's limiter; gaia limits shows them,
// one whose caller leaves is forgotten, and the other goes when a slot is free.
func TestRequestsWaitInThePolicysLine(t *testing.T) {
	arrived, free := make(chan struct{}, 4), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-free
	}))
	t.Cleanup(up.Close)
	th := run(t, map[string]string{"p.js": `
import { limiter } from "gaia";
const slots = limiter.concurrency("slots", { max: 2, maxQueue: 5, maxWait: "1m" });
export function onRequest(req) { return slots.admit("all"); }`}, "routes.api.url="+up.URL)
	var wg sync.WaitGroup
	get := func() {
		wg.Go(func() {
			if code, _, body, err := th.try("/api/"); code != 200 {
				t.Error(code, body, err)
			}
		})
	}
	waits := func(n int64) bool {
		for _, k := range limiterIn(t, th.limits(control.LimitsQuery{}), "p/slots", "concurrency").Keys {
			if k.Key == "all" && k.InFlight == 2 && k.Waiting == n {
				return true
			}
		}
		return n == 0
	}
	get()
	get()
	<-arrived
	<-arrived
	get()
	th.waitFor("one in line", func() bool { return waits(1) })
	ctx, leave := context.WithCancel(t.Context())
	wg.Go(func() {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+th.Addr()+"/api/", http.NoBody)
		if err != nil {
			t.Error(err)
			return
		}
		if res, err := th.client.Do(r); err == nil {
			_ = res.Body.Close()
			t.Error("a canceled request was answered")
		}
	})
	th.waitFor("two in line", func() bool { return waits(2) })
	leave()
	th.waitFor("one has left", func() bool { return waits(1) })
	close(free)
	wg.Wait()
	th.waitFor("nobody in line", func() bool {
		l := limiterIn(t, th.limits(control.LimitsQuery{}), "p/slots", "concurrency")
		return len(l.Keys) == 0
	})
}
