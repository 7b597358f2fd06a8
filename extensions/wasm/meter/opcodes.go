package meter

import "fmt"

// Opcodes that are looked at or written.
const (
	opUnreachable = 0x00
	opBlock       = 0x02
	opIf          = 0x04
	opEnd         = 0x0b
	opBr          = 0x0c
	opReturn      = 0x0f
	opLocalGet    = 0x20
	opLocalTee    = 0x22
	opGlobalGet   = 0x23
	opGlobalSet   = 0x24
	opI32Const    = 0x41
	opI64Const    = 0x42
	opF32Const    = 0x43
	opF64Const    = 0x44
	opI32LtS      = 0x48
	opI64LtS      = 0x53
	opI32Add      = 0x6a
	opI32Sub      = 0x6b
	opI64Sub      = 0x7d
	opI64Shl      = 0x86
	opI64ShrU     = 0x88
	opI64ExtendU  = 0xad
	opRefNull     = 0xd0
	opRefFunc     = 0xd2
	prefixMisc    = 0xfc
	prefixSIMD    = 0xfd
	prefixAtomic  = 0xfe
	prefixGC      = 0xfb

	simdConst = 12
)

// imm is what follows an opcode, and what it means for metering.
type imm byte

const (
	immNone imm = iota
	immFree     // nothing follows, and it is not counted
	immBlock
	immLoop
	immIf
	immElse
	immEnd
	immReturn
	immLabel
	immLabels
	immCall
	immCallIndirect
	immSelect
	immLocal
	immGlobal
	immTable
	immMemory // alignment and offset
	immMemorySize
	immMemoryGrow
	immI32
	immI64
	immF32
	immF64
	immRefNull
	immIndex
	immMisc
	immSIMD
	immUnknown
)

// immediates is the table of one-byte opcodes; it is never written.
var immediates = newImmediates()

func newImmediates() (t [256]imm) {
	for op := range t {
		switch {
		case op >= 0x28 && op <= 0x3e:
			t[op] = immMemory
		case op >= 0x45 && op <= 0xc4:
			t[op] = immNone
		default:
			t[op] = immUnknown
		}
	}
	for op, k := range map[int]imm{
		0x00: immNone, 0x01: immFree, 0x02: immBlock, 0x03: immLoop, 0x04: immIf, 0x05: immElse, 0x0b: immEnd,
		0x0c: immLabel, 0x0d: immLabel, 0x0e: immLabels, 0x0f: immReturn, 0x10: immCall, 0x11: immCallIndirect,
		0x1a: immNone, 0x1b: immNone, 0x1c: immSelect, 0x20: immLocal, 0x21: immLocal, 0x22: immLocal, 0x23: immGlobal,
		0x24: immGlobal, 0x25: immTable, 0x26: immTable, 0x3f: immMemorySize, 0x40: immMemoryGrow, 0x41: immI32,
		0x42: immI64, 0x43: immF32, 0x44: immF64, 0xd0: immRefNull, 0xd1: immNone, 0xd2: immIndex, 0xfc: immMisc, 0xfd: immSIMD,
	} {
		t[op] = k
	}
	return t
}

// simdGaps are the vector opcodes under 0x100 that mean nothing.
const simdGaps = "\x9a\xa2\xa5\xa6\xaf\xb0\xb2\xb3\xb4\xbb\xc2\xc5\xc6\xcf\xd0\xd2\xd3\xd4\xe2\xee"

// refused names the one-byte opcodes of later proposals.
var refused = map[byte]string{
	0x06: "try", 0x07: "catch", 0x08: "throw", 0x09: "rethrow", 0x0a: "throw_ref", 0x18: "delegate", 0x19: "catch_all",
	0x1f: "try_table", 0x12: "return_call", 0x13: "return_call_indirect", 0x14: "call_ref", 0x15: "return_call_ref",
	0xd3: "ref.eq", 0xd4: "ref.as_non_null", 0xd5: "br_on_null", 0xd6: "br_on_non_null",
}

var refusedMisc = map[uint32]string{18: "memory.discard", 19: "i64.add128", 20: "i64.sub128", 21: "i64.mul_wide_s", 22: "i64.mul_wide_u"}

var gcNames = [...]string{"struct.new", "struct.new_default", "struct.get", "struct.get_s", "struct.get_u", "struct.set",
	"array.new", "array.new_default", "array.new_fixed", "array.new_data", "array.new_elem", "array.get", "array.get_s",
	"array.get_u", "array.set", "array.len", "array.fill", "array.copy", "array.init_data", "array.init_elem", "ref.test",
	"ref.test null", "ref.cast", "ref.cast null", "br_on_cast", "br_on_cast_fail", "any.convert_extern",
	"extern.convert_any", "ref.i31", "i31.get_s", "i31.get_u"}

// relaxedNames are the vector opcodes from 0x100 on.
var relaxedNames = [...]string{"i8x16.relaxed_swizzle", "i32x4.relaxed_trunc_f32x4_s", "i32x4.relaxed_trunc_f32x4_u",
	"i32x4.relaxed_trunc_f64x2_s_zero", "i32x4.relaxed_trunc_f64x2_u_zero", "f32x4.relaxed_madd", "f32x4.relaxed_nmadd",
	"f64x2.relaxed_madd", "f64x2.relaxed_nmadd", "i8x16.relaxed_laneselect", "i16x8.relaxed_laneselect",
	"i32x4.relaxed_laneselect", "i64x2.relaxed_laneselect", "f32x4.relaxed_min", "f32x4.relaxed_max", "f64x2.relaxed_min",
	"f64x2.relaxed_max", "i16x8.relaxed_q15mulr_s", "i16x8.relaxed_dot_i8x16_i7x16_s", "i32x4.relaxed_dot_i8x16_i7x16_add_s"}

// atomicNames are the atomic opcodes from 0 to 3. From 0x10 on they come in groups of seven, one for each type and width.
var (
	atomicNames  = [...]string{"memory.atomic.notify", "memory.atomic.wait32", "memory.atomic.wait64", "atomic.fence"}
	atomicTypes  = [...]string{"i32", "i64", "i32", "i32", "i64", "i64", "i64"}
	atomicWidths = [...]string{"", "", "8", "16", "8", "16", "32"}
	atomicRMW    = [...]string{"add", "sub", "and", "or", "xor", "xchg", "cmpxchg"}
)

// atomicName returns the name of an atomic opcode from 0x10 to 0x4e.
func atomicName(sub uint32) string {
	group, k := (sub-0x10)/7, (sub-0x10)%7
	sign := ""
	if atomicWidths[k] != "" && group != 1 {
		sign = "_u"
	}
	switch group {
	case 0:
		return atomicTypes[k] + ".atomic.load" + atomicWidths[k] + sign
	case 1:
		return atomicTypes[k] + ".atomic.store" + atomicWidths[k]
	}
	return atomicTypes[k] + ".atomic.rmw" + atomicWidths[k] + "." + atomicRMW[group-2] + sign
}

// refusedName returns the name of an opcode behind a prefix that core 2.0 does not have, and "" if no proposal has it either.
func refusedName(prefix byte, sub uint32) string {
	switch {
	case prefix == prefixMisc:
		return refusedMisc[sub]
	case prefix == prefixGC && sub < uint32(len(gcNames)):
		return gcNames[sub]
	case prefix == prefixSIMD && sub >= 0x100 && sub-0x100 < uint32(len(relaxedNames)):
		return relaxedNames[sub-0x100]
	case prefix == prefixAtomic && sub < uint32(len(atomicNames)):
		return atomicNames[sub]
	case prefix == prefixAtomic && sub >= 0x10 && sub <= 0x4e:
		return atomicName(sub)
	}
	return ""
}

// refuse fails with the name of an opcode that is not accepted. The opcode starts at off; sub is -1 without a prefix.
func refuse(r *reader, off int, op byte, sub int64) {
	name, code := refused[op], fmt.Sprintf("%#02x", op)
	if sub >= 0 {
		name, code = refusedName(op, uint32(sub)), fmt.Sprintf("%#02x %#02x", op, sub)
	}
	if name == "" {
		r.fail(ErrUnsupported, off, "unknown opcode (%s)", code)
		return
	}
	r.fail(ErrUnsupported, off, "%s (%s)", name, code)
}
