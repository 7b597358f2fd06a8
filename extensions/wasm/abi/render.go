package abi

import (
	"bytes"
	"fmt"
	"go/format"
	"strings"
)

// File is a generated file.
type File struct {
	Path string // relative to this package
	Data []byte
}

// Files renders every generated file.
func Files() ([]File, error) {
	host, err := format.Source(renderGo())
	if err != nil {
		return nil, fmt.Errorf("format the host's constants: %w", err)
	}
	guest, err := renderGoKit()
	if err != nil {
		return nil, err
	}
	return []File{
		{"offsets.go", host},
		{"../../../docs/abi.md", renderSpec()},
		{"../../sdk/c/gaia_abi.h", renderC()},
		{"../../sdk/rust/abi.rs", renderRust()},
		{"../../sdk/go/abi.go", guest},
		{"../../sdk/assemblyscript/abi.ts", renderAssemblyScript()},
	}, nil
}

func camel(parts ...string) string {
	var b strings.Builder
	for _, w := range strings.Split(strings.Join(parts, "_"), "_") {
		if w == "url" {
			w = "URL"
		}
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

func upper(parts ...string) string { return "GAIA_" + strings.ToUpper(strings.Join(parts, "_")) }

func scratchSize() int {
	areas := Areas()
	last := areas[len(areas)-1]
	return last.Offset + last.Size
}

func renderGo() []byte {
	var b bytes.Buffer
	b.WriteString("// Code generated from the tables of this package; DO NOT EDIT.\n\npackage abi\n\n")
	fmt.Fprintf(&b, "// The scratch area and its parts, in bytes.\nconst (\nScratchSize = %d\n", scratchSize())
	for _, a := range Areas() {
		fmt.Fprintf(&b, "%sAt = %d\n%sArea = %d\n", camel(a.Name), a.Offset, camel(a.Name), a.Size)
	}
	b.WriteString(")\n")
	for _, s := range Table() {
		fmt.Fprintf(&b, "\n// Offsets in %s, and its size.\nconst (\n", s.Name)
		for _, f := range s.Fields {
			if f.Name != "reserved" {
				fmt.Fprintf(&b, "%s = %d // %s\n", camel(s.Name, f.Name), f.Offset, f.Type)
			}
		}
		fmt.Fprintf(&b, "%s = %d\n)\n", camel(s.Name, "size_of"), s.Size)
	}
	for _, s := range Sets() {
		fmt.Fprintf(&b, "\n// Numbers: %s.\nconst (\n", s.Meaning)
		for _, c := range s.Consts {
			fmt.Fprintf(&b, "%s = %d%s\n", camel(s.Name, "is", c.Name), c.Value, comment(" // ", c.Meaning))
		}
		b.WriteString(")\n")
	}
	return b.Bytes()
}

func comment(lead, text string) string {
	if text == "" {
		return ""
	}
	return lead + text
}

func renderC() []byte {
	var b bytes.Buffer
	b.WriteString("/* Generated from extensions/wasm/abi by `go generate`; do not edit. Included by gaia.h. */\n#ifndef GAIA_ABI_H\n#define GAIA_ABI_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n")
	fmt.Fprintf(&b, "#define GAIA_MINOR %d\n#define GAIA_SCRATCH_SIZE %d\n", Minor, scratchSize())
	for _, a := range Areas() {
		fmt.Fprintf(&b, "#define %s_AT %d /* %s */\n#define %s_AREA %d\n", upper(a.Name), a.Offset, a.Meaning, upper(a.Name), a.Size)
	}
	for _, s := range Sets() {
		fmt.Fprintf(&b, "\n/* %s */\n", s.Meaning)
		for _, c := range s.Consts {
			end := ""
			if c.Meaning != "" {
				end = " /* " + c.Meaning + " */"
			}
			fmt.Fprintf(&b, "#define %s (%d)%s\n", upper(s.Name, c.Name), c.Value, end)
		}
	}
	b.WriteString("\n/* A text in the scratch area. */\ntypedef struct { uint32_t offset, length; } gaia_ref;\n")
	for _, s := range Table() {
		renderStruct(&b, s)
	}
	b.WriteString("\n/* Functions of the host. */\n")
	for _, f := range Funcs() {
		fmt.Fprintf(&b, "\n/* %s */\n__attribute__((import_module(\"%s\"), import_name(\"%s\")))\n%s gaia_host_%s(%s);\n",
			f.Meaning, Module, f.Name, cType(f.Result), f.Name, cParams(f.Params))
	}
	b.WriteString("\n#endif\n")
	return b.Bytes()
}

func renderStruct(b *bytes.Buffer, s Struct) {
	fmt.Fprintf(b, "\n/* %s */\ntypedef struct {\n", s.Meaning)
	for _, f := range s.Fields {
		fmt.Fprintf(b, "  %s %s; /* %s */\n", cType(string(f.Type)), f.Name, f.Meaning)
	}
	fmt.Fprintf(b, "} gaia_%s;\n", s.Name)
	for _, f := range s.Fields {
		fmt.Fprintf(b, "_Static_assert(offsetof(gaia_%s, %s) == %d, \"layout\");\n", s.Name, f.Name, f.Offset)
	}
	fmt.Fprintf(b, "_Static_assert(sizeof(gaia_%s) == %d, \"layout\");\n", s.Name, s.Size)
}

func cType(t string) string {
	switch t {
	case "":
		return "void"
	case "f64":
		return "double"
	case "text":
		return "gaia_ref"
	case "u16", "u32", "u64":
		return "uint" + t[1:] + "_t"
	}
	return "int" + t[1:] + "_t"
}

// cParams writes parameters as C sees them: pointers for what is one.
func cParams(ps []Param) string {
	if len(ps) == 0 {
		return "void"
	}
	var out []string
	for _, p := range ps {
		switch {
		case p.Type == "text":
			out = append(out, "const void *"+p.Name, "int32_t "+p.Name+"_len")
		case p.Name == "buf" || p.Name == "out":
			out = append(out, "void *"+p.Name)
		case p.Name == "ids":
			out = append(out, "const int32_t *ids")
		case p.Name == "costs":
			out = append(out, "const int64_t *costs")
		case p.Name == "list":
			out = append(out, "const gaia_span *"+p.Name)
		default:
			out = append(out, cType(p.Type)+" "+p.Name)
		}
	}
	return strings.Join(out, ", ")
}
