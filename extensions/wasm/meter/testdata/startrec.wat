(module (func $r (call $r)) (start $r))
