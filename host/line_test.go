package host

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
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

// A line does the same in JavaScript and in Wasm: who finds the slots taken leaves it in
// order of arrival, or the more urgent first.
func TestLinesOfBothEngines(t *testing.T) {
	for _, file := range []string{"policy.js", "policy.wasm"} {
		for op, want := range map[string]string{"admitLine": "2 7 4", "admitUrgent": "7 4 2"} {
			t.Run(file+" "+op, func(t *testing.T) {
				t.Parallel()
				linesUp(t, filepath.Join("..", "extensions", "policytest", "conformance", file), op, want)
			})
		}
	}
}

// linesUp sends more at once than there are slots, and the others with a priority of 2, 7
// and 4, one after the other.
func linesUp(t *testing.T, file, op, want string) {
	arrived, free := make(chan string, 8), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- r.Header.Get("Which")
		<-free
	}))
	t.Cleanup(up.Close)
	file, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	th := runFiles(t, nil, "routes.api.url="+up.URL, "policies.conform.use="+file, "policies.conform.budget=30s")
	var wg sync.WaitGroup
	send := func(which string) {
		wg.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), op, "http://"+th.Addr()+"/api/", http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header = http.Header{"Arg": {"all"}, "Which": {which}, "Gaia-Priority": {which}}
			res, err := th.client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
				t.Errorf("the one of priority %s: %d", which, res.StatusCode)
			}
		})
	}
	name, slots := "conform/line", 2
	if op == "admitUrgent" {
		name, slots = "conform/urgent", 1
	}
	for range slots {
		send("5")
		<-arrived
	}
	for i, which := range []string{"2", "7", "4"} {
		send(which)
		th.waitFor(which+" in line", func() bool {
			for _, k := range limiterIn(t, th.limits(control.LimitsQuery{}), name, "concurrency").Keys {
				if k.Waiting == int64(i+1) {
					return true
				}
			}
			return false
		})
	}
	var order []string
	for range 3 {
		free <- struct{}{}
		order = append(order, <-arrived)
	}
	close(free)
	wg.Wait()
	if got := strings.Join(order, " "); got != want {
		t.Errorf("they left the line as %s, want %s", got, want)
	}
}
