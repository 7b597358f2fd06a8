package js

import (
	"fmt"
	"log/slog"
	"sort"
	"strings"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
)

// maxPick bounds the list that pick looks through.
const maxPick = 10_000

// topWords lists what the module "gaia" exports: the first parts of the words.
func topWords() []string {
	seen := map[string]bool{}
	var words []string
	for _, w := range natives.Table() {
		top, _, method := strings.Cut(w.JS, ".")
		if method && top[0] >= 'A' && top[0] <= 'Z' { // of objects that words or hooks give
			continue
		}
		if !seen[top] {
			seen[top] = true
			words = append(words, top)
		}
	}
	return words
}

// wordsModule is the module "gaia". Each word is a call that the bundler drops where
// the word is not used, so a guest makes only the words of its policy.
func wordsModule() string {
	var sb strings.Builder
	for _, w := range topWords() {
		fmt.Fprintf(&sb, "export const %s = /* @__PURE__ */ __gaia(%q);\n", w, w)
	}
	return sb.String()
}

// word makes one word of the module "gaia".
func (g *guest) word(fc goja.FunctionCall) goja.Value {
	name := fc.Argument(0).String()
	if build, ok := g.builders()[name]; ok {
		return g.function(name, build)
	}
	switch name {
	case "limiter":
		return g.wordLimiter()
	case "state":
		return g.object(g.stateWords())
	case "counter":
		return g.function(name, g.wordCounter)
	case "gauge":
		return g.function(name, g.wordGauge)
	case "metrics":
		return g.function(name, func(fc goja.FunctionCall) goja.Value { return g.metrics(fc.Argument(0).String()) })
	case "hash":
		return g.function(name, g.wordHash)
	case "pick":
		return g.function(name, g.wordPick)
	case "params":
		params := g.call.Scope().Params()
		if params == nil {
			params = map[string]any{}
		}
		return g.frozen(params)
	case "env":
		if s := g.call.Scope(); s.Foreign() {
			return g.rt.NewDynamicObject(&envView{readOnly{g: g, what: "env", names: s.EnvNames()}})
		}
		env := map[string]any{}
		for _, name := range g.call.Scope().EnvNames() {
			env[name], _ = g.call.Scope().Env(name)
		}
		return g.frozen(env)
	case "log":
		return g.object(g.logWords())
	case hostWord:
		if host := g.policy.host; host != nil {
			return g.named(name, func(fc goja.FunctionCall) goja.Value { return host(g, fc) })
		}
	}
	panic(g.typeError("there is no word %s", quote(name)))
}

// function is a native function of the host. Given an object, which may have getters, it
// has the bound of all that can call each other.
func (g *guest) function(name string, fn native) *goja.Object {
	careful := g.bounded(fn)
	return g.named(name, func(fc goja.FunctionCall) goja.Value {
		for _, a := range fc.Arguments {
			if _, ok := a.(*goja.Object); ok {
				return careful(fc)
			}
		}
		return fn(fc)
	})
}

// named is a native function under its name in stacks.
func (g *guest) named(name string, fn native) *goja.Object {
	o := g.rt.ToValue(fn).ToObject(g.rt)
	g.must(o.DefineDataProperty("name", g.rt.ToValue(name), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE))
	return o
}

// object is a plain object of native functions, which policies cannot change.
func (g *guest) object(methods map[string]func(goja.FunctionCall) goja.Value) *goja.Object {
	names := make([]string, 0, len(methods))
	for name := range methods {
		names = append(names, name)
	}
	sort.Strings(names)
	o := g.rt.NewObject()
	for _, name := range names {
		g.must(o.DefineDataProperty(name, g.function(name, methods[name]), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_TRUE))
	}
	return o
}

// frozen is a deep copy of a value of the host that the policy cannot change.
func (g *guest) frozen(v any) goja.Value {
	switch v := v.(type) {
	case nil:
		return goja.Null()
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		o := g.rt.NewObject()
		for _, k := range keys {
			g.must(o.Set(k, g.frozen(v[k])))
		}
		return g.freeze(o)
	case []any:
		items := make([]any, len(v))
		for i := range v {
			items[i] = g.frozen(v[i])
		}
		return g.freeze(g.rt.NewArray(items...))
	case []string:
		items := make([]any, len(v))
		for i := range v {
			items[i] = v[i]
		}
		return g.freeze(g.rt.NewArray(items...))
	case string, bool, int, int64, uint64, float64, int32, uint32, float32, uint:
		return g.rt.ToValue(v)
	}
	return g.rt.ToValue(fmt.Sprint(v))
}

func (g *guest) freeze(o *goja.Object) goja.Value {
	if _, err := g.freezeFn(goja.Undefined(), o); err != nil {
		panic(err)
	}
	return o
}

// metrics returns the host's numbers of one subsystem as of now: in a tick those that
// it brought. An empty object where there are none.
func (g *guest) metrics(subsystem string) goja.Value {
	if t := g.call.Tick(); t != nil && t.Metrics != nil {
		return g.numbers(t.Metrics(subsystem))
	}
	view := g.call.Numbers(subsystem)
	if view == nil {
		return g.numbers(nil)
	}
	defer view.Release()
	return g.numbers(view.Map())
}

func (g *guest) numbers(m map[string]float64) goja.Value {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	o := g.rt.NewObject()
	for _, name := range names {
		g.must(o.Set(name, m[name]))
	}
	return g.freeze(o)
}

func (g *guest) wordCounter(fc goja.FunctionCall) goja.Value {
	v := g.metric(metrics.Counter, "counter", fc)
	return g.object(map[string]func(goja.FunctionCall) goja.Value{"add": func(fc goja.FunctionCall) goja.Value {
		n := 1.0
		if a := fc.Argument(0); !goja.IsUndefined(a) {
			n = g.finite("counter.add", a)
		}
		if n < 0 {
			panic(g.rangeError("counter.add(n): a counter only grows, got %v", n))
		}
		g.call.Add(v, n)
		return goja.Undefined()
	}})
}

func (g *guest) wordGauge(fc goja.FunctionCall) goja.Value {
	v := g.metric(metrics.Gauge, "gauge", fc)
	return g.object(map[string]func(goja.FunctionCall) goja.Value{"set": func(fc goja.FunctionCall) goja.Value {
		g.call.SetGauge(v, g.finite("gauge.set", fc.Argument(0)))
		return goja.Undefined()
	}})
}

func (g *guest) metric(kind metrics.FieldKind, word string, fc goja.FunctionCall) *metrics.Value {
	name, err := toText(fc.Argument(0), metrics.MaxNameLength)
	if err != nil {
		panic(g.typeError("%s(name): %v", word, err))
	}
	v, err := g.call.Metric(kind, name)
	if err != nil {
		panic(g.fail(word, err))
	}
	return v
}

func (g *guest) wordHash(fc goja.FunctionCall) goja.Value {
	text, ok := fc.Argument(0).(goja.String)
	if !ok {
		panic(g.typeError("hash(text): want a text, got %s", kindName(fc.Argument(0))))
	}
	return g.rt.ToValue(int64(natives.Hash(text.String())))
}

// wordPick takes texts, or objects with a name such as upstreams, and returns the entry.
func (g *guest) wordPick(fc goja.FunctionCall) goja.Value {
	key, ok := fc.Argument(0).(goja.String)
	list, isObject := fc.Argument(1).(*goja.Object)
	if !ok || !isObject || list.ClassName() != "Array" {
		panic(g.typeError("pick(key, list): want a text and an array, got %s and %s", kindName(fc.Argument(0)), kindName(fc.Argument(1))))
	}
	n := int(list.Get("length").ToInteger())
	if n > maxPick {
		panic(g.rangeError("pick(key, list): more than %d entries", maxPick))
	}
	entries, texts := make([]goja.Value, n), make([]string, n)
	for i := range n {
		entries[i] = list.Get(fmt.Sprint(i))
		name := entries[i]
		if o, ok := name.(*goja.Object); ok {
			name = o.Get("name")
		}
		text, ok := name.(goja.String)
		if !ok {
			panic(g.typeError("pick(key, list): want texts or objects with a name, got %s", kindName(entries[i])))
		}
		texts[i] = text.String()
	}
	at := natives.Pick(key.String(), n, func(i int) string { return texts[i] })
	if at < 0 {
		return goja.Undefined()
	}
	return entries[at]
}

func (g *guest) logWords() map[string]func(goja.FunctionCall) goja.Value {
	words := map[string]func(goja.FunctionCall) goja.Value{}
	for name, level := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "log": slog.LevelInfo,
		"warn": slog.LevelWarn, "error": slog.LevelError} {
		words[name] = func(fc goja.FunctionCall) goja.Value {
			g.call.Log(level, g.line(fc.Arguments))
			return goja.Undefined()
		}
	}
	return words
}

// maxLine bounds the text of one log line, and roughly the work to make it.
const maxLine = 2048

// line joins what is to be logged; objects are written as JSON.
func (g *guest) line(args []goja.Value) string {
	var sb strings.Builder
	for i, v := range args {
		if i > 0 {
			sb.WriteByte(' ')
		}
		o, ok := v.(*goja.Object)
		switch {
		case !ok:
			sb.WriteString(v.String())
		case o.ClassName() == "Error":
			sb.WriteString(o.String())
			if stack, ok := o.Get("stack").(goja.String); ok {
				_, frames, _ := strings.Cut(stack.String(), "\n")
				sb.WriteString("\n" + frames)
			}
		case o.ClassName() == "Function":
			sb.WriteString("[function]")
		default:
			sb.WriteString(g.brief(o))
		}
		if sb.Len() > maxLine {
			return sb.String()[:maxLine]
		}
	}
	return sb.String()
}

// brief is an object as JSON, or a mark where it is too large for a line.
func (g *guest) brief(o *goja.Object) string {
	v, err := g.stringify(o, goja.Undefined(), goja.Undefined(), maxLine)
	if err != nil {
		return "[large object]"
	}
	return v.String()
}

// wordLimiter is the object that declares limiters, one function for each algorithm.
func (g *guest) wordLimiter() *goja.Object {
	words := map[string]func(goja.FunctionCall) goja.Value{}
	for _, kind := range limit.Kinds() {
		words[kind.String()] = func(fc goja.FunctionCall) goja.Value { return g.declare(kind, fc) }
	}
	words["all"] = g.all
	return g.object(words)
}
