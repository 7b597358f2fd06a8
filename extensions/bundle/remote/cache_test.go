package remote

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// asks counts what a registry was asked during do.
func (h *hub) asks(do func()) int {
	h.mu.Lock()
	before := h.asked
	h.mu.Unlock()
	do()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked - before
}

func TestPinnedInARegistryNeedsNoNetworkTwice(t *testing.T) {
	anonymous(t)
	h := newHub(t)
	dir := t.TempDir()
	use := h.ref("p@" + h.artifact(t, "1", module, nil))
	for range 2 {
		if _, err := New(Config{Dir: dir}).Fetch(t.Context(), use, Want{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := h.asks(func() {
		if _, err := New(Config{Dir: dir}).Fetch(t.Context(), use, Want{}); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("it was asked for %d times", n)
	}
	// The disk is checked like the network, module and manifest.
	for _, path := range cacheFiles(t, dir) {
		if strings.Contains(path, addressesDir) {
			continue
		}
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(good, ' '), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := New(Config{Dir: dir}).Fetch(t.Context(), use, Want{})
		if err != nil || string(m.Code) != module {
			t.Errorf("%s was changed: %v", path, err)
		}
		if mended, err := os.ReadFile(path); err != nil || string(mended) != string(good) {
			t.Errorf("%s is not mended: %v", path, err)
		}
	}
	h.Close()
	if _, err := New(Config{Dir: dir}).Fetch(t.Context(), use, Want{}); err != nil {
		t.Errorf("without the registry: %v", err)
	}
}

// Whatever a registry answers while it is in trouble, a start takes what was kept of a
// tag; a reload does not, and what is refused is not replaced by what is old.
func TestOutageOfARegistryStopsNoStart(t *testing.T) {
	anonymous(t)
	h := newHub(t)
	secret, public := keys(t)
	s := New(Config{Dir: t.TempDir()})
	pushed, err := s.Push(t.Context(), h.ref("p:1"), File{Name: "p.js", Code: []byte(module), Signature: sign(t, module, secret)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Want{Keys: []string{public}, Stale: true}
	if _, err := s.Fetch(t.Context(), pushed.Address, want); err != nil {
		t.Fatal(err)
	}
	const at = "/v2/p/manifests/1"
	for _, code := range []int{401, 403, 404, 429, 500, 503} {
		h.on(http.MethodGet, at, status(code, "no"))
		m, err := s.Fetch(t.Context(), pushed.Address, want)
		if err != nil || m.Resolved != pushed.Resolved || m.Signer == "" {
			t.Errorf("%d: %v", code, err)
		}
	}
	h.on(http.MethodGet, at, status(500, "no"))
	if _, err := s.Fetch(t.Context(), pushed.Address, Want{Keys: []string{public}}); !errors.Is(err, ErrFetch) {
		t.Errorf("at a reload: %v", err)
	}
	_, stranger := keys(t)
	if _, err := s.Fetch(t.Context(), pushed.Address, Want{Keys: []string{stranger}, Stale: true}); err == nil {
		t.Error("what was kept is not held to the keys of today")
	}
	h.mu.Lock()
	delete(h.plant, "GET "+at)
	h.mu.Unlock()
	h.artifact(t, "1", module+"//", nil)
	if _, err := s.Fetch(t.Context(), pushed.Address, want); !errors.Is(err, ErrRefused) {
		t.Errorf("an unsigned one was put there: %v", err)
	}
}

// A lock file pins a tag by the digest of the file.
func TestLockedTagIsTakenFromTheCache(t *testing.T) {
	anonymous(t)
	h := newHub(t)
	s := New(Config{Dir: t.TempDir()})
	h.artifact(t, "1", module, nil)
	if _, err := s.Fetch(t.Context(), h.ref("p:1"), Want{FirstUse: true}); err != nil {
		t.Fatal(err)
	}
	h.artifact(t, "1", module+"//", nil)
	m, err := s.Fetch(t.Context(), h.ref("p:1"), Want{Digest: Digest([]byte(module))})
	if err != nil || string(m.Code) != module {
		t.Error(err)
	}
}

// script is a module of about 10 kB that is no other.
func script(n int) string { return fmt.Sprintf("%s//%d%s", module, n, strings.Repeat(" ", 10_000)) }

func TestCacheIsBounded(t *testing.T) {
	anonymous(t)
	h := newHub(t)
	dir := t.TempDir()
	const bound = 100_000
	s, other := New(Config{Dir: dir, MaxCache: bound}), New(Config{Dir: dir, MaxCache: bound})
	fetch := func(s *Store, n int) *Module {
		m, err := s.Fetch(t.Context(), h.ref("p@"+h.artifact(t, fmt.Sprint(n), script(n), nil)), Want{})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	// age makes the files as old as they would be after some days.
	age := func() {
		for _, path := range cacheFiles(t, dir) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			old := info.ModTime().Add(-24 * time.Hour)
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	running := fetch(s, 0) // of a gaia that goes on
	for n := 1; n <= 20; n++ {
		age()
		fetch(other, n).Release()
		if n == 3 || n == 4 {
			fetch(other, 1).Release() // used again
		}
		if _, total := s.entries(); total > bound {
			t.Fatalf("%d bytes are kept", total)
		}
		if n == 5 {
			if kept := h.asks(func() { fetch(other, 1).Release() }); kept != 0 {
				t.Error("what was used lately was dropped")
			}
			if again := h.asks(func() { fetch(other, 2).Release() }); again == 0 {
				t.Error("what was used longest ago was kept")
			}
		}
	}
	if kept := h.asks(func() { fetch(other, 0).Release() }); kept != 0 {
		t.Error("what another gaia runs was dropped")
	}
	running.Release()
	running.Release()
	age()
	for n := 30; n < 40; n++ {
		age()
		fetch(other, n).Release()
	}
	if again := h.asks(func() { fetch(other, 0).Release() }); again == 0 {
		t.Error("what nobody runs any more is kept for ever")
	}
}

// What is in use goes beyond the bound; the next fetch comes back within it.
func TestCacheBeyondItsBoundIsUsed(t *testing.T) {
	anonymous(t)
	h := newHub(t)
	s := New(Config{Dir: t.TempDir(), MaxCache: 30_000})
	modules := make([]*Module, 0, 10)
	for n := range 10 {
		m, err := s.Fetch(t.Context(), h.ref("p@"+h.artifact(t, fmt.Sprint(n), script(n), nil)), Want{})
		if err != nil {
			t.Fatal(err)
		}
		modules = append(modules, m)
	}
	if list, _ := s.entries(); len(list) != 30 {
		t.Errorf("%d files, want module, manifest and address of ten", len(list))
	}
	for _, m := range modules {
		m.Release()
	}
	s.sweep()
	if _, total := s.entries(); total > 30_000 {
		t.Errorf("%d bytes are kept", total)
	}
}

// Leftovers of a crash, after an hour, count and go like all others; folders and links stay.
func TestSweepOfWhatIsNoPolicy(t *testing.T) {
	s := New(Config{Dir: t.TempDir(), MaxCache: smallestEntry})
	if err := os.MkdirAll(s.path(modulesDir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", s.path(modulesDir, "link")); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		path := s.path(modulesDir, fmt.Sprintf(".p%d", i))
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if i > 0 { // .p0 is being written
			old := time.Now().Add(-2 * time.Hour)
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.sweep()
	if left := cacheFiles(t, s.c.Dir); len(left) != 4 || !strings.HasSuffix(left[0], ".p0") || !strings.HasSuffix(left[2], "folder") || !strings.HasSuffix(left[3], "link") {
		t.Errorf("left: %v", left)
	}
}

// Many gaias that fetch, run and leave policies at once in one cache that holds few.
func TestCacheHammer(t *testing.T) {
	anonymous(t)
	h := newHub(t)
	dir := t.TempDir()
	uses := make([]string, 12)
	for n := range uses {
		uses[n] = h.ref("p@" + h.artifact(t, fmt.Sprint(n), script(n), nil))
	}
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			s := New(Config{Dir: dir, MaxCache: 60_000})
			for i := range 30 {
				n := (i*7 + worker*5) % len(uses)
				m, err := s.Fetch(t.Context(), uses[n], Want{})
				if err != nil || string(m.Code) != script(n) {
					t.Errorf("%d: %v", n, err)
					return
				}
				if i%3 == 0 {
					if again, err := New(Config{Dir: dir}).kept(must(parse(uses[n])), must(parse(uses[n])), Want{}); err != nil {
						t.Errorf("%d is in use and was dropped: %v", n, err)
					} else {
						again.Release()
					}
				}
				m.Release()
			}
		})
	}
	wg.Wait()
}

func must(r ref, err error) ref {
	if err != nil {
		panic(err)
	}
	return r
}
