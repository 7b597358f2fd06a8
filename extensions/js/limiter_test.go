package js

import (
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

func TestEveryKindOfLimiter(t *testing.T) {
	w := open(t, `import {limiter, allow} from "gaia";
		const kinds = {
			fixedWindow: limiter.fixedWindow("fw", {max: 2, per: "1h"}), slidingWindow: limiter.slidingWindow("sw", {max: 2, per: "1h"}),
			slidingLog: limiter.slidingLog("sl", {max: 2, per: "1h"}), calendar: limiter.calendar("c", {max: 2, every: "month", zone: "Europe/Berlin"}),
			line: limiter.concurrency("line", {max: 2, maxQueue: 5, maxWait: "2s", order: "priority"}),
			fair: limiter.fair("f", {rate: 2, per: "1h", weights: {gold: 3, "free=x": 0.5}}), adaptive: limiter.adaptive("a", {max: 2, algorithm: "gradient"}),
			throttle: limiter.throttle("t", {ratio: 1, per: "1m"}), retryBudget: limiter.retryBudget("r", {ratio: 1, per: "100s", min: 0}),
		};
		const both = limiter.all(limiter.tokenBucket("rpm", {rate: 5, per: "1h"}), limiter.tokenBucket("tpm", {rate: 100, per: "1h", unit: "tokens"}));
		export function onRequest(req) {
			if (req.key === "all") return both.admit({cost: [1, 40]});
			if (req.key === "settle") { both.admit("k", {cost: [1, 50]}); both.settle("k", [1, 60]); return allow({cost: both.peek("k", [0, 0]).remaining}); }
			if (req.key === "list") return kinds.fixedWindow.admit("k", {cost: [1]});
			if (req.key === "set") throw new Error(typeof both.set);
			return kinds[req.key].admit("k");
		}
		export function onResponse(req, res) { kinds.retryBudget.learn(res, "k"); both.learn(res, "learned"); }`)
	for key, want := range map[string]string{
		"fixedWindow": "allow allow deny deny", "slidingWindow": "allow allow deny deny", "slidingLog": "allow allow deny deny", "calendar": "allow allow deny deny",
		"fair": "allow allow deny deny", "adaptive": "allow allow deny deny", "throttle": "allow allow deny deny", "retryBudget": "deny deny deny deny",
		"all": "allow allow deny deny", "line": "allow allow allow allow",
	} {
		r, got := request(), []string{}
		r.Key, r.Ledger = key, &stander{}
		for range 4 {
			var d policy.Decision
			if err := w.OnRequest(r, &d); err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			got = append(got, d.Action.String())
		}
		if have := strings.Join(got, " "); have != want && key != "throttle" {
			t.Errorf("%s: %s, want %s", key, have, want)
		}
	}
	r, d := request(), policy.Decision{}
	r.Key = "all"
	if err := w.OnRequest(r, &d); err != nil || d.Limit.Name != "p/tpm" {
		t.Errorf("the denial names %q, want p/tpm: %v", d.Limit.Name, err)
	}
	book := &ledger{}
	r.Key, r.Ledger, d = "settle", book, policy.Decision{}
	if err := w.OnRequest(r, &d); err != nil || len(book.entries) != 2 || book.entries[0].Cost != 1 || book.entries[1].Cost != 60 {
		t.Errorf("%v %+v", err, book.entries)
	}
	for key, want := range map[string]string{"list": natives.ErrCosts.Error(), "set": "undefined"} {
		r.Key = key
		if err := w.OnRequest(r, &d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", key, err)
		}
	}
	r.Key, d = "retryBudget", policy.Decision{}
	var none policy.Decision
	if err := w.OnResponse(r, &policy.Response{Status: 500}, &none); err != nil {
		t.Fatal(err)
	}
	if err := w.OnRequest(r, &d); err != nil || d.Action != policy.ActionAllow {
		t.Errorf("an answer earned a retry: %v %+v", err, d)
	}
}

func TestLimiterDeclarationFaults(t *testing.T) {
	for code, want := range map[string]string{
		`limiter.fixedWindow("x", {})`:                      "max is missing",
		`limiter.calendar("x", {max: 1, every: "year"})`:    "every",
		`limiter.calendar("x", {max: 1, zone: "No/Where"})`: "zone",
		`limiter.adaptive("x", {algorithm: "vegas"})`:       "algorithm",
		`limiter.concurrency("x", {max: 1, order: "lifo"})`: "order",
		`limiter.concurrency("x", {max: 1, maxQueue: -1})`:  "maxQueue",
		`limiter.adaptive("x", {min: 5, max: 2})`:           "min",
		`limiter.throttle("x", {ratio: 0.5})`:               "ratio",
		`limiter.fair("x", {rate: 1, weights: {a: -1}})`:    "over 0",
		`limiter.fair("x", {rate: 1, weights: {"a,b": 1}})`: "commas",
		`limiter.slidingLog("x", {max: 1000000})`:           "slidingWindow",
		`limiter.slidingLog("x", {max: 1, unit: "tokens"})`: "unit",
		`limiter.all()`:  "1 to 8",
		`limiter.all(1)`: "want limiters",
		`limiter.all(limiter.all(limiter.tokenBucket("x", {rate: 1})))`: "by itself",
	} {
		_, err := openWith(t, `import {limiter} from "gaia"; `+code+`; export function onRequest() {}`, setup{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", code, err, want)
		}
	}
}

// stander is a ledger of somebody who stands in line.
type stander struct{ ledger }

func (*stander) LetGo() {}
