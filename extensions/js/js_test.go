package js

import (
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

func TestExceptions(t *testing.T) {
	for body, want := range map[string]string{
		`deny(200)`:                           "deny(status): want a whole number from 400 to 599, got 200",
		`deny("x")`:                           "deny(status): want",
		`deny(429, -1)`:                       "deny(status, retryAfter)",
		`deny(429, {retryAftr: 1})`:           `did you mean "retryAfter"`,
		`delay("soon")`:                       "delay(time)",
		`route("")`:                           "want the name of an upstream",
		`allow({keey: "x"})`:                  `did you mean "key"`,
		`retry({soon: 1})`:                    "retry: unknown field",
		`req.key = "x"`:                       "req.key cannot be set",
		`delete req.key`:                      "req.key cannot be deleted",
		`req.stats.rate = 1`:                  "cannot be set",
		`req.header(1)`:                       "want a text, got 1",
		`null.x`:                              "Cannot read property 'x' of",
		`globalThis.leak = 1`:                 "Cannot",
		`undeclared = 1`:                      "not defined",
		`setTimeout(() => {}, 1)`:             "setTimeout is not defined",
		`throw {toString() { throw 1 }}`:      "no text",
		`throw undefined`:                     "undefined",
		`deny().status = 3`:                   "cannot be changed",
		`({get action() { throw "boom" }})`:   "",
		`return {get action() { throw "g" }}`: "g",
		`(function f() { f() })()`:            "500 calls deep",
		`limiter.tokenBucket("x", {rate: 1})`: "module scope",
		`hash(1)`:                             "want a text, got 1",
		`pick("k", 1)`:                        "want a text and an array",
		`state.set("k", {})`:                  "want a number, a text, a boolean or a Uint8Array",
		`state.set("k", 1, {tll: 1})`:         `did you mean "ttl"`,
		`state.set("k", NaN)`:                 "not finite",
		`state.get(5)`:                        "want a text",
		`state.incr("k", "1")`:                "want a finite number",
	} {
		t.Run(body, func(t *testing.T) {
			w := open(t, "import {allow, deny, delay, route, retry, limiter, hash, pick, state} from \"gaia\";\nexport function onRequest(req) {\n  "+body+"\n}")
			if want == "" {
				w.ask(t)
				return
			}
			f := w.fault(t)
			if f.Kind != policy.FaultException || !strings.Contains(f.Err.Error(), want) {
				t.Fatalf("got %v: %v", f.Kind, f)
			}
			if !strings.HasPrefix(f.Where, "p.js:3:") && !strings.Contains(body, "throw undef") {
				t.Errorf("where: %q\n%s", f.Where, f.Stack)
			}
			if sp := stackOf(w.groups[0].seats[0].guest.rt); sp != 0 {
				t.Errorf("the stack pointer of goja is %d", sp)
			}
		})
	}
}

func TestRequestFields(t *testing.T) {
	w := open(t, `export function onRequest(req) {
		const {key, method, ...rest} = req;
		const copy = {...req};
		throw new Error(JSON.stringify({key, method, rest, same: copy.path === req.path, has: "tenant" in req, not: "x" in req,
			keys: Object.keys(req).length, h: req.header("x-a"), none: typeof req.header("nope"), b: req.body("Model"),
			size: typeof req.size, deadline: typeof req.deadline, now: req.now, date: Date.now(), str: String(req)}));
	}`)
	f := w.fault(t)
	for _, want := range []string{`"key":"api.example.com"`, `"method":"GET"`, `"tenant":"tenant-42"`, `"same":true`, `"has":true`, `"not":false`, `"keys":15`,
		`"h":"one"`, `"none":"undefined"`, `"b":"m1"`, `"size":"undefined"`, `"deadline":"undefined"`, `"now":1700000000000`, `"date":1700000000000`,
		`"stats":{"inFlight":0,`, `"str":"[object Object]"`} {
		if !strings.Contains(f.Err.Error(), want) {
			t.Errorf("missing %s in %s", want, f.Err)
		}
	}
}

func TestKeptViewIsOver(t *testing.T) {
	w := open(t, `let kept; export function onRequest(req) { kept = req }
		export function onTick() { return kept.key }`)
	w.ask(t)
	err := w.OnTick(&policy.Tick{Now: epoch})
	if err == nil || !strings.Contains(err.Error(), "the hook that req belongs to is over") {
		t.Fatal(err)
	}
}

func TestRouteResponseDone(t *testing.T) {
	w := open(t, `import {retry, route, log, limiter} from "gaia";
		const l = limiter.upstream("up");
		export function onRoute(req, ups) {
			if (req.key === "arr") throw new Error(JSON.stringify(ups) + Array.isArray(ups) + [...ups].length);
			if (req.key === "write") ups[0] = 1;
			if (req.key === "fn") return route(ups.filter((u) => u.healthy).map((u) => u.name).sort()[0]);
			if (req.key === "deny") return {status: 429};
			if (req.key === "delay") return {delay: 5};
			return ups.find((u) => u.remaining === undefined)?.name;
		}
		export function onResponse(req, res) { l.learn(res);
			if (res.status === 503) return retry({after: res.retryAfter ?? 7, upstream: "b"});
			if (res.status === 1) return false; if (res.status === 2) return true; }
		export const onDone = (req, res) => { log.info("done", {status: res.status, e: res.error, h: res.header("X-A"), up: res.upstream}); return 5 };`)
	ups := []policy.Upstream{{Name: "b", Healthy: true, Remaining: 3, P50: time.Second}, {Name: "a", Healthy: true, Remaining: -1}}
	var d policy.Decision
	r := request()
	for key, want := range map[string]string{"": "a", "fn": "a"} {
		r.Key, d = key, policy.Decision{}
		if err := w.OnRoute(r, ups, &d); err != nil || d.Upstream != want {
			t.Errorf("%q: %q %v", key, d.Upstream, err)
		}
	}
	for key, want := range map[string]string{"arr": `"p50":1000`, "write": "upstreams is read-only", "delay": "onRoute answers the name"} {
		r.Key, d = key, policy.Decision{}
		if err := w.OnRoute(r, ups, &d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", key, err)
		}
	}
	r.Key, d = "deny", policy.Decision{}
	if err := w.OnRoute(r, ups, &d); err != nil || d.Action != policy.ActionDeny || d.Status != 429 {
		t.Errorf("deny: %+v %v", d, err)
	}
	r = request()
	for status, want := range map[int]string{503: "retry", 200: "none", 2: "none"} {
		d = policy.Decision{}
		if err := w.OnResponse(r, &policy.Response{Status: status, Header: headers{}}, &d); err != nil || d.Action.String() != want {
			t.Errorf("%d: %+v %v", status, d, err)
		}
		if status == 503 && (d.Delay != 7*time.Millisecond || d.Upstream != "b") {
			t.Errorf("%+v", d)
		}
	}
	if err := w.OnResponse(r, &policy.Response{Status: 1}, &d); err == nil {
		t.Error("false from onResponse is no decision")
	}
	if err := w.OnDone(r, &policy.Response{Status: 0, Error: "timeout", Header: headers{"X-A": {"v"}}, Bytes: 4}); err != nil {
		t.Error(err)
	}
	if got := w.logs.String(); !strings.Contains(got, `\"e\":\"timeout\"`) || !strings.Contains(got, `\"h\":\"v\"`) {
		t.Error(got)
	}
}

func TestTickView(t *testing.T) {
	w := open(t, `import {metrics} from "gaia"; export function onTick({now, api, files}) {
		throw new Error(JSON.stringify([now, api, typeof files, metrics("api").x])) }`)
	err := w.OnTick(&policy.Tick{Now: epoch, Metrics: func(s string) map[string]float64 {
		if s == "api" {
			return map[string]float64{"x": 1}
		}
		return nil
	}})
	if err == nil || !strings.Contains(err.Error(), `[1700000000000,{"x":1},"undefined",1]`) {
		t.Error(err)
	}
}
