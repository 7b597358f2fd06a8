// Command goguest is a policy in Go: two requests at once, then 10 a second. It is built by the acceptance tests.
package main

import "unsafe"

//go:wasmimport gaia_v1 limiter_open
func limiterOpen(kind uint32, name unsafe.Pointer, nameLen uint32, params unsafe.Pointer, paramsLen uint32) int32

//go:wasmimport gaia_v1 limiter_admit
func limiterAdmit(id int32, key unsafe.Pointer, keyLen int32, cost, maxWait int64) int64

var area [16384 + 16]byte
var limiter int32

//go:wasmexport gaia_abi_1
func abi() int32 { return 0 }

//go:wasmexport gaia_scratch
func scratch(size int32) unsafe.Pointer {
	p := uintptr(unsafe.Pointer(&area[0]))
	return unsafe.Pointer((p + 15) &^ 15)
}

//go:wasmexport gaia_configure
func configure(n int32) int32 {
	name, params := []byte("go"), []byte(`{"rate":10,"burst":2}`)
	limiter = limiterOpen(1, unsafe.Pointer(&name[0]), uint32(len(name)), unsafe.Pointer(&params[0]), uint32(len(params)))
	return 0
}

//go:wasmexport gaia_hooks
func hooks() int32 { return 1 }

//go:wasmexport gaia_on
func on(hook, n int32) int64 {
	if hook == 0 {
		return limiterAdmit(limiter, nil, -1, -1, -1)
	}
	return 0
}

func main() {}
