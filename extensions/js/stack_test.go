package js

import (
	"reflect"
	"unsafe"

	"github.com/dop251/goja"
)

// stackOf reads the stack pointer of goja's machine, which no API shows. It must be 0
// between hooks: what is left there grows with every fault.
func stackOf(rt *goja.Runtime) int {
	machine := reflect.ValueOf(rt).Elem().FieldByName("vm")
	machine = reflect.NewAt(machine.Type(), unsafe.Pointer(machine.UnsafeAddr())).Elem()
	sp := machine.Elem().FieldByName("sp")
	return int(reflect.NewAt(sp.Type(), unsafe.Pointer(sp.UnsafeAddr())).Elem().Int())
}
