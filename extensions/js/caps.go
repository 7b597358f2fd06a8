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
	maxText   = 4 << 20   // UTF-16 units that one call makes
	maxLength = 1 << 17   // of an array that a method walks through
	maxSort   = 1 << 16   // of an array that is sorted by text
	maxArgs   = 1 << 16   // of apply and its like
	maxBuffer = 512 << 10 // bytes of one buffer
	maxJSON   = 1 << 18   // units of a text to be parsed
	maxNodes  = 1 << 19   // values that one stringify writes
	maxDepth  = 200       // levels of JSON, and of arrays that flat makes one of
	maxSplit  = 1 << 17   // pieces of a text
	maxSmall  = 1 << 16   // units of a text that is slow to read or to change
)

// capBuiltins puts the caps in place, before any code of the policy runs.
func (g *guest) capBuiltins() {
	global := g.rt.GlobalObject()
	object := func(name string) *goja.Object { return global.Get(name).ToObject(g.rt) }
	proto := func(name string) *goja.Object { return object(name).Get("prototype").ToObject(g.rt) }
	g.capArrays(proto("Array"), object("Array"))
	g.capStrings(proto("String"), object("String"))
	g.capTexts(global, object("Number"))
	g.capObjects(object("Object"))
	g.capRegExp(global, proto("RegExp"))
	g.capCalls(proto("Function"), object("Reflect"))
	g.capJSON(object("JSON"))
	g.capBuffers(global)
	g.refuseCode(global, object("Function"))
	g.guardBuiltins(global)
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
	f := g.named(name, g.bounded(fn))
	g.ours[f] = true
	g.must(f.DefineDataProperty("length", original.Get("length"), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	g.must(o.DefineDataProperty(name, f, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
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

// capObjects bounds what lists or changes every property of an object.
func (g *guest) capObjects(object *goja.Object) {
	for _, name := range []string{"keys", "values", "entries", "assign", "freeze", "seal", "isFrozen", "isSealed", "fromEntries", "defineProperties",
		"getOwnPropertyNames", "getOwnPropertyDescriptors"} {
		g.wrap(object, name, func(fc goja.FunctionCall) {
			for _, a := range fc.Arguments {
				n := units(a)
				if o, ok := a.(*goja.Object); ok && (o.ClassName() == "Array" || o.ClassName() == "String") {
					n = g.lengthOf(o)
				}
				if n > maxLength {
					panic(g.rangeError("Object.%s: %d properties are too many: at most %d", name, n, maxLength))
				}
			}
		})
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
	parse := json.Get("parse").ToObject(g.rt)
	call, _ := parse.Export().(native)
	g.replace(json, "parse", parse, func(fc goja.FunctionCall) goja.Value {
		g.checkJSON(fc.Argument(0))
		if revive, ok := goja.AssertFunction(fc.Argument(1)); ok {
			fc.Arguments = []goja.Value{fc.Argument(0), g.reviver(revive)}
		}
		return call(fc)
	})
}

// reviver counts the values that JSON.parse shows it, which may be more than were read.
func (g *guest) reviver(revive goja.Callable) goja.Value {
	nodes := 0
	return g.rt.ToValue(func(fc goja.FunctionCall) goja.Value {
		g.interrupted()
		if nodes++; nodes > maxNodes {
			panic(g.rangeError("JSON.parse: more than %d values", maxNodes))
		}
		v, err := revive(fc.This, fc.Arguments...)
		throw(err)
		return v
	})
}

// checkJSON bounds the text that is parsed and how deep it nests. Brackets within texts
// count too where they are not closed there: nobody has a thousand of them.
func (g *guest) checkJSON(v goja.Value) {
	text := textOf(v)
	n := text.Length()
	if n > maxJSON {
		panic(g.rangeError("JSON.parse: a text of %d characters is too long: at most %d", n, maxJSON))
	}
	if n <= maxNested {
		return
	}
	depth := 0
	for i := range n {
		switch text.CharAt(i) {
		case '[', '{':
			if depth++; depth > 5*maxDepth {
				panic(g.rangeError("JSON.parse: more than %d levels", 5*maxDepth))
			}
		case ']', '}':
			depth--
		}
	}
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
			if name == "ArrayBuffer" { // every Uint8Array has one, and that names its class
				proto := global.Get(name).ToObject(g.rt).Get("prototype").ToObject(g.rt)
				g.must(proto.DefineDataProperty("constructor", goja.Undefined(), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
			}
			g.must(global.Delete(name))
			continue
		}
		class := global.Get(name).ToObject(g.rt)
		if name == "Uint8Array" {
			g.bytes = class
		}
		capped := g.cappedClass(class, func(args []goja.Value) { g.checkBuffer(name, size, args) })
		g.must(global.DefineDataProperty(name, capped, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE))
	}
}

// cappedClass is a constructor with the prototype and the static methods of one of
// goja's, which it takes the place of.
func (g *guest) cappedClass(class *goja.Object, check func(args []goja.Value)) *goja.Object {
	proto := class.Get("prototype").ToObject(g.rt)
	capped := g.rt.ToValue(func(call goja.ConstructorCall) *goja.Object {
		g.interrupted()
		check(call.Arguments)
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
	"Int32Array": 4, "Uint32Array": 4, "Float32Array": 4, "Float64Array": 8}

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
