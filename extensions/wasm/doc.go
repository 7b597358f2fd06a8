// Package wasm runs policies compiled to WebAssembly, in wazero.
//
// A module speaks gaia_v1 (package abi): it lends the host one scratch area, exports one function for all hooks and answers with
// a packed number. The host writes what a hook is about into the scratch area in place, so that reading a field costs the guest
// a load, and calls it. What a guest may call back is an allow-list: the words of package natives.
//
// Every module is rewritten when it is loaded (package meter), so that it counts fuel and call depth: a guest that loops or
// recurses without end is stopped after the same number of steps on every machine, and never holds up the garbage collector.
// Memory, host calls and log bytes are bounded too. A guest that trapped is thrown away and replaced beside the path.
//
// It is not a WASI host: of WASI there are stubs of the functions that Go's runtime and wasi-libc link, without files, network,
// environment or true randomness.
package wasm
