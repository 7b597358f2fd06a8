package meter

import (
	"bytes"
	"slices"
	"strings"
)

// Section identifiers of the binary format.
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
	secTag
)

// Value types and external kinds of the binary format.
const (
	typeI32, typeI64, typeF32, typeF64   = 0x7f, 0x7e, 0x7d, 0x7c
	typeV128, typeFuncref, typeExternref = 0x7b, 0x70, 0x6f
	typeNone                             = 0x40

	kindFunc, kindTable, kindMemory, kindGlobal, kindTag = 0, 1, 2, 3, 4
)

// Implementation limits. Real modules stay far below; they keep a small file from costing much.
const (
	maxEntries   = 100_000 // types, imports, exports, globals, segments, custom sections, each
	maxTypes     = 1_000   // parameters or results of one function type
	maxTables    = 16
	maxLocals    = 50_000 // of one function
	maxAllLocals = 2_000_000
	maxNesting   = 1 << 16
	maxLabels    = 4_096 // of all br_table of one function

	// The compiler looks at every local at every block: locals times blocks of one function, and of all. A Go guest has
	// 4 000 and 260 000; a function of a million takes seconds and 100 MiB to compile.
	maxMerges    = 100_000
	maxAllMerges = 4_000_000
)

var sectionNames = [...]string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start",
	"element", "code", "data", "data count", "tag"}

// sectionOrder is the place of each section in a module; the data count section comes before the code section.
var sectionOrder = [...]int{secType: 1, secImport: 2, secFunction: 3, secTable: 4, secMemory: 5, secGlobal: 6, secExport: 7,
	secStart: 8, secElement: 9, secDataCount: 10, secCode: 11, secData: 12}

// section is one section: whole[start:end] with identifier and length, whole[body:end] without.
type section struct {
	id               byte
	start, body, end int
	name             string // of a custom section; its data starts at body
	drop             bool   // custom sections the rewritten module must not have
}

// funcType is a function type, as offsets of its value types (one byte each) in the module.
type funcType struct{ params, nparams, results, nresults uint32 }

// table is a table type with the offset of its limits.
type table struct {
	elem     byte
	min, max uint32
	hasMax   bool
}

// module is the structure of a module. Everything in it refers to indices and bytes of the original.
type module struct {
	b        []byte
	sections []section
	types    []funcType
	imports  []Import

	signatures map[uint32]string // by type index: many imports may share one long type

	exports []Export
	tables  []table  // the defined ones
	funcs   []uint32 // type index of each defined function

	importedFuncs                   []uint32 // type index of each imported function
	importedTables, importedGlobals int
	globals                         int // imported and defined
	globalsBody, exportsBody        int // offset of the first entry, behind the count
	bodies                          int // entries of the code section
	start                           int // function index, -1 without
	memory                          Memory
	hasMemory                       bool
	dataSegments, dataCount         int // dataCount is -1 without the section
}

// decode reads everything but the function bodies.
func decode(b []byte) (*module, error) {
	m := &module{b: b, start: -1, dataCount: -1, signatures: make(map[uint32]string)}
	r := &reader{b: b, fn: -1}
	if !bytes.HasPrefix(b, []byte("\x00asm")) {
		r.fail(ErrMalformed, 0, "no magic number")
	} else if !bytes.HasPrefix(b[4:], []byte{1, 0, 0, 0}) {
		if bytes.HasPrefix(b[4:], []byte{0x0d, 0, 1, 0}) {
			r.fail(ErrUnsupported, 4, "component")
		}
		r.fail(ErrMalformed, 4, "unknown version")
	} else {
		r.p = 8
	}
	last := 0
	for r.err == nil && r.rest() > 0 {
		m.section(r, &last)
	}
	if r.err == nil {
		m.checkCounts(r)
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}

func (m *module) section(r *reader, last *int) {
	s := section{start: r.p}
	s.id = r.byte()
	n := r.u32()
	switch {
	case s.id == secTag:
		r.fail(ErrUnsupported, s.start, "tag section (exceptions)")
		return
	case int(s.id) >= len(sectionOrder):
		r.fail(ErrMalformed, s.start, "unknown section %d", s.id)
		return
	case s.id != secCustom && sectionOrder[s.id] <= *last:
		r.fail(ErrMalformed, s.start, "%s section out of order or twice", sectionNames[s.id])
		return
	case len(m.sections) >= maxEntries:
		r.fail(ErrLimit, s.start, "more than %d sections", maxEntries)
		return
	case s.id != secCustom:
		*last = sectionOrder[s.id]
	}
	s.body = r.p
	r.within(n, sectionNames[s.id]+" section", func() {
		s.end = len(r.b)
		m.content(r, &s)
	})
	m.sections = append(m.sections, s)
}

func (m *module) content(r *reader, s *section) {
	switch s.id {
	case secCustom:
		m.custom(r, s)
	case secType:
		m.typeSection(r)
	case secImport:
		m.importSection(r)
	case secFunction:
		n := r.count("functions", 1, len(r.b))
		m.funcs = make([]uint32, 0, n)
		for ; n > 0 && r.err == nil; n-- {
			m.funcs = append(m.funcs, m.typeIndex(r))
		}
	case secTable:
		for n := r.count("tables", 3, maxTables); n > 0 && r.err == nil; n-- {
			m.tables = append(m.tables, tableType(r))
		}
	case secMemory:
		for n := r.count("memories", 2, maxEntries); n > 0 && r.err == nil; n-- {
			m.memoryType(r, false)
		}
	case secGlobal:
		m.globalSection(r)
	case secExport:
		m.exportSection(r)
	case secStart:
		m.start = int(r.u32())
	case secElement:
		m.elementSection(r)
	case secDataCount:
		m.dataCount = int(r.u32())
	case secCode:
		m.bodies = r.count("bodies", 3, len(r.b))
		r.p = len(r.b) // read by the scanner
	case secData:
		m.dataSection(r)
	}
}

// custom keeps the name of a custom section and decides whether it may stay.
func (m *module) custom(r *reader, s *section) {
	s.name = r.name("custom section name")
	s.body = r.p
	switch {
	case s.name == "name":
		s.drop = !wellFormedNames(r.b[r.p:]) ||
			slices.ContainsFunc(m.sections, func(o section) bool { return o.id == secCustom && o.name == "name" && !o.drop })
	case s.name == "sourceMappingURL", s.name == "external_debug_info":
		s.drop = true
	default:
		s.drop = strings.HasPrefix(s.name, ".debug_") || strings.HasPrefix(s.name, "metadata.code.") ||
			strings.HasPrefix(s.name, "reloc.")
	}
	r.p = len(r.b)
}

// checkCounts compares what sections say about each other.
func (m *module) checkCounts(r *reader) {
	switch {
	case len(m.funcs) != m.bodies:
		r.fail(ErrMalformed, len(m.b), "%d functions but %d bodies", len(m.funcs), m.bodies)
	case m.dataCount >= 0 && m.dataCount != m.dataSegments:
		r.fail(ErrMalformed, len(m.b), "data count %d but %d data segments", m.dataCount, m.dataSegments)
	case m.start >= len(m.importedFuncs)+len(m.funcs):
		r.fail(ErrMalformed, len(m.b), "start function %d of %d", m.start, len(m.importedFuncs)+len(m.funcs))
	}
}

// findSection returns the index of the section with this identifier, or -1.
func (m *module) findSection(id byte) int {
	return slices.IndexFunc(m.sections, func(s section) bool { return s.id == id })
}
