package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gaia-host/gaia/extensions/policy"
)

// MissingTool is a compiler that is not on this machine.
type MissingTool struct {
	Lang, Tool string
	Install    string // how to get it
}

// Error names the tool.
func (m *MissingTool) Error() string {
	return fmt.Sprintf("a policy in %s is built by %s, which is not here", m.Lang, m.Tool)
}

// Hint says what to install.
func (m *MissingTool) Hint() string { return m.Install }

// maxOutput bounds what is shown of a compiler's complaints, in bytes.
const maxOutput = 16 << 10

// target is the one Rust is built for.
const target = "wasm32-unknown-unknown"

// toolbox finds compilers.
type toolbox struct{ getenv func(string) string }

// find returns the tool that a variable names, or the first of that name on the PATH that suits; nil takes any.
func (t toolbox) find(variable, name string, suits func(path string) bool) (string, bool) {
	if path := t.getenv(variable); path != "" {
		found, err := exec.LookPath(path)
		return found, err == nil
	}
	for _, dir := range filepath.SplitList(t.getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue // what lies in the folder of the moment is not asked for
		}
		path := filepath.Join(dir, name)
		if found, err := exec.LookPath(path); err == nil && (suits == nil || suits(found)) {
			return found, true
		}
	}
	return "", false
}

// compile runs the language's own tool in the project and leaves a module in out; tmp is for what comes between.
func (p *project) compile(ctx context.Context, t toolbox, tmp, out string) error {
	switch p.lang {
	case LangRust:
		return p.compileRust(ctx, t, tmp, out)
	case LangGo:
		return p.compileGo(ctx, t, out)
	case LangAssemblyScript:
		return p.compileAssemblyScript(ctx, t, out)
	}
	return p.compileC(ctx, t, out)
}

// rustFlags keep a guest small: its stack is 16 KiB in place of a megabyte.
const rustFlags = "-C link-arg=-zstack-size=16384"

// compileRust uses cargo where there is one beside a rustc that knows the target, and rustc alone where not.
func (p *project) compileRust(ctx context.Context, t toolbox, tmp, out string) error {
	rustc, ok := t.find("RUSTC", "rustc", func(path string) bool {
		root, err := exec.CommandContext(ctx, path, "--print", "sysroot").Output()
		if err != nil {
			return false
		}
		_, err = os.Stat(filepath.Join(strings.TrimSpace(string(root)), "lib", "rustlib", target, "lib"))
		return err == nil
	})
	if !ok {
		return &MissingTool{LangRust, "rustc with the target " + target, "rustup target add " + target + "; on Debian: apt-get install rustc cargo libstd-rust-dev-wasm32 lld"}
	}
	cargo := filepath.Join(filepath.Dir(rustc), "cargo")
	if path := t.getenv("CARGO"); path != "" {
		cargo = path
	}
	_, noCargo := exec.LookPath(cargo)
	_, noProject := os.Stat(filepath.Join(p.dir, "Cargo.toml"))
	if noCargo != nil || noProject != nil {
		return p.run(ctx, nil, rustc, "--edition", "2021", "--crate-name", "policy", "--crate-type", "cdylib", "--target", target, "-C", "opt-level=3", "-C", "panic=abort",
			"-C", "strip=debuginfo", "-C", "link-arg=-zstack-size=16384", "-o", out, filepath.Join("src", "lib.rs"))
	}
	env := []string{"RUSTC=" + rustc, "RUSTFLAGS=" + strings.TrimSpace(t.getenv("RUSTFLAGS")+" "+rustFlags)}
	if err := p.run(ctx, env, cargo, "build", "--release", "--quiet", "--lib", "--target", target, "--target-dir", tmp); err != nil {
		return err
	}
	made, err := filepath.Glob(filepath.Join(tmp, target, "release", "*.wasm"))
	if err != nil || len(made) != 1 {
		return &policy.LoadError{File: filepath.Join(p.dir, "Cargo.toml"), Message: fmt.Sprintf("cargo made %d modules, want one", len(made)), Hint: `[lib] crate-type = ["cdylib"]`, Err: ErrBuild}
	}
	return os.Rename(made[0], out)
}

func (p *project) compileGo(ctx context.Context, t toolbox, out string) error {
	tool, ok := t.find("GO", "go", nil)
	if !ok {
		return &MissingTool{LangGo, "go 1.24 or newer", "https://go.dev/dl"}
	}
	return p.run(ctx, []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS="},
		tool, "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", out, ".")
}

func (p *project) compileAssemblyScript(ctx context.Context, t toolbox, out string) error {
	local, err := filepath.Abs(filepath.Join(p.dir, "node_modules", ".bin", "asc"))
	if err != nil {
		return err
	}
	asc, ok := local, t.getenv("ASC") == ""
	if _, missing := exec.LookPath(local); !ok || missing != nil {
		asc, ok = t.find("ASC", "asc", nil)
	}
	if !ok {
		return &MissingTool{LangAssemblyScript, "asc", "npm install --prefix " + p.dir}
	}
	return p.run(ctx, nil, asc, "assembly/index.ts", "-O3", "--runtime", "stub", "--use", "abort=assembly/gaia/abort", "--exportStart", "_initialize", "--outFile", out)
}

func (p *project) compileC(ctx context.Context, t toolbox, out string) error {
	clang, ok := t.find("CLANG", "clang", nil)
	if !ok {
		return &MissingTool{LangC, "clang", "on Debian: apt-get install clang lld"}
	}
	if _, ok := t.find("WASM_LD", "wasm-ld", nil); !ok {
		return &MissingTool{LangC, "wasm-ld", "on Debian: apt-get install lld"}
	}
	return p.run(ctx, nil, clang, "--target=wasm32", "-std=c11", "-O2", "-Wall", "-Wextra", "-nostdlib", "-mbulk-memory", "-Wl,--no-entry", "-Wl,--strip-debug",
		"-Wl,--stack-first", "-Wl,-z,stack-size=16384", "-o", out, "policy.c")
}

// run runs a tool in the project's folder. What it complains about is the error.
func (p *project) run(ctx context.Context, env []string, tool string, args ...string) error {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = p.dir
	cmd.Env = append(cmd.Environ(), env...)
	var said head
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return nil
	}
	text := strings.TrimSpace(said.String())
	if text == "" {
		text = err.Error()
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("run %s: %w", tool, err)
	}
	return &policy.LoadError{File: p.dir, Message: fmt.Sprintf("%s refuses it:\n%s", filepath.Base(tool), text), Err: ErrBuild}
}

// head keeps the first bytes that are written to it: compilers tell the cause first.
type head struct{ bytes.Buffer }

// Write takes everything and keeps what fits.
func (t *head) Write(b []byte) (int, error) {
	if room := maxOutput - t.Len(); room > 0 {
		t.Buffer.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}
