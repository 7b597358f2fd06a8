package admission

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"go.uber.org/goleak"
)

const t0 = int64(1_700_000_000_000_000_000)

const second = int64(time.Second)

// testPolicy answers hooks with functions.
type testPolicy struct {
	policy.Base
	name       string
	onRequest  func(*policy.Request, *policy.Decision) error
	onRoute    func(*policy.Request, []policy.Upstream, *policy.Decision) error
	onResponse func(*policy.Request, *policy.Response, *policy.Decision) error
	onDone     func(*policy.Request, *policy.Response) error
}

func (p *testPolicy) Name() string { return p.name }

func (p *testPolicy) Hooks() policy.Hooks {
	hooks := policy.Hooks(0)
	if p.onRequest != nil {
		hooks |= policy.HooksOf(policy.HookRequest)
	}
	if p.onRoute != nil {
		hooks |= policy.HooksOf(policy.HookRoute)
	}
	if p.onResponse != nil {
		hooks |= policy.HooksOf(policy.HookResponse)
	}
	if p.onDone != nil {
		hooks |= policy.HooksOf(policy.HookDone)
	}
	return hooks
}

func (p *testPolicy) OnRequest(r *policy.Request, d *policy.Decision) error { return p.onRequest(r, d) }

func (p *testPolicy) OnRoute(r *policy.Request, u []policy.Upstream, d *policy.Decision) error {
	return p.onRoute(r, u, d)
}

func (p *testPolicy) OnResponse(r *policy.Request, res *policy.Response, d *policy.Decision) error {
	return p.onResponse(r, res, d)
}

func (p *testPolicy) OnDone(r *policy.Request, res *policy.Response) error { return p.onDone(r, res) }

// rig is a Core with a virtual clock.
type rig struct {
	*testing.T
	c      *Core
	now    int64
	faults []*policy.Fault
}

func newRig(t *testing.T, change func(*Config), ps ...*testPolicy) *rig {
	t.Helper()
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	r := &rig{T: t, now: t0}
	slot := &policy.Slot{}
	var members []*policy.Member
	for _, p := range ps {
		members = append(members, policy.NewMember(p, policy.MemberConfig{OnFault: func(f *policy.Fault) { r.faults = append(r.faults, f) }}))
	}
	if len(members) > 0 {
		slot.Swap(policy.NewGeneration(7, policy.NewChain(members...)))
	}
	c, err := New(Options{Subsystem: policy.SubsystemAPI, Slot: slot, Config: cfg, Random: func() float64 { return 0.5 }})
	if err != nil {
		t.Fatal(err)
	}
	r.c = c
	return r
}

func (r *rig) op(key string) *Op {
	op := r.c.NewOp()
	op.Req.Key, op.Req.Host, op.Replayable, op.Idempotent = key, key, true, true
	return op
}

func (r *rig) begin(op *Op, want VerdictKind) Verdict {
	r.Helper()
	v := r.c.Begin(r.now, op)
	if v.Kind != want {
		r.Fatalf("Begin: verdict %v, want %v; denial %+v", v.Kind, want, op.Denial)
	}
	return v
}

func (r *rig) wake(op *Op, want VerdictKind) Verdict {
	r.Helper()
	v := r.c.Wake(r.now, op)
	if v.Kind != want {
		r.Fatalf("Wake: verdict %v, want %v; denial %+v", v.Kind, want, op.Denial)
	}
	return v
}

// end starts and settles an admitted op and returns those it lets go.
func (r *rig) end(op *Op, res policy.Response) []*Op {
	r.c.Started(r.now, op)
	return r.c.Settle(r.now, op, &res, nil)
}

func (r *rig) denied(op *Op, kind Kind, status int) {
	r.Helper()
	if d := op.Denial; d.Kind != kind || d.Status != status {
		r.Errorf("denial %+v, want %v %d", d, kind, status)
	}
	if d := op.Denial; (d.Status == 429 || d.Status == 503) && d.RetryAfter < time.Second {
		r.Errorf("status %d with Retry-After %v", d.Status, d.RetryAfter)
	}
}

// taker returns a policy that takes one unit of l and returns what fits.
func taker(l limit.Limiter, then func(policy.Entry, *policy.Decision)) *testPolicy {
	return &testPolicy{name: "p", onRequest: func(req *policy.Request, d *policy.Decision) error {
		res := l.Take(req.Now, req.Key, req.Cost, -1)
		e := policy.Entry{Limiter: "p/l", Policy: "p", Key: req.Key, Cost: req.Cost, Taken: req.Now,
			OK: res.OK, Wait: res.Wait, Limit: res.Limit, Remaining: res.Remaining, Reset: res.Reset}
		if res.OK {
			e.From = l
		}
		req.Ledger.Add(e)
		then(e, d)
		return nil
	}}
}

func bucket(t testing.TB, rate float64, burst int64, maxWait time.Duration) limit.Limiter {
	l, err := limit.New(limit.TokenBucket, limit.Params{Rate: rate, Burst: burst, MaxWait: maxWait})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func group(t testing.TB, names ...string) *route.Group {
	t.Helper()
	var ups []route.Upstream
	for _, n := range names {
		u, _ := url.Parse("http://" + n + ".example")
		weight := 1
		if strings.HasPrefix(n, "z") {
			weight = 0
		}
		ups = append(ups, route.Upstream{Name: n, URL: u, Weight: weight})
	}
	g, err := route.NewGroup(ups, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type headers map[string]string

func (h headers) Lookup(name string) (string, bool) { v, ok := h[name]; return v, ok }
