package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"unsafe"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/state"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
	"github.com/gaia-host/gaia/extensions/wasm/meter"
)

// hostFunc is a function that guests import. Parameters and the result are in s, as wazero encodes them.
type hostFunc func(g *guest, s []uint64)

// Errors of host calls that natives have no word for.
var (
	errID      = errors.New("no such identifier was opened")
	errRange   = errors.New("a value is out of range")
	errLoading = errors.New("limiters are used in hooks, not while loading")
)

// freeBytes is how much of a text or buffer costs no fuel of its own.
const freeBytes = 64

// hostFuncs returns every function of abi.Funcs by name.
func hostFuncs() map[string]hostFunc {
	fs := map[string]hostFunc{}
	addLimiterFuncs(fs)
	addMetricFuncs(fs)
	addStateFuncs(fs)
	addTextFuncs(fs)
	return fs
}

// bind defines the functions that a module imports, and only those.
func bind(ctx context.Context, r wazero.Runtime, imports []meter.Import) error {
	for _, module := range []struct {
		name string
		defs map[string]hostDef
	}{{abi.Module, gaiaDefs()}, {wasiModule, wasiDefs()}} {
		b := r.NewHostModuleBuilder(module.name)
		bound := map[string]bool{}
		for _, imp := range imports {
			if imp.Module != module.name || bound[imp.Name] {
				continue
			}
			def := module.defs[imp.Name]
			b.NewFunctionBuilder().WithGoFunction(counted(def.fn), def.params, def.results).Export(imp.Name)
			bound[imp.Name] = true
		}
		if len(bound) == 0 {
			continue
		}
		if _, err := b.Instantiate(ctx); err != nil {
			return err
		}
	}
	return nil
}

// hostDef is a host function with its type.
type hostDef struct {
	fn              hostFunc
	params, results []api.ValueType
	signature       string
}

func gaiaDefs() map[string]hostDef {
	defs, fs := map[string]hostDef{}, hostFuncs()
	for _, f := range abi.Funcs() {
		def := hostDef{fn: fs[f.Name], params: valueTypes(f.WasmParams()...), signature: f.Signature()}
		if f.Result != "" {
			def.results = valueTypes(f.Result)
		}
		defs[f.Name] = def
	}
	return defs
}

func valueTypes(names ...string) []api.ValueType {
	types := make([]api.ValueType, 0, len(names))
	for _, n := range names {
		switch n {
		case "i32":
			types = append(types, api.ValueTypeI32)
		case "i64":
			types = append(types, api.ValueTypeI64)
		case "f64":
			types = append(types, api.ValueTypeF64)
		}
	}
	return types
}

// counted finds the guest and bounds how often it calls.
func counted(fn hostFunc) api.GoFunc {
	return func(ctx context.Context, s []uint64) {
		g := ctx.(*guest)
		if g.fuel == nil {
			g.trap(policy.FaultTrap, "the start function may not call the host: do it in _initialize")
		}
		if g.calls--; g.calls < 0 {
			g.trap(policy.FaultBudget, "host calls: more than %d in one hook", maxHostCalls)
		}
		fn(g, s)
	}
}

// bytes returns a view of the guest's memory, valid during the host call; a pointer or length outside of it traps.
func (g *guest) bytes(ptr, n uint64) []byte {
	if n := uint64(uint32(n)); n > freeBytes {
		g.charge(n / 8)
	}
	b, ok := g.memory.Read(uint32(ptr), uint32(n))
	if !ok {
		g.trap(policy.FaultTrap, "pointer %#x with length %d is outside of the memory of %d bytes", uint32(ptr), uint32(n), g.memory.Size())
	}
	return b
}

// str is bytes as a text: a view too, to be copied by whoever keeps it.
func (g *guest) str(ptr, n uint64) string {
	b := g.bytes(ptr, n)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// give copies a text into the guest's buffer and returns its full length.
func (g *guest) give(text string, buf, capacity uint64) uint64 {
	copy(g.bytes(buf, min(uint64(uint32(capacity)), uint64(len(text)))), text)
	return uint64(uint32(min(len(text), math.MaxInt32)))
}

// i32 encodes a number as the result of a function.
func i32(v int32) uint64 { return uint64(uint32(v)) }

func i32Bool(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// refuse remembers what a host call failed for and returns the number the guest sees. A declaration that fails while the guest
// loads makes the load fail, whatever the guest does about it.
func (g *guest) refuse(err error) int32 {
	g.lastErr = err
	if !g.call.Running() && g.loadErr == nil {
		g.loadErr = err
	}
	switch {
	case errors.Is(err, natives.ErrLoading), errors.Is(err, natives.ErrHook), errors.Is(err, errLoading):
		return abi.ErrorIsPhase
	case errors.Is(err, natives.ErrGrant):
		return abi.ErrorIsGrant
	case errors.Is(err, natives.ErrNoKey), errors.Is(err, natives.ErrNoResponse):
		return abi.ErrorIsContext
	case errors.Is(err, state.ErrFull), errors.Is(err, state.ErrTooLarge), errors.Is(err, metrics.ErrTooManyNames):
		return abi.ErrorIsFull
	case errors.Is(err, state.ErrKind):
		return abi.ErrorIsKind
	}
	return abi.ErrorIsArgument
}

// putI64 writes a field of a structure in the guest's memory.
func putI64(b []byte, at int, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }
