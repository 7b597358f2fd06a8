package files

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

// expect waits for events until each of want came.
func expect(t *testing.T, w *Watch, want ...Event) {
	t.Helper()
	left := map[Event]bool{}
	for _, e := range want {
		left[e] = true
	}
	late := time.After(30 * time.Second)
	for len(left) > 0 {
		select {
		case e, ok := <-w.Events():
			if !ok {
				t.Fatal("the watch ended; still wanted:", left)
			}
			delete(left, e)
		case <-late:
			t.Fatal("still wanted:", left)
		}
	}
}

func TestAWatchTellsOfChanges(t *testing.T) {
	m, dir := newManager(t, nil)
	mustWrite(t, filepath.Join(dir, "sub/old"), "x")
	w, err := m.Watch(t.Context(), data(""), Options{Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	flat, err := m.Watch(t.Context(), data("sub"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteBytes(t.Context(), data("sub/new"), []byte("x"), Options{}); err != nil {
		t.Fatal(err)
	}
	expect(t, w, Event{EventCreated, "sub/new"})
	expect(t, flat, Event{EventCreated, "sub/new"})
	mustWrite(t, filepath.Join(dir, "sub/old"), "y")
	expect(t, w, Event{EventWritten, "sub/old"})
	mustWrite(t, filepath.Join(dir, "deep/er/f"), "x") // folders that come are followed
	expect(t, w, Event{EventCreated, "deep"}, Event{EventCreated, "deep/er"}, Event{EventCreated, "deep/er/f"})
	if err := os.Rename(filepath.Join(dir, "deep"), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	expect(t, w, Event{EventRenamed, "deep"}, Event{EventCreated, "moved"}, Event{EventCreated, "moved/er/f"})
	mustWrite(t, filepath.Join(dir, "moved/er/g"), "x")
	expect(t, w, Event{EventCreated, "moved/er/g"})
	if err := m.Remove(t.Context(), data("moved"), Options{Recursive: true}); err != nil {
		t.Fatal(err)
	}
	expect(t, w, Event{EventRemoved, "moved/er/g"}, Event{EventRemoved, "moved"})
	if n := m.Stats().Watches; n != 2 {
		t.Error(n, "watches")
	}
	if err := flat.Close(); err != nil {
		t.Error(err)
	}
	for range flat.Events() { // to its end
	}
}

func TestAWatchEndsWithItsContextAndWithTheManager(t *testing.T) {
	m, _ := newManager(t, nil)
	before := openFiles(t)
	ctx, cancel := context.WithCancel(t.Context())
	w, err := m.Watch(ctx, data(""), Options{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for range w.Events() {
	}
	if w, err = m.Watch(t.Context(), data(""), Options{}); err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range w.Events() {
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d files are open, %d were before", after, before)
	}
}

func TestOneWhoDoesNotReadIsToldThatHeMissedEvents(t *testing.T) {
	m, dir := newManager(t, nil)
	w, err := m.Watch(t.Context(), data(""), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * eventsKept {
		mustWrite(t, filepath.Join(dir, "f"+string(rune('a'+i%20))), "x")
	}
	testkit.Until(t, "as many events wait as are kept", func() bool { return len(w.events) == eventsKept })
	expect(t, w, Event{EventCreated, "fa"})
	mustWrite(t, filepath.Join(dir, "last"), "x")
	expect(t, w, Event{Kind: EventMissed})
}

func TestTheLimitOfWatchesIsSaid(t *testing.T) {
	m, dir := newManager(t, func(c *Config) { c.MaxWatches = 2 })
	mustWrite(t, filepath.Join(dir, "a/b/f"), "x")
	if _, err := m.Watch(t.Context(), data(""), Options{Recursive: true}); !errors.Is(err, ErrWatchLimit) || Status(err) != 503 {
		t.Error(err)
	}
	if n := m.Stats().Watches; n != 0 {
		t.Error(n, "watches")
	}
}

const limitedDir = "GAIA_TEST_WATCH_DIR"

// TestTheSystemsLimitOfWatchesIsSaid runs itself in a user namespace in which one
// folder may be watched.
func TestTheSystemsLimitOfWatchesIsSaid(t *testing.T) {
	if dir := os.Getenv(limitedDir); dir != "" {
		watchLimited(t, dir)
		return
	}
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "a/b/f"), "x")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestTheSystemsLimitOfWatchesIsSaid$", "-test.v")
	cmd.Env = append(os.Environ(), limitedDir+"="+dir)
	id := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	group := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: id, GidMappings: group}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "--- SKIP") {
		t.Skip("the system allows no user namespace with a limit of its own:", err)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func watchLimited(t *testing.T, dir string) {
	if err := os.WriteFile("/proc/sys/user/max_inotify_watches", []byte("1"), 0); err != nil {
		t.Skip(err)
	}
	m, _ := newManager(t, func(c *Config) { c.Roots["data"] = Root{Path: dir} })
	_, err := m.Watch(t.Context(), data(""), Options{Recursive: true})
	if !errors.Is(err, ErrWatchLimit) || !strings.Contains(err.Error(), "fs.inotify.max_user_watches") {
		t.Error(err)
	}
}
