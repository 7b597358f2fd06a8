package examples_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle/remote/registrytest"
	"github.com/gaia-host/gaia/extensions/sdk"
)

// From an empty folder to a request denied in somebody else's gaia, in every language.
func TestShipping(t *testing.T) {
	if testing.Short() {
		t.Skip("runs compilers")
	}
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "gaia"), "../cmd/gaia").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	goCache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	asc, err := filepath.Abs("../.cache/npm/node_modules/.bin/asc")
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("shipping/ship.sh")
	if err != nil {
		t.Fatal(err)
	}
	api := upstream(t, hello)
	for _, lang := range sdk.Languages() {
		t.Run(lang, func(t *testing.T) {
			dir := t.TempDir()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			args := []string{script, lang}
			if lang == sdk.Languages()[0] || os.Getenv("GAIA_ACCEPTANCE") != "" { // the rest is no matter of the language
				args = append(args, registry(t)...)
			}
			cmd := exec.CommandContext(ctx, "sh", args...)
			cmd.Dir = dir
			cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GAIA_") }), "DOCKER_CONFIG="+dir, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "UPSTREAM="+api.URL, "ASC="+asc,
				"GOCACHE="+strings.TrimSpace(string(goCache)), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "XDG_RUNTIME_DIR="+dir)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // gaia too
			out, err := cmd.CombinedOutput()
			switch text := string(out); {
			case err != nil && os.Getenv("CI") == "" && strings.Contains(text, "which is not here"):
				t.Skip(text)
			case err != nil:
				t.Fatalf("%v\n%s", err, text)
			case !strings.Contains(text, "== done: a policy in "+lang+"\n"):
				t.Errorf("it did not come to its end:\n%s", text)
			}
		})
	}
}

// registry starts Debian's registry on the loopback and returns its address, nothing where it is missing outside of CI.
func registry(t *testing.T) []string {
	t.Helper()
	r, err := registrytest.Start(registrytest.Config{Dir: t.TempDir()})
	if errors.Is(err, registrytest.ErrMissing) && os.Getenv("CI") == "" {
		t.Logf("not by a registry: %v; make deps installs it", err)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return []string{r.Host}
}
