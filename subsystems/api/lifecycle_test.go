package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestStopDrains(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan struct{})
	u := testkit.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		close(arrived)
		<-release
		fmt.Fprint(w, "whole")
	})
	p := newPool(t, nil, nil)
	got := make(chan string, 1)
	go func() {
		res, err := p.Do(context.Background(), &Call{URL: u})
		if err != nil {
			got <- err.Error()
			return
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		got <- string(b)
	}()
	<-arrived
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop(context.Background()) }()
	var d *admission.DeniedError
	for d == nil { // until Stop has closed the door
		res, err := p.Do(t.Context(), &Call{URL: testkit.URL(t, "http://127.0.0.1:1/"), Timeout: time.Second})
		if err == nil {
			res.Body.Close()
		}
		d = IsDenied(err)
	}
	if d.Status != 503 || d.Kind != admission.KindClosed && d.Kind != admission.KindBreaker {
		t.Errorf("denial %+v", d.Denial)
	}
	select {
	case <-stopped:
		t.Error("Stop did not wait for the call")
	default:
	}
	close(release)
	if body := <-got; body != "whole" {
		t.Errorf("the call under way got %q", body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestStopCutsWhatIsLeft(t *testing.T) {
	u := testkit.Connections(t, func(c net.Conn, _ int) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		_, _ = io.Copy(io.Discard, c) // until cut
	})
	cfg := DefaultConfig()
	cfg.Admission.Limits.Global = admission.Limit{Rate: 0.1, Burst: 1, MaxWait: admission.Patient}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.Do(t.Context(), &Call{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	held := make(chan error, 1)
	go func() {
		_, err := p.Do(context.Background(), &Call{URL: u})
		held <- err
	}()
	testkit.Until(t, "the call is held", func() bool { return p.Stats().Queued != 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop: %v", err)
	}
	if _, err := io.ReadAll(res.Body); kind(err) != policy.ErrorReset {
		t.Errorf("the body that was cut: %v", err)
	}
	res.Body.Close()
	if d := IsDenied(<-held); d == nil || d.Kind != admission.KindClosed {
		t.Errorf("the held call: %+v", d)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("Stop again: %v", err)
	}
}

func TestVanishedCallersGiveTheirTokensBack(t *testing.T) {
	u := testkit.Serve(t, func(http.ResponseWriter, *http.Request) {})
	l, err := limit.New(limit.TokenBucket, limit.Params{Rate: 1, Burst: 1, MaxWait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, &hooktest.Policy{Request: func(r *policy.Request, _ *policy.Decision) {
		if res := l.Take(r.Now, "", 1, -1); res.OK {
			r.Ledger.Add(policy.Entry{From: l, Limiter: "p/l", Policy: "p", Cost: 1, Taken: r.Now, OK: true, Wait: res.Wait})
		}
	}}, nil)
	text(t, p, &Call{URL: u})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := p.Do(ctx, &Call{URL: u}); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	testkit.Until(t, "50 callers wait", func() bool { return p.Stats().Queued >= 50 })
	cancel()
	wg.Wait()
	if r := l.Peek(p.driver.Now(), "", 1); r.Wait > time.Second {
		t.Errorf("after all have left the next waits %v", r.Wait)
	}
}

func TestAThousandCallers(t *testing.T) {
	var running, most atomic.Int64
	u := testkit.Serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n := running.Add(1)
		for have := most.Load(); n > have && !most.CompareAndSwap(have, n); have = most.Load() {
		}
		fmt.Fprint(w, "ok")
		running.Add(-1)
	})
	p := newPool(t, nil, func(c *Config) { c.Admission.Limits.PerUpstream = admission.Limit{Concurrency: 20} })
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if status, body := text(t, p, &Call{URL: u}); status != 200 || body != "ok" {
				t.Errorf("%d %q", status, body)
			}
		})
	}
	wg.Wait()
	if s := p.Stats(); s.Succeeded != 1000 || s.ConnectionsOpened > 40 || most.Load() > 20 {
		t.Errorf("%d at once; stats %+v", most.Load(), s)
	}
}
