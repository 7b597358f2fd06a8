package meter

import "strings"

// stretch is the least number of instructions for which a then or else arm, or the code behind an end, gets a charge point of
// its own. Small functions and loops are charged once; in large ones, as those of Go guests where one loop holds the whole
// function, what is not run is not paid for.
const stretch = 64

// refFuncCost is what ref.func counts as beyond one instruction.
const refFuncCost = 63

// frame is an open block, loop or if, or the function itself.
type frame struct {
	kind  imm
	point int32 // the charge point in force where the frame starts
}

// point is a charge point: a place where the instructions of the code that it dominates are paid.
type point struct {
	count    int   // instructions
	parent   int32 // the point that pays if this one is left out, always an earlier one
	optional bool
}

// edit is a change at one place of a body, in order of position.
type edit struct {
	pos  int
	kind editKind
	arg  int32 // the point, the label depth or the shift
}

type editKind byte

const (
	editPoint  editKind = iota // insert the charge of a point
	editReturn                 // replace return by a branch to the label at depth arg
	editLength                 // charge 1 + top of stack >> arg
	editPages                  // charge 1 + top of stack << arg
)

// scanner reads function bodies one after the other. Its slices belong to the last body read.
type scanner struct {
	*reader
	m      *module
	frames []frame
	points []point
	edits  []edit
	cur    int32

	structures int // blocks, loops and ifs of this body
	labels     int // of all br_table of this body
	merges     int // locals times structures, of all bodies

	locals    int // parameters and declared locals of this body
	allLocals int // declared locals of all bodies
	groups    int // entries of the local declarations
	groupsAt  int // where they start, behind the count
	codeAt    int // where the instructions start
	calls     bool
	scratch   bool // a local is needed for lengths
}

// body reads the body that b ends with, from p on.
func (s *scanner) body(t funcType) {
	s.frames = append(s.frames[:0], frame{kind: immBlock})
	s.points = append(s.points[:0], point{})
	s.edits, s.cur, s.calls, s.scratch = s.edits[:0], 0, false, false
	s.structures, s.labels = 0, 0
	s.localDecls(t)
	s.codeAt = s.p
	for s.err == nil && len(s.frames) > 0 {
		s.instruction()
	}
	if s.merges += s.locals * s.structures; s.merges > maxAllMerges {
		s.fail(ErrLimit, s.p, "locals multiplied by blocks are more than %d in the functions together", maxAllMerges)
	}
	s.settlePoints()
}

func (s *scanner) localDecls(t funcType) {
	s.groups = s.count("local declarations", 2, maxLocals)
	s.groupsAt = s.p
	declared := 0
	for n := s.groups; n > 0 && s.err == nil; n-- {
		off := s.p
		k := s.u32()
		if int64(declared)+int64(k) > maxLocals {
			s.fail(ErrLimit, off, "more than %d locals", maxLocals)
			return
		}
		declared += int(k)
		valueType(s.reader)
	}
	if s.allLocals += declared; s.allLocals > maxAllLocals {
		s.fail(ErrLimit, s.groupsAt, "more than %d locals in the module", maxAllLocals)
	}
	s.points[0].count = declared
	s.locals = int(t.nparams) + declared
}

// settlePoints leaves out optional points with little behind them. A parent is always earlier, so one pass from the end does.
func (s *scanner) settlePoints() {
	for i := len(s.points) - 1; i > 0; i-- {
		if p := &s.points[i]; p.optional && p.count < stretch {
			s.points[p.parent].count += p.count
			p.count = -1
		}
	}
}

// cost is what a point charges, 0 for one that was left out.
func (p point) cost() int64 {
	if p.count < 0 {
		return 0
	}
	return max(1, int64(p.count+7)/8)
}

// open makes the position after the bytes read so far a charge point.
func (s *scanner) open(parent int32, optional bool) {
	s.cur = int32(len(s.points))
	s.points = append(s.points, point{parent: parent, optional: optional})
	s.edits = append(s.edits, edit{s.p, editPoint, s.cur})
}

func (s *scanner) push(kind imm) {
	if len(s.frames) >= maxNesting {
		s.fail(ErrLimit, s.p, "more than %d nested blocks", maxNesting)
		return
	}
	s.frames = append(s.frames, frame{kind, s.cur})
	if s.structures++; s.locals*s.structures > maxMerges {
		s.fail(ErrLimit, s.p, "a function of %d locals and more than %d blocks, multiplied at most %d", s.locals, s.structures-1, maxMerges)
	}
}

// instruction reads one instruction and counts it.
func (s *scanner) instruction() {
	off := s.p
	op := s.byte()
	kind := immediates[op]
	if kind <= immEnd && kind != immNone {
		s.structure(off, kind)
		return
	}
	s.points[s.cur].count++
	switch kind {
	case immNone:
	case immReturn:
		s.edits = append(s.edits, edit{off, editReturn, int32(len(s.frames) - 1)})
	case immLabel:
		s.index("label", len(s.frames))
	case immLabels:
		off, n := s.p, s.count("labels", 1, len(s.b))
		if s.labels += n; s.labels > maxLabels {
			s.fail(ErrLimit, off, "more than %d labels of br_table in a function", maxLabels)
		}
		for ; n >= 0 && s.err == nil; n-- {
			s.index("label", len(s.frames))
		}
	case immCall:
		s.calls = true
		s.u32()
	case immCallIndirect:
		s.calls = true
		s.m.typeIndex(s.reader)
		s.u32()
	case immLocal:
		s.index("local", s.locals)
	case immGlobal:
		s.index("global", s.m.globals)
	case immTable:
		s.u32()
	case immIndex: // ref.func, which the engine leaves its code for
		s.points[s.cur].count += refFuncCost
		s.u32()
	case immMemory:
		s.memarg()
	case immI32:
		s.skipSigned(32)
	case immI64:
		s.skipSigned(64)
	case immF32:
		s.take(4, "f32 constant")
	case immF64:
		s.take(8, "f64 constant")
	default:
		s.rare(off, op, kind)
	}
}

// structure reads the instructions that are not counted, and if.
func (s *scanner) structure(off int, kind imm) {
	switch kind {
	case immBlock:
		s.blockType()
		s.push(immBlock)
	case immLoop:
		s.blockType()
		s.push(immLoop)
		s.open(s.cur, false)
	case immIf:
		s.points[s.cur].count++
		s.blockType()
		s.push(immIf)
		s.open(s.cur, true)
	case immElse:
		f := &s.frames[len(s.frames)-1]
		if f.kind != immIf {
			s.fail(ErrMalformed, off, "else without if")
			return
		}
		f.kind = immElse
		s.open(f.point, true)
	case immEnd:
		f := s.frames[len(s.frames)-1]
		s.frames = s.frames[:len(s.frames)-1]
		if len(s.frames) > 0 {
			s.open(f.point, true)
		}
	}
}

func (s *scanner) rare(off int, op byte, kind imm) {
	switch kind {
	case immSelect:
		for n := s.count("types", 1, maxTypes); n > 0 && s.err == nil; n-- {
			valueType(s.reader)
		}
	case immMemorySize:
		s.memoryIndex()
	case immMemoryGrow:
		s.memoryIndex()
		s.length(off, editPages, 10)
	case immRefNull:
		refType(s.reader)
	case immMisc:
		s.misc(off)
	case immSIMD:
		s.simd(off)
	default:
		sub := int64(-1)
		if op == prefixGC || op == prefixAtomic {
			sub = int64(s.u32())
		}
		refuse(s.reader, off, op, sub)
	}
}

// length has 1 + the top of the stack, scaled, charged before the instruction at off.
func (s *scanner) length(off int, kind editKind, shift int32) {
	s.scratch = true
	s.edits = append(s.edits, edit{off, kind, shift})
}

func (s *scanner) misc(off int) {
	switch sub := s.u32(); sub {
	case 0, 1, 2, 3, 4, 5, 6, 7:
	case 8: // memory.init
		s.u32()
		s.memoryIndex()
		s.length(off, editLength, 6)
	case 10: // memory.copy
		s.memoryIndex()
		s.memoryIndex()
		s.length(off, editLength, 6)
	case 11: // memory.fill
		s.memoryIndex()
		s.length(off, editLength, 6)
	case 12, 14: // table.init, table.copy
		s.u32()
		s.u32()
		s.length(off, editLength, 3)
	case 15, 17: // table.grow, table.fill
		s.u32()
		s.length(off, editLength, 3)
	case 9, 13, 16: // data.drop, elem.drop, table.size
		s.u32()
	default:
		refuse(s.reader, off, prefixMisc, int64(sub))
	}
}

// simd reads a vector instruction. Its opcode is a LEB128 number, but wazero takes the byte behind the prefix for the whole
// opcode and the second byte of a larger one, 1, for a nop. Another encoding of the same number would let the engine see other
// instructions than are counted here, so only the shortest is accepted.
func (s *scanner) simd(off int) {
	at := s.p
	sub := s.u32()
	if s.err == nil && s.p-at != 1 && (sub < 0x80 || s.p-at != 2) {
		s.fail(ErrMalformed, off, "vector opcode %#x not in its shortest form", sub)
		return
	}
	switch {
	case sub <= 11 || sub == 92 || sub == 93: // loads and a store
		s.memarg()
	case sub == simdConst || sub == 13: // v128.const, i8x16.shuffle
		s.take(16, "v128 immediate")
	case sub >= 21 && sub <= 34: // lanes
		s.byte()
	case sub >= 84 && sub <= 91: // loads and stores of a lane
		s.memarg()
		s.byte()
	case sub > 0xff || strings.IndexByte(simdGaps, byte(sub)) >= 0:
		refuse(s.reader, off, prefixSIMD, int64(sub))
	}
}

// index reads an index under size. The additions of the rewriter begin at size: what was invalid must stay so.
func (s *scanner) index(what string, size int) {
	off := s.p
	if i := s.u32(); int64(i) >= int64(size) && s.err == nil {
		s.fail(ErrMalformed, off, "%s %d of %d", what, i, size)
	}
}

func (s *scanner) memarg() {
	off := s.p
	align := s.u32()
	switch {
	case align >= 0x40 && align < 0x80:
		s.fail(ErrUnsupported, off, "memory index in an access (multi-memory)")
	case align > 4:
		s.fail(ErrMalformed, off, "alignment 2^%d", align)
	}
	s.u32()
}

func (s *scanner) memoryIndex() {
	off := s.p
	if s.byte() != 0 {
		s.fail(ErrUnsupported, off, "memory index other than 0 (multi-memory)")
	}
}

func (s *scanner) blockType() {
	if s.p >= len(s.b) {
		s.byte()
		return
	}
	off := s.p
	t := s.b[s.p]
	if t == typeNone || isValueType(t) {
		s.p++
		return
	}
	if t >= 0x40 && t < 0x80 { // a negative number: a type of one byte
		valueType(s.reader)
		return
	}
	if i := s.signed(33); s.err == nil && (i < 0 || i >= int64(len(s.m.types))) {
		s.fail(ErrMalformed, off, "block type %d of %d", i, len(s.m.types))
	}
}
