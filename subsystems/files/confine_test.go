package files

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gaia-host/gaia/internal/testkit"
)

func TestPathsThatLeaveTheRootAreRefused(t *testing.T) {
	m, dir := newManager(t, nil)
	outside := t.TempDir()
	mustWrite(t, filepath.Join(outside, "secret"), "secret")
	for link, to := range map[string]string{"out": outside, "file": filepath.Join(outside, "secret"), "up": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	for _, path := range []string{
		"/etc/passwd", "../secret", "a/../../secret", "..", "a\x00b", "x/..", ".gaia", ".GAIA/x", "./.gaia/y",
		strings.Repeat("a/", 3000), strings.Repeat("n", 256),
		"out/secret", "file", "up/x",
	} {
		ref := data(path)
		_, readErr := m.Read(ctx, ref, Options{})
		_, writeErr := m.WriteBytes(ctx, data(path), []byte("x"), Options{Durability: DurabilityNone})
		if path == "file" || path == "up/x" {
			writeErr = ErrPath // asserted below: the link itself is replaced, or its folder is outside
		}
		for _, err := range []error{readErr, writeErr} {
			if !errors.Is(err, ErrPath) || Status(err) != 400 {
				t.Errorf("%.40q: %v", path, err)
			}
		}
	}
	for _, path := range []string{"out/new", "up/new"} {
		_, err := m.WriteBytes(ctx, data(path), []byte("x"), Options{Parents: true})
		if err == nil {
			t.Errorf("%s was written", path)
		}
		if _, _, err := m.List(ctx, data(filepath.Dir(path)), Options{}); !errors.Is(err, ErrPath) {
			t.Errorf("%s was listed: %v", path, err)
		}
		if _, err := m.Watch(ctx, data(filepath.Dir(path)), Options{}); !errors.Is(err, ErrPath) {
			t.Errorf("%s is watched: %v", path, err)
		}
		if err := m.Remove(ctx, data(path), Options{Recursive: true}); err == nil {
			t.Errorf("%s was removed", path)
		}
	}
	// A write to a link that leads out replaces the link.
	if _, err := m.WriteBytes(ctx, data("file"), []byte("mine"), Options{}); err != nil {
		t.Error(err)
	}
	if got := content(t, filepath.Join(outside, "secret")); got != "secret" {
		t.Errorf("the file outside holds %q", got)
	}
	if _, err := m.Read(ctx, Ref{"none", "x"}, Options{}); !errors.Is(err, ErrRoot) || Status(err) != 404 {
		t.Error(err)
	}
}

func TestWhatIsNoRegularFileIsRefusedAtOnce(t *testing.T) {
	m, dir := newManager(t, nil)
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Log("no device could be made:", err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mustWrite(t, filepath.Join(dir, "folder/f"), "x")
	for _, name := range []string{"pipe", "null", "socket", "folder"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		_, readErr := m.Read(t.Context(), data(name), Options{})
		if !errors.Is(readErr, ErrNotRegular) {
			t.Errorf("%s was read: %v", name, readErr)
		}
		for level := DurabilityNone; level <= DurabilityFile; level++ {
			_, err := m.WriteBytes(t.Context(), data(name), []byte("x"), Options{Durability: level})
			if s := Status(err); s != 403 && s != 409 {
				t.Errorf("%s was written (%v): %v", name, level, err)
			}
		}
	}
}

// TestSwappedLinksHammer swaps a folder for a link that leads out while files below
// it are read, written and removed. Nothing outside may be seen or changed.
func TestSwappedLinksHammer(t *testing.T) {
	m, dir := newManager(t, nil)
	outside := t.TempDir()
	mustWrite(t, filepath.Join(outside, "f"), "secret")
	mustWrite(t, filepath.Join(dir, "inside/f"), "mine")
	link, next := filepath.Join(dir, "link"), filepath.Join(dir, "next")
	var stop atomic.Bool
	var swaps sync.WaitGroup
	swaps.Go(func() {
		for i := 0; !stop.Load(); i++ {
			to := "inside"
			if i%2 == 0 {
				to = outside
			}
			if err := errors.Join(os.Symlink(to, next), os.Rename(next, link)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	rounds := 300
	if testing.Short() {
		rounds = 100
	}
	var seen atomic.Int64
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range rounds {
				got, err := m.Read(t.Context(), data("link/f"), Options{})
				switch {
				case err == nil && string(got) != "mine" && string(got) != "new":
					t.Errorf("read %q", got)
				case err == nil:
					seen.Add(1)
				}
				_, _ = m.WriteBytes(t.Context(), data("link/f"), []byte("new"), Options{Durability: DurabilityRename})
				_, _ = m.WriteBytes(t.Context(), data("link/g"), []byte("new"), Options{Durability: DurabilityNone})
				_ = m.Remove(t.Context(), data("link/g"), Options{})
			}
		})
	}
	work.Wait()
	stop.Store(true)
	swaps.Wait()
	if got := listAll(t, outside); got != ". f" || content(t, filepath.Join(outside, "f")) != "secret" {
		t.Error("outside there is", got)
	}
	t.Log("reads that got through:", seen.Load())
}

func TestFoldersThatVanishAreLeftOutOfAWalk(t *testing.T) {
	m, dir := newManager(t, nil)
	for _, f := range []string{"a/x", "b/x", "c/x"} {
		mustWrite(t, filepath.Join(dir, f), "x")
	}
	var seen []string
	_, err := m.Walk(t.Context(), data(""), Options{}, func(e Entry) error {
		seen = append(seen, e.Path)
		if e.Path == "a" {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "a")), os.RemoveAll(filepath.Join(dir, "b")))
		}
		return nil
	})
	if got := strings.Join(seen, " "); err != nil || strings.Contains(got, "/x c") || !strings.HasSuffix(got, " c c/x") {
		t.Error(got, err)
	}
}

// TestManyOperationsAtOnceHammer has 500 callers; goroutines of the manager and open files stay bounded.
func TestManyOperationsAtOnceHammer(t *testing.T) {
	const callers, atOnce = 500, 16
	m, dir := newManager(t, func(c *Config) { c.MaxConcurrent = atOnce })
	before := openFiles(t)
	var running, most atomic.Int64
	m.step = func(step string) {
		switch step {
		case "staged":
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
		case "done":
			running.Add(-1)
		}
	}
	peak := before
	var work sync.WaitGroup
	for i := range callers {
		work.Go(func() {
			ref := data("d/" + string(rune('a'+i%26)))
			if _, err := m.WriteBytes(context.Background(), ref, []byte("text"), Options{Parents: true, Durability: DurabilityRename}); err != nil {
				t.Error(err)
			}
			if got, err := m.Read(context.Background(), ref, Options{}); err != nil || string(got) != "text" {
				t.Error(got, err)
			}
		})
	}
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for open := true; open; {
		select {
		case <-done:
			open = false
		case <-look.C:
			peak = max(peak, openFiles(t))
		}
	}
	if most.Load() > atOnce || peak > before+3*atOnce+8 {
		t.Errorf("%d operations at once, %d files open of %d before; %d are allowed", most.Load(), peak, before, atOnce)
	}
	s := m.Stats()
	if s.Succeeded != 2*callers || s.InFlight != 0 || s.Staged != 0 {
		t.Errorf("%+v", s)
	}
	if s.BuffersMade*2 > s.BuffersTaken && !testkit.Race {
		t.Errorf("%d buffers were made for %d uses", s.BuffersMade, s.BuffersTaken)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "d")); len(entries) != 26 || err != nil {
		t.Error(len(entries), err)
	}
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc/self/fd:", err)
	}
	return len(entries)
}
