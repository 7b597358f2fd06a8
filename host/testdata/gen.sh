#!/bin/sh
# Builds the modules that fail in every way a guest can, one function body each.
# Needs wat2wasm of wabt. Run it in this folder; the .wasm files are kept in the tree.
set -eu
build() { # NAME BODY [FIELDS]
  cat > "$1.wat" <<WAT
(module
  ${3:-}
  (memory (export "memory") 1)
  (func (export "gaia_abi_1") (result i32) (i32.const 0))
  (func (export "gaia_hooks") (result i32) (i32.const 1))
  (func (export "gaia_scratch") (param i32) (result i32) (i32.const 1024))
  (func \$on (export "gaia_on") (param i32 i32) (result i64)
    $2))
WAT
  wat2wasm "$1.wat" -o "fault-$1.wasm"
  rm "$1.wat"
}
build loop     '(loop (br 0)) (i64.const 0)'
build trap     '(unreachable)'
build recurse  '(call $on (local.get 0) (local.get 1))'
build grow     '(loop (drop (memory.grow (i32.const 16))) (br 0)) (i64.const 0)'
build fill     '(loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 65536)) (br 0)) (i64.const 0)'
build garbage  '(i64.const -1)'
build outside  '(i64.load (i32.const 70000))'
build flood    '(loop (call $log (i32.const 2) (i32.const 0) (i32.const 60000)) (br 0)) (i64.const 0)' '(import "gaia_v1" "log" (func $log (param i32 i32 i32)))'
wat2wasm metric.wat -o metric.wasm
