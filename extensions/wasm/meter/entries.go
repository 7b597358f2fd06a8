package meter

func (m *module) typeSection(r *reader) {
	n := r.count("types", 3, maxEntries)
	m.types = make([]funcType, 0, n)
	for ; n > 0 && r.err == nil; n-- {
		off := r.p
		switch form := r.byte(); form {
		case 0x60:
		case 0x4e, 0x4f, 0x50, 0x5e, 0x5f:
			r.fail(ErrUnsupported, off, "type form %#x (GC)", form)
		default:
			r.fail(ErrMalformed, off, "type form %#x", form)
		}
		var t funcType
		t.params, t.nparams = valueTypes(r, "parameters")
		t.results, t.nresults = valueTypes(r, "results")
		m.types = append(m.types, t)
	}
}

func valueTypes(r *reader, what string) (start, n uint32) {
	n = uint32(r.count(what, 1, maxTypes))
	start = uint32(r.p)
	for i := uint32(0); i < n && r.err == nil; i++ {
		valueType(r)
	}
	return start, n
}

func isValueType(t byte) bool {
	return t >= typeV128 && t <= typeI32 || t == typeFuncref || t == typeExternref
}

func valueType(r *reader) byte {
	off := r.p
	t := r.byte()
	switch {
	case isValueType(t):
	case t == 0x63 || t == 0x64:
		r.fail(ErrUnsupported, off, "typed reference (%#x)", t)
	case t == 0x69 || t == 0x74:
		r.fail(ErrUnsupported, off, "exception reference (%#x)", t)
	case t >= 0x65 && t <= 0x73:
		r.fail(ErrUnsupported, off, "GC reference type (%#x)", t)
	default:
		r.fail(ErrMalformed, off, "value type %#x", t)
	}
	return t
}

func refType(r *reader) byte {
	off := r.p
	t := valueType(r)
	if t != typeFuncref && t != typeExternref {
		r.fail(ErrMalformed, off, "reference type %#x", t)
	}
	return t
}

func (m *module) typeIndex(r *reader) uint32 {
	off := r.p
	i := r.u32()
	if r.err == nil && int64(i) >= int64(len(m.types)) {
		r.fail(ErrMalformed, off, "type %d of %d", i, len(m.types))
	}
	return i
}

func (m *module) importSection(r *reader) {
	n := r.count("imports", 4, maxEntries)
	m.imports = make([]Import, 0, n)
	for ; n > 0 && r.err == nil; n-- {
		off := r.p
		imp := Import{Module: r.name("import module"), Name: r.name("import name")}
		if imp.Name == FuelGlobal || imp.Name == DepthGlobal {
			r.fail(ErrReserved, off, "import %q", imp.Name)
		}
		at := r.p
		switch kind := r.byte(); kind {
		case kindFunc:
			t := m.typeIndex(r)
			m.importedFuncs = append(m.importedFuncs, t)
			imp.Kind = "func"
			if r.err == nil {
				imp.Signature = m.signature(t)
			}
		case kindTable:
			imp.Kind, imp.Signature = "table", typeName(tableType(r).elem)
			m.importedTables++
		case kindMemory:
			m.memoryType(r, true)
			imp.Kind = "memory"
		case kindGlobal:
			imp.Kind, imp.Signature = "global", globalType(r)
			m.importedGlobals++
			m.globals++
		case kindTag:
			r.fail(ErrUnsupported, at, "imported tag (exceptions)")
		default:
			r.fail(ErrMalformed, at, "import kind %#x", kind)
		}
		m.imports = append(m.imports, imp)
	}
}

// limits reads the limits of a table or memory.
func limits(r *reader, what string) (low, high uint32, hasMax bool) {
	off := r.p
	flags := r.byte()
	switch {
	case flags >= 4 && flags <= 7:
		r.fail(ErrUnsupported, off, "64-bit %s (memory64)", what)
	case flags == 2 || flags == 3:
		r.fail(ErrUnsupported, off, "shared %s (threads)", what)
	case flags > 7:
		r.fail(ErrMalformed, off, "limits %#x", flags)
	}
	low = r.u32()
	if flags&1 != 0 {
		high, hasMax = r.u32(), true
		if r.err == nil && high < low {
			r.fail(ErrMalformed, off, "%s maximum %d under minimum %d", what, high, low)
		}
	}
	return low, high, hasMax
}

func tableType(r *reader) (t table) {
	if r.rest() > 0 && r.b[r.p] == typeNone {
		r.fail(ErrUnsupported, r.p, "table with an initial value (typed references)")
	}
	t.elem = refType(r)
	t.min, t.max, t.hasMax = limits(r, "table")
	return t
}

func (m *module) memoryType(r *reader, imported bool) {
	off := r.p
	low, high, hasMax := limits(r, "memory")
	if m.hasMemory {
		r.fail(ErrUnsupported, off, "second memory (multi-memory)")
	}
	if r.err == nil {
		m.hasMemory = true
		m.memory = Memory{Present: true, Min: low, Max: high, HasMax: hasMax, Imported: imported}
	}
}

// globalType reads a global's type and returns it in text form.
func globalType(r *reader) string {
	t := typeName(valueType(r))
	off := r.p
	switch mut := r.byte(); mut {
	case 0:
		return t
	case 1:
		return "mut " + t
	case 2, 3:
		r.fail(ErrUnsupported, off, "shared global (threads)")
	default:
		r.fail(ErrMalformed, off, "mutability %#x", mut)
	}
	return ""
}

func (m *module) globalSection(r *reader) {
	n := r.count("globals", 4, maxEntries)
	m.globalsBody = r.p
	for ; n > 0 && r.err == nil; n-- {
		globalType(r)
		m.constExpr(r)
		m.globals++
	}
}

// exportSection can check every index, because functions, tables, memory and globals come before it.
func (m *module) exportSection(r *reader) {
	n := r.count("exports", 3, maxEntries)
	m.exportsBody = r.p
	m.exports = make([]Export, 0, n)
	for ; n > 0 && r.err == nil; n-- {
		off := r.p
		e := Export{Name: r.name("export name")}
		if e.Name == FuelGlobal || e.Name == DepthGlobal {
			r.fail(ErrReserved, off, "export %q", e.Name)
		}
		at := r.p
		kind, i := r.byte(), r.u32()
		e.Index = int(i)
		size := 0
		switch kind {
		case kindFunc:
			e.Kind, size = "func", len(m.importedFuncs)+len(m.funcs)
		case kindTable:
			e.Kind, size = "table", m.importedTables+len(m.tables)
		case kindMemory:
			e.Kind = "memory"
			if m.hasMemory {
				size = 1
			}
		case kindGlobal:
			e.Kind, size = "global", m.globals
		case kindTag:
			r.fail(ErrUnsupported, at, "exported tag (exceptions)")
		default:
			r.fail(ErrMalformed, at, "export kind %#x", kind)
		}
		if r.err == nil && e.Index >= size {
			r.fail(ErrMalformed, at, "export %q of %s %d of %d", e.Name, e.Kind, i, size)
		}
		if r.err == nil && kind == kindFunc {
			e.Signature = m.signature(m.funcType(e.Index))
		}
		m.exports = append(m.exports, e)
	}
}

// funcType returns the type index of a function that exists.
func (m *module) funcType(i int) uint32 {
	if i < len(m.importedFuncs) {
		return m.importedFuncs[i]
	}
	return m.funcs[i-len(m.importedFuncs)]
}
