package policytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/state"
)

// Reference is the policy that Conform holds engines to, in Go. An engine brings the same policy in its own language; the
// folder conformance has it in JavaScript and in C. The request's method names what to do, the header field arg brings a
// text, attempt and cost bring numbers. It is used by one goroutine at a time.
type Reference struct {
	policy.Base
	call                   *natives.Call
	scope                  *natives.Scope
	bucket, slots, learned *natives.Limiter
	line, urgent           *natives.Limiter
	seen, level            *metrics.Value
}

// NewReference declares the names of the policy in scope. An engine's Open does as much when it loads.
func NewReference(scope *natives.Scope) (*Reference, error) {
	return newReference(scope, limit.Params{Max: 1, MaxQueue: 3, MaxWait: time.Minute, Order: "priority"})
}

func newReference(scope *natives.Scope, urgent limit.Params) (*Reference, error) {
	r := &Reference{call: scope.NewCall(), scope: scope}
	var errs [7]error
	r.bucket, errs[0] = r.call.Limiter(limit.TokenBucket, "bucket", limit.Params{Rate: 5, Per: time.Second, Burst: 10, MaxWait: 1500 * time.Millisecond})
	r.slots, errs[1] = r.call.Limiter(limit.Concurrency, "slots", limit.Params{Max: 3})
	r.learned, errs[2] = r.call.Limiter(limit.Upstream, "learned", limit.Params{MaxWait: 2 * time.Second})
	r.seen, errs[3] = r.call.Metric(metrics.Counter, "seen_total")
	r.level, errs[4] = r.call.Metric(metrics.Gauge, "level")
	r.line, errs[5] = r.call.Limiter(limit.Concurrency, "line", limit.Params{Max: 2, MaxQueue: 4, MaxWait: time.Minute})
	r.urgent, errs[6] = r.call.Limiter(limit.Concurrency, "urgent", urgent)
	r.call.Loaded()
	return r, errors.Join(errs[:]...)
}

// Name is "conform".
func (r *Reference) Name() string { return "conform" }

// Hooks are all.
func (r *Reference) Hooks() policy.Hooks {
	return policy.HooksOf(policy.HookRequest, policy.HookRoute, policy.HookResponse, policy.HookDone, policy.HookTick)
}

// OnRequest does what the method names.
func (r *Reference) OnRequest(req *policy.Request, d *policy.Decision) error {
	r.call.Begin(req, nil)
	defer r.call.End()
	arg, _ := req.HeaderValue("arg")
	for _, part := range []func(*policy.Request, string, *policy.Decision) (bool, error){r.limits, r.states, r.others, r.decides} {
		done, err := part(req, arg, d)
		if err != nil {
			return &policy.Fault{Policy: r.Name(), Hook: policy.HookRequest, Kind: policy.FaultException, Err: err}
		}
		if done {
			return nil
		}
	}
	return fmt.Errorf("no such operation: %s", req.Method)
}

func number(d *policy.Decision, n int64) {
	d.Action, d.Cost, d.HasCost = policy.ActionAllow, n, true
}

func bit(d *policy.Decision, ok bool) {
	if number(d, 0); ok {
		number(d, 1)
	}
}

func told(d *policy.Decision, text string, ok bool) {
	if !ok {
		number(d, 99)
		return
	}
	d.Action, d.Reason = policy.ActionAllow, text
}

func (r *Reference) limits(req *policy.Request, arg string, d *policy.Decision) (done bool, err error) {
	attempt := int64(req.Attempt)
	keyed := natives.Arg{Key: arg, HasKey: true, Cost: attempt, HasCost: true}
	ok := false
	switch req.Method {
	case "admit":
		return true, r.call.Admit(r.bucket, natives.Arg{}, d)
	case "admitKey":
		return true, r.call.Admit(r.bucket, keyed, d)
	case "admitNow":
		return true, r.call.Admit(r.bucket, natives.Arg{Key: arg, HasKey: true, HasWait: true}, d)
	case "admitSlots":
		return true, r.call.Admit(r.slots, natives.Arg{}, d)
	case "admitLearned":
		return true, r.call.Admit(r.learned, natives.Arg{}, d)
	case "admitLine":
		return true, r.call.Admit(r.line, natives.Arg{Key: arg, HasKey: true, Cost: 1, HasCost: true}, d)
	case "admitUrgent":
		wait := time.Duration(attempt) * 30 * time.Second
		return true, r.call.Admit(r.urgent, natives.Arg{Key: "all", HasKey: true, Cost: 1, HasCost: true, MaxWait: wait, HasWait: true}, d)
	case "take":
		ok, err = r.call.Take(r.bucket, natives.Arg{})
		bit(d, ok)
	case "takeKey":
		ok, err = r.call.Take(r.bucket, keyed)
		bit(d, ok)
	case "peek":
		var p limit.Result
		p, err = r.call.Peek(r.bucket, natives.Arg{Key: arg, HasKey: true, Cost: 1, HasCost: true})
		n := p.Remaining * 2
		if p.OK {
			n++
		}
		number(d, n)
	case "pause":
		err = r.call.Pause(r.bucket, keyed, time.Duration(attempt)*100*time.Millisecond)
	case "settle":
		if ok, err = r.call.Take(r.bucket, natives.Arg{Cost: 2, HasCost: true}); ok {
			err = r.call.Settle(r.bucket, natives.Arg{Cost: attempt, HasCost: true})
		}
	case "set":
		err = r.call.Set(r.bucket, limit.Params{Burst: 5 + attempt})
	default:
		return false, nil
	}
	return true, err
}

func (r *Reference) states(req *policy.Request, arg string, d *policy.Decision) (done bool, err error) {
	now, cost, attempt := req.Now, state.Num(float64(req.Cost)), state.Num(float64(req.Attempt))
	s, key, err := r.call.StateFor("n"+arg, false)
	if err != nil {
		return true, err
	}
	ok := false
	var v state.Value
	switch req.Method {
	case "setNumber":
		err = s.Set(now, key, cost, time.Duration(req.Attempt)*time.Second)
	case "setText":
		err = s.Set(now, "t"+arg, state.Text(req.Tenant), 0)
	case "getNumber":
		if v, ok = s.Get(now, key); ok {
			number(d, int64(v.Num))
		}
	case "getText":
		v, ok = s.Get(now, "t"+arg)
		told(d, v.Text, ok)
	case "remove":
		bit(d, s.Delete(now, key))
	case "incr":
		var sum float64
		sum, err = s.Incr(now, key, float64(req.Attempt), 0)
		number(d, int64(sum))
	case "swap":
		ok, err = s.CompareAndSet(now, key, cost, attempt, 0)
		bit(d, ok)
	case "absent":
		ok, err = s.SetIfAbsent(now, key, attempt, 0)
		bit(d, ok)
	default:
		return false, nil
	}
	return true, err
}

func (r *Reference) others(req *policy.Request, arg string, d *policy.Decision) (done bool, err error) {
	list := [...]string{"one", "two", "three"}
	switch req.Method {
	case "count":
		r.call.Add(r.seen, float64(req.Attempt))
	case "gauge":
		r.call.SetGauge(r.level, float64(req.Cost))
	case "metrics":
		view := r.call.Numbers(policy.SubsystemAPI)
		number(d, int64(view.Map()["in_flight"]))
		view.Release()
	case "hash":
		number(d, int64(natives.Hash(arg)%1000003))
	case "pick":
		d.Action, d.Key = policy.ActionAllow, list[natives.Pick(arg, len(list), func(i int) string { return list[i] })]
	case "params":
		v, ok := r.scope.Params()[arg]
		var b []byte
		b, err = json.Marshal(v)
		told(d, string(b), ok)
	case "env":
		v, ok := r.scope.Env(arg)
		told(d, v, ok)
	case "log":
		r.call.Log(slog.LevelWarn, "written by the guest")
	case "header":
		v, ok := req.HeaderValue(arg)
		told(d, v, ok)
	case "body":
		v, ok := req.BodyValue(arg)
		told(d, v, ok)
	case "url":
		told(d, req.URL, true)
	case "views":
		number(d, req.Stats.InFlight+req.Stats.Queued*10+req.Stats.P95.Milliseconds()+req.Size)
		d.Key, d.Priority, d.HasPriority = req.Key+req.Host+req.Path, req.Priority, true
	case "fail":
		return true, errors.New("cannot go on")
	case "none":
	default:
		return false, nil
	}
	return true, err
}

func (r *Reference) decides(req *policy.Request, arg string, d *policy.Decision) (done bool, err error) {
	switch req.Method {
	case "deny":
		d.Action, d.Status, d.RetryAfter = policy.ActionDeny, 400+req.Attempt, time.Duration(req.Cost)*10*time.Millisecond
	case "denyWhy":
		d.Action, d.Status, d.RetryAfter, d.Reason = policy.ActionDeny, 503, time.Second, "said "+arg
	case "deny429":
		d.Action = policy.ActionDeny
	case "delay":
		d.Action, d.Delay = policy.ActionDelay, time.Duration(req.Attempt)*7*time.Millisecond
	case "route":
		d.Action, d.Upstream = policy.ActionRoute, "to-"+arg
	case "all":
		*d = policy.Decision{Action: policy.ActionRoute, Upstream: "u-" + arg, Key: "k-" + arg, Timeout: 2500 * time.Millisecond, Cost: req.Cost, HasCost: true,
			Priority: req.Attempt, HasPriority: true, Reason: "because", Headers: []policy.Header{{Name: "x-a", Value: arg}, {Name: "x-b"}}}
	default:
		return false, nil
	}
	return true, nil
}

// OnRoute takes the first upstream that can do more.
func (r *Reference) OnRoute(_ *policy.Request, ups []policy.Upstream, d *policy.Decision) error {
	for _, u := range ups {
		if u.Healthy && u.Remaining > 0 && u.InFlight < 3 {
			d.Upstream = u.Name
			return nil
		}
	}
	return nil
}

// OnResponse learns, and tries some again.
func (r *Reference) OnResponse(req *policy.Request, res *policy.Response, d *policy.Decision) error {
	r.call.Begin(req, res)
	defer r.call.End()
	if err := r.call.Learn(r.learned, natives.Arg{}); err != nil {
		return err
	}
	try, _ := res.HeaderValue("x-try")
	switch {
	case res.Status == 503 && req.Attempt < 3:
		d.Action, d.Delay = policy.ActionRetry, 250*time.Millisecond
		if res.RetryAfter > 0 {
			d.Delay = res.RetryAfter
		}
	case try == "again":
		d.Action, d.Upstream = policy.ActionRetry, "spare"
	}
	return nil
}

// OnDone counts.
func (r *Reference) OnDone(req *policy.Request, res *policy.Response) error {
	r.call.Begin(req, res)
	defer r.call.End()
	if res.Bytes > 0 {
		r.call.Add(r.seen, float64(res.Bytes))
	}
	if v, _ := res.BodyValue("tokens"); v == "7" {
		r.call.Add(r.seen, 1)
	}
	return nil
}

// OnTick shows the time.
func (r *Reference) OnTick(t *policy.Tick) error {
	r.call.BeginTick(t)
	defer r.call.End()
	r.call.SetGauge(r.level, float64(t.Now/int64(time.Second)%1000))
	return nil
}
