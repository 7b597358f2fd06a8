package js

import (
	"strings"

	"github.com/dop251/goja"
)

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
