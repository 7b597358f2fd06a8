package files

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

func withQuota(bytes, files int64) func(*Config) {
	return func(c *Config) {
		r := c.Roots["data"]
		r.Quota, r.QuotaFiles = bytes, files
		c.Roots["data"] = r
	}
}

func text(n int) string { return strings.Repeat("x", n) }

// unsized hides the size of what is read.
func unsized(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) }

func TestAQuotaHoldsBeforeAndDuringAWrite(t *testing.T) {
	for _, level := range []Durability{DurabilityNone, DurabilityRename} {
		t.Run(level.String(), func(t *testing.T) {
			m, dir := newManager(t, withQuota(3*bufferSize, 5))
			o := Options{Durability: level}
			write := func(name string, n int) error {
				_, err := m.Write(t.Context(), data(name), unsized(text(n)), o)
				return err
			}
			if err := errors.Join(write("a", bufferSize), write("b", bufferSize)); err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{bufferSize + 1, 5 * bufferSize} { // found at the first block, or at a later one
				if err := write("c", n); !errors.Is(err, ErrQuota) || Status(err) != 507 {
					t.Fatal(err)
				}
				if _, err := os.Lstat(filepath.Join(dir, "c")); err == nil {
					t.Fatal("a part of the file is there")
				}
			}
			if err := write("a", 2*bufferSize); err != nil { // what a file holds already is not counted twice
				t.Fatal(err)
			}
			if _, err := m.Append(t.Context(), data("b"), unsized("y"), o); !errors.Is(err, ErrQuota) {
				t.Fatal(err)
			}
			if got := content(t, filepath.Join(dir, "b")); got != text(bufferSize) {
				t.Fatalf("the file that could not grow has %d bytes", len(got))
			}
			if err := m.Remove(t.Context(), data("a"), Options{}); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(write("c", bufferSize), write("d", 0), write("e", 0), m.Mkdir(t.Context(), data("f"), o)); err != nil {
				t.Fatal(err)
			}
			if err := write("g", 0); !errors.Is(err, ErrQuota) {
				t.Fatal("a sixth entry:", err)
			}
			if err := m.Mkdir(t.Context(), data("g"), o); !errors.Is(err, ErrQuota) {
				t.Fatal("a sixth entry:", err)
			}
			checkUsage(t, m)
		})
	}
}

// checkUsage holds what the manager believes against a new count.
func checkUsage(t *testing.T, m *Manager) {
	t.Helper()
	for _, r := range m.roots {
		bytes, files := r.use.now()
		if err := r.count(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b, f := r.use.now(); b != bytes || f != files {
			t.Errorf("root %s: kept %d bytes and %d entries, counted %d and %d", r.name, bytes, files, b, f)
		}
		r.use.mu.Lock()
		if r.use.heldBytes != 0 || r.use.heldFiles != 0 {
			t.Errorf("root %s: %d bytes and %d entries are still promised", r.name, r.use.heldBytes, r.use.heldFiles)
		}
		r.use.mu.Unlock()
	}
}

func TestQuotaHammer(t *testing.T) {
	const quota = 100_000
	m, _ := newManager(t, withQuota(quota, 12))
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for n := range 40 {
				ref := data(string(rune('a' + (i*7+n)%16)))
				o := Options{Durability: DurabilityRename, Exclusive: n%5 == 0}
				switch n % 4 {
				case 0, 1:
					_, _ = m.Write(context.Background(), ref, unsized(text((i*n*997)%40_000)), o)
				case 2:
					_, _ = m.Append(context.Background(), ref, unsized(text(1000)), Options{Durability: Durability(1 + n%2)})
				case 3:
					_, _ = m.Move(context.Background(), ref, data(string(rune('a'+n%16))), o)
					_ = m.Remove(context.Background(), ref, Options{})
				}
				if bytes, files := m.roots[0].use.now(); bytes > quota || files > 12 {
					t.Errorf("%d bytes and %d entries are over the quota", bytes, files)
				}
			}
		})
	}
	work.Wait()
	checkUsage(t, m)
}

func TestAQuotaSeesWhatOthersWrite(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "there"), text(60))
	m, _ := newManager(t, func(c *Config) {
		c.Roots["data"] = Root{Path: dir, Quota: 100}
		c.Rescan = time.Nanosecond // with every look
	})
	if _, err := m.WriteBytes(t.Context(), data("f"), []byte(text(50)), Options{}); !errors.Is(err, ErrQuota) {
		t.Fatal("what was there at the start does not count:", err)
	}
	if err := os.Remove(filepath.Join(dir, "there")); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, "the usage is 0", func() bool { return m.Usage()[0].Bytes == 0 })
	if _, err := m.WriteBytes(t.Context(), data("f"), []byte(text(50)), Options{}); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(dir, "other"), text(60))
	testkit.Until(t, "the usage is 110 bytes", func() bool { return m.Usage()[0].Bytes == 110 })
	if _, err := m.Append(t.Context(), data("f"), strings.NewReader("x"), Options{}); !errors.Is(err, ErrQuota) {
		t.Fatal("what came later does not count:", err)
	}
}

func TestSettingsOfARootChangeWhileItIsUsed(t *testing.T) {
	m, dir := newManager(t, nil)
	if _, err := m.WriteBytes(t.Context(), data("f"), []byte(text(60)), Options{}); err != nil {
		t.Fatal(err)
	}
	c := *m.live.Load()
	c.Roots = map[string]Root{"data": {Path: dir, Quota: 100}}
	if err := m.SetConfig(c); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, "the root is counted", func() bool { return m.Usage()[0].Counted })
	if _, err := m.WriteBytes(t.Context(), data("g"), []byte(text(60)), Options{}); !errors.Is(err, ErrQuota) {
		t.Error(err)
	}
	c.Roots = map[string]Root{"data": {Path: dir, ReadOnly: true}}
	if err := m.SetConfig(c); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"write":  second(m.WriteBytes(t.Context(), data("g"), nil, Options{})),
		"remove": m.Remove(t.Context(), data("f"), Options{}),
		"move":   second(m.Move(t.Context(), data("f"), data("g"), Options{})),
		"mkdir":  m.Mkdir(t.Context(), data("g"), Options{}),
	} {
		if !errors.Is(err, ErrReadOnly) || Status(err) != 403 {
			t.Error(name, err)
		}
	}
	if _, err := m.Read(t.Context(), data("f"), Options{}); err != nil {
		t.Error(err)
	}
	c.MaxRead = -1
	if err := m.SetConfig(c); err == nil {
		t.Error("a bad configuration was taken")
	}
}

func second(_ Entry, err error) error { return err }

func TestMaxFileBoundsAWrite(t *testing.T) {
	m, dir := newManager(t, func(c *Config) { c.MaxFile = bufferSize })
	if _, err := m.Write(t.Context(), data("f"), unsized(text(bufferSize)), Options{}); err != nil {
		t.Error(err)
	}
	if _, err := m.Append(t.Context(), data("f"), unsized("x"), Options{}); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if got := len(content(t, filepath.Join(dir, "f"))); got != bufferSize {
		t.Error(got)
	}
}

// TestAFullDiskLeavesNoHalfFile fills a real file system.
func TestAFullDiskLeavesNoHalfFile(t *testing.T) {
	dir := testkit.Disk(t, "1m")
	m, _ := newManager(t, func(c *Config) { c.Roots["data"] = Root{Path: dir} })
	old := text(300 << 10)
	if _, err := m.Write(t.Context(), data("f"), unsized(old), Options{}); err != nil {
		t.Fatal(err)
	}
	for action, err := range map[string]error{
		"write":  second(m.Write(t.Context(), data("f"), unsized(text(2<<20)), Options{})),
		"append": second(m.Append(t.Context(), data("f"), unsized(text(2<<20)), Options{})),
		"new":    second(m.Write(t.Context(), data("g"), unsized(text(2<<20)), Options{})),
		"scrap":  second(m.Write(t.Context(), data("h"), unsized(text(2<<20)), Options{Durability: DurabilityNone})),
		"grow":   second(m.Append(t.Context(), data("f"), unsized(text(2<<20)), Options{Durability: DurabilityNone})),
	} {
		if !errors.Is(err, syscall.ENOSPC) || Status(err) != 507 {
			t.Errorf("%s: %v", action, err)
		}
	}
	if content(t, filepath.Join(dir, "f")) != old {
		t.Error("the old file is not as it was")
	}
	if entries, more, err := m.List(t.Context(), data(""), Options{}); len(entries) != 1 || more || err != nil {
		t.Error("half files are there:", entries, err)
	}
	if err := m.Remove(t.Context(), data("f"), Options{}); err != nil {
		t.Error("nothing can be removed from a full disk:", err)
	}
	if _, err := m.Write(t.Context(), data("f"), unsized(old), Options{}); err != nil {
		t.Error("after room was made:", err)
	}
	if u := m.Usage()[0]; u.Free <= 0 || u.Free > 1<<20 {
		t.Error(u)
	}
}
