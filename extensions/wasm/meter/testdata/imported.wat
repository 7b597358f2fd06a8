;; Imported globals, no global section, no export section and a start function.
(module
  (import "env" "base" (global $base i32))
  (import "env" "level" (global $level (mut i64)))
  (import "env" "mem" (memory 1 2))
  (import "host" "note" (func $note (param i64)))
  (data (global.get $base) "hello")
  (func $main (global.set $level (i64.add (global.get $level) (i64.const 5))) (call $note (global.get $level)))
  (start $main))
