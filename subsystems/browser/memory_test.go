package browser

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// withShm is a program that runs an engine where /dev/shm is a file system of its own
// of that size, in a mount namespace that ends with it.
func withShm(t *testing.T, e Engine, size string) string {
	t.Helper()
	c := DefaultConfig()
	program, err := c.program(e)
	if err != nil {
		t.Fatal(err)
	}
	const enter = "unshare --mount sh -c 'mount -t tmpfs -o size=%s tmpfs /dev/shm && %s'"
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", fmt.Sprintf(enter, size, "true")).CombinedOutput(); err != nil {
		t.Skipf("no mount namespace of its own: %v %s", err, out) // wants root
	}
	path := filepath.Join(shortDir(t), "engine")
	script := fmt.Sprintf("#!/bin/sh\nexec unshare --mount sh -c 'mount -t tmpfs -o size=%s tmpfs /dev/shm && head -c 1G /dev/zero >/dev/shm/full 2>/dev/null; exec %s \"$@\"' sh \"$@\"\n", size, program)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// picture is a page whose screenshot takes more shared memory than a small /dev/shm has.
const picture = `<title>big</title><body style="margin:0"><canvas id=c width=2000 height=2000></canvas><script>
const g = c.getContext("2d"); for (let i = 0; i < 2000; i++) { g.fillStyle = "hsl(" + i + ",90%,50%)"; g.fillRect(i, 0, 1, 2000) }</script>`

func TestBrowsersWorkWhereSharedMemoryIsFull(t *testing.T) {
	needs(t, HeadlessShell)
	r := newRig(t, func(c *Config) { c.HeadlessShell = withShm(t, HeadlessShell, "1m") })
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(picture)) })
	for range 3 {
		if got := r.do(Tab{}, Job{URL: s.URL + "/", Action: Screenshot, FullPage: true}); len(got.Data) < 1000 || got.Title != "big" {
			t.Errorf("%d bytes of %q", len(got.Data), got.Title)
		}
	}
	if st := r.Stats(); st.Crashes != 0 || st.PageCrashes != 0 {
		t.Errorf("%d browsers and %d pages crashed", st.Crashes, st.PageCrashes)
	}
}

// A page that takes a gigabyte ends, or its browser is replaced; others are served on.
func TestAPageOfAGigabyteIsContained(t *testing.T) {
	needs(t, HeadlessShell)
	r := newRig(t, func(c *Config) { c.MaxMemory = 512 << 20 })
	s := site(t)
	l := r.open(Tab{})
	_, err := l.Do(t.Context(), Job{Action: Evaluate, Script: `(() => { globalThis.kept = [];
		for (let i = 0; i < 64; i++) { const b = new Uint8Array(16 << 20); for (let j = 0; j < b.length; j += 4096) b[j] = 1; kept.push(b) }
		return kept.length })()`})
	t.Logf("the page: %v", err)
	r.tend()
	t.Logf("the browser: %d MB", r.List()[0].Memory>>20)
	before := r.List()[0].PID
	l.Close()
	r.until("its browser is gone", func() bool {
		r.tend()
		list := r.List()
		return len(list) == 0 || list[0].PID != before
	})
	if got := r.do(Tab{}, Job{URL: s.URL + "/hello"}); got.Title != "Hello" {
		t.Errorf("the next job: %+v", got)
	}
	if st := r.Stats(); st.Recycled != 1 {
		t.Errorf("%d recycled", st.Recycled)
	}
}
