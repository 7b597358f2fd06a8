package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// goPolicy is a policy of functions that remembers what it was asked and told.
type goPolicy struct {
	policy.Base
	mu     sync.Mutex
	asked  []policy.Request
	told   []policy.Response
	fields []string // "Reason" of each response
	on     func(*policy.Request, *policy.Decision)
	answer func(*policy.Response, *policy.Decision)
}

func (p *goPolicy) Name() string { return "p" }
func (p *goPolicy) Hooks() policy.Hooks {
	return policy.HooksOf(policy.HookRequest, policy.HookResponse)
}

func (p *goPolicy) OnRequest(r *policy.Request, d *policy.Decision) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, *r)
	if p.on != nil {
		p.on(r, d)
	}
	return nil
}

func (p *goPolicy) OnResponse(_ *policy.Request, res *policy.Response, d *policy.Decision) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, *res)
	reason, _ := res.HeaderValue("Reason")
	p.fields = append(p.fields, reason)
	if p.answer != nil {
		p.answer(res, d)
	}
	return nil
}

func TestAPolicyIsAskedAndTold(t *testing.T) {
	pol := &goPolicy{on: func(r *policy.Request, d *policy.Decision) {
		switch r.Key {
		case "false":
			d.Action, d.Status, d.Reason = policy.ActionDeny, 403, "not this one"
		case "sleep":
			d.Action, d.Timeout = policy.ActionAllow, 50*time.Millisecond
		}
	}}
	m := newManager(t, func(c *Config) { c.Slot = hooktest.Slot(1, pol) })
	_, err := m.Launch(within(t), Spec{Args: []string{"/bin/false"}})
	var denied *admission.DeniedError
	if !errors.As(err, &denied) || denied.Status != 403 || denied.Reason != "not this one" {
		t.Fatalf("denied: %v", err)
	}
	if _, e := runToEnd(t, m, Spec{Args: []string{"sleep", "600"}, Tenant: "t", Labels: map[string]string{"class": "x"}}); e.Reason != ReasonTimeout {
		t.Errorf("a policy's timeout: %v", e.String())
	}
	runToEnd(t, m, Spec{Args: sh("exit 7")})
	pol.mu.Lock()
	defer pol.mu.Unlock()
	q := pol.asked[1]
	if q.Subsystem != "process" || q.Action != "start" || q.Key != "sleep" || !strings.HasSuffix(q.Path, "/sleep") || q.Tenant != "t" {
		t.Errorf("asked %+v", q)
	}
	if v, ok := q.HeaderValue("Class"); !ok || v != "x" {
		t.Error("a label is not seen")
	}
	if r := pol.told[0]; r.Error != policy.ErrorTimeout || pol.fields[0] != "timeout" {
		t.Errorf("told %+v", r)
	}
	if r := pol.told[1]; r.Error != "" || r.Status != 7 {
		t.Errorf("told %+v", r)
	}
}

func TestAPolicyMayStartItAgain(t *testing.T) {
	n := 0
	pol := &goPolicy{answer: func(res *policy.Response, d *policy.Decision) {
		if n++; n <= 2 && res.Status == 3 {
			d.Action, d.Delay = policy.ActionRetry, 10*time.Millisecond
		}
	}}
	m := newManager(t, func(c *Config) { c.Slot = hooktest.Slot(1, pol) })
	p, e := runToEnd(t, m, Spec{Args: sh("echo run; exit 3")})
	if got := strings.Count(string(p.Tail(Stdout, 100)), "run"); got != 3 || e.Code != 3 {
		t.Errorf("%d runs, ended %v", got, e.String())
	}
	if s := p.Status(); s.Restarts != 2 {
		t.Errorf("status %+v", s)
	}
}

func TestSlotsAreFreeOnceAProcessHasEnded(t *testing.T) {
	m := newManager(t, func(c *Config) { c.Admission.Limits.Global.Concurrency = 2 })
	for range 6 { // nobody cleans up
		runToEnd(t, m, Spec{Args: []string{"true"}})
	}
	a := launch(t, m, Spec{Args: []string{"sleep", "600"}})
	b := launch(t, m, Spec{Args: []string{"sleep", "600"}})
	started := make(chan *Process)
	go func() {
		p, err := m.Launch(context.Background(), Spec{Args: []string{"true"}})
		if err != nil {
			t.Error(err)
		}
		started <- p
	}()
	testkit.Until(t, "the third waits", func() bool { return m.Stats().Queued == 1 })
	if err := a.Kill(within(t)); err != nil {
		t.Fatal(err)
	}
	wait(t, <-started)
	if err := b.Kill(within(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Launch(ctx, Spec{Args: []string{"true"}}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that has left: %v", err)
	}
}

func TestRestartPolicies(t *testing.T) {
	m := newManager(t, nil)
	quick := Restart{Min: time.Millisecond, Max: 5 * time.Millisecond, MaxFlaps: 3}
	for name, c := range map[string]struct {
		when     When
		script   string
		restarts int
	}{
		"never":            {Never, "exit 1", 0},
		"failure, code 0":  {OnFailure, "exit 0", 0},
		"failure, code 1":  {OnFailure, "exit 1", 3},
		"failure, signal":  {OnFailure, "kill -9 $$", 3},
		"always, a code 0": {Always, "exit 0", 3},
	} {
		t.Run(name, func(t *testing.T) {
			r := quick
			r.When = c.when
			p, _ := runToEnd(t, m, Spec{Args: sh(c.script), Restart: r})
			s := p.Status()
			if s.Restarts != c.restarts || (s.GaveUp != "") != (c.restarts > 0) {
				t.Errorf("status %+v", s)
			}
		})
	}
}

func TestOneThatWasToldToStopIsNotRestarted(t *testing.T) {
	m := newManager(t, nil)
	p := launch(t, m, Spec{Args: []string{"sleep", "600"}, Restart: Restart{When: Always, Min: time.Millisecond}})
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, "it is restarted", func() bool { return p.Status().Restarts == 1 })
	if err := p.Terminate(within(t), 0); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.State != StateEnded || s.Restarts != 1 || s.GaveUp != "" {
		t.Errorf("status %+v", s)
	}
	// while it waits for its restart
	p = launch(t, m, Spec{Args: []string{"false"}, Restart: Restart{When: OnFailure, Min: time.Hour}})
	testkit.Until(t, "it waits", func() bool { return p.Status().State == StateWaiting && !p.Status().Next.IsZero() })
	if err := p.Terminate(within(t), 0); err != nil {
		t.Fatal(err)
	}
}

func TestFollowSeesAllRuns(t *testing.T) {
	m := newManager(t, nil)
	gate := filepath.Join(t.TempDir(), "go")
	p := launch(t, m, Spec{Args: sh(`echo a; until [ -e ` + gate + ` ]; do sleep 0.01; done; exit 1`),
		Restart: Restart{When: OnFailure, Min: time.Millisecond, MaxFlaps: 1}})
	r := p.Follow(within(t), Stdout, 100)
	buf := make([]byte, 100)
	if n, err := r.Read(buf); err != nil || string(buf[:n]) != "a\n" {
		t.Fatalf("live: %q %v", buf[:n], err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Follow(ctx, Stderr, 0).Read(buf); !errors.Is(err, context.Canceled) {
		t.Errorf("a follower that leaves: %v", err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var rest strings.Builder
	for {
		n, err := r.Read(buf)
		rest.Write(buf[:n])
		if err != nil {
			break
		}
	}
	if rest.String() != "a\n" {
		t.Errorf("the second run: %q", rest.String())
	}
}

func TestConfigIsChecked(t *testing.T) {
	c := DefaultConfig()
	c.Ring, c.LogBytes, c.Tick, c.Grace = -1, 1, 0, -1
	if _, err := New(c); err == nil || strings.Count(err.Error(), "must be") != 4 {
		t.Errorf("got %v", err)
	}
	m, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Launch(t.Context(), Spec{Args: []string{"true"}}); !errors.Is(err, ErrStopped) {
		t.Errorf("before Start: %v", err)
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	m = newManager(t, nil)
	c = DefaultConfig()
	c.Grace = time.Millisecond
	if err := m.SetConfig(c); err != nil || m.liveConfig().Grace != time.Millisecond {
		t.Errorf("SetConfig: %v", err)
	}
}

func TestManagerHammer(t *testing.T) {
	m := newManager(t, func(c *Config) { c.Tick = 10 * time.Millisecond; c.History = 8 })
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 12 {
				p, err := m.Launch(context.Background(), Spec{Args: sh("echo x; sleep 0.0" + string(rune('0'+i%5)))})
				if err != nil {
					t.Error(err)
					return
				}
				switch (w + i) % 4 {
				case 0:
					_ = p.Kill(context.Background())
				case 1:
					_ = p.Terminate(context.Background(), time.Second)
				case 2:
					_ = p.Signal(syscall.SIGHUP)
				}
				_ = p.Status()
				m.List()
				<-p.Done()
			}
		})
	}
	wg.Wait()
	if n := m.Stats(); n.Running != 0 || n.InFlight != 0 || n.Starts != 96 {
		t.Errorf("%+v", n)
	}
}
