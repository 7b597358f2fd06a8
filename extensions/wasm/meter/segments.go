package meter

// Element and data segments are copied as they are. They are read all the same, because an engine allocates what their
// counts say before it looks for the bytes, and because their expressions must not see the added globals.

// constExpr reads a constant expression.
func (m *module) constExpr(r *reader) {
	for r.err == nil {
		off := r.p
		switch op := r.byte(); op {
		case opEnd:
			return
		case opGlobalGet:
			if i := r.u32(); r.err == nil && int64(i) >= int64(m.globals) {
				r.fail(ErrMalformed, off, "global %d of %d", i, m.globals)
			}
		case opI32Const:
			r.skipSigned(32)
		case opI64Const:
			r.skipSigned(64)
		case opF32Const:
			r.take(4, "f32 constant")
		case opF64Const:
			r.take(8, "f64 constant")
		case opRefNull:
			refType(r)
		case opRefFunc:
			r.u32()
		case prefixSIMD:
			if r.byte() != simdConst {
				r.fail(ErrMalformed, off, "vector instruction in a constant expression")
			}
			r.take(16, "v128 constant")
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e:
			r.fail(ErrUnsupported, off, "arithmetic (%#x) in a constant expression (extended-const)", op)
		default:
			r.fail(ErrMalformed, off, "opcode %#x in a constant expression", op)
		}
	}
}

func (m *module) elementSection(r *reader) {
	for n := r.count("element segments", 2, maxEntries); n > 0 && r.err == nil; n-- {
		off := r.p
		flags := r.u32() // bit 0: not active; bit 1: explicit table, or declarative; bit 2: expressions
		if flags > 7 {
			r.fail(ErrMalformed, off, "element segment flags %#x", flags)
		}
		if flags&1 == 0 {
			if flags&2 != 0 {
				r.u32()
			}
			m.constExpr(r)
		}
		if flags&3 != 0 {
			if flags&4 != 0 {
				refType(r)
			} else if at := r.p; r.byte() != 0 {
				r.fail(ErrMalformed, at, "element kind")
			}
		}
		for k := r.count("elements", 1, len(r.b)); k > 0 && r.err == nil; k-- {
			if flags&4 != 0 {
				m.constExpr(r)
			} else {
				r.u32()
			}
		}
	}
}

func (m *module) dataSection(r *reader) {
	m.dataSegments = r.count("data segments", 2, maxEntries)
	for n := m.dataSegments; n > 0 && r.err == nil; n-- {
		off := r.p
		switch flags := r.u32(); flags {
		case 0:
			m.constExpr(r)
		case 1:
		case 2:
			if i := r.u32(); i != 0 {
				r.fail(ErrUnsupported, off, "data for memory %d (multi-memory)", i)
			}
			m.constExpr(r)
		default:
			r.fail(ErrMalformed, off, "data segment flags %#x", flags)
		}
		r.take(r.u32(), "data segment")
	}
}

// wellFormedNames reports whether the data of a name section can be given to an engine. Its subsections 0, 1 and 2 are the
// names of the module, of functions and of locals; others are skipped by length.
func wellFormedNames(b []byte) bool {
	r := &reader{b: b, fn: -1}
	for r.err == nil && r.rest() > 0 {
		id, n := r.byte(), r.u32()
		r.within(n, "names", func() {
			switch id {
			case 0:
				r.name("module name")
			case 1:
				nameMap(r)
			case 2:
				for n := r.count("functions", 2, len(b)); n > 0 && r.err == nil; n-- {
					r.u32()
					nameMap(r)
				}
			default:
				r.p = len(r.b)
			}
		})
	}
	return r.err == nil
}

func nameMap(r *reader) {
	for n := r.count("names", 2, len(r.b)); n > 0 && r.err == nil; n-- {
		r.u32()
		r.name("name")
	}
}
