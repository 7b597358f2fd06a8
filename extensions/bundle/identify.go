package bundle

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/gaia-host/gaia/extensions/js"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm"
)

// ErrLocked is returned for a policy that is not the one of Settings.Digest.
var ErrLocked = errors.New("not the policy that is locked")

// Identity says which policy a reference stands for.
type Identity struct {
	Engine string // EngineJS or EngineWasm
	Digest string // as in Policy
	Signer string // as in Policy
	// Name and Version are what the manifest says, "" where it says nothing.
	Name, Version string
}

// Identify finds out what Open would open, and runs nothing of it. Of s it needs Keys,
// PlainHTTP and Digest, of c Remote, Stale and FirstUse. Errors are those of Open.
func Identify(ctx context.Context, use string, s Settings, c Config) (Identity, error) {
	if std, ok := strings.CutPrefix(use, StdPrefix); ok {
		code, err := StdSource(std)
		if err != nil {
			return Identity{}, err
		}
		return identifyScript(stdSource("", std, code))
	}
	if remote.IsRef(use) || len(s.Keys) > 0 {
		return identifySealed(ctx, use, s, c)
	}
	ext := strings.ToLower(filepath.Ext(use))
	if ext != ".wasm" && !isScript(ext) {
		return Identity{}, notAPolicy(use)
	}
	if ext != ".wasm" {
		return identifyScript(js.Source{Name: NameOf("", use), Path: use})
	}
	code, err := readFile(use)
	if err != nil {
		return Identity{}, err
	}
	return identifyModule(use, code)
}

func identifySealed(ctx context.Context, use string, s Settings, c Config) (Identity, error) {
	m, err := sealed(ctx, use, s, c)
	if err != nil {
		return Identity{}, refused("", use, err)
	}
	defer m.Release()
	id := Identity{Engine: EngineJS}
	if isModule(m.Code) {
		if id, err = identifyModule(use, m.Code); err != nil {
			return Identity{}, err
		}
	} else if !isScript(strings.ToLower(path.Ext(m.Name))) {
		return Identity{}, notAPolicy(use)
	} else if info := scriptManifest(m.Code); info != nil {
		id.Name, id.Version = info.Name, info.Version
	}
	id.Digest, id.Signer = m.Digest, m.Signer
	return id, nil
}

func identifyModule(use string, code []byte) (Identity, error) {
	info, err := wasm.Inspect(code)
	if err != nil {
		return Identity{}, &policy.LoadError{File: use, Message: err.Error(), Err: err}
	}
	return Identity{Engine: EngineWasm, Digest: remote.Digest(code), Name: info.Manifest.Name, Version: info.Manifest.Version}, nil
}

// identifyScript is of a script with all that it imports.
func identifyScript(src js.Source) (Identity, error) {
	b, err := js.BundleSource(src)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Engine: EngineJS, Digest: b.Digest()}
	if info := scriptManifest([]byte(b.Entry())); info != nil {
		id.Name, id.Version = info.Name, info.Version
	}
	return id, nil
}

// locked refuses a policy with another digest than that of s.
func (s Settings) locked(name, use, digest string) error {
	if s.Digest == "" || s.Digest == digest {
		return nil
	}
	return &policy.LoadError{Policy: name, File: use, Err: ErrLocked, Message: fmt.Sprintf("has changed: it is %s, locked is %s", digest, s.Digest),
		Hint: "`gaia policy lock` takes it as it is now"}
}

// check holds a script and all that it imports to s, before anything of it runs: to the digest that
// is locked, and its parameters to the schema of its manifest.
func (s Settings) check(name, use string) func(*js.Bundle) error {
	return func(b *js.Bundle) error {
		if err := s.locked(name, use, b.Digest()); err != nil || s.Probe {
			return err
		}
		m := builtManifest([]byte(b.Entry()))
		if m == nil {
			return nil
		}
		if err := m.CheckParams(s.Params); err != nil {
			return &policy.LoadError{Policy: name, File: use, Message: err.Error(), Err: err, Hint: "the policy says what it takes: gaia policy inspect"}
		}
		return nil
	}
}
