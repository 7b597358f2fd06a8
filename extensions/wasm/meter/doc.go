// Package meter rewrites a WebAssembly module so that it counts what it spends, and reads the facts of a module without
// compiling it. It is not a compiler, a validator or a host: the rewritten module still has to pass the engine's validation.
//
// # What a rewritten module does
//
// Two mutable globals are added and exported: gaia_fuel (i64) and gaia_depth (i32). The host sets both before a call. The
// module lowers them as it runs and executes unreachable as soon as one is below zero, so after a trap the negative global
// names the cause. The instance must then be discarded: gaia_depth and the guest's own stack pointer were not restored.
// Equal module, input and budget give equal numbers on every machine.
//
// # Fuel
//
// One unit is eight instructions; block, loop, else, end and nop are no instructions, a declared local is one, and ref.func, for
// which the engine leaves its code, is 64. Charge points
// are
//
//   - the entry of a function, for the declared locals and all instructions outside loops,
//   - every loop header, for all instructions of the loop outside inner loops, paid again in each round, and
//   - the start of a then or else arm and the place after an end, where the stretch that follows has at least 64
//     instructions; it is then taken off the point before, so that long code which is not run is not paid for.
//
// A point costs its instructions divided by eight, rounded up, at least 1, and is paid before they run. Each instruction
// belongs to a point that dominates it and lies in the same loop, therefore nothing runs unpaid; arms that are not taken may
// be paid for. Operations that work by length pay in addition, at run time and in advance:
//
//   - memory.fill, memory.copy, memory.init: 1 + bytes/64
//   - table.fill, table.copy, table.init, table.grow: 1 + entries/8
//   - memory.grow: 1 + 1024 for each page asked for, also when the growth then fails
//
// # Depth
//
// A function that calls (call or call_indirect, imports included) takes 1 from gaia_depth at entry and gives it back at every
// way out. Functions that call nothing are not counted. Frames hold what their instructions and locals put there, so fuel
// bounds the bytes of the call stack and depth bounds the number of frames.
//
// # What is accepted
//
// WebAssembly core 2.0: the MVP, sign extension, saturating conversions, multiple values, bulk memory, reference types and
// fixed-width SIMD. Threads, exceptions, tail calls, typed references, GC, memory64, several memories, relaxed SIMD and
// extended constant expressions are refused by name. Function, type, global and local indices of the original keep their
// meaning, and an index that only the additions would make valid is refused. Custom sections that hold code offsets
// (".debug_*", "sourceMappingURL", "external_debug_info", "metadata.code.*", "reloc.*") are dropped because those offsets
// would be wrong; a malformed name section is dropped too; the others are kept. A defined table gets a maximum, because no
// engine setting bounds tables.
package meter
