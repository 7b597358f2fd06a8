package files

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if crashed() {
		return
	}
	goleak.VerifyTestMain(m)
}

// newManager returns a started manager with a root "data" in a folder of the test,
// and that folder. It is stopped with the test, and no staged file may be left then.
func newManager(tb testing.TB, change func(*Config)) (*Manager, string) {
	tb.Helper()
	c := DefaultConfig()
	dir := tb.TempDir()
	c.Roots = map[string]Root{"data": {Path: dir}}
	if change != nil {
		change(&c)
	}
	m, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	if err := m.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := m.Stop(ctx); err != nil {
			tb.Error(err)
		}
		for _, r := range c.Roots {
			if _, err := os.Lstat(filepath.Join(r.Path, stageDir)); !errors.Is(err, fs.ErrNotExist) {
				tb.Errorf("the stage folder of %s is still there: %v", r.Path, err)
			}
		}
	})
	return m, dir
}

func data(path string) Ref { return Ref{"data", path} }

func mustWrite(tb testing.TB, name, text string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func content(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// endless gives bytes for ever, and tells of its first.
type endless struct{ first chan struct{} }

func (e endless) Read(b []byte) (int, error) {
	select {
	case <-e.first:
	default:
		close(e.first)
	}
	return copy(b, bytes.Repeat([]byte("x"), 100)), nil
}
