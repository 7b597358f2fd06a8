package wasm

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
	"github.com/gaia-host/gaia/extensions/wasm/meter"
)

// refusal is why a module is not taken, and how to mend it.
type refusal struct {
	message, hint string
	err           error
}

func (r *refusal) Error() string {
	if r.message == "" {
		return r.err.Error()
	}
	if r.err == nil {
		return r.message
	}
	return r.message + ": " + r.err.Error()
}

func (r *refusal) Unwrap() error { return r.err }

func refuse(hint, format string, args ...any) error {
	return &refusal{message: fmt.Sprintf(format, args...), hint: hint}
}

// hookSet is every hook there is.
const hookSet = policy.Hooks(1<<policy.HookRequest | 1<<policy.HookRoute | 1<<policy.HookResponse | 1<<policy.HookDone | 1<<policy.HookTick)

// checkInterface says what a module imports that it may not, or lacks.
func checkInterface(m *meter.Info) error {
	if err := checkImports(m.Imports); err != nil {
		return err
	}
	return checkExports(m)
}

func checkImports(imports []meter.Import) error {
	allowed := map[string]map[string]hostDef{abi.Module: gaiaDefs(), wasiModule: wasiDefs()}
	for _, imp := range imports {
		name := imp.Module + "." + imp.Name
		defs, known := allowed[imp.Module]
		def, ok := defs[imp.Name]
		switch {
		case known && imp.Kind != "func":
			return refuse("policies import functions only; their memory is their own", "imports the %s %q", imp.Kind, name)
		case known && ok && imp.Signature == def.signature:
		case known && ok:
			return refuse("build it against the current kit", "imports %q as %s, it is %s", name, imp.Signature, def.signature)
		case imp.Module == abi.Module:
			return refuse("gaia_v1 gives "+strings.Join(sortedNames(defs), ", "), "imports %q, which does not exist", name)
		case imp.Module == wasiModule:
			return refuse("policies have no files, network or processes; of WASI there is only what language runtimes need", "imports %q, which is not given to policies", name)
		case strings.HasPrefix(imp.Module, "gaia_v"):
			return refuse("this gaia speaks "+abi.Module, "imports %q: another version of the interface", name)
		default:
			return refuse("policies import from "+abi.Module+" only", "imports %q, which is not given to policies", name)
		}
	}
	return nil
}

func sortedNames(defs map[string]hostDef) []string {
	names := make([]string, 0, len(defs))
	for n := range defs {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

func checkExports(m *meter.Info) error {
	exports := map[string]meter.Export{}
	for _, e := range m.Exports {
		exports[e.Name] = e
	}
	if e := exports["memory"]; e.Kind != "memory" {
		return refuse("linkers do so unless told otherwise", `does not export its memory as "memory"`)
	}
	for _, want := range abi.Exports() {
		have, ok := exports[want.Name]
		switch {
		case !ok && !want.Required:
		case !ok && want.Name == "gaia_abi_1":
			return refuse("is it a policy at all? The kits export what is needed: gaia policy new", "does not export the function %q of interface %s", want.Name, abi.Module)
		case !ok:
			return refuse("the kits export what is needed: gaia policy new", "does not export the function %q", want.Name)
		case have.Kind != "func":
			return refuse("", "exports %q as a %s, want a function %s", want.Name, have.Kind, want.Signature())
		case have.Signature != want.Signature():
			return refuse("", "exports %q as %s, want %s", want.Name, have.Signature, want.Signature())
		}
	}
	return nil
}

// checkHooks judges the result of gaia_hooks.
func checkHooks(n int32) error {
	switch {
	case n == 0:
		return refuse("a policy answers at least one of "+strings.Join(hookSet.Names(), ", "), "has no hook: gaia_hooks returns 0")
	case n&^int32(hookSet) != 0:
		return refuse("", "gaia_hooks returns %#x; this gaia knows the bits %#x", uint32(n), int32(hookSet))
	}
	return nil
}

// loadError completes an error for the user.
func loadError(src Source, name string, err error) *policy.LoadError {
	var le *policy.LoadError
	if errors.As(err, &le) {
		return le
	}
	le = &policy.LoadError{Policy: name, File: src.Path, Message: err.Error(), Err: err}
	var r *refusal
	var m *meter.Error
	switch {
	case errors.As(err, &r):
		le.Hint = r.hint
	case errors.As(err, &m):
		le.Message = strings.TrimPrefix(m.Error(), "meter: ")
		le.Hint = meterHint(m)
	}
	return le
}

func meterHint(m *meter.Error) string {
	switch {
	case errors.Is(m, meter.ErrMalformed):
		return "is the file complete, and a core WebAssembly module?"
	case errors.Is(m, meter.ErrUnsupported):
		return "build for WebAssembly 2.0, without threads, exceptions, tail calls and garbage collection"
	case errors.Is(m, meter.ErrLimit):
		return "make the module smaller: optimise for size, drop what is unused"
	}
	return ""
}
