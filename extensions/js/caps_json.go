package js

import (
	"strconv"

	"github.com/dop251/goja"
)

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
