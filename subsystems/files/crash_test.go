package files

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The variables that make this binary a process that kills itself at a step.
const (
	crashDir    = "GAIA_TEST_CRASH_DIR"
	crashAction = "GAIA_TEST_CRASH_ACTION"
	crashStep   = "GAIA_TEST_CRASH_STEP"
	crashLevel  = "GAIA_TEST_CRASH_LEVEL"
)

// oldText and newText are longer than a block, so that there is a half of them.
func oldText() []byte { return bytes.Repeat([]byte("old "), bufferSize/2) }
func newText() []byte { return bytes.Repeat([]byte("new "), bufferSize) }

// crashed is the other process: it does an operation and kills itself with SIGKILL
// at a step of it. It reports whether this is that process.
func crashed() bool {
	dir := os.Getenv(crashDir)
	if dir == "" {
		return false
	}
	level, _ := strconv.Atoi(os.Getenv(crashLevel))
	c := DefaultConfig()
	c.Roots = map[string]Root{"data": {Path: filepath.Join(dir, "data"), Durability: Durability(level)}, "other": {Path: filepath.Join(dir, "other")}}
	m, err := New(c)
	if err == nil {
		err = m.Start(context.Background())
	}
	if err != nil {
		os.Exit(3)
	}
	m.step = func(step string) {
		if step == os.Getenv(crashStep) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it ends here
		}
	}
	ctx, text := context.Background(), bytes.NewReader(newText())
	switch os.Getenv(crashAction) {
	case "write":
		_, err = m.Write(ctx, data("f"), text, Options{})
	case "append":
		_, err = m.Append(ctx, data("f"), text, Options{})
	case "copy":
		_, err = m.Copy(ctx, data("source"), data("f"), Options{})
	case "move":
		_, err = m.Move(ctx, data("source"), data("f"), Options{})
	case "carry":
		_, err = m.Move(ctx, Ref{"other", "source"}, data("f"), Options{})
	}
	if err != nil {
		os.Exit(4)
	}
	os.Exit(0) // the step was not met
	return true
}

func TestKilledAtAnyStepAFileIsOldOrNew(t *testing.T) {
	steps := map[string][]string{
		"write":  {"staged", "block", "synced", "renamed", "done"},
		"append": {"staged", "copied", "block", "synced", "renamed", "done"},
		"copy":   {"staged", "block", "synced", "renamed", "done"},
		"move":   {"renamed"},
		"carry":  {"staged", "block", "synced", "renamed", "carried"},
	}
	for action, names := range steps {
		for _, step := range names {
			for _, level := range []Durability{DurabilityRename, DurabilityFull} {
				t.Run(action+"/"+step+"/"+level.String(), func(t *testing.T) { killAt(t, action, step, level) })
			}
		}
	}
}

func killAt(t *testing.T, action, step string, level Durability) {
	t.Parallel()
	dir := t.TempDir()
	target := filepath.Join(dir, "data/f")
	mustWrite(t, target, string(oldText()))
	mustWrite(t, filepath.Join(dir, "data/source"), string(newText()))
	mustWrite(t, filepath.Join(dir, "other/source"), string(newText()))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashAction+"="+action, crashStep+"="+step, crashLevel+"="+strconv.Itoa(int(level)))
	err = cmd.Run()
	var exit *exec.ExitError
	if status, ok := (syscall.WaitStatus)(0), errors.As(err, &exit); ok {
		status, _ = exit.Sys().(syscall.WaitStatus)
		if !status.Signaled() || status.Signal() != syscall.SIGKILL {
			t.Fatalf("the other process ended with %v", err)
		}
	} else {
		t.Fatalf("the other process was not killed: %v", err)
	}
	before := content(t, target)
	whole := string(newText())
	if action == "append" {
		whole = string(oldText()) + whole
	}
	placed := step == "renamed" || step == "done" || step == "carried"
	if placed && before != whole || !placed && before != string(oldText()) {
		t.Fatalf("after %s the file has %d bytes and begins %.20q", step, len(before), before)
	}
	// The next start removes what is left, and works.
	m, err := New(Config{Roots: map[string]Root{"data": {Path: filepath.Join(dir, "data")}, "other": {Path: filepath.Join(dir, "other")}}, MaxConcurrent: 4})
	if err == nil {
		err = m.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if m.Stats().Swept == 0 {
		t.Error("nothing was swept")
	}
	if _, err := m.WriteBytes(t.Context(), data("f"), []byte("after"), Options{}); err != nil {
		t.Error(err)
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if left := listAll(t, dir); strings.Contains(left, stageDir) {
		t.Error("left over:", left)
	}
}

func listAll(t *testing.T, dir string) string {
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, _ fs.DirEntry, err error) error {
		names = append(names, p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func TestASweepLeavesTheStageOfALivingProcess(t *testing.T) {
	m, dir := newManager(t, nil)
	began, goOn := make(chan struct{}), make(chan struct{})
	m.step = func(step string) {
		if step == "block" {
			close(began)
			<-goOn
		}
	}
	done := make(chan error)
	go func() {
		_, err := m.WriteBytes(context.Background(), data("f"), []byte("x"), Options{})
		done <- err
	}()
	<-began
	second, _ := newManager(t, func(c *Config) { c.Roots["data"] = Root{Path: dir} })
	if n := second.Stats().Swept; n != 0 {
		t.Error("stage folders in use were swept:", n)
	}
	if err := second.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
