package js

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/internal/testkit"
)

// Native functions that lead to one another use the stack of Go, which ends the program
// where it is full; so a child runs these.
func TestNativeRecursion(t *testing.T) {
	const role = "GAIA_TEST_NATIVE_RECURSION"
	cases := map[string]string{
		"trim":        `const o = {toString: String.prototype.trim}; return "" + o`,
		"join":        `const o = {toString: Array.prototype.toString, join: Array.prototype.toString}; return "" + o`,
		"locale":      `const o = {length: 1, toLocaleString: Array.prototype.toLocaleString}; o[0] = o; return o.toLocaleString()`,
		"locale deep": `let a = [1]; for (let i = 0; i < 3e4; i++) a = [a]; return a.toLocaleString()`,
		"locale wide": `let a = [1]; for (let i = 0; i < 40; i++) a = [a, a]; return a.toLocaleString()`,
		"error":       `const o = {toString: Error.prototype.toString}; o.name = o; throw o`,
		"catch":       `const o = {then: Promise.prototype.catch}; o.catch = o.then; return o.then()`,
		"bound class": `const o = {}; o.toString = String.bind(null, o); return "" + o`,
		"getter":      `const o = {}; Object.defineProperty(o, "x", {get: Reflect.get.bind(null, o, "x")}); return o.x`,
		"apply":       `const o = [Reflect.apply, null]; o.push(o); return Reflect.apply(...o)`,
		"map":         `const a = [0], args = [null], f = Reflect.apply.bind(null, a.map, a, args); args[0] = f; return f()`,
		"binds":       `let f = () => 1; for (let i = 0; i < 3e4; i++) f = f.bind(null); return f()`,
		"word":        `const o = {}; Object.defineProperty(o, "key", {get: allow.bind(null, o), enumerable: true}); return allow(o)`,
		"iterator":    `return new Set({[Symbol.iterator]() { return this }, next: Object.prototype.valueOf, done: false})`,
	}
	if name := os.Getenv(role); name != "" {
		w := openBrief(t, `import {allow} from "gaia"; export function onRequest() { `+cases[name]+` }`)
		f := w.fault(t)
		fmt.Println("fault:", f.Kind, f.Err)
		return
	}
	for name := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNativeRecursion$", "-test.timeout=60s")
			child.Env = append(os.Environ(), role+"="+name)
			out, err := child.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "fault: ") {
				t.Errorf("%v: %.300s", err, out)
			}
		})
	}
}

// A function that is bound anew for each request stops being called, with a fault that
// says why, long before it is dangerous.
func TestBindAgainAndAgain(t *testing.T) {
	w := open(t, `let f = () => true; export function onRequest() { f = f.bind(null); return f() }`)
	for i := range maxNested + 5 {
		var d policy.Decision
		err := w.OnRequest(request(), &d)
		if i < maxNested-5 && err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		if i == maxNested+4 && (err == nil || !strings.Contains(err.Error(), "RangeError")) {
			t.Errorf("got %v", err)
		}
	}
	for expr, want := range map[string]string{
		`function f(a, b) { return [this.x, a, b].join() } const b = f.bind({x: 1}, 2); throw b(3) + b.name + b.length`: "1,2,3bound f1",
		`throw [1, 2].map(String.prototype.concat.bind("x")).join()`:                                                    "x101,2,x211,2",
		`throw Math.max.bind(null, 3)(1) + typeof [].push.bind([])`:                                                     "3function",
	} {
		if f := open(t, "export function onRequest() { "+expr+" }").fault(t); f.Err.Error() != want {
			t.Errorf("%s: got %s", expr, f.Err)
		}
	}
}

// One match ends in time whatever the pattern and the text are.
func TestPatternsHaveWeight(t *testing.T) {
	for _, expr := range []string{`/(?:a{0,100}b?){0,9}c/.test("a".repeat(65536))`, `/(?:a?){500}c/.exec("a".repeat(65536))`,
		`/(?:a?){100}c/.exec("a".repeat(4e6))`, `/(?:a?){100}c/[Symbol.replace]("a".repeat(4e6), "x")`, `"a".repeat(65536).search("(?:a?){500}c")`,
		`"a".repeat(65536).match({toString: () => "(?:a?){500}c"})`, `new RegExp("(?=".repeat(20000) + "a" + ")".repeat(20000))`,
		`RegExp("[" + "a-z".repeat(300000) + "]", "i")`, `new (/x/.constructor)("x".repeat(1e6))`, `/x/.compile("y")`,
		`"a".repeat(65536).split(/(?:a?){500}c/)`, `"a".repeat(65536).replace(/(?:a?){500}c/g, "")`} {
		w := open(t, "export function onRequest() { "+expr+" }")
		took := taken()
		f := w.fault(t)
		if took := took(); f.Kind != policy.FaultException || took > time.Second && !testkit.Race {
			t.Errorf("%s: %v in %v", expr, f, took)
		}
	}
	for pattern, want := range map[string]int64{`abc`: 3, `[a-z]{1,63}`: 126, `(a?){500}`: 2000, `\d+`: 2, `a{2}b{,3}`: 9, `(a|b)`: 5, `[\]]`: 1} {
		if got, _ := weigh(pattern); got < want/2 || got > want*2 {
			t.Errorf("%s weighs %d, want about %d", pattern, got, want)
		}
	}
}

// What policies do with patterns works as in any engine behind the bounds.
func TestPatternsStillWork(t *testing.T) {
	for expr, want := range map[string]string{
		`"a1b22c".split(/\d+/)`: `["a","b","c"]`, `"a1b2c".split(/(\d)/)`: `["a","1","b","2","c"]`, `"abc".split(/(?:)/)`: `["a","b","c"]`,
		`"".split(/x/)`: `[""]`, `"".split(/(?:)/)`: `[]`, `"a,b,c".split(/,/, 2)`: `["a","b"]`, `"abc".split(/c/y)`: `["ab",""]`,
		`"xay".split(/(a)|b/)`: `["x","a","y"]`, `"AbaB".split(/b/i)`: `["A","a",""]`, `"a\nb".split(/^/m)`: `["a\n","b"]`,
		`"aXbX".replace(/x/gi, (m, at) => m + at)`: `"aX1bX3"`, `"2024-01".replace(/(?<y>\d+)-(?<m>\d+)/, "$<m>/$<y>")`: `"01/2024"`,
		`[..."a1b2".matchAll(/[a-z](\d)/g)].map((m) => m[1])`: `["1","2"]`, `"aab".match(/a/g)`: `["a","a"]`, `"abc".search("c")`: `2`,
		`RegExp("a+").test("caa") && RegExp(/a/).source === "a" && /a/.constructor === RegExp && /a/ instanceof RegExp`: `true`,
		`(() => { const r = /a/g; r.test("aa"); return r.lastIndex })()`:                                                `1`,
	} {
		w := open(t, "export function onRequest() { throw JSON.stringify("+expr+") }")
		if f := w.fault(t); f.Err.Error() != want {
			t.Errorf("%s\ngot  %s\nwant %s", expr, f.Err, want)
		}
	}
}

func TestCappedFurther(t *testing.T) {
	for _, expr := range []string{`JSON.parse("[".repeat(2000) + "]".repeat(2000))`, `Array.from("x".repeat(4e6))`, `Object.keys("x".repeat(4e6))`,
		`Object.getOwnPropertyDescriptors("x".repeat(4e6))`, `"\uFDFA".repeat(2e6).normalize("NFKD")`, `"é".repeat(4e6).localeCompare("é".repeat(4e6) + "a")`,
		`parseFloat("9".repeat(4e6))`, `String.raw({raw: new Array(6e4).fill("x".repeat(4e6))})`, `new Array(1e5).fill(new Array(1e5).fill(1)).flatMap(Object)`,
		`"x".repeat(6e4).replaceAll("x", {toString: () => "y".repeat(4e6)})`, `new (new Uint8Array(1).buffer.constructor)(1e9)`,
		`new Uint8Array(4e6)`, `new Proxy({}, {})`, `BigInt(1) << BigInt(1e12)`} {
		w := open(t, "export function onRequest() { "+expr+" }")
		took := taken()
		f := w.fault(t)
		if took := took(); f.Kind != policy.FaultException || took > time.Second && !testkit.Race {
			t.Errorf("%s: %v in %v", expr, f, took)
		}
	}
	e := loadError(t, "export function onRequest() {\n  return 2n ** 1000000000n }", setup{})
	if !strings.Contains(e.Message, "BigInt") || e.Line != 2 || e.Col == 0 {
		t.Errorf("got %+v", e)
	}
}

// A decision that was kept is refused in later hooks, however many others were built
// since; it is never taken for one of those.
func TestKeptDecisions(t *testing.T) {
	for others := range 70 {
		w := open(t, fmt.Sprintf(`import {deny, delay} from "gaia"; let kept, n = 0;
			export function onRequest() { kept ??= deny(429); if (n++ === 0) return; for (let i = 0; i < %d; i++) delay(1); return kept }`, others))
		w.ask(t)
		for range 3 {
			var d policy.Decision
			err := w.OnRequest(request(), &d)
			var f *policy.Fault
			if !errors.As(err, &f) || f.Kind != policy.FaultBadDecision {
				t.Fatalf("%d others: %v %+v", others, err, d)
			}
		}
	}
	w := open(t, `import {limiter} from "gaia"; const l = limiter.tokenBucket("l", {rate: 1, per: "1h", burst: 9}); let kept;
		export function onRequest() { const a = l.admit("a"), b = l.admit("b"); kept ??= a; if (a === b || a === undefined) throw "same";
			return {cost: a.remaining * 10 + b.remaining, reason: kept === a ? "" : "other"} }`)
	if d := w.ask(t); d.Cost != 88 {
		t.Errorf("%+v", d)
	}
}

// taken measures a time: on the wall, or of the processor where that is less, for other
// programs share the machine.
func taken() func() time.Duration {
	began, used := time.Now(), natives.ProcessTime()
	return func() time.Duration { return min(time.Since(began), natives.ProcessTime()-used) }
}
