package js

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/internal/testkit"
)

// brief is a budget for tests that spend it.
var brief = policy.Options{Budget: 5 * time.Millisecond}

func openBrief(t testing.TB, code string) *world {
	t.Helper()
	w, err := openWith(t, code, setup{config: Config{Override: brief}})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return w
}

// untilIdle waits until all guests are built again.
func (w *world) untilIdle(t testing.TB) {
	t.Helper()
	testkit.Until(t, "the guests are back", func() bool {
		idle, total := w.Guests()
		return idle == total
	})
}

func TestSpentBudget(t *testing.T) {
	for name, body := range map[string]string{
		"loop":         `for (;;) {}`,
		"loop caught":  `for (;;) { try { for (;;) {} } catch (e) {} finally {} }`,
		"backtracking": `return /^(a+)+\1$/.test("a".repeat(60) + "b")`,
		"replaces":     `return ("a".repeat(60) + "b").replace(/(a+)+\1$/g, "")`,
		"allocates":    `const a = []; for (;;) a.push(new Array(1000).fill(0))`,
		"doubles":      `let s = "x"; for (;;) s += s`,
		"getter":       `return {get action() { for (;;) {} }}`,
		"toString":     `throw {toString() { for (;;) {} }}`,
		"holes":        `const a = []; a.length = 4294967295; return [...a]`,
		"holes of":     `const a = []; a.length = 4294967295; for (const x of a) {}`,
		"nested text":  `let a = [1]; for (let i = 0; i < 40; i++) a = [a, a]; return String(a)`,
		"json":         `let a = [1]; for (let i = 0; i < 40; i++) a = [a, a]; return JSON.stringify(a)`,
		"flat":         `let a = [1]; for (let i = 0; i < 40; i++) a = [a, a]; return a.flat(Infinity)`,
		"comparator":   `const a = []; for (let i = 0; i < 1e4; i++) a.push(i); a.sort(() => { for (;;) {} })`,
	} {
		t.Run(name, func(t *testing.T) {
			w := openBrief(t, "export function onRequest() {\n"+body+"\n}\nexport function onTick() {}")
			measured := taken()
			f := w.fault(t)
			took := measured()
			ended := f.Kind == policy.FaultBudget || strings.Contains(f.Err.Error(), "RangeError") || name == "toString" && f.Kind == policy.FaultException
			if !ended {
				t.Errorf("got %v", f)
			}
			if took > time.Second && !testkit.Race {
				t.Errorf("it took %v", took)
			}
			if f.Kind == policy.FaultBudget && f.Where == "" {
				t.Errorf("no place: %+v", f)
			}
			w.untilIdle(t)
			if err := w.OnTick(&policy.Tick{Now: epoch}); err != nil {
				t.Errorf("after it: %v", err)
			}
		})
	}
}

func TestCappedBuiltins(t *testing.T) {
	for _, expr := range []string{`"x".repeat(1 << 28)`, `"é".repeat(1 << 28)`, `"x".padStart(1 << 28)`, `"x".padEnd(1e9, "ab")`, `new Array(1 << 26).fill(0)`,
		`Array(1 << 26).join("x")`, `Array(1 << 20).join("x".repeat(1e6))`, `new Float64Array(1 << 25)`, `new ArrayBuffer(1 << 30)`, `Float64Array.from({length: 1e9})`,
		`new Uint8Array(0).constructor.from({length: 1e9})`, `new (new Uint8Array(0).constructor)(1e9)`, `Array.from({length: 1e9})`,
		`Math.max.apply(null, {length: 1e9})`, `Reflect.apply(Math.max, null, {length: 1e9})`, `Reflect.construct(Array, {length: 1e9})`,
		`String.raw({raw: {length: 1e9}})`, `[].indexOf.call({length: 1e12}, 1)`, `"x".repeat(1e6).split("")`, `"x".repeat(1e5).replaceAll("x", "y".repeat(1e6))`,
		`"x".repeat(1e5).replace(/x/g, "$'")`, `"x".repeat(1e6).match(/x/g)`, `/x/.test("x".repeat(1e6))`, `JSON.parse("[".repeat(2e6))`,
		`"x".concat(..."x".repeat(50).split("").map(() => "y".repeat(1e5)))`, `Array(1000).fill("y".repeat(1e5)).join("")`,
		`new Array(1 << 17).fill(0).sort()`, `JSON.stringify(new Array(1 << 20))`, `[].concat(new Array(1e9))`, `new Array(1e9).reverse()`,
		`(() => { let a = []; for (let i = 0; i < 500; i++) a = [a]; return JSON.stringify(a) })()`,
		`(() => { let a = []; for (let i = 0; i < 500; i++) a = [a]; return String(a) })()`} {
		t.Run(expr, func(t *testing.T) {
			w := open(t, "export function onRequest() { "+expr+"; }")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			measured := taken()
			f := w.fault(t)
			took := measured()
			runtime.ReadMemStats(&after)
			if f.Kind != policy.FaultException || !strings.Contains(f.Err.Error(), "RangeError") {
				t.Errorf("got %v", f)
			}
			if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 128 || took > time.Second && !testkit.Race {
				t.Errorf("%v, %d MiB", took, got)
			}
		})
	}
}

// What policies do every day works as in any engine behind the caps.
func TestBuiltinsStillWork(t *testing.T) {
	for expr, want := range map[string]string{
		`[1,[2,[3,[4]]]].flat(2)`:          `[1,2,3,[4]]`,
		`[[1],[2]].flat()`:                 `[1,2]`,
		`["a",["b",["c"]],null].join("-")`: `"a-b,c-"`,
		`String([1,[2]])`:                  `"1,2"`,
		`JSON.stringify({a: [1, {b: 2}], c: undefined, d: () => 1}, null, 0)`:         `"{\"a\":[1,{\"b\":2}]}"`,
		`JSON.stringify({a: 1, b: {a: 2, c: 3}}, ["a", "b"])`:                         `"{\"a\":1,\"b\":{\"a\":2}}"`,
		`JSON.stringify({a: 1, b: "x"}, (k, v) => typeof v === "number" ? v + 1 : v)`: `"{\"a\":2,\"b\":\"x\"}"`,
		`JSON.stringify([new Date(0), {toJSON() { return 5 }}])`:                      `"[\"1970-01-01T00:00:00.000Z\",5]"`,
		`JSON.stringify("x")`:                                                 `"\"x\""`,
		`JSON.parse('{"a":[1,2]}').a.length`:                                  `2`,
		`[3,1,2].sort()`:                                                      `[1,2,3]`,
		`[3,1,2].toSorted((a, b) => b - a)`:                                   `[3,2,1]`,
		`"a-b".replace(/-/g, "+$&+")`:                                         `"a+-+b"`,
		`"aXbX".replaceAll("X", "y")`:                                         `"ayby"`,
		`"a,b".split(",")`:                                                    `["a","b"]`,
		`"x".padStart(3, "ab") + "y".repeat(2)`:                               `"abxyy"`,
		`[...new Uint8Array([1, 2]).map((x) => x * 2)]`:                       `[2,4]`,
		`new Float64Array(2) instanceof Float64Array`:                         `true`,
		`Uint8Array.BYTES_PER_ELEMENT + Uint8Array.of(1).length`:              `2`,
		`Object.getPrototypeOf(class A extends Uint8Array {}) === Uint8Array`: `true`,
		`(() => { class A extends Uint8Array { n() { return this.length } } const a = new A(3); return [a.n(), a instanceof A, a instanceof Uint8Array] })()`: `[3,true,true]`,
		`new Uint8Array(2).constructor === Uint8Array`:                   `true`,
		`ArrayBuffer.isView(new DataView(new ArrayBuffer(8)))`:           `true`,
		`[].constructor === Array && [1].map((x) => x) instanceof Array`: `true`,
		`Math.max.apply(null, [1, 3, 2])`:                                `3`,
		`Array.from({length: 3}, (_, i) => i)`:                           `[0,1,2]`,
		`[...[1, 2], ...new Set([3])]`:                                   `[1,2,3]`,
		`Array.from(new Map([[1, 2]]).entries())`:                        `[[1,2]]`,
		`Array.prototype.map.name + Array.prototype.map.length`:          `"map1"`,
		`/(\d+)-\1/.exec("12-12")[1]`:                                    `"12"`,
		`"aBc".match(/b/i).index`:                                        `1`,
		`[..."a1b2".matchAll(/\d/g)].map((m) => m[0])`:                   `["1","2"]`,
		"String.raw`a\\n${1}`":                                           `"a\\n1"`,
		`Object.keys(globalThis).length`:                                 `1`, // console
	} {
		w := open(t, "export function onRequest() { throw JSON.stringify("+expr+") }")
		if f := w.fault(t); f.Err.Error() != want {
			t.Errorf("%s\ngot  %s\nwant %s", expr, f.Err, want)
		}
	}
}

// A match that the engine gives up is no match to goja: it must not be one to a policy.
func TestMatchThatIsCutOffIsNoAnswer(t *testing.T) {
	for _, expr := range []string{
		`/^(a+)+\1$/.test("a".repeat(60) + "b")`, `/^(a+)+\1$/.exec("a".repeat(60) + "b")`,
		`("a".repeat(60) + "b").replace(/(a+)+\1$/g, "")`, `("a".repeat(60) + "b").match(/(a+)+\1$/)`,
	} {
		w, err := openWith(t, "export function onRequest() { throw String("+expr+") }", setup{config: Config{Override: patient}})
		if err != nil {
			t.Fatal(err)
		}
		if f := w.fault(t); !strings.Contains(f.Err.Error(), "the regular expression took longer than") {
			t.Errorf("%s: %v", expr, f)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	w, err := openWith(t, `export function onRequest() { const a = []; for (;;) a.push(new Array(1000).fill(0)); }`,
		setup{config: Config{Override: policy.Options{Budget: 20 * time.Second}}})
	if err != nil {
		t.Fatal(err)
	}
	f := w.fault(t)
	if f.Kind != policy.FaultBudget || !errors.Is(f, errMemory) {
		t.Errorf("got %v", f)
	}
	w.untilIdle(t)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 128<<20 {
		t.Errorf("%d MiB are still in use", m.HeapAlloc>>20)
	}
}

// A guest that threw keeps its variables; one that was cut off starts anew.
func TestModuleVariables(t *testing.T) {
	w := openBrief(t, `let n = 0; export function onRequest(req) {
		n++; if (req.key === "throw") throw new Error("x"); if (req.key === "loop") for (;;) {}
		return {cost: n} }`)
	ask := func(key string) (int64, error) {
		r, d := request(), policy.Decision{}
		r.Key = key
		err := w.OnRequest(r, &d)
		return d.Cost, err
	}
	for i, c := range []struct {
		key  string
		cost int64
		ok   bool
	}{{"a", 1, true}, {"throw", 0, false}, {"a", 3, true}, {"loop", 0, false}, {"a", 1, true}} {
		if cost, err := ask(c.key); cost != c.cost || (err == nil) != c.ok {
			t.Errorf("%d: %d %v", i, cost, err)
		}
		w.untilIdle(t)
	}
}

// What 200 faults of each kind leave on goja's stack is nothing.
func TestStackAfterFaults(t *testing.T) {
	w, err := openWith(t, `export function onRequest(req) {
		if (req.key === "throw") throw new Error("x"); if (req.key === "deep") return onRequest(req);
		if (req.key === "bad") return {nope: 1}; if (req.key === "native") req.key = 1;
		if (req.key === "loop") for (;;) {} }`, setup{config: Config{Override: policy.Options{Budget: time.Millisecond}}})
	if err != nil {
		t.Fatal(err)
	}
	g := w.groups[0].seats[0].guest
	for _, key := range []string{"throw", "deep", "bad", "native", "loop"} {
		faults := 0
		for range 200 {
			r := request()
			r.Key = key
			g.call.Begin(r, nil)
			g.args[0] = g.req
			var d policy.Decision
			// Not through the policy: it would not use a guest again that was cut off.
			if g.ask(policy.HookRequest, w.dog.ticks(time.Millisecond), &d) != nil {
				faults++
			}
			g.call.End()
			if sp := stackOf(g.rt); sp != 0 {
				t.Fatalf("%s: the stack pointer is %d", key, sp)
			}
		}
		if faults != 200 {
			t.Errorf("%s: %d faults of 200", key, faults)
		}
	}
	if d := w.ask(t); d.Action != policy.ActionNone {
		t.Errorf("%+v", d)
	}
}

func TestIsolation(t *testing.T) {
	code := `let n = 0; export function onRequest(req) { return {cost: ++n} }`
	sum := func(iso policy.Isolation) map[string]int64 {
		w, err := openWith(t, code, setup{config: Config{Override: policy.Options{Isolation: iso, Budget: time.Second}, Instances: 4}})
		if err != nil {
			t.Fatal(err)
		}
		last := map[string]int64{}
		for i := range 40 {
			r, d := request(), policy.Decision{}
			r.Key = fmt.Sprint("k", i%8)
			if err := w.OnRequest(r, &d); err != nil {
				t.Fatal(err)
			}
			last[r.Key] = max(last[r.Key], d.Cost)
		}
		return last
	}
	if got := sum(policy.IsolationSingle); got["k7"] != 40 {
		t.Error(got)
	}
	total := int64(0)
	for key, n := range sum(policy.IsolationKey) {
		if n < 5 || n >= 40 {
			t.Errorf("%s: %d", key, n)
		}
		total += n
	}
	if total <= 40 {
		t.Error(total)
	}
	if got := sum(policy.IsolationPool); got["k7"] >= 40 {
		t.Error(got)
	}
}

// Callers that come at once wait for each other longer than the budget of one, and all
// are answered: a policy that works is not passed over because it is asked a lot.
func TestACrowdIsAnswered(t *testing.T) {
	w := openBrief(t, `export function onRequest(req) { return true; }`)
	g := w.groups[0]
	s := g.try()
	got := make(chan error, 1)
	go func() {
		d := policy.Decision{}
		got <- w.OnRequest(request(), &d)
	}()
	for began := time.Now(); time.Since(began) < 4*(w.opts.Budget+waitGrace); runtime.Gosched() {
		g.turns.Add(1) // others take their turns meanwhile
	}
	s.release()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestBusy(t *testing.T) {
	w := openBrief(t, `export function onRequest(req) { for (;;) {} }`)
	s := w.groups[0].try() // a guest that does not come back
	f := w.fault(t)
	if f.Kind != policy.FaultBusy {
		t.Errorf("got %v", f)
	}
	s.release()
}

func TestHammer(t *testing.T) {
	for _, iso := range []policy.Isolation{policy.IsolationSingle, policy.IsolationKey, policy.IsolationPool} {
		t.Run(string(iso), func(t *testing.T) {
			w, err := openWith(t, `import {limiter, metrics, state} from "gaia"; const l = limiter.tokenBucket("l", {rate: 1e6, burst: 1e6});
				export function onRequest(req) { if (req.tenant === "loop") for (;;) {}; if (req.tenant === "throw") null.x; metrics("api"); state.incr("n"); return l.admit(); }
				export function onTick() {}`, setup{config: Config{Override: policy.Options{Isolation: iso, Budget: 2 * time.Millisecond}, Instances: 3}})
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			start := make(chan struct{})
			for g := range 8 {
				wg.Go(func() {
					<-start
					for i := range 200 {
						r, d := request(), policy.Decision{}
						r.Key = fmt.Sprint(i % 7)
						switch {
						case i%97 == 0 && g == 0:
							r.Tenant = "loop"
						case i%13 == 0:
							r.Tenant = "throw"
						}
						err := w.OnRequest(r, &d)
						if (r.Tenant == "loop" || r.Tenant == "throw") && err == nil {
							t.Error("no fault")
						}
						if i%50 == 0 {
							_ = w.OnTick(&policy.Tick{Now: epoch, Metrics: func(string) map[string]float64 { return map[string]float64{"a": 1} }})
						}
					}
				})
			}
			close(start)
			wg.Wait()
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestCloseWaits(t *testing.T) {
	w := openBrief(t, `export function onRequest() { for (;;) {} }`)
	started := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		var d policy.Decision
		close(started)
		done <- w.OnRequest(request(), &d)
	}()
	<-started
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the hook did not end")
	}
	if err := w.OnTick(&policy.Tick{}); err != nil {
		t.Error("a policy without onTick answers nothing")
	}
}

func TestPromiseJobsAreDrained(t *testing.T) {
	w := open(t, `let ran = 0; export function onRequest(req) { Promise.resolve().then(() => { ran++ }); return {cost: ran} }`)
	var last policy.Decision
	for range 3 * drainEvery {
		last = w.ask(t)
	}
	if last.Cost < drainEvery {
		t.Errorf("%d jobs ran", last.Cost)
	}
}

func TestAllocs(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	for _, c := range []struct {
		name, code string
		most       float64
	}{{"empty", emptyHook, 0}, {"take", takeHook, 0}, {"deny", denyHook, 2}, {"admit", admitHook, 0}} {
		w := open(t, c.code)
		r := request()
		var d policy.Decision
		for range 100 {
			_ = w.OnRequest(r, &d)
		}
		got := testing.AllocsPerRun(1000, func() {
			d.Reset()
			if err := w.OnRequest(r, &d); err != nil {
				t.Fatal(err)
			}
		})
		if got > c.most {
			t.Errorf("%s: %v allocations, want %v", c.name, got, c.most)
		}
	}
}

func TestDeterministicChance(t *testing.T) {
	w, err := openWith(t, `export function onRequest() { throw Math.random() + " " + new Date().toISOString() }`,
		setup{config: Config{Rand: func() float64 { return 0.25 }, Override: patient}})
	if err != nil {
		t.Fatal(err)
	}
	if f := w.fault(t); f.Err.Error() != "0.25 2023-11-14T22:13:20.000Z" {
		t.Error(f)
	}
}

// The watchdog sleeps while nothing runs, and wakes up for the next hook.
func TestWatchdogSleeps(t *testing.T) {
	w := openBrief(t, `export function onRequest() { for (;;) {} }`)
	for range 3 {
		testkit.Until(t, "the watchdog sleeps", w.dog.parked.Load)
		if f := w.fault(t); f.Kind != policy.FaultBudget {
			t.Errorf("got %v", f)
		}
		w.untilIdle(t)
	}
}

// A guest whose module scope fails the second time is no guest, and the policy says why.
func TestGuestThatCannotBeBuiltAgain(t *testing.T) {
	w, err := openWith(t, `import {state} from "gaia"; if (state.get("broken")) throw new Error("not again");
		export function onRequest() { state.set("broken", true); for (;;) {} }`, setup{config: Config{Override: brief}})
	if err != nil {
		t.Fatal(err)
	}
	if f := w.fault(t); f.Kind != policy.FaultBudget {
		t.Fatalf("got %v", f)
	}
	w.untilIdle(t)
	for range 3 {
		f := w.fault(t)
		if f.Kind != policy.FaultBusy || !strings.Contains(f.Err.Error(), "not again") {
			t.Fatalf("got %v", f)
		}
		w.untilIdle(t)
	}
}
