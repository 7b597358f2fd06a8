package js

import (
	"math"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

// Caps on built-ins: goja looks for an interrupt between two instructions only, so a
// built-in that may run or allocate without bound has one here. Beyond it they throw a
// RangeError. They were chosen so that each call ends in well under a second.
const (
	maxText    = 4 << 20  // UTF-16 units that one call makes
	maxLength  = 1 << 20  // of an array that a method walks through
	maxSort    = 1 << 16  // of an array that is sorted by text
	maxArgs    = 1 << 16  // of apply and its like
	maxBuffer  = 16 << 20 // bytes of one buffer
	maxJSON    = 1 << 20  // units of a text to be parsed
	maxNodes   = 1 << 19  // values that one stringify writes
	maxDepth   = 200      // of built-ins that call each other: arrays in arrays
	maxSubject = 1 << 16  // units of a text that a regular expression looks at
	maxSplit   = 1 << 19  // pieces of a text
)

type native = func(goja.FunctionCall) goja.Value

// capBuiltins puts the caps in place, before any code of the policy runs.
func (g *guest) capBuiltins() {
	global := g.rt.GlobalObject()
	object := func(name string) *goja.Object { return global.Get(name).ToObject(g.rt) }
	proto := func(name string) *goja.Object { return object(name).Get("prototype").ToObject(g.rt) }
	g.capArrays(proto("Array"), object("Array"))
	g.capStrings(proto("String"), object("String"))
	g.capRegExp(proto("RegExp"))
	g.capCalls(proto("Function"), object("Reflect"))
	g.capJSON(object("JSON"))
	g.capBuffers(global)
	g.refuseCode(global, object("Function"))
}

// refuseCode takes away what makes code from a text: a parser that meets a deep one ends
// the program, not the hook.
func (g *guest) refuseCode(global, function *goja.Object) {
	refuse := func(goja.ConstructorCall) *goja.Object { panic(g.typeError("code cannot be made from a text here")) }
	class := g.rt.ToValue(refuse).ToObject(g.rt)
	g.must(class.DefineDataProperty("name", g.rt.ToValue("Function"), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	g.must(class.DefineDataProperty("prototype", function.Get("prototype"), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE))
	g.must(global.DefineDataProperty("Function", class, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	g.must(global.DefineDataProperty("eval", g.function("eval", func(goja.FunctionCall) goja.Value { return refuse(goja.ConstructorCall{}) }),
		goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	kinds, err := g.rt.RunProgram(g.policy.kinds)
	g.must(err)
	for i := range g.lengthOf(kinds) {
		one := kinds.ToObject(g.rt).Get(strconv.FormatInt(i, 10)).ToObject(g.rt)
		g.must(one.Prototype().DefineDataProperty("constructor", class, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE))
	}
}

// wrap puts a check before a method of o.
func (g *guest) wrap(o *goja.Object, name string, check func(goja.FunctionCall)) {
	original, ok := o.Get(name).(*goja.Object)
	if !ok {
		return
	}
	g.replace(o, name, original, g.checked(original, check))
}

func (g *guest) checked(original *goja.Object, check func(goja.FunctionCall)) native {
	call, _ := original.Export().(native)
	return func(fc goja.FunctionCall) goja.Value {
		check(fc)
		return call(fc)
	}
}

// replace defines fn in the place of a built-in, with its name and attributes.
func (g *guest) replace(o *goja.Object, name string, original *goja.Object, fn native) {
	f := g.function(name, fn)
	g.must(f.DefineDataProperty("length", original.Get("length"), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	g.must(o.DefineDataProperty(name, f, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
}

// interrupted ends a chain of built-ins that call each other once the watchdog fired.
// A policy may catch what it throws: the interrupt waits right behind.
func (g *guest) interrupted() {
	if g.watch.cut.Load() {
		panic(g.rangeError("cut off"))
	}
}

// nested counts built-ins within built-ins: goja bounds calls of functions only, and the
// stack of Go is not to be tested.
func (g *guest) nested(fn native) native {
	return func(fc goja.FunctionCall) goja.Value {
		g.interrupted()
		if g.depth++; g.depth > maxDepth {
			g.depth = 0
			panic(g.rangeError("more than %d arrays within arrays", maxDepth))
		}
		v := fn(fc)
		g.depth--
		return v
	}
}

func (g *guest) lengthOf(v goja.Value) int64 {
	o, ok := v.(*goja.Object)
	if !ok {
		return 0
	}
	n := o.Get("length")
	if n == nil {
		return 0
	}
	return n.ToInteger()
}

func (g *guest) capArrays(proto, class *goja.Object) {
	walk := func(fc goja.FunctionCall) {
		if n := g.lengthOf(fc.This); n > maxLength {
			panic(g.rangeError("an array of %d elements is too long: at most %d", n, maxLength))
		}
	}
	for _, name := range []string{"copyWithin", "every", "fill", "filter", "find", "findIndex", "findLast", "findLastIndex", "flatMap", "forEach",
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
	g.replace(proto, "join", join, g.nested(g.checked(join, func(fc goja.FunctionCall) { walk(fc); g.checkJoin(fc) })))
	flat := proto.Get("flat").ToObject(g.rt)
	g.replace(proto, "flat", flat, g.flat)
	g.wrap(class, "from", func(fc goja.FunctionCall) {
		if n := g.lengthOf(fc.Argument(0)); n > maxLength {
			panic(g.rangeError("an array of %d elements is too long: at most %d", n, maxLength))
		}
	})
	g.capIteration(proto)
}

// capIteration lets an interrupt end what spreads or walks through an array of holes,
// however long; goja walks through a full one without its iterator.
func (g *guest) capIteration(proto *goja.Object) {
	iterate, _ := goja.AssertFunction(proto.Get("values"))
	one, err := iterate(g.rt.NewArray())
	g.must(err)
	g.wrap(one.ToObject(g.rt).Prototype(), "next", func(goja.FunctionCall) { g.interrupted() })
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

// units is the length of a value as a text where that is known without making it.
func units(v goja.Value) int64 {
	if s, ok := v.(goja.String); ok {
		return int64(s.Length())
	}
	return 0
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
		g.subject("split", fc.This, fc.Argument(0))
	})
	for _, name := range []string{"replace", "replaceAll"} {
		g.wrap(proto, name, func(fc goja.FunctionCall) {
			g.subject(name, fc.This, fc.Argument(0))
			g.checkReplace(name, fc)
		})
	}
	for _, name := range []string{"match", "matchAll", "search"} {
		g.wrap(proto, name, func(fc goja.FunctionCall) { g.subject(name, fc.This, fc.Argument(0)) })
	}
	g.wrap(class, "raw", func(fc goja.FunctionCall) {
		o, ok := fc.Argument(0).(*goja.Object)
		if !ok {
			return
		}
		if n := g.lengthOf(o.Get("raw")); n > maxArgs {
			panic(g.rangeError("String.raw: %d parts are too many: at most %d", n, maxArgs))
		}
	})
}

// checkReplace bounds the text that replacing every match may make.
func (g *guest) checkReplace(name string, fc goja.FunctionCall) {
	n := units(fc.This)
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

// subject bounds the text that a regular expression looks at.
func (g *guest) subject(what string, text, pattern goja.Value) {
	if _, plain := pattern.(goja.String); plain && (what == "replace" || what == "replaceAll" || what == "split") {
		return
	}
	if n := units(text); n > maxSubject && !goja.IsUndefined(pattern) {
		panic(g.rangeError("%s: a regular expression looks at %d characters at most, got %d", what, maxSubject, n))
	}
}

func (g *guest) capRegExp(proto *goja.Object) {
	for _, name := range []string{"exec", "test"} {
		original := proto.Get(name).ToObject(g.rt)
		call := g.checked(original, func(fc goja.FunctionCall) {
			g.interrupted()
			if n := units(fc.Argument(0)); n > maxSubject {
				panic(g.rangeError("%s: a regular expression looks at %d characters at most, got %d", name, maxSubject, n))
			}
		})
		if name == "test" { // exec stays goja's own: with another one every use of a pattern takes the long way
			g.replace(proto, name, original, call)
		}
	}
}

func (g *guest) capCalls(function, reflection *goja.Object) {
	list := func(at int) func(goja.FunctionCall) {
		return func(fc goja.FunctionCall) {
			if n := g.lengthOf(fc.Argument(at)); n > maxArgs {
				panic(g.rangeError("%d arguments are too many: at most %d", n, maxArgs))
			}
		}
	}
	g.wrap(function, "apply", list(1))
	g.wrap(reflection, "apply", list(2))
	g.wrap(reflection, "construct", list(1))
}

func (g *guest) capJSON(json *goja.Object) {
	g.jsonFn, _ = goja.AssertFunction(json.Get("stringify"))
	original := json.Get("stringify").ToObject(g.rt)
	g.replace(json, "stringify", original, func(fc goja.FunctionCall) goja.Value {
		v, err := g.stringify(fc.Argument(0), fc.Argument(1), fc.Argument(2), maxNodes)
		throw(err)
		return v
	})
	g.wrap(json, "parse", func(fc goja.FunctionCall) {
		if n := units(fc.Argument(0)); n > maxJSON {
			panic(g.rangeError("JSON.parse: a text of %d characters is too long: at most %d", n, maxJSON))
		}
	})
}

// stringify writes JSON through a replacer that counts what is written, for an object
// of a few may stand for millions, and deep ones would use up the stack of Go.
func (g *guest) stringify(v, replacer, space goja.Value, most int) (goja.Value, error) {
	nodes, text := 0, int64(0)
	var holders []*goja.Object
	user, listed := g.replacer(replacer)
	count := g.rt.ToValue(func(fc goja.FunctionCall) goja.Value {
		g.interrupted()
		holder, _ := fc.This.(*goja.Object)
		for len(holders) > 0 && holders[len(holders)-1] != holder {
			holders = holders[:len(holders)-1]
		}
		if len(holders) == 0 {
			holders = append(holders, holder)
		}
		v := fc.Argument(1)
		switch {
		case user != nil:
			out, err := user(fc.This, fc.Arguments...)
			throw(err)
			v = out
		case listed != nil && holder != nil && holder.ClassName() != "Array" && nodes > 0 && !listed[fc.Argument(0).String()]:
			return goja.Undefined()
		}
		nodes++
		text += units(v) + units(fc.Argument(0))
		if nodes > most || text > maxText || len(holders) > maxDepth {
			panic(g.rangeError("JSON.stringify: more than %d values, %d characters or %d levels", most, maxText, maxDepth))
		}
		if o, ok := v.(*goja.Object); ok {
			holders = append(holders, o)
		}
		return v
	})
	return g.jsonFn(goja.Undefined(), v, count, space)
}

// replacer reads the second argument of stringify: a function, or a list of names.
func (g *guest) replacer(v goja.Value) (user goja.Callable, listed map[string]bool) {
	o, ok := v.(*goja.Object)
	if !ok {
		return nil, nil
	}
	if fn, ok := goja.AssertFunction(o); ok {
		return fn, nil
	}
	if o.ClassName() != "Array" {
		return nil, nil
	}
	listed = map[string]bool{}
	for i := range min(g.lengthOf(o), maxArgs) {
		if name := o.Get(strconv.FormatInt(i, 10)); name != nil {
			listed[name.String()] = true
		}
	}
	return nil, listed
}

// capBuffers bounds the bytes of one buffer. A class that the policy does not name is
// taken away, for most name none and each costs a guest some KiB. Uint8Array stays: state
// gives such values.
func (g *guest) capBuffers(global *goja.Object) {
	code := string(g.policy.program.bundle.Code)
	for name, size := range bufferSizes {
		if name != "Uint8Array" && !strings.Contains(code, name) {
			g.must(global.Delete(name))
			continue
		}
		class := global.Get(name).ToObject(g.rt)
		if name == "Uint8Array" {
			g.bytes = class
		}
		capped := g.cappedClass(name, size, class)
		g.must(global.DefineDataProperty(name, capped, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	}
}

// cappedClass is a constructor with the prototype and the static methods of one of
// goja's, which it takes the place of. (goja's instanceof refuses a Proxy.)
func (g *guest) cappedClass(name string, size int64, class *goja.Object) *goja.Object {
	proto := class.Get("prototype").ToObject(g.rt)
	capped := g.rt.ToValue(func(call goja.ConstructorCall) *goja.Object {
		g.checkBuffer(name, size, call.Arguments)
		o, err := g.rt.New(class, call.Arguments...)
		throw(err)
		if call.NewTarget != nil { // of a class that extends this one
			if own, ok := call.NewTarget.Get("prototype").(*goja.Object); ok && own != proto {
				g.must(o.SetPrototype(own))
			}
		}
		return o
	}).ToObject(g.rt)
	g.must(capped.SetPrototype(class.Prototype()))
	for _, static := range class.GetOwnPropertyNames() {
		if static != "length" {
			g.must(capped.DefineDataProperty(static, class.Get(static), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE))
		}
	}
	g.must(proto.DefineDataProperty("constructor", capped, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	return capped
}

// bufferSizes are the bytes of an element; the table is never changed.
var bufferSizes = map[string]int64{"ArrayBuffer": 1, "Int8Array": 1, "Uint8Array": 1, "Uint8ClampedArray": 1, "Int16Array": 2, "Uint16Array": 2,
	"Int32Array": 4, "Uint32Array": 4, "Float32Array": 4, "Float64Array": 8, "BigInt64Array": 8, "BigUint64Array": 8}

func (g *guest) checkBuffer(name string, size int64, args []goja.Value) {
	if len(args) == 0 {
		return
	}
	n := int64(0)
	if o, ok := args[0].(*goja.Object); ok {
		n = g.lengthOf(o)
	} else if _, symbol := args[0].(*goja.Symbol); !symbol {
		n = args[0].ToInteger()
	}
	if n > maxBuffer/size {
		panic(g.rangeError("new %s: %d elements are too many: at most %d", name, n, maxBuffer/size))
	}
}
