package js

import (
	"testing"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/policy"
)

const (
	emptyHook = `export function onRequest() {}`
	takeHook  = `import {limiter} from "gaia"; const l = limiter.tokenBucket("l", {rate: 1e9, burst: 1e9});
		export function onRequest() { l.take(); }`
	denyHook = `import {deny} from "gaia"; export function onRequest(r) {
		if (r.key === "blocked" || r.method === "DELETE" || r.path === "/x" || r.priority < 0) return true; return deny(429, 1500); }`
	admitHook = `import {limiter} from "gaia"; const l = limiter.tokenBucket("l", {rate: 1e9, burst: 1e9});
		export function onRequest() { return l.admit(); }`
	objectHook = `export function onRequest(r) { return {action: "deny", status: 429, retryAfter: 1500}; }`
	bucketHook = `const buckets = new Map(); const rate = 1e6, cap = 100;
		export function onRequest({now, key}) {
			let b = buckets.get(key);
			if (b === undefined) { b = {tokens: cap, last: now}; buckets.set(key, b); }
			const t = Math.min(cap, b.tokens + (now - b.last) * rate);
			b.last = now;
			if (t >= 1) { b.tokens = t - 1; return true; }
			b.tokens = t;
			return false; }`
)

// BenchmarkRaw is what the others are measured against: goja's own call of an empty
// function.
func BenchmarkRaw(b *testing.B) {
	rt := goja.New()
	if _, err := rt.RunString("function f() {}"); err != nil {
		b.Fatal(err)
	}
	f, _ := goja.AssertFunction(rt.Get("f"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f(goja.Undefined()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHook(b *testing.B) {
	for _, c := range []struct{ name, code string }{{"empty", emptyHook}, {"take", takeHook}, {"deny", denyHook}, {"admit", admitHook},
		{"object", objectHook}, {"bucket", bucketHook}} {
		b.Run(c.name, func(b *testing.B) {
			w := open(b, c.code)
			r := request()
			var d policy.Decision
			b.ReportAllocs()
			for b.Loop() {
				d.Reset()
				r.Now += 1000
				if err := w.OnRequest(r, &d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		w, err := openWith(b, takeHook, setup{})
		if err != nil {
			b.Fatal(err)
		}
		_ = w.Close()
	}
}

func BenchmarkGuest(b *testing.B) {
	w := open(b, takeHook)
	b.ReportAllocs()
	for b.Loop() {
		g, err := newGuest(w.Policy)
		if err != nil {
			b.Fatal(err)
		}
		w.dog.remove(g.watch)
	}
}
