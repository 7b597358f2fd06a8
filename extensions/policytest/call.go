package policytest

import (
	"fmt"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

// Answer is what a hook decided, as JSON. Times are milliseconds; what was not said
// is left out.
type Answer struct {
	Action     string              `json:"action"`
	Status     int                 `json:"status,omitempty"`
	Reason     string              `json:"reason,omitempty"`
	RetryAfter float64             `json:"retry_after,omitempty"`
	Delay      float64             `json:"delay,omitempty"`
	Key        string              `json:"key,omitempty"`
	Upstream   string              `json:"upstream,omitempty"`
	Timeout    float64             `json:"timeout,omitempty"`
	Cost       *int64              `json:"cost,omitempty"`
	Priority   *int                `json:"priority,omitempty"`
	Headers    map[string]string   `json:"headers,omitempty"`
	Limit      *Level              `json:"limit,omitempty"`
	Wait       float64             `json:"wait,omitempty"`    // in tests: of the decision and of all that was taken, the longest
	Unasked    bool                `json:"unasked,omitempty"` // in tests: options.match leaves the request out
	Explain    *policy.Explanation `json:"explain,omitempty"`
}

// Level is the level of a limiter.
type Level struct {
	Name      string  `json:"name"`
	Key       string  `json:"key"`
	Limit     int64   `json:"limit"`
	Remaining int64   `json:"remaining"`
	Reset     float64 `json:"reset"`
}

// Taken is one entry of the ledger as tests of policies see it.
type Taken struct {
	Level
	Cost int64   `json:"cost"`
	OK   bool    `json:"ok"`
	Wait float64 `json:"wait"`
}

// ledger keeps what a hook took.
type ledger struct{ entries []policy.Entry }

// Add implements policy.Ledger.
func (l *ledger) Add(e policy.Entry) { l.entries = append(l.entries, e) }

// Settle implements policy.Ledger.
func (l *ledger) Settle(now int64, limiter, key string, actual int64) bool {
	for i := len(l.entries) - 1; i >= 0; i-- {
		if e := &l.entries[i]; e.OK && e.Limiter == limiter && e.Key == key {
			e.From.Settle(now, key, e.Cost, actual, e.Taken)
			e.Cost = actual
			return true
		}
	}
	return false
}

// Call asks one hook of p, dry: nothing outside overlay changes. A nil overlay is a
// new one. A fault of the policy is the error.
func Call(p policy.Policy, h policy.Hook, in *Input, overlay *natives.Overlay) (*Answer, error) {
	if !p.Hooks().Has(h) {
		return nil, fmt.Errorf("%s has no %s (it has %v)", p.Name(), h, p.Hooks().Names())
	}
	if overlay == nil {
		overlay = natives.NewOverlay()
	}
	led := &ledger{}
	in.Request.Dry, in.Request.Ledger, in.Request.Explain = overlay, led, true
	var d policy.Decision
	if err := askHook(p, h, in, &d, overlay); err != nil {
		return nil, err
	}
	return newAnswer(p.Name(), &d, led.entries, in), nil
}

// Live asks one hook of p as in production: what it takes and writes stays in the host of its scope.
func Live(p policy.Policy, h policy.Hook, in *Input) (*Answer, error) {
	if !p.Hooks().Has(h) {
		return nil, fmt.Errorf("%s has no %s (it has %v)", p.Name(), h, p.Hooks().Names())
	}
	led := &ledger{}
	in.Request.Ledger, in.Request.Explain = led, true
	var d policy.Decision
	if err := askHook(p, h, in, &d, nil); err != nil {
		return nil, err
	}
	return newAnswer(p.Name(), &d, led.entries, in), nil
}

// askHook calls the hook h of p about in; a nil dry is live.
func askHook(p policy.Policy, h policy.Hook, in *Input, d *policy.Decision, dry any) error {
	switch h {
	case policy.HookRequest:
		return p.OnRequest(&in.Request, d)
	case policy.HookRoute:
		return p.OnRoute(&in.Request, in.Upstreams, d)
	case policy.HookResponse:
		return p.OnResponse(&in.Request, &in.Response, d)
	case policy.HookDone:
		return p.OnDone(&in.Request, &in.Response)
	case policy.HookTick:
		return p.OnTick(&policy.Tick{Now: in.Request.Now, Dry: dry, Metrics: func(string) map[string]float64 { return nil }})
	}
	return fmt.Errorf("no such hook: %d", h)
}

// explain says why, with the upstreams that the hook was shown.
func explain(name string, d *policy.Decision, entries []policy.Entry, in *Input) *policy.Explanation {
	if d.Policy = name; d.IsZero() && len(entries) == 0 {
		d.Policy = "" // it had no opinion
	}
	e := policy.Explain(&in.Request, d, entries)
	for _, u := range in.Upstreams {
		why := "not named"
		if u.Name == d.Upstream {
			why = "named by a policy"
		}
		e.Consider(u.Name, why)
	}
	return &e
}

func newAnswer(name string, d *policy.Decision, entries []policy.Entry, in *Input) *Answer {
	a := &Answer{Action: d.Action.String(), Status: d.Status, Reason: d.Reason, RetryAfter: ms(d.RetryAfter), Delay: ms(d.Delay),
		Key: d.Key, Upstream: d.Upstream, Timeout: ms(d.Timeout)}
	if d.Action == policy.ActionDeny && a.Status == 0 {
		a.Status = 429
	}
	if d.HasCost {
		a.Cost = &d.Cost
	}
	if d.HasPriority {
		a.Priority = &d.Priority
	}
	for _, h := range d.Headers {
		if a.Headers == nil {
			a.Headers = map[string]string{}
		}
		a.Headers[h.Name] = h.Value
	}
	if d.Limit.Name != "" {
		a.Limit = &Level{d.Limit.Name, d.Limit.Key, d.Limit.Limit, d.Limit.Remaining, ms(d.Limit.Reset)}
	}
	a.Explain = explain(name, d, entries, in)
	return a
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
