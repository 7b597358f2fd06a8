package js

import (
	"strings"
	"testing"
)

// Each of these ends a Go program that parses it, if it is only long enough.
func TestDeepSources(t *testing.T) {
	for name, code := range map[string]string{"parentheses": strings.Repeat("(", 2<<20), "not": "x=" + strings.Repeat("!", 4<<20-10) + "1",
		"arrows": "x=" + strings.Repeat("a=>", 1<<20) + "1", "ifs": strings.Repeat("if(1)\n", 600_000) + ";", "arrays": strings.Repeat("[", 4<<20-10),
		"sum": "x=1" + strings.Repeat("+1", 2<<20-10), "ternary": "x=" + strings.Repeat("1?1:", 1<<20-10) + "1", "objects": "x=" + strings.Repeat("{a:", 1<<20),
		"dots": "x=a" + strings.Repeat(".a", 2<<20-10), "calls": "x=a" + strings.Repeat("()", 2<<20-10), "else": strings.Repeat("if(1){}else ", 300_000),
		"typeof": "x=" + strings.Repeat("typeof ", 500_000) + "1", "templates": "x=" + strings.Repeat("`${", 1<<20), "blocks": strings.Repeat("{", 15_000),
		"commas": "x=a" + strings.Repeat(",a", 1<<20), "lines": "x=1+\n" + strings.Repeat("function \n(){}+\n", 100_000),
		"comments": "x=1+" + strings.Repeat("function(){}+//a\nfunction \n(){}+ /* a\nconst */", 50_000)} {
		if e := loadError(t, code, setup{}); !strings.Contains(e.Message, "nested too deeply") {
			t.Errorf("%s: %v", name, e)
		}
		short := code[:min(len(code), 30_000)] // as deep as is let through
		if _, err := openWith(t, short, setup{}); err == nil {
			t.Errorf("%s: a part of it is a policy", name)
		}
	}
	for name, code := range map[string]string{
		"long text":    "const a = \"" + strings.Repeat("ab+/", 1<<18) + "\";",
		"list":         "const a = [" + strings.Repeat("1,", 1<<20) + "];",
		"table":        "const a = [" + strings.Repeat("{a: [1, 2]}, ", 50_000) + "];",
		"no semicolon": strings.Repeat("const f = (x) => x + 1\nf(1)\n", 1) + strings.Repeat("{\nconst y = 1\ny.toString()\n}\n", 10_000),
	} {
		if chainTooLong(code) {
			t.Errorf("%s is refused", name)
		}
	}
}

func TestNoCodeFromText(t *testing.T) {
	for _, expr := range []string{`eval("1")`, `(0, eval)("1")`, `new Function("return 1")()`, `(() => {}).constructor("return 1")()`,
		`(async () => {}).constructor("return 1")()`, `(function* () {}).constructor("yield 1")()`} {
		w := open(t, "export function onRequest() { return {cost: "+expr+"} }")
		if f := w.fault(t); !strings.Contains(f.Err.Error(), "from a text") {
			t.Errorf("%s: %v", expr, f)
		}
	}
	w := open(t, "export function onRequest() { return {cost: (() => {}) instanceof Function ? 7 : 0} }")
	if d := w.ask(t); d.Cost != 7 {
		t.Errorf("%+v", d)
	}
}
