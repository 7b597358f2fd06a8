package js

import (
	"strconv"

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
