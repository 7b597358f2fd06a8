package wasm

import (
	"encoding/binary"
	"strings"
)

// module builds small modules for the tests of loading. The zero module with its defaults is a policy that has the request
// hook and no opinion.
type module struct {
	imports []string          // "module.name (i32) -> i32"
	bodies  map[string]string // export to code, over the defaults; "-" leaves it out
	types   map[string]string // export to another signature
	start   string            // code of the start function
	pages   uint32            // 0: 2
	noMem   bool
	memName string
	custom  map[string]string
}

// Code of function bodies, without the end.
const (
	codeZero32  = "\x41\x00"
	codeZero64  = "\x42\x00"
	codeOne32   = "\x41\x01"
	codeScratch = "\x41\x80\x08" // 1024
	codeLoop    = "\x03\x40\x0c\x00\x0b"
	codeTrap    = "\x00"
)

var defaultBodies = []struct{ name, signature, code string }{
	{"gaia_abi_1", "() -> i32", codeZero32},
	{"gaia_scratch", "(i32) -> i32", codeScratch},
	{"gaia_hooks", "() -> i32", codeOne32},
	{"gaia_on", "(i32, i32) -> i64", codeZero64},
	{"gaia_configure", "(i32) -> i32", "-"},
	{"_initialize", "() -> ()", "-"},
}

func (m module) bytes() []byte {
	var types, imports, funcs, exports, code vector
	typeOf := map[string]int{}
	typ := func(signature string) int {
		if i, ok := typeOf[signature]; ok {
			return i
		}
		params, results, _ := strings.Cut(signature, " -> ")
		types.add("\x60" + valueList(params) + valueList(results))
		typeOf[signature] = types.n - 1
		return types.n - 1
	}
	imported := 0
	for _, imp := range m.imports {
		name, signature, _ := strings.Cut(imp, " ")
		mod, field, _ := strings.Cut(name, ".")
		switch signature {
		case "memory":
			imports.add(str(mod) + str(field) + "\x02\x00\x01")
		default:
			imports.add(str(mod) + str(field) + "\x00" + leb(typ(signature)))
			imported++
		}
	}
	define := func(signature, body string) int {
		funcs.add(leb(typ(signature)))
		code.add(str("\x00" + body + "\x0b"))
		return imported + funcs.n - 1
	}
	for _, d := range defaultBodies {
		body, signature := d.code, d.signature
		if b, ok := m.bodies[d.name]; ok {
			body = b
		}
		if s, ok := m.types[d.name]; ok {
			signature = s
		}
		if body != "-" {
			exports.add(str(d.name) + "\x00" + leb(define(signature, body)))
		}
	}
	start := ""
	if m.start != "" {
		start = leb(define("() -> ()", m.start))
	}
	memory := ""
	if !m.noMem {
		memory = "\x01\x00" + leb(int(max(m.pages, 2)))
		name := "memory"
		if m.memName != "" {
			name = m.memName
		}
		exports.add(str(name) + "\x02\x00")
	}
	out := "\x00asm\x01\x00\x00\x00"
	for _, s := range []struct {
		id   byte
		body string
	}{{1, types.bytes()}, {2, imports.bytes()}, {3, funcs.bytes()}, {5, memory}, {7, exports.bytes()}, {8, start}, {10, code.bytes()}} {
		if s.body != "" && s.body != "\x00" {
			out += string(s.id) + str(s.body)
		}
	}
	for name, data := range m.custom {
		out += "\x00" + str(str(name)+data)
	}
	return []byte(out)
}

type vector struct {
	n int
	b string
}

func (v *vector) add(s string)  { v.n, v.b = v.n+1, v.b+s }
func (v *vector) bytes() string { return leb(v.n) + v.b }

func leb(n int) string    { return string(binary.AppendUvarint(nil, uint64(n))) }
func str(s string) string { return leb(len(s)) + s }
func valueList(s string) string {
	var v vector
	for _, t := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("(), ", r) }) {
		v.add(map[string]string{"i32": "\x7f", "i64": "\x7e", "f32": "\x7d", "f64": "\x7c"}[t])
	}
	return v.bytes()
}
