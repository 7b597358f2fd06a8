package js

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

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

func (s inFlight) Schema() *metrics.Schema { return s.schema }

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
