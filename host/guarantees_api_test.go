package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/admission"
	"github.com/gaia-host/gaia/subsystems/api"
)

// apiGuarantees are the guarantees 1 to 9.
func apiGuarantees() []guarantee {
	return []guarantee{
		{1, "one-global-rate-holds-over-all-hosts-together", globalRateHolds},
		{2, "a-rate-below-ten-admits-and-goes-on-admitting", smallRatesAdmit},
		{3, "what-is-admitted-stays-within-burst-plus-rate-times-time", rateIsABound},
		{4, "calls-to-one-host-share-its-connections", connectionsAreShared},
		{5, "a-stop-lets-calls-end-and-later-calls-are-denied", stopLetsCallsEnd},
		{6, "a-caller-that-leaves-is-no-failure-of-the-upstream", leavingIsNoFailure},
		{7, "a-half-open-breaker-lets-only-its-probes-through", halfOpenLetsProbesThrough},
		{8, "keys-are-hosts-without-query-case-or-password-and-bounded", keysAreHosts},
		{9, "a-429-is-waited-out-bodies-are-bounded-and-counts-are-true", tooManyIsWaitedOut},
	}
}

// call sends a GET with the pool and reads the answer to its end.
func (th *testHost) call(ctx context.Context, target, key string) (int, error) {
	u, err := url.Parse(target)
	if err != nil {
		return 0, err
	}
	res, err := th.API().Do(ctx, &api.Call{URL: u, Key: key})
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// admitted counts the calls of n that were let go, each with a key of its own.
func (th *testHost) admitted(n int, target string) (ok int) {
	th.t.Helper()
	for i := range n {
		code, err := th.call(th.t.Context(), target, fmt.Sprint("host-", i))
		switch {
		case err == nil && code == 200:
			ok++
		case api.IsDenied(err) == nil:
			th.t.Fatalf("call %d: %d %v", i, code, err)
		}
	}
	return ok
}

func globalRateHolds(t *testing.T) {
	th := run(t, nil, "limits.api.global.rate=100", "limits.api.global.burst=100", "limits.api.global.max_wait=0s")
	up := plainUpstream(t)
	began := time.Now()
	ok := th.admitted(200, up)
	if most := 101 + int(100*time.Since(began).Seconds()); ok < 100 || ok > most {
		t.Errorf("%d of 200 hosts were let go, the bound is 100 and at most %d by now", ok, most)
	}
}

func smallRatesAdmit(t *testing.T) {
	th := run(t, nil, "limits.api.global.rate=5", "limits.api.global.max_wait=0s")
	up := plainUpstream(t)
	if ok := th.admitted(20, up); ok < 5 {
		t.Errorf("a rate of 5 let %d of 20 go", ok)
	}
	testkit.Until(t, "a spent rate of 5 admits again", func() bool { return th.admitted(1, up) != 0 })
	half := run(t, nil, "limits.api.global.rate=0.5", "limits.api.global.max_wait=0s")
	if ok := half.admitted(3, up); ok < 1 {
		t.Error("a rate of one in two seconds admits nothing")
	}
}

func rateIsABound(t *testing.T) {
	const rate = 200
	th := run(t, nil, fmt.Sprintf("limits.api.global.rate=%d", rate), "limits.api.global.burst=1", "limits.api.global.max_wait=0s")
	up := plainUpstream(t)
	began, ok := time.Now(), 0
	for time.Since(began) < 2*time.Second {
		ok += th.admitted(1, up)
	}
	if most := 2 + int(rate*time.Since(began).Seconds()); ok > most {
		t.Errorf("%d were let go in %v, the bound is %d", ok, time.Since(began), most)
	}
}

func connectionsAreShared(t *testing.T) {
	base, ca := nginx(t, 0)
	th := run(t, nil, "api.ca_file="+ca)
	for range 100 {
		if code, err := th.call(t.Context(), base+"/", ""); err != nil || code != 200 {
			t.Fatal(code, err)
		}
	}
	if n := th.API().Stats().ConnectionsOpened; n != 1 {
		t.Errorf("100 calls one after the other opened %d connections", n)
	}
	th.Stop(t.Context())
	if n := th.API().Stats().Connections; n != 0 {
		t.Errorf("%d connections are open after the stop", n)
	}
}

func stopLetsCallsEnd(t *testing.T) {
	arrived, release := make(chan struct{}, 8), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			arrived <- struct{}{}
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "late")
	}))
	defer up.Close()
	th := run(t, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if code, err := th.call(context.Background(), up.URL+"/", ""); err != nil || code != 200 {
				t.Errorf("a call under way: %d %v", code, err)
			}
		})
	}
	for range 8 {
		<-arrived
	}
	stopped := make(chan error, 1)
	go func() { stopped <- th.Stop(context.Background()) }()
	for denied := false; !denied; { // until the stop has begun
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		_, err := th.call(ctx, up.URL+"/late", "")
		denied = errors.Is(err, admission.ErrDenied) && api.IsDenied(err).Kind == admission.KindClosed
		cancel()
	}
	close(release)
	wg.Wait()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := th.call(context.Background(), up.URL, ""); !errors.Is(err, admission.ErrDenied) {
		t.Errorf("a call after the stop: %v", err)
	}
}

func leavingIsNoFailure(t *testing.T) {
	arrived := make(chan struct{}, 1)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			arrived <- struct{}{}
			<-r.Context().Done()
		}
	}))
	defer up.Close()
	th := run(t, nil)
	for range 12 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		if _, err := th.call(ctx, up.URL+"/hang", ""); err == nil {
			t.Fatal("it hung and came back")
		}
		cancel()
	}
	for range 12 {
		if _, err := th.call(t.Context(), "bad://"+strings.TrimPrefix(up.URL, "http://"), ""); err == nil {
			t.Fatal("a URL that cannot be called was called")
		}
	}
	if code, err := th.call(t.Context(), up.URL, ""); err != nil || code != 200 {
		t.Errorf("after callers that left: %d %v", code, err)
	}
	if s := th.API().Stats(); s.BreakerOpened != 0 || s.Failed != 0 || s.Canceled != 12 {
		t.Errorf("opened %d, failed %d, canceled %d", s.BreakerOpened, s.Failed, s.Canceled)
	}
}

func halfOpenLetsProbesThrough(t *testing.T) {
	var failing, holding atomic.Bool
	var inside atomic.Int64
	release := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if holding.Load() {
			inside.Add(1)
			<-release
		}
		if failing.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer up.Close()
	th := run(t, nil, "api.max_attempts=1", "api.breaker.consecutive=3", "api.breaker.open_for=300ms", "api.breaker.half_open=2")
	open := func() {
		failing.Store(true)
		for range 3 {
			_, _ = th.call(t.Context(), up.URL, "")
		}
		failing.Store(false)
	}
	denied := func() bool {
		_, err := th.call(t.Context(), up.URL, "")
		d := api.IsDenied(err)
		return d != nil && d.Kind == admission.KindBreaker
	}
	open()
	if !denied() {
		t.Fatal("three failures in a row did not open the breaker")
	}
	<-time.After(400 * time.Millisecond)
	holding.Store(true)
	var let, refused atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if denied() {
				refused.Add(1)
			} else {
				let.Add(1)
			}
		})
	}
	testkit.Until(t, "all but two are refused", func() bool { return refused.Load() >= 198 })
	close(release)
	wg.Wait()
	holding.Store(false)
	if let.Load() != 2 || inside.Load() != 2 {
		t.Errorf("half-open it let %d go and %d arrived, want 2", let.Load(), inside.Load())
	}
	if denied() {
		t.Error("two good probes did not close it")
	}
	open()
	<-time.After(400 * time.Millisecond)
	failing.Store(true)
	_, _ = th.call(t.Context(), up.URL, "") // one bad probe
	failing.Store(false)
	if !denied() {
		t.Error("a bad probe did not open it again")
	}
}

func keysAreHosts(t *testing.T) {
	up := plainUpstream(t)
	port := up[strings.LastIndexByte(up, ':')+1:]
	th := run(t, map[string]string{"p.js": `
export const options = { match: { subsystem: "api" } };
const seen = {};
import { counter } from "gaia";
const keys = counter("keys");
export function onRequest(req) { if (!seen[req.key]) { seen[req.key] = 1; keys.add(1); } }`}, "limits.api.per_key.rate=1000000", "limits.api.max_keys=64")
	for i := range 300 {
		for _, form := range []string{"http://127.0.0.1:%s/?q=%d", "http://user:secret@127.0.0.1:%s/p%d"} {
			if _, err := th.call(t.Context(), fmt.Sprintf(form, port, i), ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, form := range []string{"http://LOCALHOST:%s?x=1", "HTTP://localhost:%s"} {
		if _, err := th.call(t.Context(), fmt.Sprintf(form, port), ""); err != nil {
			t.Fatal(err)
		}
	}
	if n := policyValue(t, th, "keys"); n != 2 {
		t.Errorf("policies saw %v keys, want 2: 127.0.0.1 and localhost", n)
	}
	if n := th.API().Stats().Keys; n > 2 {
		t.Errorf("%d keys are kept", n)
	}
}

// policyValue is a number that a policy keeps.
func policyValue(t *testing.T, th *testHost, name string) float64 {
	t.Helper()
	mfs, err := th.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, mf := range mfs {
		for _, m := range mf.GetMetric() {
			for _, l := range m.GetLabel() {
				if mf.GetName() == "gaia_policy_value" && l.GetName() == "name" && l.GetValue() == name {
					return m.GetGauge().GetValue()
				}
			}
		}
	}
	t.Fatalf("no policy keeps %s", name)
	return 0
}

func tooManyIsWaitedOut(t *testing.T) {
	var first atomic.Bool
	first.Store(true)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/pace" && first.Swap(false):
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		case r.URL.Path == "/missing":
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Path == "/long":
			_, _ = io.Copy(w, io.LimitReader(zeros{}, 4<<20))
		}
	}))
	defer up.Close()
	th := run(t, nil, "api.max_response_body=1MiB", "limits.api.global.rate=50", "limits.api.global.burst=1")
	began := time.Now()
	if code, err := th.call(t.Context(), up.URL+"/pace", ""); err != nil || code != 200 {
		t.Errorf("a 429 with Retry-After: %d %v", code, err)
	}
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("Retry-After: 1 was waited for %v", took)
	}
	if code, err := th.call(t.Context(), up.URL+"/missing", ""); err != nil || code != 404 {
		t.Errorf("a 404: %d %v", code, err)
	}
	var e *api.Error
	if _, err := th.call(t.Context(), up.URL+"/long", ""); !errors.As(err, &e) || e.Kind != policy.ErrorTooLarge {
		t.Errorf("4 MiB of a bound of 1 MiB: %v", err)
	}
	s := th.API().Stats()
	if s.Requests != 3 || s.Started != 4 || s.Succeeded != 2 || s.Failed != 0 || s.Upstream429 != 1 || s.Retried != 1 || s.AllDenied() != 0 {
		t.Errorf("counts: %+v", s)
	}
	if s.Waits == 0 {
		t.Error("the configured limit denied instead of waiting")
	}
}

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
