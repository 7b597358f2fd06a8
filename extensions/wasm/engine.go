package wasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/meter"
)

// Defaults of a Config.
const (
	DefaultFuel        = 100_000
	DefaultMemoryPages = 256 // of 64 KiB
	DefaultBudget      = 5 * time.Millisecond
)

// MaxFuel bounds Config.Fuel. A unit takes 1 to 25 ns, by the instructions; the garbage collector waits for a guest that
// computes, and so does the whole program with it: for 50 ms at most.
const MaxFuel = 2_000_000

const (
	loadFuel     = MaxFuel // of each function called while loading; Go starts with 1.2 million
	maxPages     = 1 << 16
	maxInstances = 1024
	maxModule    = 32 << 20 // bytes
)

// EngineConfig describes an Engine. The zero value compiles in memory only and logs nothing.
type EngineConfig struct {
	// CacheDir keeps machine code between runs. It is made with mode 0700; "" keeps none.
	CacheDir string
	Log      *slog.Logger // nil: discarded
}

// Engine is what all Wasm policies of a process share: the cache of compiled code. It is safe for concurrent use.
type Engine struct {
	shared wazero.CompilationCache
	disk   *diskCache // nil: memory only
	log    *slog.Logger
}

// NewEngine returns an engine. It fails where the cache directory cannot be made ours alone.
func NewEngine(c EngineConfig) (*Engine, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.CacheDir == "" {
		return &Engine{shared: wazero.NewCompilationCache(), log: c.Log}, nil
	}
	disk, err := openCache(c.CacheDir, c.Log)
	if err != nil {
		return nil, err
	}
	disk.sweep()
	shared, err := wazero.NewCompilationCacheWithDir(disk.dir)
	if err != nil {
		return nil, fmt.Errorf("open the compile cache: %w", err)
	}
	return &Engine{shared: shared, disk: disk, log: c.Log}, nil
}

// Close frees the compiled code. Every policy must be closed before.
func (e *Engine) Close() error { return e.shared.Close(context.Background()) }

// Source is a module and where it came from.
type Source struct {
	Name string // of the policy; "" is the manifest's, else the file's base name
	Path string // for messages and Files; read where Code is nil
	Code []byte // is not kept or changed
}

// Config describes one policy. The zero value is usable.
type Config struct {
	Scope       *natives.Scope // its names and grants; nil: a host of its own that nobody else sees
	Override    policy.Options // the operator's, over the manifest's
	Instances   int            // for isolation pool and key; 0 is 2 x GOMAXPROCS
	Fuel        int64          // of one hook; 0 is DefaultFuel. The garbage collector waits for a hook that computes
	MemoryPages uint32         // of one instance; 0 is DefaultMemoryPages
	Log         *slog.Logger   // nil: the engine's
	// Probe loads without parameters: gaia_configure is not called and the manifest's schema not asked. It is for looking at a
	// module's hooks; a policy that was loaded so must not be asked.
	Probe bool
}

// Open loads a module: checks it, meters it, compiles it and makes its instances. Every error is a *policy.LoadError. The
// caller closes the policy.
func (e *Engine) Open(ctx context.Context, src Source, c Config) (*Policy, error) {
	name := policyName(src, "")
	if err := ctx.Err(); err != nil {
		return nil, loadError(src, name, err)
	}
	code, err := src.read()
	if err != nil {
		return nil, loadError(src, name, err)
	}
	info, err := Inspect(code)
	if err == nil {
		err = info.Problem
	}
	if err != nil {
		return nil, loadError(src, name, err)
	}
	name = policyName(src, info.Manifest.Name)
	p, err := e.newPolicy(src, name, &info, c)
	if err == nil {
		err = p.load(ctx, e, code, &info)
	}
	if err != nil {
		return nil, loadError(src, name, err)
	}
	return p, nil
}

func (s Source) read() ([]byte, error) {
	if s.Code != nil {
		return s.Code, nil
	}
	st, err := os.Stat(s.Path)
	switch {
	case err != nil:
		return nil, unwrapPath(err)
	case !st.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	case st.Size() > maxModule:
		return nil, refuse("", "has %d bytes, at most %d", st.Size(), maxModule)
	}
	b, err := os.ReadFile(s.Path)
	return b, unwrapPath(err)
}

// unwrapPath takes the path out of an error that names the file anyway.
func unwrapPath(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func policyName(src Source, manifest string) string {
	switch {
	case src.Name != "":
		return src.Name
	case manifest != "":
		return manifest
	case src.Path != "":
		base := filepath.Base(src.Path)
		return strings.TrimSuffix(base, filepath.Ext(base))
	}
	return "policy"
}

// newPolicy settles names and settings; nothing runs yet.
func (e *Engine) newPolicy(src Source, name string, info *Info, c Config) (*Policy, error) {
	p := &Policy{name: name, digest: info.Digest, manifest: info.Manifest, scope: c.Scope, log: c.Log, fuel: c.Fuel, probe: c.Probe, done: make(chan struct{})}
	if src.Path != "" {
		p.files = []string{src.Path}
	}
	if p.log == nil {
		p.log = e.log
	}
	if p.scope == nil {
		p.scope = natives.NewHost(natives.HostConfig{Log: p.log}).Begin(0).Scope(natives.ScopeConfig{Policy: name})
	}
	if p.fuel == 0 {
		p.fuel = DefaultFuel
	}
	if p.pages = c.MemoryPages; p.pages == 0 {
		p.pages = DefaultMemoryPages
	}
	p.options = policy.Options{Isolation: policy.IsolationPool, Budget: DefaultBudget}.Override(info.Manifest.Options).Override(c.Override)
	n := c.Instances
	if n == 0 {
		n = 2 * runtime.GOMAXPROCS(0)
	}
	if p.options.Isolation == policy.IsolationSingle {
		n = 1
	}
	switch {
	case p.fuel < 0 || p.fuel > MaxFuel:
		return nil, refuse("", "fuel %d: want 1 to %d", c.Fuel, MaxFuel)
	case p.pages > maxPages:
		return nil, refuse("", "memory of %d pages: want 1 to %d", p.pages, maxPages)
	case n < 1 || n > maxInstances:
		return nil, refuse("", "%d instances: want 1 to %d", n, maxInstances)
	case info.Memory.Min > p.pages:
		return nil, refuse("raise memory_pages, or build it with less initial memory", "needs %d pages of memory, the limit is %d", info.Memory.Min, p.pages)
	}
	if _, err := policy.ParseMatch(p.options.Match); err != nil {
		return nil, err
	}
	p.slots = newSlots(n, p.options.Isolation == policy.IsolationPool)
	return p, p.readParams()
}

// compile turns a module into machine code. wazero's compiler meets hostile input here, so a panic of it is an error too.
func (e *Engine) compile(ctx context.Context, p *Policy, code []byte) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("compile: %v", x)
		}
	}()
	metered, err := meter.Rewrite(code, meter.Options{InitialFuel: loadFuel, InitialDepth: maxDepth})
	if err != nil {
		return err
	}
	p.fuelName, p.depthName = metered.Fuel, metered.Depth
	config := wazero.NewRuntimeConfig().WithMemoryLimitPages(p.pages).WithCoreFeatures(api.CoreFeaturesV2).WithDebugInfoEnabled(false)
	p.runtime = wazero.NewRuntimeWithConfig(ctx, config.WithCompilationCache(e.shared))
	p.compiled, err = p.runtime.CompileModule(ctx, metered.Module)
	switch {
	case e.disk == nil:
	case err == nil:
		e.disk.seal()
	default:
		// The module may be at fault, or the disk: without the disk it is one of the two.
		cached := err
		closeQuietly(p.runtime)
		e.disk.sweep()
		p.runtime = wazero.NewRuntimeWithConfig(ctx, config)
		if p.compiled, err = p.runtime.CompileModule(ctx, metered.Module); err == nil {
			p.log.Warn("compile cache: failed, went on without it", "policy", p.name, "error", cached)
		}
	}
	if err != nil {
		return refuse("is it a valid core WebAssembly module?", "compile: %s", firstLine(err))
	}
	return nil
}

func closeQuietly(r wazero.Runtime) {
	// Closing a runtime whose modules have no files cannot fail.
	_ = r.Close(context.Background())
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
