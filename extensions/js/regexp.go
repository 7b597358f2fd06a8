package js

import (
	"strconv"
	"strings"
	"time"

	"github.com/dop251/goja"
)

// Bounds of regular expressions: a match cannot be interrupted.
const (
	maxSubject = 1 << 16 // units of the text that is looked at
	maxPattern = 1 << 14 // units of a pattern made from a text
	maxGroups  = 100     // groups within groups of one
	maxSteps   = 1 << 24 // of one match: states of the pattern, times units of the text
	maxWeighed = 256     // patterns whose weight a guest remembers
)

// capRegExp bounds one match by the text and the pattern, and lets an interrupt end a
// series of matches: all of them go through exec.
func (g *guest) capRegExp(global, proto *goja.Object) {
	g.capPatterns(global, proto)
	describe, _ := global.Get("Object").ToObject(g.rt).Get("getOwnPropertyDescriptor").Export().(native)
	source, _ := describe(goja.FunctionCall{Arguments: []goja.Value{proto, g.rt.ToValue("source")}}).ToObject(g.rt).Get("get").Export().(native)
	weights := map[string]int64{}
	weight := func(this goja.Value) int64 {
		o, ok := this.(*goja.Object)
		if !ok || o.ClassName() != "RegExp" {
			return 0 // refused by goja
		}
		text := source(goja.FunctionCall{This: o}).String()
		w, ok := weights[text]
		if !ok {
			if len(weights) >= maxWeighed {
				clear(weights)
			}
			w, _ = weigh(text)
			weights[text] = w
		}
		return w
	}
	for _, name := range []string{"exec", "test"} {
		original := proto.Get(name).ToObject(g.rt)
		call, _ := original.Export().(native)
		g.replace(proto, name, original, func(fc goja.FunctionCall) goja.Value {
			// What is no text yet becomes one here, so that its length is known.
			text := textOf(fc.Argument(0))
			n := int64(text.Length())
			if n > maxSubject {
				panic(g.rangeError("%s: a regular expression looks at %d characters at most, got %d", name, maxSubject, n))
			}
			if w := weight(fc.This); w*n > maxSteps {
				panic(g.rangeError("%s: the pattern has %d states: it looks at %d characters at most, got %d", name, w, maxSteps/w, n))
			}
			began := time.Now()
			found := call(goja.FunctionCall{This: fc.This, Arguments: []goja.Value{text}})
			if !found.ToBoolean() && time.Since(began) >= regexpTimeout {
				// goja takes a match that was cut off for none, which is a wrong answer.
				panic(g.rangeError("%s: the regular expression took longer than %v", name, regexpTimeout))
			}
			return found
		})
	}
	g.capSplit(proto)
}

// capPatterns bounds patterns that are made from texts while a hook runs. (Those in the
// source are compiled when it is loaded.)
func (g *guest) capPatterns(global, proto *goja.Object) {
	g.must(proto.Delete("compile"))
	check := func(v goja.Value) {
		text, ok := v.(goja.String)
		if !ok {
			return
		}
		if n := text.Length(); n > maxPattern {
			panic(g.rangeError("RegExp: a pattern of %d characters is too long: at most %d", n, maxPattern))
		}
		if w, depth := weigh(text.String()); depth > maxGroups || w > maxSteps>>8 {
			panic(g.rangeError("RegExp: a pattern of %d states and %d groups within groups: at most %d and %d", w, depth, maxSteps>>8, maxGroups))
		}
	}
	class := global.Get("RegExp").ToObject(g.rt)
	capped := g.cappedClass(class, func(args []goja.Value) {
		if len(args) > 0 {
			args[0] = g.patternText(args[0])
			check(args[0])
		}
	})
	g.must(global.DefineDataProperty("RegExp", capped, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	text := global.Get("String").ToObject(g.rt).Get("prototype").ToObject(g.rt)
	for _, name := range []string{"match", "matchAll", "search"} {
		g.wrap(text, name, func(fc goja.FunctionCall) {
			if len(fc.Arguments) > 0 {
				fc.Arguments[0] = g.patternText(fc.Arguments[0])
				check(fc.Arguments[0])
			}
		})
	}
}

// patternText turns what is neither a RegExp nor undefined into the text it stands for.
func (g *guest) patternText(v goja.Value) goja.Value {
	if o, ok := v.(*goja.Object); ok && o.ClassName() != "RegExp" && isNil(o.GetSymbol(goja.SymMatch)) {
		return textOf(o)
	}
	return v
}

// capSplit splits by a pattern with one search for each piece. goja's way, where exec is
// not its own, tries every position.
func (g *guest) capSplit(proto *goja.Object) {
	original := proto.GetSymbol(goja.SymSplit).ToObject(g.rt)
	generic, _ := original.Export().(native)
	exec, _ := goja.AssertFunction(proto.Get("exec"))
	twins := map[string]*goja.Object{} // by flags and source: global ones
	twin := func(rx *goja.Object) *goja.Object {
		flags := rx.Get("flags").String()
		name := flags + "/" + rx.Get("source").String()
		one := twins[name]
		if one == nil {
			if len(twins) >= maxWeighed {
				clear(twins)
			}
			flags = strings.NewReplacer("g", "", "y", "").Replace(flags) + "g"
			made, err := g.rt.New(g.rt.GlobalObject().Get("RegExp"), rx, g.rt.ToValue(flags))
			throw(err)
			one, twins[name] = made, made
		}
		return one
	}
	split := g.named("[Symbol.split]", g.bounded(func(fc goja.FunctionCall) goja.Value {
		rx, ok := fc.This.(*goja.Object)
		if !ok || rx.ClassName() != "RegExp" {
			return generic(fc)
		}
		most := int64(1<<32 - 1)
		if v := fc.Argument(1); !goja.IsUndefined(v) {
			most = int64(uint32(v.ToInteger()))
		}
		return g.rt.NewArray(g.pieces(twin(rx), exec, textOf(fc.Argument(0)), most)...)
	}))
	g.must(proto.DefineDataPropertySymbol(goja.SymSplit, split, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
}

// pieces is RegExp.prototype[Symbol.split] of ECMA-262, with a search in place of a match
// at each position. rx is global.
func (g *guest) pieces(rx *goja.Object, exec goja.Callable, s goja.String, most int64) []any {
	var out []any
	add := func(v goja.Value) bool {
		if out = append(out, v); len(out) > maxSplit {
			panic(g.rangeError("split: more than %d pieces", maxSplit))
		}
		return int64(len(out)) < most
	}
	if most == 0 {
		return nil
	}
	from, size := 0, s.Length()
	for at := 0; at < size || size == 0; {
		g.must(rx.Set("lastIndex", at))
		v, err := exec(rx, s)
		throw(err)
		m, ok := v.(*goja.Object)
		if !ok {
			break
		}
		if size == 0 {
			return nil
		}
		begin, end := int(m.Get("index").ToInteger()), int(rx.Get("lastIndex").ToInteger())
		if begin >= size {
			break
		}
		if end = min(end, size); end == from {
			at = begin + 1
			continue
		}
		if !add(s.Substring(from, begin)) {
			return out
		}
		for i := int64(1); i < g.lengthOf(m); i++ {
			if !add(m.Get(strconv.FormatInt(i, 10))) {
				return out
			}
		}
		from, at = end, end
	}
	add(s.Substring(from, size))
	return out
}

// weigh estimates how many states a pattern has once its counted repetitions are written
// out, never too few by much, and says how deep its groups nest.
func weigh(pattern string) (states int64, depth int) {
	const most = 1 << 40
	type group struct{ total, last int64 }
	open := []group{{}}
	atom := func(w int64) {
		top := &open[len(open)-1]
		top.total, top.last = min(top.total+w, most), w
	}
	for i := 0; i < len(pattern); i++ {
		top := &open[len(open)-1]
		switch c := pattern[i]; c {
		case '\\':
			i++
			atom(1)
		case '[':
			for i++; i < len(pattern) && pattern[i] != ']'; i++ {
				if pattern[i] == '\\' {
					i++
				}
			}
			atom(1)
		case '(':
			open = append(open, group{})
			depth = max(depth, len(open)-1)
		case ')':
			if len(open) > 1 {
				open = open[:len(open)-1]
				atom(top.total + 2)
			}
		case '*', '+', '?':
			top.total++
		case '{':
			n, length := repeats(pattern[i:])
			if length == 0 {
				atom(1)
				continue
			}
			i += length - 1
			top.total = min(top.total-top.last+(top.last+1)*n, most)
			top.last = min((top.last+1)*n, most)
		case '|':
			top.total, top.last = top.total+1, 0
		default:
			atom(1)
		}
	}
	for _, g := range open {
		states = min(states+g.total, most)
	}
	return states, depth
}

// repeats reads {n}, {n,} or {n,m} at the beginning of s and returns the larger number and
// how long it is; 0 and 0 where it is none of these.
func repeats(s string) (n int64, length int) {
	var low, high int64
	comma, digits := false, false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits = true
			if comma {
				high = min(high*10+int64(c-'0'), 1<<20)
			} else {
				low = min(low*10+int64(c-'0'), 1<<20)
			}
		case c == ',' && !comma && digits:
			comma = true
		case c == '}' && digits:
			return max(low, high, 1), i + 1
		default:
			return 0, 0
		}
	}
	return 0, 0
}
