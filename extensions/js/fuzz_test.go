package js

import (
	"errors"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Whatever a hook returns is a decision within bounds or a fault, in bounded time.
func FuzzDecision(f *testing.F) {
	for _, s := range []string{`undefined`, `deny(429, 1500)`, `{status: 503, reason: "x"}`, `{get a() { throw 1 }}`, `new Proxy({}, {ownKeys() { for (;;) {} }})`,
		`[..."abc"].map((c) => c.repeat(3))`, `allow({headers: {a: "b"}})`, `l.admit("k", {cost: -1})`, `req.header("x")`, `Promise.reject(1)`, `{delay: "9999h"}`,
		`{cost: 2 ** 53}`, `route({})`, `(() => { throw {toString: 1} })()`, `Symbol.iterator`, `1n`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		w, err := openWith(t, `import {allow, deny, delay, route, retry, limiter} from "gaia"; const l = limiter.tokenBucket("l", {rate: 1});
			export function onRequest(req) { return (`+expr+"\n) }", setup{config: Config{Override: policy.Options{Budget: 20 * time.Millisecond}}})
		if err != nil {
			var e *policy.LoadError
			if !errors.As(err, &e) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		defer w.Close()
		var d policy.Decision
		began := time.Now()
		err = w.OnRequest(request(), &d)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("it took %v", took)
		}
		var fault *policy.Fault
		switch {
		case err != nil && (!errors.As(err, &fault) || fault.Kind == policy.FaultPanic):
			t.Fatalf("%T %v", err, err)
		case err != nil:
		case d.Status != 0 && (d.Status < policy.MinStatus || d.Status > policy.MaxStatus), d.Delay < 0 || d.Delay > policy.MaxDelay,
			len(d.Reason) > policy.MaxReason, len(d.Headers) > policy.MaxHeaders, d.HasPriority && (d.Priority < 0 || d.Priority > policy.MaxPriority),
			d.HasCost && (d.Cost < 0 || d.Cost > policy.MaxCost), d.Action == policy.ActionRetry:
			t.Fatalf("out of bounds: %+v", d)
		}
	})
}

// Any source opens or is refused with a *policy.LoadError.
func FuzzOpen(f *testing.F) {
	for _, s := range []string{emptyHook, takeHook, denyHook, bucketHook, `export default {onTick() {}}`, `export const options = {match: [`, `import x from "./y"`,
		"export async function onRequest() { for await (const x of y) {} }", `export const onRequest = class { #a = 1; static { } }`, "\xff\xfe", "//# sourceMappingURL=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, code string) {
		w, err := openWith(t, code, setup{})
		if err == nil {
			_ = w.Close()
			return
		}
		var e *policy.LoadError
		if !errors.As(err, &e) {
			t.Fatalf("%T %v", err, err)
		}
		_, _ = e.Error(), e.Excerpt()
	})
}
