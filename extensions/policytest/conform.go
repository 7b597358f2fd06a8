package policytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

// Open opens the conformance policy of an engine, with all its declarations in scope.
type Open func(scope *natives.Scope) (policy.Policy, error)

// Operations are the methods of requests that Conform sends: each at least once.
func Operations() []string {
	return []string{"admit", "admitKey", "admitNow", "admitSlots", "admitLearned", "admitLine", "admitUrgent", "take", "takeKey", "peek", "pause", "settle", "set",
		"setNumber", "setText", "getNumber", "getText", "remove", "incr", "swap", "absent", "count", "gauge", "metrics", "hash", "pick",
		"params", "env", "log", "header", "body", "url", "views", "deny", "denyWhy", "deny429", "delay", "route", "all", "fail", "none"}
}

// Conform asks the policy of an engine and Reference, each on a host of its own, the same number of seeded questions in every
// hook, and fails at the first that they answer otherwise: the decision, the kind of fault, what stands in the ledger, who may
// leave a line and in which order; and at the end the state, the limiters, the policy's own numbers and the log. The same seed
// asks the same.
func Conform(open Open, seed uint64, questions int) (err error) {
	want, err := newSide(func(s *natives.Scope) (policy.Policy, error) { return NewReference(s) })
	if err != nil {
		return fmt.Errorf("open the reference: %w", err)
	}
	got, err := newSide(open)
	if err != nil {
		return fmt.Errorf("open the policy: %w", err)
	}
	defer func() { err = errors.Join(err, got.policy.Close()) }()
	if got.policy.Hooks() != want.policy.Hooks() {
		return fmt.Errorf("it has the hooks %v, want %v", got.policy.Hooks().Names(), want.policy.Hooks().Names())
	}
	asker := &asker{rand: rand.New(rand.NewPCG(seed, 1)), now: conformStart}
	for i := range questions {
		q := asker.next(i, len(want.under))
		a, b := got.ask(q), want.ask(q)
		if !reflect.DeepEqual(a, b) {
			return fmt.Errorf("question %d, %s %+v:\ngot  %+v\nwant %+v", i, q.hook, q.request, a, b)
		}
	}
	if a, b := got.rest(asker.now), want.rest(asker.now); a != b {
		return fmt.Errorf("after all questions:\ngot  %s\nwant %s", a, b)
	}
	return nil
}

const conformStart = int64(1_800_000_000) * int64(time.Second)

// side is one policy with its host.
type side struct {
	host   *natives.Host
	policy policy.Policy
	log    bytes.Buffer
	under  []*stander // attempts that hold slots of a line, or stand in it
	let    []string   // who stands no more since the last question
}

// load is the subsystem whose numbers policies read.
type load struct{ schema *metrics.Schema }

func (l load) Schema() *metrics.Schema      { return l.schema }
func (l load) Read(dst []float64) []float64 { return append(dst[:0], 42) }

func newSide(open Open) (*side, error) {
	s := &side{}
	log := slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	source := load{metrics.NewSchema(policy.SubsystemAPI, metrics.Field{Name: "in_flight", Kind: metrics.Gauge})}
	s.host = natives.NewHost(natives.HostConfig{Sources: []metrics.Source{source}, Log: log})
	tx := s.host.Begin(conformStart)
	scope := tx.Scope(natives.ScopeConfig{Policy: "conform", Local: true, Grants: natives.Grants{Env: []string{"TOKEN"}},
		Getenv: func(name string) (string, bool) { return "secret", name == "TOKEN" },
		Params: map[string]any{"a": "text", "b": 7, "c": []any{"x", true}}})
	var err error
	if s.policy, err = open(scope); err != nil {
		return nil, err
	}
	tx.Commit()
	return s, tx.Apply()
}

// question is one call of a hook.
type question struct {
	hook      policy.Hook
	request   policy.Request
	response  policy.Response
	upstreams []policy.Upstream
	number    int
	ends      int // which of the attempts that have to do with a line ends before; -1 none
}

// reply is what came of it.
type reply struct {
	decision policy.Decision
	fault    string // kind of the fault, "" none
	ledger   []policy.Entry
	let      []string
}

func (s *side) ask(q question) reply {
	s.end(q.request.Now, q.ends)
	led := &stander{side: s, number: q.number}
	req, res := q.request, q.response
	req.Ledger = led
	var r reply
	var err error
	switch q.hook {
	case policy.HookRequest:
		err = s.policy.OnRequest(&req, &r.decision)
	case policy.HookRoute:
		err = s.policy.OnRoute(&req, slices.Clone(q.upstreams), &r.decision)
	case policy.HookResponse:
		err = s.policy.OnResponse(&req, &res, &r.decision)
	case policy.HookDone:
		err = s.policy.OnDone(&req, &res)
	case policy.HookTick:
		err = s.policy.OnTick(&policy.Tick{Now: req.Now, Metrics: func(string) map[string]float64 { return nil }})
	}
	var f *policy.Fault
	switch {
	case errors.As(err, &f):
		r.fault = f.Kind.String()
		r.decision = policy.Decision{} // ignored after a fault
	case err != nil:
		r.fault = err.Error()
	}
	if len(r.decision.Headers) == 0 {
		r.decision.Headers = nil
	}
	if q.hook == policy.HookRoute && r.decision.Upstream != "" {
		r.decision.Action = policy.ActionRoute // naming one and routing to it are the same
	}
	for _, e := range led.entries {
		e.From, e.Place = nil, nil // each host has its own
		r.ledger = append(r.ledger, e)
	}
	if led.inLine() {
		s.under = append(s.under, led)
	}
	r.let, s.let = s.let, nil
	return r
}

// rest is what stays behind in the host, in a fixed order.
func (s *side) rest(now int64) string {
	var lines []string
	add := func(what, name string, v any) {
		b, err := json.Marshal(v)
		lines = append(lines, fmt.Sprint(what, " ", name, " ", string(b), err))
	}
	snapshot := s.host.Export(now)
	for name, entries := range snapshot.State {
		for _, e := range entries {
			add("state", name, e)
		}
	}
	for name, records := range snapshot.Limiters {
		for _, r := range records {
			add("limiter", name, r)
		}
	}
	s.host.Metrics().Range(func(policy, name string, kind metrics.FieldKind, value float64) {
		add("number", policy+" "+name, []any{kind, value})
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n" + s.log.String()
}

// asker makes up questions.
type asker struct {
	rand *rand.Rand
	now  int64
}

func (a *asker) one(list ...string) string { return list[a.rand.IntN(len(list))] }

func (a *asker) next(i, under int) question {
	a.now += a.rand.Int64N(int64(300 * time.Millisecond))
	a.now -= a.now % int64(time.Millisecond)
	ops := Operations()
	q := question{number: i, ends: -1, request: policy.Request{Subsystem: policy.SubsystemAPI, Action: "request", Method: ops[a.rand.IntN(len(ops))], Key: a.one("k1", "k2", "k3"),
		Host: a.one("a.example.com", "b.example.com:8443"), Path: a.one("/", "/v1/users", "/é/ü"), Tenant: a.one("", "gold", "t-é"),
		Priority: a.rand.IntN(10), Attempt: 1 + a.rand.IntN(4), Cost: a.rand.Int64N(6), Size: a.rand.Int64N(1000), Now: a.now,
		Stats:  policy.Stats{InFlight: a.rand.Int64N(9), Queued: a.rand.Int64N(9), P95: time.Duration(a.rand.IntN(50)) * time.Millisecond},
		Header: values{true, map[string]string{"arg": a.one("a", "b", "c", "TOKEN", "x-class", "model", "é"), "x-class": "batch"}},
		Body:   values{false, map[string]string{"model": "m1"}}}}
	switch {
	case i < len(ops):
		q.request.Method = ops[i]
	case a.rand.IntN(6) == 0: // so that there are lines
		q.request.Method = a.one("admitLine", "admitUrgent")
	}
	q.request.URL = "https://" + q.request.Host + q.request.Path
	switch a.rand.IntN(12) {
	case 0:
		q.hook = policy.HookRoute
		for _, name := range []string{"u1", "u2", "u3"}[:a.rand.IntN(4)] {
			q.upstreams = append(q.upstreams, policy.Upstream{Name: name, Host: name, Weight: 1, Healthy: a.rand.IntN(3) > 0, InFlight: a.rand.Int64N(5), Remaining: a.rand.Int64N(4) - 1})
		}
	case 1:
		q.hook, q.response = policy.HookResponse, a.response()
	case 2:
		q.hook, q.response = policy.HookDone, a.response()
	case 3:
		q.hook = policy.HookTick
	}
	if i < len(ops) {
		q.hook = policy.HookRequest
	}
	if under > 0 && a.rand.IntN(8) == 0 {
		q.ends = a.rand.IntN(under)
	}
	return q
}

func (a *asker) response() policy.Response {
	header := map[string]string{"x-try": a.one("", "again")}
	if a.rand.IntN(4) == 0 {
		header["retry-after"] = a.one("1", "3")
	}
	if a.rand.IntN(4) == 0 {
		header["x-ratelimit-limit"], header["x-ratelimit-remaining"], header["x-ratelimit-reset"] = "10", a.one("0", "3", "9"), "2"
	}
	return policy.Response{Status: 200 + 303*a.rand.IntN(2), Duration: 5 * time.Millisecond, Bytes: a.rand.Int64N(100) - 1, Sent: a.now,
		RetryAfter: time.Duration(a.rand.IntN(3)) * time.Second, Upstream: "u1", Header: values{true, header},
		Body: values{false, map[string]string{"tokens": a.one("7", "8")}}}
}
