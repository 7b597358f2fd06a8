package meter

import "strings"

// Info is what a module says about itself.
type Info struct {
	Imports        []Import
	Exports        []Export
	Memory         Memory
	CustomSections []CustomSection // in order; a name may occur more than once
	Functions      int             // functions with a body
	Start          int             // index of the start function, imports counted; -1 without
	Languages      []string        // "Go 1.26", "C11": the language field of the producers section
}

// Import is one thing the module wants from its host.
type Import struct {
	Module, Name string
	Kind         string // "func", "table", "memory" or "global"
	Signature    string // of a function "(i32, i64) -> i32", of a global "mut i64", of a table "funcref", of a memory ""
}

// Export is one thing the module gives its host.
type Export struct {
	Name      string
	Kind      string // as in Import
	Index     int    // in the index space of its kind
	Signature string // of a function as in Import, else ""
}

// Memory is the module's memory, if Present. Sizes are pages of 64 KiB.
type Memory struct {
	Present  bool
	Min, Max uint32 // Max is 0 without HasMax
	HasMax   bool
	Imported bool
}

// CustomSection is a custom section. Data is a part of the inspected module, not a copy.
type CustomSection struct {
	Name   string
	Offset int // of Data in the module
	Data   []byte
}

// Custom returns the data of the first custom section of that name, and how many there are.
func (i Info) Custom(name string) (data []byte, n int) {
	for _, c := range i.CustomSections {
		if c.Name == name {
			if n++; n == 1 {
				data = c.Data
			}
		}
	}
	return data, n
}

// Inspect reads what a module says about itself, without its function bodies. The error is an *Error. Safe for concurrent use.
// A module that Inspect accepts can still be refused by Rewrite, which reads the bodies, and by the engine.
func Inspect(module []byte) (Info, error) {
	if limit := (Options{}).withDefaults().MaxModuleBytes; len(module) > limit {
		return Info{}, &Error{ErrLimit, limit, -1, "module too large"}
	}
	m, err := decode(module)
	if err != nil {
		return Info{}, err
	}
	info := Info{Imports: m.imports, Exports: m.exports, Memory: m.memory, Functions: len(m.funcs), Start: m.start}
	for _, s := range m.sections {
		if s.id != secCustom {
			continue
		}
		data := module[s.body:s.end:s.end]
		info.CustomSections = append(info.CustomSections, CustomSection{s.name, s.body, data})
		if s.name == "producers" && info.Languages == nil {
			info.Languages = languages(data)
		}
	}
	return info, nil
}

// languages reads the language field of a producers section; a malformed one has none.
func languages(b []byte) (list []string) {
	r := &reader{b: b, fn: -1}
	for n := r.count("fields", 2, maxEntries); n > 0 && r.err == nil; n-- {
		field := r.name("field")
		for k := r.count("values", 2, maxEntries); k > 0 && r.err == nil; k-- {
			name, version := r.name("value"), r.name("version")
			if field == "language" {
				list = append(list, strings.TrimSpace(name+" "+version))
			}
		}
	}
	if r.err != nil {
		return nil
	}
	return list
}

// signature returns a function type in text form: "(i32, i64) -> i32", "() -> ()", "() -> (i32, i32)".
func (m *module) signature(i uint32) string {
	if s, ok := m.signatures[i]; ok {
		return s
	}
	t := m.types[i]
	list := func(start, n uint32) string {
		var b strings.Builder
		for k, c := range m.b[start : start+n] {
			if k > 0 {
				b.WriteString(", ")
			}
			b.WriteString(typeName(c))
		}
		return b.String()
	}
	results := list(t.results, t.nresults)
	if t.nresults != 1 {
		results = "(" + results + ")"
	}
	s := "(" + list(t.params, t.nparams) + ") -> " + results
	m.signatures[i] = s
	return s
}

func typeName(t byte) string {
	switch t {
	case typeI32:
		return "i32"
	case typeI64:
		return "i64"
	case typeF32:
		return "f32"
	case typeF64:
		return "f64"
	case typeV128:
		return "v128"
	case typeFuncref:
		return "funcref"
	case typeExternref:
		return "externref"
	}
	return "?"
}
