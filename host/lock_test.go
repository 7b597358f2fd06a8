package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/generation"
)

const answers = `import { deny } from "gaia";
import { status } from "./status.js";
export function onRequest() { return deny(status); }
`

// lockedHost runs a policy of two files that is locked, as th.dir/gaia.lock says.
func lockedHost(t *testing.T) (*testHost, func()) {
	t.Helper()
	dir := t.TempDir()
	save(t, filepath.Join(dir, "p.js"), answers)
	save(t, filepath.Join(dir, "status.js"), "export const status = 418;")
	o := Options{Policies: []string{filepath.Join(dir, "p.js")}, LockFile: filepath.Join(dir, config.LockName)}
	set := []string{"listen=127.0.0.1:0", `control=""`, "socket=" + filepath.Join(t.TempDir(), "g.sock"), "routes.up.url=" + plainUpstream(t)}
	cfg, err := config.Load(config.Options{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	lock := func() {
		t.Helper()
		l, err := Lock(t.Context(), cfg, o.LockFile, o)
		if err == nil {
			err = WriteLock(o.LockFile, l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	lock()
	th := runOptions(t, cfg, o, set...)
	th.dir = dir
	return th, lock
}

// A file that changes is refused, also one that the policy imports, until it is locked anew; that
// is seen without a command.
func TestReloadsAreHeldToTheLock(t *testing.T) {
	th, lock := lockedHost(t)
	status := func(want int) {
		t.Helper()
		if code, _, _ := th.get("/up/"); code != want {
			t.Errorf("status %d, want %d", code, want)
		}
	}
	status(418)
	th.save("status.js", "export const status = 451;")
	ev := th.reloaded()
	var le *LockError
	if !errors.As(ev.Err, &le) || len(le.Lines) != 1 || !strings.HasPrefix(le.Lines[0], "./p.js: has changed: ") || !strings.Contains(le.Hint(), "gaia policy lock") {
		t.Fatalf("%v", ev.Err)
	}
	if _, err := th.Reload(t.Context(), true); !errors.As(err, &le) {
		t.Errorf("a forced reload: %v", err)
	}
	<-th.events
	status(418)
	lock()
	if ev := th.reloaded(); ev.Err != nil {
		t.Fatal(ev.Err)
	}
	status(451)

	th.save(config.LockName, "{")
	var faults config.Faults
	if ev := th.reloaded(); !errors.As(ev.Err, &faults) || faults[0].Line != 1 {
		t.Errorf("a damaged lock: %v", ev.Err)
	}
	status(451)
	if st := th.Status(); st.Generation != 2 || st.LastReload.OK {
		t.Errorf("generation %d, %+v", st.Generation, st.LastReload)
	}
}

// What is locked is opened, not what a file holds a moment later.
func TestFileThatChangesAfterTheComparison(t *testing.T) {
	th, _ := lockedHost(t)
	s, err := th.specs(t.Context(), th.Config())
	if err != nil {
		t.Fatal(err)
	}
	th.save("p.js", "export function onRequest() {}")
	if err := th.policies.Check(t.Context(), s.chain); !errors.Is(err, bundle.ErrLocked) {
		t.Errorf("the chain: %v", err)
	}
	if _, _, err := th.policies.Beside(t.Context(), generation.Spec{Use: s.chain[0].Use, Settings: s.chain[0].Settings}, nil); !errors.Is(err, bundle.ErrLocked) {
		t.Errorf("the shadow: %v", err)
	}
}

// Every difference is told, also beside a policy that cannot be read; what is not locked is not
// fetched.
func TestLockTellsEveryDifference(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		save(t, path, text)
		return path
	}
	o := Options{Policies: []string{write("a.js", "export function onRequest() {}"), write("b.js", "export function onRequest() {}"), write("c.js", "export function onRequest() {}")}}
	cfg := config.Default()
	cfg.Shadow = o.Policies[0]
	file := filepath.Join(dir, config.LockName)
	l, err := Lock(t.Context(), cfg, file, o)
	if err != nil || len(l.Policies) != 3 {
		t.Fatalf("%+v, %v", l, err)
	}
	if err := WriteLock(file, l); err != nil {
		t.Fatal(err)
	}
	if err := CheckLock(t.Context(), cfg, file, o); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(o.Policies[1]); err != nil {
		t.Fatal(err)
	}
	write("a.js", "export function onRequest() { return false; }")
	o.Policies = append(o.Policies[:2], "https://127.0.0.1:1/x.wasm")
	err = CheckLock(t.Context(), cfg, file, o)
	var le *LockError
	if !errors.As(err, &le) {
		t.Fatal(err)
	}
	for i, want := range []string{"./a.js: has changed", "https://127.0.0.1:1/x.wasm: is not locked", "./c.js: is locked, but no policy"} {
		if i >= len(le.Lines) || !strings.HasPrefix(le.Lines[i], want) {
			t.Errorf("line %d of %q, want %s", i, le.Lines, want)
		}
	}
	if !strings.Contains(err.Error(), "b.js") || strings.Contains(err.Error(), "fetched") || len(le.Lines) != 3 {
		t.Errorf("%v", err)
	}
	var coder interface{ ExitCode() int }
	if !errors.As(err, &coder) || coder.ExitCode() != 3 {
		t.Errorf("no exit code 3: %v", err)
	}
	if _, err := New(cfg, Options{Policies: o.Policies, LockFile: file}); !errors.As(err, &le) {
		t.Errorf("a start: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Lock(ctx, cfg, file, Options{Policies: []string{"https://127.0.0.1:1/x.wasm"}}); err == nil {
		t.Error("what cannot be fetched was locked")
	}
}
