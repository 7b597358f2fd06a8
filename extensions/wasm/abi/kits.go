package abi

import (
	"bytes"
	"fmt"
	"go/format"
	"strings"
)

// view is a structure as guests in Rust, Go and AssemblyScript see it: accessors that load at an offset.
type view struct {
	Name    string
	Struct  Struct
	Meaning string
	Fields  []Field
}

// views returns what accessors are generated for. A frame is several views: a hook is given those that say something in it.
func views() []view {
	f := frame()
	split := len(f.Fields)
	for i, field := range f.Fields {
		if field.Name == "status" {
			split = i
		}
	}
	tick := []Field{}
	for _, field := range f.Fields {
		if field.Name == "now" {
			tick = append(tick, field)
		}
	}
	u := upstream()
	return []view{
		{"request", f, "an operation that somebody asks for; valid until the hook returns", f.Fields[:split]},
		{"response", f, "how an attempt ended; valid until the hook returns", f.Fields[split:]},
		{"tick", f, "a second has passed", tick},
		{"upstream", u, u.Meaning, u.Fields},
	}
}

// shown reports whether a field has an accessor: the kit itself reads the others.
func (f Field) shown() bool {
	return f.Name != "reserved" && f.Name != "upstreams" && f.Name != "length"
}

// plain returns the structures that guests hold in their own memory.
func plain() []Struct {
	var list []Struct
	for _, s := range Table() {
		text := s.Name == "metrics"
		for _, f := range s.Fields {
			text = text || f.Type == Text
		}
		if !text {
			list = append(list, s)
		}
	}
	return list
}

// pointer says what a parameter points to, "" where it is no pointer.
func (p Param) pointer() string {
	switch p.Name {
	case "buf":
		return "u8"
	case "out":
		return "void"
	case "list":
		return "span"
	case "ids":
		return "i32"
	case "costs":
		return "i64"
	}
	return ""
}

// limiterConstructors returns the kinds of limiter: each has a constructor of its name.
func limiterConstructors() []Const {
	for _, s := range Sets() {
		if s.Name == "limiter" {
			return s.Consts
		}
	}
	return nil
}

// lowerCamel writes words as AssemblyScript does.
func lowerCamel(parts ...string) string {
	c := camel(parts...)
	if strings.HasPrefix(c, "URL") {
		return "url" + c[3:]
	}
	return strings.ToLower(c[:1]) + c[1:]
}

// constructor is the name of the function that declares a kind of limiter; "upstream" alone would mean something else.
func constructor(kind string) string {
	if kind == "upstream" {
		return "upstream_limiter"
	}
	return kind
}

const kitHead = "Generated from extensions/wasm/abi by `go generate`; do not edit."

func renderRust() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// %s\n#![allow(dead_code)]\n\nuse super::{text, Limiter};\n\n", kitHead)
	fmt.Fprintf(&b, "pub const MINOR: i32 = %d;\npub const SCRATCH_SIZE: usize = %d;\n", Minor, scratchSize())
	for _, a := range Areas() {
		fmt.Fprintf(&b, "pub const %s_AT: usize = %d;\npub const %s_AREA: usize = %d;\n", strings.ToUpper(a.Name), a.Offset, strings.ToUpper(a.Name), a.Size)
	}
	fmt.Fprintf(&b, "pub const FRAME_UPSTREAMS: usize = %d;\n", FrameUpstreams)
	for _, s := range Sets() {
		fmt.Fprintf(&b, "\n// %s\n", s.Meaning)
		for _, c := range s.Consts {
			fmt.Fprintf(&b, "pub const %s: i32 = %d;%s\n", strings.ToUpper(s.Name+"_"+c.Name), c.Value, comment(" // ", c.Meaning))
		}
	}
	for _, v := range views() {
		fmt.Fprintf(&b, "\n/// %s\n#[repr(C, align(8))]\npub struct %s([u8; %d]);\n\nimpl %s {\n", v.Meaning, camel(v.Name), v.Struct.Size, camel(v.Name))
		for _, f := range v.Fields {
			if !f.shown() {
				continue
			}
			if f.Type == Text {
				fmt.Fprintf(&b, "    /// %s\n    #[inline(always)]\n    pub fn %s(&self) -> &[u8] {\n        text(self.at(%d), self.at(%d))\n    }\n", f.Meaning, f.Name, f.Offset, f.Offset+4)
				continue
			}
			fmt.Fprintf(&b, "    /// %s\n    #[inline(always)]\n    pub fn %s(&self) -> %s {\n        self.at(%d)\n    }\n", f.Meaning, f.Name, f.Type, f.Offset)
		}
		b.WriteString("    #[inline(always)]\n    pub(super) fn at<T: Copy>(&self, offset: usize) -> T {\n        unsafe { (self.0.as_ptr().add(offset) as *const T).read() }\n    }\n}\n")
	}
	for _, s := range plain() {
		fmt.Fprintf(&b, "\n/// %s\n#[repr(C)]\n#[derive(Clone, Copy, Default)]\npub struct %s {\n", s.Meaning, camel(s.Name))
		for _, f := range s.Fields {
			fmt.Fprintf(&b, "    /// %s\n    pub %s: %s,\n", f.Meaning, f.Name, f.Type)
		}
		fmt.Fprintf(&b, "}\nconst _: [(); %d] = [(); core::mem::size_of::<%s>()];\n", s.Size, camel(s.Name))
	}
	b.WriteString("\n// Limiters, one constructor for each kind; params is a JSON object.\n")
	for _, c := range limiterConstructors() {
		fmt.Fprintf(&b, "\n/// %s\npub const fn %s(name: &'static str, params: &'static str) -> Limiter {\n    Limiter::new(LIMITER_%s, name, params)\n}\n", c.Meaning, constructor(c.Name), strings.ToUpper(c.Name))
	}
	fmt.Fprintf(&b, "\n/// Functions of the host.\npub mod host {\n    #[link(wasm_import_module = \"%s\")]\n    extern \"C\" {\n", Module)
	for _, f := range Funcs() {
		result := ""
		if f.Result != "" {
			result = " -> " + f.Result
		}
		fmt.Fprintf(&b, "        /// %s\n        pub fn %s(%s)%s;\n", f.Meaning, f.Name, rustParams(f.Params), result)
	}
	b.WriteString("    }\n}\n")
	return b.Bytes()
}

func rustParams(ps []Param) string {
	var out []string
	for _, p := range ps {
		switch to := p.pointer(); {
		case p.Type == "text":
			out = append(out, p.Name+": *const u8", p.Name+"_len: i32")
		case to == "void":
			out = append(out, p.Name+": *mut u8")
		case to == "u8":
			out = append(out, p.Name+": *mut u8")
		case to == "span":
			out = append(out, p.Name+": *const super::Span")
		case to != "":
			out = append(out, p.Name+": *const "+to)
		default:
			out = append(out, p.Name+": "+p.Type)
		}
	}
	return strings.Join(out, ", ")
}

func goType(t Type) string {
	switch t {
	case U16:
		return "uint16"
	case U32:
		return "uint32"
	case I32:
		return "int32"
	case U64:
		return "uint64"
	case I64:
		return "int64"
	case F64:
		return "float64"
	}
	return "string"
}

func renderGoKit() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "//go:build wasip1\n\n// Code generated from extensions/wasm/abi; DO NOT EDIT.\n\npackage gaia\n\nimport \"unsafe\"\n\n")
	fmt.Fprintf(&b, "const (\nminor = %d\nscratchSize = %d\n", Minor, scratchSize())
	for _, a := range Areas() {
		fmt.Fprintf(&b, "%sAt = %d\n%sArea = %d\n", a.Name, a.Offset, a.Name, a.Size)
	}
	fmt.Fprintf(&b, "frameUpstreams = %d\n)\n", FrameUpstreams)
	for _, s := range Sets() {
		fmt.Fprintf(&b, "\n// Numbers: %s.\nconst (\n", s.Meaning)
		for _, c := range s.Consts {
			fmt.Fprintf(&b, "%s = %d%s\n", lowerCamel(s.Name, "is", c.Name), c.Value, comment(" // ", c.Meaning))
		}
		b.WriteString(")\n")
	}
	for _, v := range views() {
		name := camel(v.Name)
		fmt.Fprintf(&b, "\n// %s: %s.\ntype %s [%d]byte\n", name, v.Meaning, name, v.Struct.Size)
		for _, f := range v.Fields {
			if !f.shown() {
				continue
			}
			fmt.Fprintf(&b, "\n// %s: %s.\nfunc (v *%s) %s() %s {\n", camel(f.Name), f.Meaning, name, camel(f.Name), goType(f.Type))
			if f.Type == Text {
				fmt.Fprintf(&b, "return text(*(*uint32)(unsafe.Pointer(&v[%d])), *(*uint32)(unsafe.Pointer(&v[%d])))\n}\n", f.Offset, f.Offset+4)
			} else {
				fmt.Fprintf(&b, "return *(*%s)(unsafe.Pointer(&v[%d]))\n}\n", goType(f.Type), f.Offset)
			}
		}
	}
	for _, s := range plain() {
		fmt.Fprintf(&b, "\n// %s: %s.\ntype %s struct {\n", camel(s.Name), s.Meaning, camel(s.Name))
		for _, f := range s.Fields {
			fmt.Fprintf(&b, "%s %s // %s\n", camel(f.Name), goType(f.Type), f.Meaning)
		}
		fmt.Fprintf(&b, "}\n\nvar _ [unsafe.Sizeof(%s{})]byte = [%d]byte{}\n", camel(s.Name), s.Size)
	}
	for _, c := range limiterConstructors() {
		fmt.Fprintf(&b, "\n// %s declares a limiter while loading; params is a JSON object: %s.\nfunc %s(name, params string) Limiter { return open(%s, name, params) }\n",
			camel(constructor(c.Name)), c.Meaning, camel(constructor(c.Name)), lowerCamel("limiter_is", c.Name))
	}
	b.WriteString("\n// Functions of the host.\n")
	for _, f := range Funcs() {
		var ps []string
		for _, p := range f.Params {
			switch {
			case p.Type == "text":
				ps = append(ps, p.Name+" unsafe.Pointer", lowerCamel(p.Name+"_len")+" int32")
			case p.pointer() != "":
				ps = append(ps, p.Name+" unsafe.Pointer")
			default:
				ps = append(ps, lowerCamel(p.Name)+" "+goType(Type(p.Type)))
			}
		}
		result := ""
		if f.Result != "" {
			result = " " + goType(Type(f.Result))
		}
		fmt.Fprintf(&b, "\n// %s.\n//\n//go:wasmimport %s %s\n//go:noescape\nfunc %s(%s)%s\n", f.Meaning, Module, f.Name, lowerCamel("host", f.Name), strings.Join(ps, ", "), result)
	}
	out, err := format.Source(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("format the kit for Go: %w", err)
	}
	return out, nil
}

func renderAssemblyScript() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// %s\nimport { Text, Limiter, view } from \"./gaia\";\n\n", kitHead)
	fmt.Fprintf(&b, "export const MINOR: i32 = %d;\nexport const SCRATCH_SIZE: i32 = %d;\n", Minor, scratchSize())
	for _, a := range Areas() {
		fmt.Fprintf(&b, "export const %s_AT: i32 = %d;\nexport const %s_AREA: i32 = %d;\n", strings.ToUpper(a.Name), a.Offset, strings.ToUpper(a.Name), a.Size)
	}
	fmt.Fprintf(&b, "export const FRAME_UPSTREAMS: i32 = %d;\n", FrameUpstreams)
	for _, s := range Sets() {
		fmt.Fprintf(&b, "\n// %s\n", s.Meaning)
		for _, c := range s.Consts {
			fmt.Fprintf(&b, "export const %s: i32 = %d;%s\n", strings.ToUpper(s.Name+"_"+c.Name), c.Value, comment(" // ", c.Meaning))
		}
	}
	for _, v := range views() {
		fmt.Fprintf(&b, "\n/** %s */\n@unmanaged\nexport class %s {\n", v.Meaning, camel(v.Name))
		for _, f := range v.Fields {
			if !f.shown() {
				continue
			}
			load := fmt.Sprintf("load<%s>(changetype<usize>(this), %d)", f.Type, f.Offset)
			kind := string(f.Type)
			if f.Type == Text {
				kind, load = "Text", fmt.Sprintf("view(load<u64>(changetype<usize>(this), %d))", f.Offset)
			}
			fmt.Fprintf(&b, "  /** %s */\n  @inline get %s(): %s { return %s; }\n", f.Meaning, lowerCamel(f.Name), kind, load)
		}
		b.WriteString("}\n")
	}
	for _, s := range plain() {
		fmt.Fprintf(&b, "\n/** %s; %d bytes */\n@unmanaged\nexport class %s {\n", s.Meaning, s.Size, camel(s.Name))
		for _, f := range s.Fields {
			fmt.Fprintf(&b, "  /** %s */\n  @inline get %s(): %s { return load<%s>(changetype<usize>(this), %d); }\n", f.Meaning, lowerCamel(f.Name), f.Type, f.Type, f.Offset)
		}
		b.WriteString("}\n")
	}
	b.WriteString("\n// Limiters, declared at module scope; params is a JSON object.\n")
	for _, c := range limiterConstructors() {
		fmt.Fprintf(&b, "\n/** %s */\nexport function %s(name: string, params: string): Limiter { return Limiter.open(LIMITER_%s, name, params); }\n",
			c.Meaning, lowerCamel(constructor(c.Name)), strings.ToUpper(c.Name))
	}
	b.WriteString("\n// Functions of the host.\n")
	for _, f := range Funcs() {
		var ps []string
		for _, p := range f.Params {
			switch {
			case p.Type == "text":
				ps = append(ps, p.Name+": usize", lowerCamel(p.Name+"_len")+": i32")
			case p.pointer() != "":
				ps = append(ps, p.Name+": usize")
			default:
				ps = append(ps, lowerCamel(p.Name)+": "+p.Type)
			}
		}
		result := "void"
		if f.Result != "" {
			result = f.Result
		}
		fmt.Fprintf(&b, "\n/** %s */\n@external(%q, %q)\nexport declare function %s(%s): %s;\n", f.Meaning, Module, f.Name, lowerCamel("host", f.Name), strings.Join(ps, ", "), result)
	}
	return b.Bytes()
}
