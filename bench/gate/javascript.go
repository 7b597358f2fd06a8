package main

import (
	"context"
	"fmt"
	"time"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/extensions/js"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

// The hooks of the rows of JavaScript.
const (
	emptyHook = `export function onRequest() {}`
	takeHook  = `import { limiter } from "gaia";
		const l = limiter.tokenBucket("l", { rate: 1e9, burst: 1e12 });
		export function onRequest() { l.take(); }`
	denyHook = `import { deny } from "gaia";
		export function onRequest(req) {
			if (req.key === "blocked" || req.method === "DELETE" || req.path === "/admin" || req.priority < 0) return true;
			return deny(429, 1500);
		}`
)

// scopes are the names of policies that are opened beside each other.
type scopes struct{ tx *natives.Tx }

func newScopes(sources ...natives.HostConfig) scopes {
	c := natives.HostConfig{}
	if len(sources) > 0 {
		c = sources[0]
	}
	return scopes{natives.NewHost(c).Begin(now)}
}

func (s scopes) of(policy string) *natives.Scope {
	return s.tx.Scope(natives.ScopeConfig{Policy: policy, Local: true})
}

// inForce makes what the opened policies declared the limiters in force.
func (s scopes) inForce() error {
	s.tx.Commit()
	return s.tx.Apply()
}

// ledger is what an attempt brings along: it keeps what a hook takes until the next.
type ledger struct{ entries []policy.Entry }

func (l *ledger) Add(e policy.Entry) { l.entries = append(l.entries, e) }

func (l *ledger) Settle(int64, string, string, int64) bool { return false }

// asking calls one hook over and over, and checks every answer.
func asking(p policy.Policy, size int64, want policy.Action) measure.Op {
	req := newRequest()
	req.Size = size
	l := &ledger{}
	req.Ledger = l
	var d policy.Decision
	return func(n int) error {
		for range n {
			d.Reset()
			l.entries = l.entries[:0]
			if err := p.OnRequest(req, &d); err != nil {
				return err
			}
			if d.Action != want {
				return fmt.Errorf("%w: %s", errDecision, d.Action)
			}
			req.Now += 1000
		}
		return nil
	}
}

func openJS(ctx context.Context, s *natives.Scope, name, code string) (*js.Policy, error) {
	// A budget of wall time must not end a hook because the machine is busy elsewhere.
	long := policy.Options{Budget: 2 * time.Second}
	p, err := js.Open(ctx, js.Source{Name: name, Path: name + ".js", Code: []byte(code)}, js.Config{Scope: s, Override: long})
	if err != nil {
		return nil, fmt.Errorf("open the JavaScript policy: %w", err)
	}
	return p, nil
}

// jsHook measures the whole path of the engine: lease, watchdog, view, hook, decision.
func jsHook(code string, want policy.Action) func(context.Context, effort) (outcome, error) {
	return func(ctx context.Context, e effort) (out outcome, err error) {
		s := newScopes()
		p, err := openJS(ctx, s.of("hook"), "hook", code)
		if err != nil {
			return outcome{}, err
		}
		defer func() { err = closed(err, p) }()
		if err := s.inForce(); err != nil {
			return outcome{}, err
		}
		return againstGoja(e, asking(p, -1, want), "JavaScript hook")
	}
}
