package wasm

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
)

// openOnce opens a policy in an engine of its own and returns what was logged.
func openOnce(t *testing.T, dir string) string {
	t.Helper()
	var logged bytes.Buffer
	e, err := NewEngine(EngineConfig{CacheDir: dir, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p, err := e.Open(bg, Source{Path: "testdata/bench.wasm"}, Config{Instances: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var d policy.Decision
	if err := p.OnRequest(request(), &d); err != nil || d.Action != policy.ActionAllow {
		t.Fatalf("%v %+v", err, d)
	}
	return logged.String()
}

func entriesOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var entries []string
	for _, f := range files {
		if !strings.HasSuffix(f, sumSuffix) {
			entries = append(entries, f)
		}
	}
	return entries
}

// Damage of any kind to an entry costs a compilation and a log line, never a start.
func TestDamagedCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "cache")
	if log := openOnce(t, dir); log != "" {
		t.Errorf("the first start logs %q", log)
	}
	entries := entriesOf(t, dir)
	if len(entries) != 1 {
		t.Fatalf("entries %v", entries)
	}
	whole, err := os.ReadFile(entries[0])
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the cache has mode %v (%v)", st.Mode(), err)
	}
	if log := openOnce(t, dir); log != "" || len(entriesOf(t, dir)) != 1 {
		t.Errorf("the second start logs %q", log)
	}
	head := func(b []byte) { b[len("WAZEVO")+9] ^= 0xff } // lengths and offsets, which wazero does not check
	for name, damage := range map[string]func([]byte) []byte{
		"cut":   func(b []byte) []byte { return b[:len(b)/2] },
		"empty": func([]byte) []byte { return nil },
		"head":  func(b []byte) []byte { head(b); return b },
		"code":  func(b []byte) []byte { b[len(b)/2]++; return b },
	} {
		if err := os.WriteFile(entries[0], damage(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		if log := openOnce(t, dir); !strings.Contains(log, "damaged") {
			t.Errorf("%s: logged %q", name, log)
		}
		if b, err := os.ReadFile(entries[0]); err != nil || !bytes.Equal(b, whole) {
			t.Errorf("%s: the entry was not written anew (%v)", name, err)
		}
	}
	if err := os.Remove(entries[0] + sumSuffix); err != nil {
		t.Fatal(err)
	}
	if log := openOnce(t, dir); !strings.Contains(log, "unfinished") {
		t.Errorf("without its checksum: logged %q", log)
	}
}

// An entry that breaks while the engine runs, and a directory that cannot be written, cost no more.
func TestCacheFailsLate(t *testing.T) {
	dir := t.TempDir()
	openOnce(t, dir)
	var logged bytes.Buffer
	e, err := NewEngine(EngineConfig{CacheDir: dir, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := os.WriteFile(entriesOf(t, dir)[0], []byte("nothing of use"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := e.Open(bg, Source{Path: "testdata/bench.wasm"}, Config{Instances: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil || !strings.Contains(logged.String(), "went on without it") {
		t.Errorf("%v, logged %q", err, logged.String())
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if p, err = e.Open(bg, Source{Path: "testdata/words.wasm"}, Config{Instances: 1}); err != nil {
		t.Fatalf("the directory is gone: %v", err)
	}
	p.Close()
}

func TestCacheDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	openOnce(t, dir)
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("an open directory stays open: %v %v", st.Mode(), err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewEngine(EngineConfig{CacheDir: file}); err == nil {
		t.Error("a file is taken for a directory")
	}
}

// The cache does not grow without end.
func TestCacheIsBounded(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "wazero-v0-test")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range maxEntries + 9 {
		if err := os.WriteFile(filepath.Join(folder, strings.Repeat("a", i+1)), []byte{byte(i)}, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := openCache(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c.seal()
	c.sweep()
	if n := len(entriesOf(t, dir)); n != maxEntries {
		t.Errorf("%d entries are kept, want %d", n, maxEntries)
	}
}
