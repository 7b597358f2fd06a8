package meter

// snippet is code with one number in the middle.
type snippet struct{ before, after []byte }

func (s snippet) append(b []byte, n int64) []byte {
	return append(appendS64(append(b, s.before...), n), s.after...)
}

// snippets encodes the added code once; only the numbers differ from place to place.
func (w *rewriter) snippets() {
	fuel, depth := uint32(w.m.globals), uint32(w.m.globals+1)
	trap := []byte{opIf, typeNone, opUnreachable, opEnd}
	get := func(b []byte, g uint32) []byte { return appendU32(append(b, opGlobalGet), g) }
	set := func(b []byte, g uint32) []byte { return appendU32(append(b, opGlobalSet), g) }

	w.getFuel = get(nil, fuel)
	w.charge = snippet{
		append(get(nil, fuel), opI64Const),
		append(append(get(set([]byte{opI64Sub}, fuel), fuel), opI64Const, 0, opI64LtS), trap...),
	}
	w.take = snippet{
		append(get(nil, depth), opI32Const),
		append(append(get(set([]byte{opI32Sub}, depth), depth), opI32Const, 0, opI32LtS), trap...),
	}
	w.giveBack = append(set(append(get(nil, depth), opI32Const, 1, opI32Add), depth), opEnd)
}

// functions rewrites all bodies into w.code.
func (w *rewriter) functions() error {
	i := w.m.findSection(secCode)
	if i < 0 {
		return nil
	}
	w.snippets()
	sec := w.m.sections[i]
	r := &reader{b: w.m.b[:sec.end], p: sec.body, fn: -1}
	n := r.u32()
	s := &scanner{reader: r, m: w.m}
	w.code = appendU32(make([]byte, 0, (sec.end-sec.body)*5/4+256), n)
	var body []byte
	for k := 0; k < int(n) && r.err == nil; k++ {
		r.fn = len(w.m.importedFuncs) + k
		off := r.p
		size := r.u32()
		if r.err == nil && int64(size) > int64(w.o.MaxBodyBytes) {
			r.fail(ErrLimit, off, "body of %d bytes, at most %d", size, w.o.MaxBodyBytes)
		}
		t := w.m.types[w.m.funcs[k]]
		r.within(size, "body", func() { s.body(t) })
		if r.err == nil {
			body = w.body(body[:0], s, t)
			w.code = append(appendU32(w.code, uint32(len(body))), body...)
		}
	}
	r.fn = -1
	if r.err == nil && r.rest() > 0 {
		r.fail(ErrMalformed, r.p, "%d bytes too many in code section", r.rest())
	}
	if r.err != nil {
		return r.err
	}
	return nil
}

// body appends the new form of the body that s has read.
//
// A function that takes depth runs its old body in a block, so that every way out but a trap leads behind the block, where
// the depth is given back. Branches to the function label reach the block with their label unchanged, because the block
// stands exactly where the label was; return becomes such a branch.
func (w *rewriter) body(b []byte, s *scanner, t funcType) []byte {
	src := s.b
	if s.scratch {
		b = appendU32(b, uint32(s.groups+1))
		b = append(append(b, src[s.groupsAt:s.codeAt]...), 1, typeI32)
	} else {
		b = appendU32(b, uint32(s.groups))
		b = append(b, src[s.groupsAt:s.codeAt]...)
	}
	b = w.charge.append(b, s.points[0].cost())
	w.points++
	if s.calls {
		w.counted++
		b = w.take.append(b, 1)
		b = appendS64(append(b, opBlock), w.resultType(t))
	}
	from := s.codeAt
	for _, e := range s.edits {
		switch e.kind {
		case editPoint:
			if cost := s.points[e.arg].cost(); cost > 0 {
				b = w.charge.append(append(b, src[from:e.pos]...), cost)
				from = e.pos
				w.points++
			}
		case editReturn:
			if s.calls {
				b = appendU32(append(append(b, src[from:e.pos]...), opBr), uint32(e.arg))
				from = e.pos + 1
			}
		case editLength, editPages:
			b = w.chargeLength(append(b, src[from:e.pos]...), uint32(s.locals), e)
			from = e.pos
		}
	}
	b = append(b, src[from:s.p]...)
	if s.calls {
		b = append(b, w.giveBack...)
	}
	return b
}

// chargeLength charges 1 + the top of the stack, scaled, and leaves the stack as it was.
func (w *rewriter) chargeLength(b []byte, local uint32, e edit) []byte {
	b = appendU32(append(b, opLocalTee), local)
	b = appendU32(append(append(b, w.getFuel...), opLocalGet), local)
	op := byte(opI64ShrU)
	if e.kind == editPages {
		op = opI64Shl
	}
	b = append(b, opI64ExtendU, opI64Const, byte(e.arg), op, opI64Sub, opI64Const, 1)
	return append(b, w.charge.after...)
}

// resultType returns the block type with the results of t and no parameters, as the signed number the format wants. More than
// one result needs an entry in the type section: an old one if there is one, else a new one.
func (w *rewriter) resultType(t funcType) int64 {
	results := w.m.b[t.results : t.results+t.nresults]
	switch {
	case len(results) == 0:
		return typeNone - 0x80
	case len(results) == 1:
		return int64(results[0]) - 0x80
	case w.blockTypes == nil:
		w.blockTypes = make(map[string]int64)
		for i, o := range w.m.types {
			if o.nparams == 0 && o.nresults > 1 {
				if key := w.m.b[o.results : o.results+o.nresults]; w.blockTypes[string(key)] == 0 {
					w.blockTypes[string(key)] = int64(i) + 1
				}
			}
		}
	}
	if i := w.blockTypes[string(results)]; i > 0 {
		return i - 1
	}
	i := int64(len(w.m.types) + w.newTypeCount)
	w.blockTypes[string(results)] = i + 1
	w.newTypeCount++
	w.newTypes = append(appendU32(append(w.newTypes, 0x60, 0), uint32(len(results))), results...)
	return i
}
