package js

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

func TestDecisionForms(t *testing.T) {
	allow, deny := policy.ActionAllow, policy.ActionDeny
	for _, c := range []struct {
		body string // of onRequest
		want policy.Decision
	}{
		{``, policy.Decision{}},
		{`return null`, policy.Decision{}},
		{`return true`, policy.Decision{Action: allow}},
		{`return false`, policy.Decision{Action: deny}},
		{`return built`, policy.Decision{Action: deny, Status: 503, RetryAfter: 5 * time.Second, Reason: "open"}},
		{`return deny()`, policy.Decision{Action: deny}},
		{`return deny(429, 1500)`, policy.Decision{Action: deny, Status: 429, RetryAfter: 1500 * time.Millisecond}},
		{`return deny(503, "2s")`, policy.Decision{Action: deny, Status: 503, RetryAfter: 2 * time.Second}},
		{`return deny(undefined, {retryAfter: 10, reason: "r"})`, policy.Decision{Action: deny, RetryAfter: 10 * time.Millisecond, Reason: "r"}},
		{`return delay("1m")`, policy.Decision{Action: policy.ActionDelay, Delay: time.Minute}},
		{`return route("b")`, policy.Decision{Action: policy.ActionRoute, Upstream: "b"}},
		{`return route("b", {timeout: 100, cost: 3})`, policy.Decision{Action: policy.ActionRoute, Upstream: "b", Timeout: 100 * time.Millisecond, Cost: 3, HasCost: true}},
		{`return allow({key: "k", priority: 9, headers: {"X-B": "c"}})`, policy.Decision{Action: allow, Key: "k", Priority: 9, HasPriority: true, Headers: []policy.Header{{Name: "X-B", Value: "c"}}}},
		{`return {action: "deny", status: 400}`, policy.Decision{Action: deny, Status: 400}},
		{`return {retryAfter: "1s"}`, policy.Decision{Action: deny, RetryAfter: time.Second}},
		{`return {delay: 5}`, policy.Decision{Action: policy.ActionDelay, Delay: 5 * time.Millisecond}},
		{`return {for: 5, action: "delay"}`, policy.Decision{Action: policy.ActionDelay, Delay: 5 * time.Millisecond}},
		{`return {upstream: "b", cost: 0}`, policy.Decision{Action: allow, Upstream: "b", HasCost: true}},
		{`const a = deny(503), b = allow(); return a`, policy.Decision{Action: deny, Status: 503}},
	} {
		t.Run(c.body, func(t *testing.T) {
			w := open(t, `import {allow, deny, delay, route} from "gaia"; const built = deny(503, {retryAfter: 5000, reason: "open"});
				export function onRequest(req) { `+c.body+` }`)
			for range 2 {
				got := w.ask(t)
				if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
					t.Fatalf("got  %+v\nwant %+v", got, c.want)
				}
			}
		})
	}
}

func TestBadDecisions(t *testing.T) {
	for body, want := range map[string]string{
		`return 42`:                                                "want a decision, got 42",
		`return "allow"`:                                           `got the text "allow"`,
		`return []`:                                                "got an array",
		`return () => 1`:                                           "got a function",
		`return Symbol()`:                                          "got a symbol",
		`return Promise.resolve()`:                                 "must be synchronous",
		`return {stat: 429}`:                                       `did you mean "status"`,
		`return {then() {}}`:                                       `unknown field "then"`,
		`return {action: "dney"}`:                                  "action: want allow",
		`return {status: 200, action: "deny"}`:                     "status: want a whole number from 400 to 599",
		`return {retryAfter: -1}`:                                  "retryAfter: want a time of 0 or more",
		`return {action: "allow", status: 429}`:                    "belong to deny",
		`return {action: "route"}`:                                 "needs an upstream",
		`return {delay: 1e12}`:                                     "more than 24h0m0s",
		`return {headers: {"a b": "c"}}`:                           "not a field that HTTP allows",
		`return {headers: {a: "c\r\nX: y"}}`:                       "not a field that HTTP allows",
		`return {priority: 10}`:                                    "priority: want a whole number from 0 to 9",
		`return {action: "allow", delay: 5}`:                       "delay belongs to delay and retry, not to allow",
		`return {headers: {a: "x".repeat(99999)}}`:                 "at most",
		`return {headers: {["n".repeat(3000)]: "x".repeat(3000)}}`: "more than 4096 bytes",
		`const h = {}; for (let i = 0; i < 17; i++) h["a" + i] = "b"; return {headers: h}`: "more than 16 fields",
		`return {cost: 1.5}`:                     "cost: want a whole number",
		`return {reason: "x".repeat(300)}`:       "reason: want at most 256 bytes",
		`return retry()`:                         "retry answers onResponse",
		`return (globalThis.x, kept ??= deny())`: "made in an earlier hook",
		`return req`:                             "an object",
		`return new Map()`:                       "an object",
	} {
		t.Run(body, func(t *testing.T) {
			w := open(t, `import {deny, retry} from "gaia"; let kept; export function onRequest(req) { `+body+` }`)
			var d policy.Decision
			_ = w.OnRequest(request(), &d)
			f := w.fault(t)
			if f.Kind != policy.FaultBadDecision || !strings.Contains(f.Error(), want) {
				t.Fatalf("got %v: %v", f.Kind, f)
			}
		})
	}
}

// A word that is given what it does not know says so where it stands.
func TestBadArgumentsOfDecisions(t *testing.T) {
	for body, want := range map[string]string{
		`return deny(503, {why: "x"})`:  `deny: unknown field "why"`,
		`return deny(503, {reason: 1})`: "deny: reason: want a text",
		`return allow({cost: -1})`:      "allow: cost: want",
		`return allow({costs: 1})`:      `allow: unknown field "costs"`,
	} {
		w := open(t, `import {allow, deny} from "gaia"; export function onRequest(req) { `+body+` }`)
		if f := w.fault(t); f.Kind != policy.FaultException || !strings.Contains(f.Error(), want) {
			t.Errorf("%s: %v", body, f)
		}
	}
}
