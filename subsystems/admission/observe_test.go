package admission

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// watcher writes down what it is told.
type watcher struct{ said []string }

func (w *watcher) Decided(_ int64, op *Op, v Verdict) {
	key, cost, _ := op.Asked()
	w.said = append(w.said, fmt.Sprintf("decided %d %v %s/%d", op.Req.Attempt, v.Kind, key, cost))
	if v.Kind != Denied {
		op.See(op.Req.Attempt)
	}
}

func (w *watcher) Answered(_ int64, op *Op, res *policy.Response, again bool) {
	w.said = append(w.said, fmt.Sprintf("answered %v %d %v", op.Seen(), res.Status, again))
}

func (w *watcher) Ended(_ int64, op *Op, res *policy.Response) {
	how := "canceled"
	switch {
	case res != nil:
		how = fmt.Sprint(res.Status)
	case op.Denial.Status != 0:
		how = op.Denial.Kind.String()
	}
	w.said = append(w.said, fmt.Sprintf("ended %v %s", op.Seen(), how))
}

func (w *watcher) want(t *testing.T, lines ...string) {
	t.Helper()
	if got, want := strings.Join(w.said, "; "), strings.Join(lines, "; "); got != want {
		t.Errorf("told\n  %s\nwant\n  %s", got, want)
	}
	w.said = nil
}

// Every attempt is told of once at its decision and once at its end, with what it was
// asked with.
func TestObserver(t *testing.T) {
	verdict := func(d *policy.Decision) { d.Action, d.Key, d.Cost, d.HasCost = policy.ActionAllow, "other", 9, true }
	p := &testPolicy{name: "p", onRequest: func(_ *policy.Request, d *policy.Decision) error { verdict(d); return nil }}
	r := newRig(t, func(c *Config) { c.Limits.PerKey.Concurrency, c.MaxWait = 1, time.Second }, p)
	w := &watcher{}
	r.c.Observe(w)

	op := r.op("k")
	r.begin(op, Go)
	r.c.Started(r.now, op)
	if !r.c.Answered(r.now, op, &policy.Response{Status: 429, RetryAfter: 100 * time.Millisecond}) {
		t.Fatal("not tried again")
	}
	r.c.Settle(r.now, op, &policy.Response{Status: 429}, nil)
	r.c.Again(r.now, op)
	w.want(t, "decided 1 0 k/1", "answered 1 429 true", "ended 1 429")
	r.now += second / 5
	r.wake(op, Go)
	w.want(t, "decided 2 0 k/1")

	queued := r.op("k")
	r.begin(queued, Queued)
	r.now += 2 * second
	r.wake(queued, Denied)
	w.want(t, "decided 1 2 k/1", "ended 1 queue")
	queued.Free()

	left := r.op("k")
	r.begin(left, Queued)
	r.c.Cancel(r.now, left, nil)
	w.want(t, "decided 1 2 k/1", "ended 1 canceled")
	left.Free()
	r.end(op, policy.Response{Status: 200})
	w.want(t, "ended 2 200")
	op.Free()

	verdict = func(d *policy.Decision) { d.Action = policy.ActionDeny }
	denied := r.op("k")
	r.begin(denied, Denied)
	denied.Free()
	w.want(t, "decided 1 3 k/1")
	dry := r.op("k")
	dry.Req.Dry = struct{}{}
	r.c.Begin(r.now, dry)
	dry.Free()
	w.want(t)
}

func TestSaidBy(t *testing.T) {
	taken := []policy.Entry{{OK: true, Policy: "p", Wait: 3 * time.Second}, {OK: true, Wait: time.Hour}, {Policy: "p", Wait: time.Hour}}
	for _, c := range []struct {
		d    policy.Decision
		es   []policy.Entry
		want Said
	}{
		{want: Said{}},
		{d: policy.Decision{Action: policy.ActionDeny, Upstream: "a"}, es: taken, want: Said{Deny: true}},
		{d: policy.Decision{Action: policy.ActionDelay, Delay: time.Second}, want: Said{Delay: time.Second}},
		{d: policy.Decision{Upstream: "a"}, es: taken, want: Said{Delay: 3 * time.Second, Upstream: "a"}},
		{d: policy.Decision{Action: policy.ActionDelay, Delay: time.Hour}, want: Said{Deny: true}},
	} {
		if got := SaidBy(&c.d, c.es, time.Minute); got != c.want {
			t.Errorf("%+v said %+v, want %+v", c.d, got, c.want)
		}
	}
}

// viewer keeps what it is shown of the upstreams.
type viewer struct {
	watcher
	view []policy.Upstream
}

func (w *viewer) Decided(now int64, op *Op, _ Verdict) { w.view = op.View(now, w.view[:0]) }

// An observer sees the upstreams as the route hook does, before the attempt took of them,
// whether there is such a hook or not.
func TestObserverSeesUpstreams(t *testing.T) {
	var hook []policy.Upstream
	p := &testPolicy{name: "p", onRoute: func(_ *policy.Request, ups []policy.Upstream, _ *policy.Decision) error {
		hook = append(hook[:0], ups...)
		return nil
	}}
	limits := func(c *Config) {
		c.Limits.PerUpstream, c.Retry.Base = Limit{Rate: 1, Per: time.Hour, Burst: 5}, 0
	}
	var seen [2]string
	for i, r := range []*rig{newRig(t, limits, p), newRig(t, limits)} {
		w := &viewer{}
		r.c.Observe(w)
		g := group(t, "a", "b")
		res := policy.Response{Error: policy.ErrorRefused}
		op := r.op("k")
		op.Group, op.Idempotent, op.Replayable = g, true, true
		r.begin(op, Go)
		seen[i] = fmt.Sprintf("%+v", w.view)
		if i == 0 && fmt.Sprintf("%+v", hook) != seen[i] {
			t.Errorf("the observer saw\n%s\nthe hook\n%+v", seen[i], hook)
		}
		if len(w.view) != 2 || w.view[0].Remaining != 4 || !w.view[0].Healthy {
			t.Errorf("%+v", w.view)
		}
		r.c.Started(r.now, op)
		if !r.c.Answered(r.now, op, &res) {
			t.Fatal("not tried again")
		}
		r.c.Settle(r.now, op, &res, nil)
		r.c.Again(r.now, op)
		seen[i] += fmt.Sprintf("%+v", w.view)
		if w.view[0].Healthy || w.view[0].Remaining != 3 || w.view[1].Remaining != 4 {
			t.Errorf("after a failure: %+v", w.view)
		}
		r.c.Cancel(r.now, op, nil)
		op.Free()
		op = r.op("k")
		r.begin(op, Go)
		if len(w.view) != 0 {
			t.Errorf("without a group: %+v", w.view)
		}
	}
	if seen[0] != seen[1] {
		t.Errorf("with a hook\n%s\nwithout\n%s", seen[0], seen[1])
	}
}
