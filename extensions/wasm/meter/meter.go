package meter

import (
	"bytes"
	"math"
)

// Names of the globals a rewritten module exports.
const (
	FuelGlobal  = "gaia_fuel"  // mutable i64
	DepthGlobal = "gaia_depth" // mutable i32
)

// Defaults of Options.
const (
	DefaultMaxFunctions     = 100_000
	DefaultMaxBodyBytes     = 4 << 20
	DefaultMaxModuleBytes   = 32 << 20
	DefaultMaxTableElements = 1 << 17
	DefaultInitialFuel      = 10_000_000
	DefaultInitialDepth     = 1000
)

// Options bounds what Rewrite accepts. The zero value means the defaults.
type Options struct {
	MaxFunctions   int // functions with a body
	MaxBodyBytes   int // bytes of one body
	MaxModuleBytes int // bytes of the module, at most 1 GiB

	// MaxTableElements bounds every table the module defines: a larger minimum is refused, a larger or absent maximum is
	// lowered to it, so that table.grow beyond it gives -1.
	MaxTableElements int

	// InitialFuel and InitialDepth are what the globals hold when the module is instantiated. They bound the start function.
	// Zero means the default; with a negative value nothing runs until the host has set the globals.
	InitialFuel  int64
	InitialDepth int32
}

func (o Options) withDefaults() Options {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&o.MaxFunctions, DefaultMaxFunctions)
	set(&o.MaxBodyBytes, DefaultMaxBodyBytes)
	set(&o.MaxModuleBytes, DefaultMaxModuleBytes)
	set(&o.MaxTableElements, DefaultMaxTableElements)
	o.MaxModuleBytes = min(o.MaxModuleBytes, 1<<30)
	o.MaxTableElements = min(o.MaxTableElements, math.MaxInt32)
	if o.InitialFuel == 0 {
		o.InitialFuel = DefaultInitialFuel
	}
	if o.InitialDepth == 0 {
		o.InitialDepth = DefaultInitialDepth
	}
	return o
}

// Result is a rewritten module.
type Result struct {
	Module      []byte // shares no memory with the original
	Fuel, Depth string // names of the exported globals
	Functions   int    // functions with a body
	Counted     int    // those that take depth
	Points      int    // fuel charge points, entries included
}

// Rewrite returns the module with fuel and depth counting, as the package documentation describes. The error is an *Error.
// The same module and options always give the same bytes. Safe for concurrent use; module is only read.
func Rewrite(module []byte, o Options) (Result, error) {
	o = o.withDefaults()
	if len(module) > o.MaxModuleBytes {
		return Result{}, &Error{ErrLimit, o.MaxModuleBytes, -1, "module too large"}
	}
	m, err := decode(module)
	if err != nil {
		return Result{}, err
	}
	w := &rewriter{m: m, o: o}
	if err := w.check(); err != nil {
		return Result{}, err
	}
	if err := w.functions(); err != nil {
		return Result{}, err
	}
	w.assemble()
	return Result{Module: w.out, Fuel: FuelGlobal, Depth: DepthGlobal, Functions: len(m.funcs), Counted: w.counted, Points: w.points}, nil
}

// rewriter builds the new module.
type rewriter struct {
	m               *module
	o               Options
	out             []byte
	code            []byte // new bodies
	charge, take    snippet
	getFuel         []byte
	giveBack        []byte
	newTypes        []byte           // entries added to the type section
	blockTypes      map[string]int64 // results to type index, for functions with several results
	newTypeCount    int
	counted, points int
}

// check applies the limits that need no bodies.
func (w *rewriter) check() error {
	m := w.m
	if len(m.funcs) > w.o.MaxFunctions {
		return &Error{ErrLimit, m.sections[m.findSection(secFunction)].start, -1, "too many functions"}
	}
	total := 0
	for _, t := range m.tables {
		total += int(t.min)
	}
	if total > w.o.MaxTableElements {
		return &Error{ErrLimit, m.sections[m.findSection(secTable)].start, -1, "too many table elements"}
	}
	return nil
}

// assemble writes the sections in order, adding those that are needed.
func (w *rewriter) assemble() {
	m := w.m
	w.out = append(make([]byte, 0, len(m.b)+len(w.code)-w.codeSize()+len(w.newTypes)+128), m.b[:8]...)
	globals, exports := false, false
	for _, s := range m.sections {
		// Added sections go before the first section that has to follow them.
		if s.id != secCustom {
			order := sectionOrder[s.id]
			if !globals && order >= sectionOrder[secGlobal] {
				w.globals()
				globals = true
			}
			if !exports && order >= sectionOrder[secExport] {
				w.exports()
				exports = true
			}
		}
		switch s.id {
		case secCustom:
			if !s.drop {
				w.out = append(w.out, m.b[s.start:s.end]...)
			}
		case secType:
			w.types(s)
		case secTable:
			w.tables()
		case secCode:
			w.emit(secCode, w.code)
		case secGlobal, secExport: // written above
		default:
			w.out = append(w.out, m.b[s.start:s.end]...)
		}
	}
	if !globals {
		w.globals()
	}
	if !exports {
		w.exports()
	}
}

func (w *rewriter) codeSize() int {
	if i := w.m.findSection(secCode); i >= 0 {
		return w.m.sections[i].end - w.m.sections[i].body
	}
	return 0
}

func (w *rewriter) emit(id byte, content ...[]byte) {
	n := 0
	for _, c := range content {
		n += len(c)
	}
	w.out = appendU32(append(w.out, id), uint32(n))
	for _, c := range content {
		w.out = append(w.out, c...)
	}
}

// types writes the type section with the added block types behind its own entries.
func (w *rewriter) types(s section) {
	old := reader{b: w.m.b[:s.end], p: s.body, fn: -1}
	n := old.u32()
	w.emit(secType, appendU32(nil, n+uint32(w.newTypeCount)), w.m.b[old.p:s.end], w.newTypes)
}

// tables writes the tables with a maximum each.
func (w *rewriter) tables() {
	b := appendU32(nil, uint32(len(w.m.tables)))
	for _, t := range w.m.tables {
		high := uint32(w.o.MaxTableElements)
		if t.hasMax {
			high = min(high, t.max)
		}
		b = appendU32(appendU32(append(b, t.elem, 1), t.min), high)
	}
	w.emit(secTable, b)
}

func (w *rewriter) globals() {
	defined := w.m.globals - w.m.importedGlobals
	var old []byte
	if i := w.m.findSection(secGlobal); i >= 0 {
		old = w.m.b[w.m.globalsBody:w.m.sections[i].end]
	}
	fuel := append(appendS64([]byte{typeI64, 1, opI64Const}, w.o.InitialFuel), opEnd)
	depth := append(appendS64([]byte{typeI32, 1, opI32Const}, int64(w.o.InitialDepth)), opEnd)
	w.emit(secGlobal, appendU32(nil, uint32(defined+2)), old, fuel, depth)
}

func (w *rewriter) exports() {
	var old []byte
	if i := w.m.findSection(secExport); i >= 0 {
		old = w.m.b[w.m.exportsBody:w.m.sections[i].end]
	}
	var added bytes.Buffer
	for i, name := range []string{FuelGlobal, DepthGlobal} {
		added.WriteByte(byte(len(name)))
		added.WriteString(name)
		added.Write(appendU32([]byte{kindGlobal}, uint32(w.m.globals+i)))
	}
	w.emit(secExport, appendU32(nil, uint32(len(w.m.exports)+2)), old, added.Bytes())
}
