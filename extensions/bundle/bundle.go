// Package bundle turns a path or a reference into a checked policy: it finds the
// engine, the name and the settings, and opens it.
//
// It does not put policies in force (host/generation) and does not run them itself.
package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/gaia-host/gaia/extensions/js"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm"
	"github.com/gaia-host/gaia/scripts"
)

// StdPrefix starts the reference of a standard policy.
const StdPrefix = "std/"

// Names of the engines.
const (
	EngineJS   = "js"
	EngineWasm = "wasm"
)

// ErrFormat is returned for a file that is no policy by its name.
var ErrFormat = errors.New("not a policy")

// Config is how policies are opened. Wasm and Tx are required.
type Config struct {
	Wasm   *wasm.Engine
	Remote *remote.Store // fetches modules; nil: an address is refused
	// Stale takes the module kept from before where one cannot be fetched.
	Stale bool
	// FirstUse lets Identify take what is neither pinned nor signed as it stands at its
	// address now. Open never does.
	FirstUse bool
	Tx       *natives.Tx
	Getenv   func(name string) (string, bool) // nil: an empty environment
	Log      *slog.Logger                     // nil: discarded
	// Rand is Math.random of JavaScript guests, see js.Config; nil: truly random.
	Rand func() float64
	// Cover is told which statements of JavaScript policies ran; nil: nothing is counted.
	Cover *js.Coverage
}

// Settings are the operator's for one policy. Zero fields leave what the policy
// says about itself.
type Settings struct {
	Options     policy.Options
	Grants      natives.Grants
	Params      map[string]any
	Instances   int    // guests for the isolation modes key and pool
	Fuel        int64  // Wasm: units a hook
	MemoryPages uint32 // Wasm: of 64 KiB
	Probe       bool   // load without parameters, to look at it only
	// Foreign takes the policy for one that is no local file: all that it uses needs a
	// grant. Survey refuses nothing and only finds out what would need one.
	Foreign, Survey bool
	// Keys are public keys of minisign; if there are any, one of them must have signed
	// the file, unless it is std/NAME.
	Keys []string
	// Digest is what the policy's must be, as Identify says it; "": any. Nothing of another one is run.
	Digest string
	// PlainHTTP are registries that are asked without TLS, see remote.Want.
	PlainHTTP []string
}

// Policy is an opened policy with what the host needs to know of it.
type Policy struct {
	policy.Policy
	Engine string // EngineJS or EngineWasm
	Use    string // the reference it was opened from
	Digest string // "sha256:..." of everything it was made of
	Signer string // identifier of the key that signed it, "" where none had to
	// Resolved is the address that means these bytes for ever, "" of what was not fetched.
	Resolved string
	Options  policy.Options
	Files    []string     // on disk, for a watcher
	Match    policy.Match // of Options
	// Asked is what the policy declares and was seen to use. Of a local file without
	// Settings.Survey it is what it declares.
	Asked  policy.Grants
	Guests func() (idle, total int)
}

// Open opens use, a path to a .js, .mjs, .ts or .wasm file or std/NAME, under a
// name; an empty name means the policy's own. https://HOST/PATH#sha256:DIGEST and
// oci://HOST/REPOSITORY@sha256:DIGEST are fetched with Config.Remote. Errors are *policy.LoadError where
// they are about the policy.
func Open(ctx context.Context, name, use string, s Settings, c Config) (*Policy, error) {
	if std, ok := strings.CutPrefix(use, StdPrefix); ok {
		return openStd(ctx, name, std, s, c)
	}
	if remote.IsRef(use) || len(s.Keys) > 0 {
		return openSealed(ctx, name, use, s, c)
	}
	switch ext := strings.ToLower(filepath.Ext(use)); {
	case isScript(ext):
		if name == "" {
			name = ManifestName(use)
		}
		return openJS(ctx, js.Source{Name: NameOf(name, use), Path: use}, use, s, c)
	case ext == ".wasm":
		return openWasm(ctx, name, use, s, c)
	}
	return nil, notAPolicy(use)
}

// isScript reports whether a file with this ending, in small letters, is JavaScript or TypeScript.
func isScript(ext string) bool { return ext == ".js" || ext == ".mjs" || ext == ".ts" || ext == ".mts" }

func isModule(code []byte) bool { return strings.HasPrefix(string(code), "\x00asm") }

func notAPolicy(use string) error {
	return &policy.LoadError{File: use, Message: "not a policy: want a .js, .ts or .wasm file or std/NAME", Err: ErrFormat,
		Hint: "standard policies: " + strings.Join(Std(), ", ")}
}

// ManifestName returns the name that the manifest in a file says, "" where there is none.
func ManifestName(use string) string {
	info, err := Inspect(use)
	if err != nil || info.Manifest == nil {
		return ""
	}
	return info.Manifest.Name
}

// NameOf returns name, or else the base name of use without its extension.
func NameOf(name, use string) string {
	if name != "" {
		return name
	}
	if remote.IsRef(use) {
		return remote.NameOf(use)
	}
	base := filepath.Base(use)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// Std lists the standard policies as std/NAME, sorted.
func Std() []string {
	paths, err := fs.Glob(scripts.FS, "policies/*.js")
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(paths))
	for _, p := range paths {
		names = append(names, StdPrefix+NameOf("", p))
	}
	sort.Strings(names)
	return names
}

// StdSource returns the text of a standard policy named std/NAME or NAME.
func StdSource(name string) ([]byte, error) {
	name = strings.TrimPrefix(name, StdPrefix)
	code, err := scripts.FS.ReadFile("policies/" + name + ".js")
	if err != nil || strings.Contains(name, "/") {
		return nil, &policy.LoadError{File: StdPrefix + name, Message: "there is no such standard policy",
			Hint: "standard policies: " + strings.Join(Std(), ", "), Err: fs.ErrNotExist}
	}
	return code, nil
}

// stdImport is a relative import of a standard policy.
var stdImport = regexp.MustCompile(`(?m)^import [^"]* from "\./([a-z/]+\.js)";$`)

// StdFiles returns the files of the standard policy named std/NAME or NAME that its own
// source needs beside it, by their paths from it.
func StdFiles(name string) (map[string][]byte, error) {
	code, err := StdSource(name)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	return files, stdFiles(files, "", code)
}

func stdFiles(files map[string][]byte, dir string, code []byte) error {
	for _, m := range stdImport.FindAllSubmatch(code, -1) {
		name := path.Join(dir, string(m[1]))
		if _, known := files[name]; known {
			continue
		}
		text, err := scripts.FS.ReadFile(path.Join("policies", name))
		if err != nil {
			return fmt.Errorf("read what a standard policy imports: %w", err)
		}
		files[name] = text
		if err := stdFiles(files, path.Dir(name), text); err != nil {
			return err
		}
	}
	return nil
}

func openStd(ctx context.Context, name, std string, s Settings, c Config) (*Policy, error) {
	code, err := StdSource(std)
	if err != nil {
		return nil, err
	}
	p, err := openJS(ctx, stdSource(name, std, code), StdPrefix+std, s, c)
	if err != nil {
		return nil, err
	}
	p.Files = nil
	return p, nil
}

func stdSource(name, std string, code []byte) js.Source {
	return js.Source{Name: NameOf(name, std), Path: "policies/" + std + ".js", Code: code, FS: scripts.FS}
}

func openJS(ctx context.Context, src js.Source, use string, s Settings, c Config) (*Policy, error) {
	g := s.gate(src.Name, use, c)
	p, err := js.Open(ctx, src, js.Config{Scope: g.scope, Override: s.Options, Instances: s.Instances, Check: s.check(src.Name, use),
		Standard: strings.HasPrefix(use, StdPrefix), Rand: c.Rand, Log: c.Log, Cover: c.Cover})
	if err != nil {
		return nil, g.explain(err, func(s Settings) (*Policy, error) { return openJS(ctx, src, use, s, c) })
	}
	return g.admit(wrap(&Policy{Policy: p, Engine: EngineJS, Use: use, Digest: p.Digest(), Options: p.Options(), Files: p.Files(), Guests: p.Guests}))
}

func openWasm(ctx context.Context, name, use string, s Settings, c Config) (*Policy, error) {
	code, err := readFile(use)
	if err == nil {
		err = s.locked(name, use, remote.Digest(code))
	}
	if err != nil {
		return nil, err
	}
	return openModule(ctx, name, use, code, s, c)
}

func openModule(ctx context.Context, name, use string, code []byte, s Settings, c Config) (*Policy, error) {
	if name == "" {
		if info, err := wasm.Inspect(code); err == nil && info.Manifest.Name != "" {
			name = info.Manifest.Name
		}
	}
	src := wasm.Source{Name: NameOf(name, use), Path: use, Code: code}
	g := s.gate(src.Name, use, c)
	if err := g.checkImports(code); err != nil {
		return nil, err
	}
	p, err := c.Wasm.Open(ctx, src, wasm.Config{Scope: g.scope, Override: s.Options, Instances: s.Instances,
		Fuel: s.Fuel, MemoryPages: s.MemoryPages, Probe: s.Probe, Log: c.Log})
	if err != nil {
		return nil, g.explain(err, func(s Settings) (*Policy, error) { return openModule(ctx, name, use, code, s, c) })
	}
	return g.admit(wrap(&Policy{Policy: p, Engine: EngineWasm, Use: use, Digest: p.Digest(), Options: p.Options(), Files: []string{use}, Guests: p.Guests}))
}

// maxModule bounds the file that is read into memory.
const maxModule = 64 << 20

func readFile(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, &policy.LoadError{File: path, Message: "is not a regular file", Err: ErrFormat}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &policy.LoadError{File: path, Message: "cannot be read: " + errors.Unwrap(err).Error(), Err: err}
	}
	defer f.Close()
	code, err := io.ReadAll(io.LimitReader(f, maxModule+1))
	switch {
	case err != nil:
		return nil, &policy.LoadError{File: path, Message: "cannot be read: " + err.Error(), Err: err}
	case len(code) > maxModule:
		return nil, &policy.LoadError{File: path, Message: fmt.Sprintf("is larger than %d MiB", maxModule>>20), Err: ErrFormat}
	}
	return code, nil
}

func wrap(p *Policy) (*Policy, error) {
	m, err := policy.ParseMatch(p.Options.Match)
	if err != nil {
		return nil, errors.Join(&policy.LoadError{Policy: p.Name(), File: p.Use, Message: err.Error(), Err: err}, p.Close())
	}
	p.Match = m
	if p.Options.OnFailure == "" {
		p.Options.OnFailure = policy.FailOpen
	}
	return p, nil
}

// SelfTest asks every hook of p once about a plain request, dry, so that the first
// real one meets warm code. It returns the faults; a policy may well have a hook
// that faults on such a request and is right on real ones.
func SelfTest(p *Policy, now int64) []error {
	overlay := natives.NewOverlay()
	overlay.Quiet = true // the request is made up
	req := &policy.Request{Subsystem: policy.SubsystemAPI, Action: "request", Key: "self-test", Method: "GET", URL: "https://self-test.invalid/",
		Host: "self-test.invalid", Path: "/", Priority: policy.DefaultPriority, Attempt: 1, Cost: 1, Now: now, Dry: overlay}
	for _, name := range policy.Subsystems() {
		if p.Match.MatchesSubsystem(name) {
			req.Subsystem = name
			break
		}
	}
	res := &policy.Response{Status: 200, Bytes: -1, Upstream: "self-test"}
	ups := []policy.Upstream{{Name: "self-test", Host: req.Host, Weight: 1, Healthy: true, Remaining: -1}}
	var faults []error
	for _, h := range p.Hooks().List() {
		var d policy.Decision
		if err := callHook(p, h, req, res, ups, &d); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

func callHook(p policy.Policy, h policy.Hook, req *policy.Request, res *policy.Response, ups []policy.Upstream, d *policy.Decision) error {
	switch h {
	case policy.HookRequest:
		return p.OnRequest(req, d)
	case policy.HookRoute:
		return p.OnRoute(req, ups, d)
	case policy.HookResponse:
		return p.OnResponse(req, res, d)
	case policy.HookDone:
		return p.OnDone(req, res)
	case policy.HookTick:
		return p.OnTick(&policy.Tick{Now: req.Now, Metrics: func(string) map[string]float64 { return nil }, Dry: req.Dry})
	}
	return fmt.Errorf("no such hook: %d", h)
}
