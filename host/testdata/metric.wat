;; Denies with a Retry-After of as many seconds as api.requests_total says.
(module
  (import "gaia_v1" "metric_get" (func $metric_get (param i32 i32 i32) (result f64)))
  (memory (export "memory") 1)
  (data (i32.const 0) "requests_total")
  (func (export "gaia_abi_1") (result i32) (i32.const 0))
  (func (export "gaia_hooks") (result i32) (i32.const 1))
  (func (export "gaia_scratch") (param i32) (result i32) (i32.const 1024))
  (func (export "gaia_on") (param i32 i32) (result i64)
    (i64.or
      (i64.shl (i64.const 2) (i64.const 56))
      (i64.mul (i64.const 1000)
        (i64.trunc_f64_s (call $metric_get (i32.const 0) (i32.const 0) (i32.const 14)))))))
