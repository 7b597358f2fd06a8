package js

import (
	"math"
	"strconv"

	"github.com/dop251/goja"
)

func (g *guest) capArrays(proto, class *goja.Object) {
	walk := func(fc goja.FunctionCall) {
		if n := g.lengthOf(fc.This); n > maxLength {
			panic(g.rangeError("an array of %d elements is too long: at most %d", n, maxLength))
		}
	}
	for _, name := range []string{"copyWithin", "every", "fill", "filter", "find", "findIndex", "findLast", "findLastIndex", "forEach",
		"includes", "indexOf", "keys", "lastIndexOf", "map", "reduce", "reduceRight", "reverse", "shift", "slice", "some",
		"splice", "unshift", "with", "toReversed", "toSpliced", "entries", "toLocaleString"} {
		g.wrap(proto, name, walk)
	}
	for _, name := range []string{"sort", "toSorted"} {
		g.wrap(proto, name, func(fc goja.FunctionCall) {
			walk(fc)
			if n := g.lengthOf(fc.This); n > maxSort && goja.IsUndefined(fc.Argument(0)) {
				panic(g.rangeError("%s without a function: an array of %d elements is too long: at most %d", name, n, maxSort))
			}
		})
	}
	g.wrap(proto, "concat", func(fc goja.FunctionCall) {
		n := g.lengthOf(fc.This)
		for _, a := range fc.Arguments {
			n += g.lengthOf(a)
		}
		if n > maxLength {
			panic(g.rangeError("an array of %d elements is too long: at most %d", n, maxLength))
		}
	})
	join := proto.Get("join").ToObject(g.rt)
	g.replace(proto, "join", join, g.checked(join, func(fc goja.FunctionCall) { walk(fc); g.checkJoin(fc) }))
	g.wrap(proto, "flatMap", func(fc goja.FunctionCall) { g.checkFlatMap(fc) })
	flat := proto.Get("flat").ToObject(g.rt)
	g.replace(proto, "flat", flat, g.flat)
	g.wrap(class, "from", func(fc goja.FunctionCall) {
		if n := max(g.lengthOf(fc.Argument(0)), units(fc.Argument(0))); n > maxLength {
			panic(g.rangeError("an array of %d elements is too long: at most %d", n, maxLength))
		}
	})
}

// checkFlatMap puts a function that counts before the one that flatMap was given.
func (g *guest) checkFlatMap(fc goja.FunctionCall) {
	call, ok := goja.AssertFunction(fc.Argument(0))
	if !ok {
		return
	}
	total := g.lengthOf(fc.This)
	count := func() {
		g.interrupted()
		if total > maxLength {
			panic(g.rangeError("flatMap: more than %d elements", maxLength))
		}
	}
	count()
	fc.Arguments[0] = g.rt.ToValue(func(fc goja.FunctionCall) goja.Value {
		v, err := call(fc.This, fc.Arguments...)
		throw(err)
		if o, ok := v.(*goja.Object); ok && o.ClassName() == "Array" {
			total += g.lengthOf(o)
		}
		count()
		return v
	})
}

// checkJoin bounds the text that join makes.
func (g *guest) checkJoin(fc goja.FunctionCall) {
	o, ok := fc.This.(*goja.Object)
	if !ok {
		return
	}
	n := g.lengthOf(o)
	total := int64(0)
	if sep, ok := fc.Argument(0).(goja.String); ok {
		total = n * int64(sep.Length())
	}
	for i := int64(0); i < n && total <= maxText; i++ {
		if i&1023 == 0 {
			g.interrupted()
		}
		if s, ok := o.Get(strconv.FormatInt(i, 10)).(goja.String); ok {
			total += int64(s.Length())
		}
	}
	if total > maxText {
		panic(g.rangeError("join: the text is too long: at most %d", maxText))
	}
}

// flat is Array.prototype.flat with a bound on what it makes.
func (g *guest) flat(fc goja.FunctionCall) goja.Value {
	o := fc.This.ToObject(g.rt)
	depth := int64(1)
	if d := fc.Argument(0); !goja.IsUndefined(d) {
		depth = d.ToInteger()
		if f := d.ToFloat(); math.IsInf(f, 1) {
			depth = maxDepth
		}
	}
	var items []any
	g.flatten(o, min(depth, maxDepth), 0, &items)
	return g.rt.NewArray(items...)
}

func (g *guest) flatten(o *goja.Object, depth int64, level int, items *[]any) {
	n := g.lengthOf(o)
	if n > maxLength || level > maxDepth {
		panic(g.rangeError("flat: more than %d elements or %d levels", maxLength, maxDepth))
	}
	for i := range n {
		if i&1023 == 0 {
			g.interrupted()
		}
		v := o.Get(strconv.FormatInt(i, 10))
		if v == nil {
			continue
		}
		if inner, ok := v.(*goja.Object); ok && depth > 0 && inner.ClassName() == "Array" {
			g.flatten(inner, depth-1, level+1, items)
			continue
		}
		if len(*items) >= maxLength {
			panic(g.rangeError("flat: more than %d elements", maxLength))
		}
		*items = append(*items, v)
	}
}
