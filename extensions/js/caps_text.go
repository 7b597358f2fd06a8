package js

import (
	"math"
	"strconv"

	"github.com/dop251/goja"
)

// units is the length of a value as a text where that is known without making it.
func units(v goja.Value) int64 {
	if s, ok := v.(goja.String); ok {
		return int64(s.Length())
	}
	return 0
}

// textOf converts a value to a text, which may run code of the policy.
func textOf(v goja.Value) goja.String {
	text, _ := v.ToString().(goja.String)
	return text
}

func (g *guest) tooLong(what string, n int64) {
	if n > maxText {
		panic(g.rangeError("%s: a text of %d characters is too long: at most %d", what, n, maxText))
	}
}

func (g *guest) capStrings(proto, class *goja.Object) {
	g.wrap(proto, "repeat", func(fc goja.FunctionCall) {
		// Of another value than a text the text is short, or it was made here.
		n := min(fc.Argument(0).ToInteger(), math.MaxInt32)
		g.tooLong("repeat", n*max(units(fc.This), 1))
	})
	for _, name := range []string{"padStart", "padEnd"} {
		g.wrap(proto, name, func(fc goja.FunctionCall) { g.tooLong(name, fc.Argument(0).ToInteger()) })
	}
	g.wrap(proto, "concat", func(fc goja.FunctionCall) {
		n := units(fc.This)
		for _, a := range fc.Arguments {
			n += units(a)
		}
		g.tooLong("concat", n)
	})
	g.wrap(proto, "split", func(fc goja.FunctionCall) {
		n := units(fc.This)
		if sep, ok := fc.Argument(0).(goja.String); ok && sep.Length() > 0 {
			n /= int64(sep.Length())
		}
		if n > maxSplit && !goja.IsUndefined(fc.Argument(0)) {
			panic(g.rangeError("split: more than %d pieces", maxSplit))
		}
	})
	for _, name := range []string{"replace", "replaceAll"} {
		g.wrap(proto, name, func(fc goja.FunctionCall) { g.checkReplace(name, fc) })
	}
	g.wrap(proto, "normalize", func(fc goja.FunctionCall) { g.small("normalize", fc.This) })
	g.wrap(proto, "localeCompare", func(fc goja.FunctionCall) { g.small("localeCompare", fc.This) })
	for _, name := range []string{"toUpperCase", "toLowerCase", "toLocaleUpperCase", "toLocaleLowerCase", "trim", "trimStart", "trimEnd"} {
		g.wrap(proto, name, func(fc goja.FunctionCall) { g.tooLong(name, units(fc.This)) })
	}
	g.wrap(class, "raw", func(fc goja.FunctionCall) {
		o, ok := fc.Argument(0).(*goja.Object)
		if !ok {
			return
		}
		raw := o.Get("raw")
		n := g.lengthOf(raw)
		if n > maxArgs {
			panic(g.rangeError("String.raw: %d parts are too many: at most %d", n, maxArgs))
		}
		parts, _ := raw.(*goja.Object)
		total := int64(0)
		for i := range n {
			total += units(parts.Get(strconv.FormatInt(i, 10)))
		}
		g.tooLong("String.raw", total)
	})
}

// checkReplace bounds the text that replacing every match may make.
func (g *guest) checkReplace(name string, fc goja.FunctionCall) {
	n := units(fc.This)
	if o, isObject := fc.Argument(1).(*goja.Object); isObject && o.ClassName() != "Function" {
		fc.Arguments[1] = textOf(o)
	}
	with, ok := fc.Argument(1).(goja.String)
	if !ok {
		return
	}
	each := int64(with.Length())
	for i := range with.Length() {
		if with.CharAt(i) == '$' { // stands for as much as the whole text
			each += n
		}
	}
	matches := n + 1
	if pattern, ok := fc.Argument(0).(goja.String); ok {
		matches = 1
		if name == "replaceAll" {
			matches = n/max(int64(pattern.Length()), 1) + 1
		}
	}
	if matches > 1 && n > 0 && each > 8*maxText/matches {
		panic(g.rangeError("%s: the text may grow beyond %d characters", name, maxText))
	}
	g.tooLong(name, n+each)
}

// small refuses a text that would take long.
func (g *guest) small(what string, text goja.Value) {
	if n := units(text); n > maxSmall {
		panic(g.rangeError("%s: a text of %d characters is too long: at most %d", what, n, maxSmall))
	}
}

// capTexts bounds the global functions that read texts.
func (g *guest) capTexts(global, number *goja.Object) {
	for _, o := range []*goja.Object{global, number} {
		for _, name := range []string{"parseFloat", "parseInt"} {
			g.wrap(o, name, func(fc goja.FunctionCall) { g.small(name, fc.Argument(0)) })
		}
	}
	for _, name := range []string{"encodeURI", "encodeURIComponent", "decodeURI", "decodeURIComponent", "escape", "unescape"} {
		g.wrap(global, name, func(fc goja.FunctionCall) { g.tooLong(name, units(fc.Argument(0))) })
	}
}
