package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gaia-host/gaia/extensions/js"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

// ManifestFile is the file of a project that Build reads: the manifest as JSON.
const ManifestFile = "gaia.json"

// Languages of projects.
const (
	LangJS             = "js"
	LangTS             = "ts"
	LangRust           = "rust"
	LangGo             = "go"
	LangAssemblyScript = "assemblyscript"
	LangC              = "c"
)

// jsManifest starts the first line of a built JavaScript policy; the manifest as JSON follows it.
const jsManifest = "// " + abi.ManifestSection + " "

// ErrBuild is returned where the language's own tool refused the source.
var ErrBuild = errors.New("the policy does not compile")

// ErrExists is returned where a build would replace a file that no build made.
var ErrExists = errors.New("exists and was not made by a build")

// BuildConfig says what to build. Dir and Engine are required.
type BuildConfig struct {
	Dir    string // of the project
	Out    string // file to write; "" is NAME.wasm or NAME.bundle.js in Dir
	Force  bool   // replace whatever Out is
	Engine *wasm.Engine
	Getenv func(string) string // PATH, and names of tools; nil: there are none
}

// Built is what a build made.
type Built struct {
	File     string
	Lang     string
	Manifest wasm.Manifest
	Hooks    []string
	Digest   string
	Size     int // bytes
}

// Build compiles the project in a folder by the language's own tool, loads the result once, puts the manifest into it and writes
// it, all or nothing. Errors of the policy are *policy.LoadError; of a missing tool *MissingTool.
func Build(ctx context.Context, c BuildConfig) (*Built, error) {
	if c.Getenv == nil {
		c.Getenv = func(string) string { return "" }
	}
	p, err := readProject(c.Dir)
	if err != nil {
		return nil, err
	}
	b := &Built{Lang: p.lang, Manifest: p.manifest, File: c.Out}
	if b.File == "" {
		b.File = filepath.Join(c.Dir, p.name+map[bool]string{true: ".bundle.js", false: ".wasm"}[p.script()])
	}
	if want := map[bool]string{true: ".js", false: ".wasm"}[p.script()]; filepath.Ext(b.File) != want {
		return nil, &policy.LoadError{File: b.File, Message: fmt.Sprintf("a policy in %s becomes a %s file", p.lang, want), Err: ErrFormat}
	}
	if err := replaceable(b.File, c.Force); err != nil {
		return nil, err
	}
	var code []byte
	if p.script() {
		code, err = p.buildScript(ctx, b)
	} else {
		code, err = p.buildModule(ctx, c, b)
	}
	if err != nil {
		return nil, err
	}
	b.Size = len(code)
	return b, replaceFile(b.File, code)
}

// project is a folder with a policy.
type project struct {
	dir, name, lang string
	main            string // entry file of a script
	text            []byte // of the manifest; nil: none
	manifest        wasm.Manifest
}

func (p *project) script() bool { return p.lang == LangJS || p.lang == LangTS }

// readProject finds out what is in a folder.
func readProject(dir string) (*project, error) {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil, &policy.LoadError{File: dir, Message: "cannot be read: " + errors.Unwrap(err).Error(), Err: err}
	case !info.IsDir():
		return nil, &policy.LoadError{File: dir, Message: "is no folder", Hint: "a file is run as it is: gaia run " + dir, Err: ErrFormat}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	p := &project{dir: dir, name: filepath.Base(abs)}
	file := filepath.Join(dir, ManifestFile)
	text, err := os.ReadFile(file)
	switch {
	case err == nil:
		if p.manifest, err = wasm.ParseManifest(text); err != nil {
			return nil, &policy.LoadError{File: file, Message: err.Error(), Err: err}
		}
		p.text, p.lang = text, p.manifest.Language
	case !errors.Is(err, fs.ErrNotExist):
		return nil, &policy.LoadError{File: file, Message: "cannot be read: " + errors.Unwrap(err).Error(), Err: err}
	}
	if p.manifest.Name != "" {
		p.name = p.manifest.Name
	}
	return p, p.detect(file)
}

// detect finds the language, where the manifest names none, and what belongs to it.
func (p *project) detect(manifest string) error {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool {
			info, err := os.Stat(filepath.Join(p.dir, n))
			return err == nil && info.Mode().IsRegular()
		})
	}
	known := []struct{ lang, file string }{{LangRust, "src/lib.rs"}, {LangGo, "go.mod"}, {LangAssemblyScript, "assembly/index.ts"}, {LangC, "policy.c"}}
	for _, k := range known {
		if p.lang == "" && has(k.file) {
			p.lang = k.lang
		}
		if p.lang == k.lang {
			if !has(k.file) {
				return &policy.LoadError{File: p.dir, Message: fmt.Sprintf("a policy in %s has a file %s, and there is none", p.lang, k.file), Hint: "gaia policy new NAME --lang " + p.lang, Err: ErrFormat}
			}
			return nil
		}
	}
	if p.lang != "" && !p.script() {
		return &policy.LoadError{File: manifest, Message: fmt.Sprintf("language %.80q: want js, ts, rust, go, assemblyscript or c", p.lang), Err: ErrFormat}
	}
	for _, stem := range []string{p.name, "policy"} {
		for _, ext := range []string{".ts", ".js"} {
			if p.main == "" && has(stem+ext) && (p.lang == "" || p.lang == ext[1:]) {
				p.main, p.lang = filepath.Join(p.dir, stem+ext), ext[1:]
			}
		}
	}
	if p.main == "" {
		return &policy.LoadError{File: p.dir, Message: fmt.Sprintf("there is no policy in this folder: no %s, %s.js, %s.ts, policy.js, policy.ts, src/lib.rs, go.mod, assembly/index.ts or policy.c", ManifestFile, p.name, p.name),
			Hint: "make one: gaia policy new NAME --lang js|ts|rust|go|assemblyscript|c", Err: ErrFormat}
	}
	return nil
}

// buildScript bundles a policy in JavaScript or TypeScript and loads the bundle.
func (p *project) buildScript(ctx context.Context, b *Built) ([]byte, error) {
	if p.manifest.Options.Match != nil || p.manifest.Options.Budget != 0 || len(p.manifest.Reasons) > 0 {
		return nil, &policy.LoadError{File: filepath.Join(p.dir, ManifestFile), Message: "options and reasons of a policy in JavaScript stand in its code", Hint: "export const options = {...}", Err: ErrFormat}
	}
	code, err := js.Standalone(js.Source{Name: p.name, Path: p.main})
	if err != nil {
		return nil, err
	}
	line := []byte("{}")
	if p.text != nil { // Marshal, not Compact: it escapes what would end the comment
		if line, err = json.Marshal(json.RawMessage(p.text)); err != nil {
			return nil, fmt.Errorf("write the manifest: %w", err)
		}
	}
	code = append([]byte(jsManifest+string(line)+"\n"), code...)
	scope := natives.NewHost(natives.HostConfig{}).Begin(0).Scope(natives.ScopeConfig{Policy: p.name, Local: true})
	opened, err := js.Open(ctx, js.Source{Name: p.name, Path: p.main, Code: code}, js.Config{Scope: scope, Instances: 1})
	if err != nil {
		return nil, err
	}
	b.Hooks, b.Digest = opened.Hooks().Names(), opened.Digest()
	return code, opened.Close()
}

// buildModule compiles a policy to Wasm, loads it, and puts the manifest in.
func (p *project) buildModule(ctx context.Context, c BuildConfig, b *Built) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "gaia-build-")
	if err != nil {
		return nil, fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "policy.wasm")
	if err := p.compile(ctx, toolbox{getenv: c.Getenv}, tmp, out); err != nil {
		return nil, err
	}
	code, err := readFile(out)
	if err != nil {
		return nil, err
	}
	manifest := p.text
	if manifest == nil { // the source may bring its own
		info, err := wasm.Inspect(code)
		if err != nil {
			return nil, &policy.LoadError{File: p.dir, Message: err.Error(), Err: err}
		}
		b.Manifest = info.Manifest
		if manifest = info.ManifestText; manifest == nil {
			manifest = []byte("{}")
		}
	}
	hooks, err := loadOnce(ctx, c.Engine, p, code, b.Manifest.Params != nil)
	if err != nil {
		return nil, err
	}
	if code, err = wasm.WithManifest(code, manifest, hooks); err != nil {
		return nil, &policy.LoadError{File: filepath.Join(p.dir, ManifestFile), Message: err.Error(), Err: err}
	}
	info, err := wasm.Inspect(code)
	if err != nil {
		return nil, &policy.LoadError{File: p.dir, Message: err.Error(), Err: err}
	}
	b.Hooks, b.Digest, b.Manifest = hooks.Names(), info.Digest, info.Manifest
	return code, nil
}

// loadOnce opens a module and says what hooks it has. One that takes parameters may refuse to load without them, and is only looked at.
func loadOnce(ctx context.Context, e *wasm.Engine, p *project, code []byte, takesParams bool) (policy.Hooks, error) {
	var hooks policy.Hooks
	for _, probe := range []bool{true, false} {
		if !probe && takesParams {
			break
		}
		scope := natives.NewHost(natives.HostConfig{}).Begin(0).Scope(natives.ScopeConfig{Policy: p.name, Local: true})
		opened, err := e.Open(ctx, wasm.Source{Name: p.name, Path: p.dir, Code: code}, wasm.Config{Scope: scope, Instances: 1, Probe: probe})
		if err != nil {
			return 0, err
		}
		hooks = opened.Hooks()
		if err := opened.Close(); err != nil {
			return 0, err
		}
	}
	return hooks, nil
}

// replaceable says whether a build may write a file: nothing is there, or what a build made.
func replaceable(file string, force bool) error {
	info, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", file)
	case force:
		return nil
	}
	code, err := readFile(file)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(code, []byte(jsManifest)) {
		return nil
	}
	if wasmInfo, err := wasm.Inspect(code); err == nil && wasmInfo.Manifest.ABI != "" {
		return nil
	}
	return fmt.Errorf("%s %w; use --force to replace it", file, ErrExists)
}

// replaceFile writes a file beside its place and moves it there.
func replaceFile(file string, data []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+strings.TrimPrefix(filepath.Base(file), ".")+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
