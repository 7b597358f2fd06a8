package js

import "github.com/dop251/goja"

// maxNested bounds how deep native functions call each other. goja counts calls of the
// policy's own functions only; a toString that is a built-in, or a function that is bound
// anew for each request, would use up the stack of Go, which ends the program. It is half
// of maxCalls: where functions of the policy are between them, those come first.
const maxNested = maxCalls / 2

type native = func(goja.FunctionCall) goja.Value

// bounded counts the native functions that call each other, and ends chains and loops of
// them once the watchdog fired: goja looks for an interrupt in the policy's own code only.
func (g *guest) bounded(fn native) native {
	return func(fc goja.FunctionCall) goja.Value {
		g.interrupted()
		g.depth++
		defer g.leave()
		if g.depth > maxNested {
			panic(g.rangeError("more than %d native functions call each other", maxNested))
		}
		return fn(fc)
	}
}

func (g *guest) leave() { g.depth-- }

// interrupted throws once the watchdog fired. A policy may catch it: the interrupt waits
// right behind.
func (g *guest) interrupted() {
	if g.watch.cut.Load() {
		panic(g.rangeError("cut off"))
	}
}

// guardBuiltins bounds every built-in that leads on to code of the policy's choice by its
// this or by a function it is given. What only converts its arguments can be reached over
// and over again through these alone. Proxy goes: its traps and rings have no bound. BigInt
// goes: one operator may take minutes, or more memory than there is.
func (g *guest) guardBuiltins(global *goja.Object) {
	g.must(global.Delete("Proxy"))
	g.must(global.Delete("BigInt"))
	object := func(name string) *goja.Object { return global.Get(name).ToObject(g.rt) }
	proto := func(name string) *goja.Object { return object(name).Get("prototype").ToObject(g.rt) }
	bytes, buffer := g.bytes.Prototype(), g.rt.ToValue(g.rt.NewArrayBuffer(nil)).ToObject(g.rt).Prototype()
	for _, holder := range []*goja.Object{proto("Array"), proto("String"), proto("Function"), proto("Promise"), proto("Map"), proto("Set"),
		buffer, object("Promise"), object("Reflect"), bytes, bytes.Get("prototype").ToObject(g.rt)} {
		for _, name := range holder.GetOwnPropertyNames() {
			switch name {
			case "constructor", "prototype", "caller", "arguments":
			case "size", "length", "buffer", "byteLength", "byteOffset": // getters that lead nowhere
			default:
				g.guard(holder, name)
			}
		}
	}
	for holder, names := range map[*goja.Object][]string{
		proto("Object"): {"toString", "toLocaleString", "valueOf", "isPrototypeOf"}, proto("Error"): {"toString"}, proto("Date"): {"toJSON"},
		proto("RegExp"): {"toString"}, object("Array"): {"of", "fromAsync"}, object("Object"): {"groupBy"}, object("Map"): {"groupBy"}} {
		for _, name := range names {
			g.guard(holder, name)
		}
	}
	g.guardIterators(object)
	g.guardBind(proto("Function"))
	g.ours = nil
}

// guard puts the bound around one method, where it has none yet.
func (g *guest) guard(holder *goja.Object, name string) {
	original, ok := holder.Get(name).(*goja.Object)
	if !ok || g.ours[original] {
		return
	}
	if call, ok := original.Export().(native); ok {
		g.replace(holder, name, original, call)
	}
}

// guardIterators lets an interrupt end whatever spreads, collects or walks through a
// collection; goja walks through a full array without its iterator.
func (g *guest) guardIterators(object func(string) *goja.Object) {
	of := func(v goja.Value) *goja.Object {
		o := v.ToObject(g.rt)
		iterate, _ := goja.AssertFunction(o.GetSymbol(goja.SymIterator))
		one, err := iterate(o)
		g.must(err)
		return one.ToObject(g.rt).Prototype()
	}
	fresh := func(class string) goja.Value {
		o, err := g.rt.New(object(class))
		g.must(err)
		return o
	}
	for _, proto := range []*goja.Object{of(g.rt.NewArray()), of(g.rt.ToValue("")), of(fresh("Map")), of(fresh("Set"))} {
		next := proto.Get("next").ToObject(g.rt)
		call, _ := next.Export().(native)
		g.replace(proto, "next", next, call)
	}
}

// guardBind makes what bind returns a native function with a bound: chains of bound
// functions call each other without the policy's code. Such a function makes no objects.
func (g *guest) guardBind(function *goja.Object) {
	original := function.Get("bind").ToObject(g.rt)
	bind, _ := original.Export().(native)
	g.replace(function, "bind", original, func(fc goja.FunctionCall) goja.Value {
		bound := bind(fc).ToObject(g.rt)
		call, ok := bound.Export().(native)
		if !ok {
			return bound
		}
		f := g.named(bound.Get("name").String(), g.bounded(call))
		g.must(f.DefineDataProperty("length", bound.Get("length"), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE))
		return f
	})
}
