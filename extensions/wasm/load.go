package wasm

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

// load compiles the module and makes the instances. After an error nothing is left open.
func (p *Policy) load(ctx context.Context, e *Engine, code []byte, info *Info) (err error) {
	defer func() {
		if err != nil {
			p.shut()
		}
	}()
	if err := e.compile(ctx, p, code); err != nil {
		return err
	}
	if err := bind(ctx, p.runtime, info.Imports); err != nil {
		return fmt.Errorf("bind the imports: %w", err)
	}
	for i := range p.slots {
		g, err := p.newGuest()
		if err != nil {
			return err
		}
		p.slots[i].guest = g
		if i == 0 {
			p.declared.complete = true
			p.recycleAt = recycleAt(uint64(g.memory.Size()), p.pages)
		}
	}
	return nil
}

// recycleAt is the size of memory, in bytes, at which an instance is replaced: half way from what it has when loaded to the limit.
func recycleAt(loaded uint64, pages uint32) uint64 {
	limit := uint64(pages) << 16
	return max(limit/2, loaded+(limit-min(limit, loaded))/2)
}

// newGuest makes an instance and loads it.
func (p *Policy) newGuest() (*guest, error) {
	g := &guest{policy: p, call: p.scope.NewCall(), handles: make([]admitted, 0, 4), trapKind: policy.FaultTrap}
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	m, err := p.runtime.InstantiateModule(g, p.compiled, config)
	if err != nil {
		message, _ := splitTrace(err)
		if g.trapped != nil {
			message = g.trapped.Error()
		}
		return nil, refuse(fmt.Sprintf("its start function has %d units of fuel; do more in _initialize or gaia_configure", loadFuel),
			"instantiate: %s", message)
	}
	g.module, g.memory, g.on = m, m.Memory(), m.ExportedFunction("gaia_on")
	g.fuel, _ = m.ExportedGlobal(p.fuelName).(api.MutableGlobal)
	g.depth, _ = m.ExportedGlobal(p.depthName).(api.MutableGlobal)
	if g.fuel == nil || g.depth == nil {
		g.close()
		return nil, errors.New("the metered module has no fuel")
	}
	if err := g.load(); err != nil {
		g.close()
		return nil, err
	}
	g.call.Loaded()
	return g, nil
}

// load runs what a module runs before its first hook.
func (g *guest) load() error {
	g.depth.Set(maxDepth)
	if _, err := g.loading("_initialize"); err != nil {
		return err
	}
	minor, err := g.loading("gaia_abi_1")
	if err != nil {
		return err
	}
	if minor < 0 || minor > abi.Minor {
		return refuse("use a newer gaia", "needs version 1.%d of the interface, this gaia speaks 1.%d", minor, abi.Minor)
	}
	ptr, err := g.loading("gaia_scratch", abi.ScratchSize)
	if err != nil {
		return err
	}
	if err := g.lend(uint32(ptr)); err != nil {
		return err
	}
	if err := g.configure(); err != nil {
		return err
	}
	hooks, err := g.loading("gaia_hooks")
	if err != nil {
		return err
	}
	if err := checkHooks(hooks); err != nil {
		return err
	}
	switch {
	case g.policy.hooks == 0: // the first instance, before anybody sees the policy
		g.policy.hooks = policy.Hooks(hooks)
	case g.policy.hooks != policy.Hooks(hooks):
		return refuse("gaia_hooks must always return the same", "one instance has other hooks than the first")
	}
	return nil
}

// lend takes over the scratch area.
func (g *guest) lend(ptr uint32) error {
	switch {
	case ptr == 0:
		return refuse("", "gaia_scratch refused %d bytes", abi.ScratchSize)
	case ptr%16 != 0:
		return refuse("align it: __attribute__((aligned(16)))", "gaia_scratch returned %#x, which is not aligned to 16", ptr)
	case uint64(ptr)+abi.ScratchSize > uint64(g.memory.Size()):
		return refuse("", "gaia_scratch returned %#x: %d bytes from there are outside of the memory of %d bytes", ptr, abi.ScratchSize, g.memory.Size())
	}
	g.scratch = ptr
	return nil
}

// configure hands over the operator's parameters.
func (g *guest) configure() error {
	config := g.policy.config
	if g.policy.probe || g.module.ExportedFunction("gaia_configure") == nil {
		return nil
	}
	if len(config) > abi.FrameArea {
		return refuse("pass less", "params have %d bytes as JSON, a module takes %d", len(config), abi.FrameArea)
	}
	copy(g.view()[:], config)
	code, err := g.loading("gaia_configure", uint64(len(config)))
	if err != nil || code == 0 {
		return err
	}
	f := g.view()
	n := min(binary.LittleEndian.Uint32(f[abi.AnswerAt:]), policy.MaxReason)
	message := strings.ToValidUTF8(string(f[abi.AnswerAt+4:abi.AnswerAt+4+n]), "\uFFFD")
	if message == "" {
		message = fmt.Sprintf("the error %d", code)
	}
	return refuse("see what parameters the policy takes", "gaia_configure: %s", message)
}

// loading calls an exported function that returns an i32 or nothing; a missing one returns 0. A declaration that failed during
// the call is an error of the call.
func (g *guest) loading(name string, params ...uint64) (int32, error) {
	fn := g.module.ExportedFunction(name)
	if fn == nil {
		return 0, nil
	}
	g.refill(loadFuel, maxLoadHostCalls)
	result, err := fn.Call(g, params...)
	switch {
	case err != nil:
		message, _ := splitTrace(err)
		kind, cause := g.cause(err, message)
		hint := ""
		if kind == policy.FaultBudget {
			hint = fmt.Sprintf("loading has %d units of fuel and %d nested calls", loadFuel, maxDepth)
		}
		return 0, refuse(hint, "%s: %s: %v", name, kind, cause)
	case g.loadErr != nil:
		return 0, fmt.Errorf("%s: %w", name, g.loadErr)
	case len(result) == 0:
		return 0, nil
	}
	return int32(result[0]), nil
}

// readParams encodes the operator's parameters for guests.
func (p *Policy) readParams() error {
	params := p.scope.Params()
	p.params = make(map[string]string, len(params))
	for name, v := range params {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("params.%s: %w", name, err)
		}
		p.params[name] = string(b)
	}
	if params == nil {
		params = map[string]any{}
	}
	var err error
	if p.config, err = json.Marshal(params); err != nil {
		return fmt.Errorf("params: %w", err)
	}
	if p.probe {
		return nil
	}
	return p.manifest.params.check(p.config)
}
