package js

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

func TestMain(m *testing.M) {
	// regexp2 keeps its clock for a while after the last match with a time limit.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2/v2.runClock"))
}

const epoch = int64(1_700_000_000_000_000_000)

// world is a host with one open policy.
type world struct {
	host *natives.Host
	tx   *natives.Tx
	logs *strings.Builder
	*Policy
}

type setup struct {
	files  map[string]string // besides the entry
	entry  string
	scope  natives.ScopeConfig
	config Config
	host   *natives.Host
}

// patient is for tests that are not about the budget, on machines that are busy.
var patient = policy.Options{Budget: 5 * time.Second}

func openWith(t testing.TB, code string, s setup) (*world, error) {
	t.Helper()
	w := &world{logs: &strings.Builder{}, host: s.host}
	if w.host == nil {
		w.host = natives.NewHost(natives.HostConfig{Log: slog.New(slog.NewTextHandler(w.logs, nil)), Sources: []metrics.Source{newInFlight()}})
	}
	w.tx = w.host.Begin(epoch)
	s.scope.Policy, s.scope.Local = "p", true
	s.config.Scope = w.tx.Scope(s.scope)
	if s.entry == "" {
		s.entry = "p.js"
	}
	files := fstest.MapFS{s.entry: {Data: []byte(code)}}
	for name, text := range s.files {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	p, err := Open(context.Background(), Source{Name: "p", Path: s.entry, FS: files}, s.config)
	if err != nil {
		return nil, err
	}
	w.Policy = p
	w.tx.Commit()
	if err := w.tx.Apply(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return w, nil
}

func open(t testing.TB, code string) *world {
	t.Helper()
	w, err := openWith(t, code, setup{config: Config{Override: patient}})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return w
}

func loadError(t *testing.T, code string, s setup) *policy.LoadError {
	t.Helper()
	_, err := openWith(t, code, s)
	var e *policy.LoadError
	if !errors.As(err, &e) {
		t.Fatalf("want a *policy.LoadError, got %T %v\nof %s", err, err, code)
	}
	return e
}

type headers http.Header

func (h headers) Lookup(name string) (string, bool) {
	v, ok := h[http.CanonicalHeaderKey(name)]
	return strings.Join(v, ", "), ok
}

type ledger struct{ entries []policy.Entry }

func (l *ledger) Add(e policy.Entry) { l.entries = append(l.entries, e) }
func (l *ledger) Settle(_ int64, limiter, key string, actual int64) bool {
	for i := len(l.entries) - 1; i >= 0; i-- {
		if l.entries[i].Limiter == limiter && l.entries[i].Key == key {
			l.entries[i].Cost = actual
			return true
		}
	}
	return false
}

func request() *policy.Request {
	return &policy.Request{Subsystem: "api", Action: "request", Key: "api.example.com", Method: "GET", URL: "https://api.example.com/v1/users/12345?expand=true",
		Host: "api.example.com", Path: "/v1/users/12345", Tenant: "tenant-42", Priority: 5, Attempt: 1, Cost: 1, Size: -1, Now: epoch,
		Header: headers{"X-A": {"one"}}, Body: headers{"Model": {"m1"}}}
}

func (w *world) ask(t testing.TB) policy.Decision {
	t.Helper()
	var d policy.Decision
	if err := w.OnRequest(request(), &d); err != nil {
		t.Fatalf("onRequest: %v", err)
	}
	return d
}

func (w *world) fault(t testing.TB) *policy.Fault {
	t.Helper()
	var d policy.Decision
	err := w.OnRequest(request(), &d)
	var f *policy.Fault
	if !errors.As(err, &f) {
		t.Fatalf("want a *policy.Fault, got %T %v", err, err)
	}
	return f
}

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
		`return 42`:                              "want a decision, got 42",
		`return "allow"`:                         `got the text "allow"`,
		`return []`:                              "got an array",
		`return () => 1`:                         "got a function",
		`return Symbol()`:                        "got a symbol",
		`return Promise.resolve()`:               "must be synchronous",
		`return {stat: 429}`:                     `did you mean "status"`,
		`return {then() {}}`:                     `unknown field "then"`,
		`return {action: "dney"}`:                "action: want allow",
		`return {status: 200, action: "deny"}`:   "status: want a whole number from 400 to 599",
		`return {retryAfter: -1}`:                "retryAfter: want a time of 0 or more",
		`return {action: "allow", status: 429}`:  "belong to deny",
		`return {action: "route"}`:               "needs an upstream",
		`return {delay: 1e12}`:                   "more than 24h0m0s",
		`return {headers: {"a b": "c"}}`:         "not a field that HTTP allows",
		`return {headers: {a: "c\r\nX: y"}}`:     "not a field that HTTP allows",
		`return {priority: 10}`:                  "priority: want a whole number from 0 to 9",
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

func TestLimiter(t *testing.T) {
	w := open(t, `import {limiter} from "gaia";
		const l = limiter.tokenBucket("l", {rate: 1, burst: 2, per: "1s", maxWait: "1s"});
		const c = limiter.concurrency("c", {max: 1});
		export function onRequest(req) {
			if (req.key === "peek") throw new Error(JSON.stringify([l.peek("x"), l.take("x", 2), l.take("x"), l.peek("x")]));
			if (req.key === "ref") { const d = l.admit("y", {cost: 1}); throw new Error(JSON.stringify(d) + d.ok + d.remaining); }
			if (req.key === "settle") { l.admit("z"); l.settle("z", 3); return }
			if (req.key === "pause") { l.pause("w", "5s"); l.set({rate: 5}); return l.admit("w", {maxWait: 0}); }
			if (req.key === "alone") return l.admit({cost: 2});
			return l.admit();
		}`)
	var got []string
	for range 4 {
		d := w.ask(t)
		got = append(got, d.Action.String())
	}
	if fmt.Sprint(got) != "[allow allow delay deny]" {
		t.Error(got)
	}
	d := w.ask(t)
	if d.RetryAfter <= 0 || d.Limit.Name != "p/l" || d.Limit.Key != "api.example.com" {
		t.Errorf("%+v", d)
	}
	r := request()
	for key, want := range map[string]string{"peek": `[{"ok":true,"remaining":1`, "ref": `"action":"allow","ok":true`} {
		r.Key = key
		if err := w.OnRequest(r, &d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", key, err)
		}
	}
	book := &ledger{}
	r.Key, r.Ledger = "settle", book
	if err := w.OnRequest(r, &d); err != nil || len(book.entries) != 1 || book.entries[0].Cost != 3 {
		t.Errorf("%v %+v", err, book.entries)
	}
	r.Key, d = "pause", policy.Decision{}
	if err := w.OnRequest(r, &d); err != nil || d.Action != policy.ActionDeny || d.RetryAfter != 5*time.Second {
		t.Errorf("%v %+v", err, d)
	}
	r.Key, d = "alone", policy.Decision{}
	if err := w.OnRequest(r, &d); err != nil || d.Action != policy.ActionAllow {
		t.Errorf("%v %+v", err, d)
	}
}

func TestStateWords(t *testing.T) {
	w := open(t, `import {state} from "gaia";
		export function onRequest(req) {
			state.set("n", 1); state.set("s", "text", {ttl: "1s"}); state.set("b", true); state.set("u", new Uint8Array([1, 2]));
			const u = state.get("u");
			throw new Error(JSON.stringify([state.get("n"), state.get("s"), state.get("b"), u instanceof Uint8Array, u[1], state.get("none") === undefined,
				state.incr("n", 2), state.incr("m"), state.compareAndSet("n", 3, 4), state.compareAndSet("n", 3, 5), state.setIfAbsent("n", 1),
				state.setIfAbsent("q", 1), state.delete("q"), state.delete("q"), state.compareAndSet("z", undefined, 1), state.incr("shared/x")]));
		}`)
	f := w.fault(t)
	if want := `[1,"text",true,true,2,true,3,1,true,false,false,true,true,false,true,1]`; !strings.Contains(f.Err.Error(), want) {
		t.Errorf("got %s", f.Err)
	}
	e := loadError(t, `import {state} from "gaia"; state.set("a", 1); export function onRequest() {}`, setup{})
	if !strings.Contains(e.Message, "cannot be written at module scope") || e.Line != 1 {
		t.Errorf("%+v", e)
	}
}

// inFlight is a subsystem with one number.
type inFlight struct{ schema *metrics.Schema }

func newInFlight() inFlight {
	return inFlight{metrics.NewSchema("api", metrics.Field{Name: "in_flight", Kind: metrics.Gauge})}
}

func (s inFlight) Schema() *metrics.Schema      { return s.schema }
func (s inFlight) Read(dst []float64) []float64 { return append(dst[:0], 3) }

func TestOtherWords(t *testing.T) {
	scope := natives.ScopeConfig{Params: map[string]any{"rate": 5, "list": []any{"a", 1.5}, "deep": map[string]any{"x": nil}},
		Grants: natives.Grants{Env: []string{"TOKEN", "GONE"}}, Getenv: func(n string) (string, bool) { return "secret", n == "TOKEN" }}
	w, err := openWith(t, `import {params, env, hash, pick, counter, gauge, metrics, log} from "gaia";
		const c = counter("calls"), g = gauge("level");
		export function onRequest(req) {
			c.add(); c.add(2); g.set(7);
			console.warn("hello", {a: 1}, [1, 2], undefined, "x");
			log.error(new Error("bad"));
			let frozen = ""; try { params.deep.x = 1 } catch (e) { frozen = e.name }
			throw new Error(JSON.stringify([params, env, hash("a"), pick("k", ["a", "b", "c"]), frozen, metrics("api"), metrics("files")]));
		}`, setup{scope: scope, config: Config{Override: patient}})
	if err != nil {
		t.Fatal(err)
	}
	f := w.fault(t)
	want := fmt.Sprintf(`[{"deep":{"x":null},"list":["a",1.5],"rate":5},{"TOKEN":"secret"},%d,"%s","TypeError",{"in_flight":3},{}]`,
		natives.Hash("a"), []string{"a", "b", "c"}[natives.Pick("k", 3, func(i int) string { return []string{"a", "b", "c"}[i] })])
	if !strings.Contains(f.Err.Error(), want) {
		t.Errorf("got  %s\nwant %s", f.Err, want)
	}
	if got := w.logs.String(); !strings.Contains(got, `hello {\"a\":1} [1,2] undefined x`) || !strings.Contains(got, "Error: bad") || !strings.Contains(got, "level=WARN") {
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

func TestEveryWordIsBound(t *testing.T) {
	views := map[string]string{"Request": "req", "Response": "res", "Limiter": "lim"}
	for _, word := range natives.Table() {
		top, method, _ := strings.Cut(word.JS, ".")
		expr, imports := word.JS, top
		if v, ok := views[top]; ok {
			expr, imports = v+"."+method, "limiter"
		}
		if imports != "limiter" {
			imports += ", limiter"
		}
		w := open(t, `import {`+imports+`} from "gaia"; const lim = limiter.tokenBucket("l", {rate: 1});
			export function onResponse(req, res) { if (!["function", "object"].includes(typeof `+expr+`)) throw new Error("unbound") }`)
		var d policy.Decision
		if err := w.OnResponse(request(), &policy.Response{}, &d); err != nil {
			t.Errorf("%s: %v", word.JS, err)
		}
	}
}

func TestBundle(t *testing.T) {
	w, err := openWith(t, `import { limit, type Shape } from "./lib/util.js";
		import table from "./table.json";
		import { deny, type OnRequest } from "gaia";
		const s: Shape = { n: 1 };
		export const onRequest: OnRequest = (req) => deny(table.status, limit(s.n));`,
		setup{entry: "pol/p.ts", config: Config{Override: patient}, files: map[string]string{
			"pol/lib/util.ts": `import * as x from "./deep"; export interface Shape { n: number } export const limit = (n: number): number => n * x.factor;`,
			"pol/lib/deep.ts": `export const factor = 1000;`, "pol/table.json": `{"status": 503}`}})
	if err != nil {
		t.Fatal(err)
	}
	if d := w.ask(t); d.Status != 503 || d.RetryAfter != time.Second {
		t.Errorf("%+v", d)
	}
	if got := fmt.Sprint(w.Files()); got != "[pol/lib/deep.ts pol/lib/util.ts pol/p.ts pol/table.json]" {
		t.Error(got)
	}
	if !strings.HasPrefix(w.Digest(), "sha256:") {
		t.Error(w.Digest())
	}
}

func TestDiskAndDigest(t *testing.T) {
	digests := map[string]bool{}
	host := natives.NewHost(natives.HostConfig{})
	for range 2 {
		dir := filepath.Join(t.TempDir(), "with space")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "a.js")
		if err := os.WriteFile(path, []byte("import {x} from './b.js';\nexport function onRequest() {\n  é(); x()\n}\nfunction é() {}"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "b.js"), []byte("export const x = () => {\n  throw new Error('deep');\n}"), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := Open(context.Background(), Source{Name: "a", Path: path}, Config{Scope: host.Begin(epoch).Scope(natives.ScopeConfig{Policy: "a"}), Override: patient})
		if err != nil {
			t.Fatal(err)
		}
		digests[p.Digest()] = true
		var d policy.Decision
		var f *policy.Fault
		if err := p.OnRequest(request(), &d); !errors.As(err, &f) {
			t.Fatal(err)
		}
		if want := filepath.Join(dir, "b.js") + ":2:"; !strings.HasPrefix(f.Where, want) || !strings.Contains(f.Stack, "onRequest ("+path+":3:") {
			t.Errorf("where %q, want %q\n%s", f.Where, want, f.Stack)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if err := p.OnRequest(request(), &d); !errors.Is(err, policy.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	if len(digests) != 1 {
		t.Errorf("the digest depends on the folder: %v", digests)
	}
}
