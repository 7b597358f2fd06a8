package browser

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// script writes a program that stands where a browser should.
func script(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "browser")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	return name
}

func TestLaunchFailuresSayWhy(t *testing.T) {
	for name, c := range map[string]struct {
		program string
		want    error
		say     string
	}{
		"absent":  {"/nonexistent/browser", ErrNotInstalled, "chromium-headless-shell"},
		"ends":    {script(t, "echo no display found >&2; exit 3"), ErrLaunch, "no display found"},
		"silent":  {script(t, "exec sleep 60"), ErrLaunch, "deadline"},
		"garbage": {script(t, `printf 'garbage\0' >&4; exec sleep 60`), ErrLaunch, "what the browser sent"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c2 *Config) {
				c2.HeadlessShell, c2.LaunchTimeout = c.program, 300*time.Millisecond
				if name != "silent" {
					c2.LaunchTimeout = patience
				}
			})
			_, err := r.Do(t.Context(), Tab{}, Job{URL: "about:blank"})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.say) {
				t.Errorf("%v", err)
			}
			st := r.Stats()
			if st.Browsers != 0 || st.Tabs != 0 || st.InFlight != 0 || st.Launched != 0 {
				t.Errorf("a failed launch counts: %+v", st)
			}
			if n := r.profiles.count(); n != 0 {
				t.Errorf("%d profiles are left", n)
			}
			if errors.Is(c.want, ErrLaunch) && r.Health() == nil {
				t.Error("it is healthy")
			}
		})
	}
}

func TestFailedLaunchIsNotRepeatedAtOnce(t *testing.T) {
	runs := filepath.Join(t.TempDir(), "runs")
	r := newRig(t, func(c *Config) { c.HeadlessShell = script(t, "echo x >> "+runs+"; exit 1") })
	for range 5 {
		if _, err := r.Do(t.Context(), Tab{}, Job{URL: "about:blank"}); !errors.Is(err, ErrLaunch) {
			t.Fatal(err)
		}
	}
	text, _ := os.ReadFile(runs)
	if n := strings.Count(string(text), "x"); n == 0 || n > 3 {
		t.Errorf("%d launches for 5 jobs", n)
	}
}

func TestNothingIsLaunchedOrWrittenBeforeItIsNeeded(t *testing.T) {
	root := filepath.Join(t.TempDir(), "profiles")
	r := newRig(t, func(c *Config) { c.Dir = root })
	r.close()
	if _, err := os.Stat(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder was made: %v", err)
	}
}

func TestSweepSparesTheLiving(t *testing.T) {
	root := shortDir(t)
	living := &profiles{root: root}
	dir, err := living.make(HeadlessShell)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{poolPrefix + "dead/1/Default", poolPrefix + "nolock", "mine"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, poolPrefix+"dead", lockName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := &profiles{root: root}
	if n, err := other.sweep(); n != 2 || err != nil {
		t.Errorf("%d folders were removed: %v", n, err)
	}
	for name, want := range map[string]bool{dir: true, filepath.Join(root, "mine"): true, filepath.Join(root, poolPrefix+"dead"): false} {
		if _, err := os.Stat(name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := living.end(); err != nil {
		t.Error(err)
	}
	if n, err := other.sweep(); n != 0 || err != nil {
		t.Errorf("after its end %d were left: %v", n, err)
	}
}

func TestRootThatIsTooLongIsRefused(t *testing.T) {
	root := filepath.Join(t.TempDir(), strings.Repeat("x", 60))
	if _, err := (&profiles{root: root}).make(Chromium); err == nil || !strings.Contains(err.Error(), "browser.dir") {
		t.Errorf("%v", err)
	}
}

func TestRootThatOthersCanWriteToIsRefused(t *testing.T) {
	root := t.TempDir()
	if err := os.Chmod(root, 0o777); err != nil { //nolint:gosec // what is refused
		t.Fatal(err)
	}
	if _, err := (&profiles{root: root}).make(Chromium); err == nil {
		t.Error("it was taken")
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if _, err := (&profiles{root: link}).make(Chromium); err == nil {
		t.Error("a link was taken")
	}
}

func TestExtensionRunsInTheWholeBrowser(t *testing.T) {
	needs(t, Chromium)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"manifest.json": `{"manifest_version":3,"name":"mark","version":"1","content_scripts":[{"matches":["<all_urls>"],"js":["mark.js"]}]}`,
		"mark.js":       `document.documentElement.dataset.marked = "yes"`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, s := newRig(t, func(c *Config) {
		c.Extensions = map[string]string{"mark": dir, "broken": t.TempDir()}
	}), site(t)
	read := Job{Action: Evaluate, URL: s.URL + "/hello", Script: "document.documentElement.dataset.marked ?? null"}
	if v := r.do(Tab{Extensions: []string{"mark"}}, read); string(v.Value) != `"yes"` || v.Engine != Chromium {
		t.Errorf("%s in %s", v.Value, v.Engine)
	}
	if v := r.do(Tab{Engine: Chromium}, read); string(v.Value) != "null" {
		t.Errorf("without it: %s", v.Value)
	}
	if _, err := r.Do(t.Context(), Tab{Extensions: []string{"broken"}}, read); !errors.Is(err, ErrLaunch) || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a broken extension: %v", err)
	}
	if _, err := r.Do(t.Context(), Tab{Extensions: []string{"/etc"}}, read); !errors.Is(err, ErrJob) {
		t.Errorf("a folder of the caller's: %v", err)
	}
}

func TestIsolation(t *testing.T) {
	needs(t, HeadlessShell)
	r, s := newRig(t, nil), site(t)
	cookiesOf := func(l *Lease) string {
		t.Helper()
		res, err := l.Do(t.Context(), Job{Action: HTML, URL: s.URL + "/echo"})
		if err != nil {
			t.Fatal(err)
		}
		return string(res.Data)
	}
	set := func(l *Lease, v string) {
		t.Helper()
		if _, err := l.Do(t.Context(), Job{URL: s.URL + "/cookie?v=" + v}); err != nil {
			t.Fatal(err)
		}
	}
	a, b := r.open(Tab{}), r.open(Tab{})
	shared, other := r.open(Tab{Isolation: IsolateTab}), r.open(Tab{Isolation: IsolateTab})
	alone := r.open(Tab{Isolation: IsolateProcess})
	set(a, "a")
	set(shared, "shared")
	for l, want := range map[*Lease]string{a: "seen=a", b: "", shared: "seen=shared", other: "seen=shared", alone: ""} {
		if got := cookiesOf(l); want == "" && strings.Contains(got, "seen") || !strings.Contains(got, want) {
			t.Errorf("%s: cookies %q, want %q", l.Tab.Isolation, got, want)
		}
	}
	if alone.PID() == a.PID() || a.PID() != shared.PID() {
		t.Errorf("processes %d %d %d", alone.PID(), a.PID(), shared.PID())
	}
	alone.Close()
	r.until("its process is gone", func() bool { return r.Stats().Browsers == 1 })
	a.Close()
	again := r.open(Tab{})
	if got := cookiesOf(again); strings.Contains(got, "seen") {
		t.Errorf("cookies of an earlier lease: %q", got)
	}
	for _, l := range []*Lease{b, shared, other, again} {
		l.Close()
	}
}

func TestWindowsThatAPageOpensCloseWithIt(t *testing.T) {
	needs(t, HeadlessShell)
	r, s := newRig(t, nil), site(t)
	keep := r.open(Tab{})
	for _, how := range []Isolation{IsolateContext, IsolateTab} {
		l := r.open(Tab{Isolation: how})
		if _, err := l.Do(t.Context(), Job{URL: s.URL + "/popup", Wait: WaitNetworkIdle}); err != nil {
			t.Error(err)
		}
		l.Close()
		// Its own and the browser's first stay; an answer to close comes before the end.
		r.until("the windows are closed", func() bool { return keep.tab.pages(t) <= 2 })
	}
	keep.Close()
}

func TestFourBrowsersOfTenTabs(t *testing.T) {
	needs(t, HeadlessShell)
	r, s := newRig(t, func(c *Config) { c.Admission.QueueMax = 5 }), site(t)
	begun := time.Now()
	leases := make([]*Lease, 40)
	var all sync.WaitGroup
	for i := range leases {
		all.Go(func() {
			l, err := r.Open(t.Context(), Tab{}, Caller{}, 0)
			if err == nil {
				_, err = l.Do(t.Context(), Job{URL: s.URL + "/hello"})
			}
			if err != nil {
				t.Error(err)
			}
			leases[i] = l
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Logf("40 tabs in 4 browsers, each at a page, after %v", time.Since(begun).Round(time.Millisecond))
	r.tend()
	for _, in := range r.List() {
		t.Logf("browser %d: %d tabs, %d MB", in.ID, in.Tabs, in.Memory>>20)
		if in.Tabs != 10 {
			t.Errorf("browser %d has %d tabs", in.ID, in.Tabs)
		}
	}
	// No room: five wait, the sixth is shed.
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 5)
	for range 5 {
		go func() {
			_, err := r.Do(ctx, Tab{}, Job{URL: "about:blank"})
			errs <- err
		}()
	}
	r.until("five wait", func() bool { return r.Stats().Queued == 5 })
	var d *admission.DeniedError
	if _, err := r.Do(t.Context(), Tab{}, Job{URL: "about:blank"}); !errors.As(err, &d) || d.Status != 429 || d.Kind != admission.KindQueue {
		t.Errorf("the sixth: %v", err)
	}
	cancel()
	for range 5 {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("one that left: %v", err)
		}
	}
	for _, l := range leases {
		all.Go(l.Close)
	}
	all.Wait()
	if st := r.Stats(); st.Tabs != 0 || st.Leases != 0 || st.InFlight != 0 || st.Launched != 4 {
		t.Errorf("%+v", st)
	}
}

func TestCyclesLeaveNothing(t *testing.T) {
	needs(t, HeadlessShell)
	n := 20
	if os.Getenv("GAIA_ACCEPTANCE") != "" {
		n = 200
	}
	r, s := newRig(t, func(c *Config) { c.MaxBrowsers = 2 }), site(t)
	for i := range n {
		l := r.open(Tab{Isolation: IsolateProcess})
		if i == 0 {
			if _, err := l.Do(t.Context(), Job{URL: s.URL + "/hello"}); err != nil {
				t.Error(err)
			}
			r.tend()
			t.Logf("one tab: %d MB", r.List()[0].Memory>>20)
		}
		if i%2 == 1 { // half of them die
			for _, p := range r.rec.processes() {
				if p.PID() == l.PID() {
					p.Kill()
				}
			}
			r.ends(l, ErrCrashed)
		}
		l.Close()
	}
	r.until("all are gone", func() bool { return r.Stats().Browsers == 0 })
	if got := r.profiles.count(); got != 0 {
		t.Errorf("%d profiles are left", got)
	}
	if z := zombies(); len(z) > 0 {
		t.Errorf("zombies: %v", z)
	}
	t.Logf("%d launches: mean %v, tab mean %v", n, mean(r.Launches()), mean(r.Opens()))
}

func mean(h *metrics.Histogram) time.Duration {
	var s metrics.HistogramSnapshot
	h.Snapshot(&s)
	return time.Duration(s.Sum / float64(max(s.Count, 1)) * float64(time.Second)).Round(time.Millisecond)
}

func TestWornBrowsersAreReplaced(t *testing.T) {
	needs(t, HeadlessShell)
	r := newRig(t, func(c *Config) { c.MaxTasks = 2 })
	for range 4 {
		r.do(Tab{}, Job{URL: "about:blank"})
	}
	r.until("both are gone", func() bool { return r.Stats().Browsers == 0 })
	if st := r.Stats(); st.Launched != 2 || st.Recycled != 2 {
		t.Errorf("%d launched, %d recycled", st.Launched, st.Recycled)
	}
	for what, change := range map[string]func(*Config){
		"age": func(c *Config) { c.MaxAge = time.Nanosecond }, "memory": func(c *Config) { c.MaxMemory = 1 },
		"idle": func(c *Config) { c.IdleTimeout = time.Nanosecond },
	} {
		r.do(Tab{}, Job{URL: "about:blank"})
		c := DefaultConfig()
		change(&c)
		if err := r.SetConfig(c); err != nil {
			t.Fatal(err)
		}
		r.until("one is ended by its "+what, func() bool { r.tend(); return r.Stats().Browsers == 0 })
		if err := r.SetConfig(DefaultConfig()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWarmBrowsersAreKeptReady(t *testing.T) {
	needs(t, HeadlessShell)
	r := newRig(t, func(c *Config) { c.MinBrowsers, c.MaxBrowsers, c.IdleTimeout = 1, 1, time.Nanosecond })
	r.until("one is there", func() bool { return r.Stats().Browsers == 1 })
	first := r.List()[0].PID
	r.tend()
	if r.do(Tab{}, Job{URL: "about:blank"}); r.List()[0].PID != first || r.Stats().Launched != 1 {
		t.Error("the warm one was not used")
	}
	for _, p := range r.rec.processes() {
		p.Kill()
	}
	r.until("another took its place", func() bool { return r.Stats().Launched == 2 && r.Stats().Browsers == 1 })
	// Another engine needs its place, and gets it.
	needs(t, Chromium)
	if v := r.do(Tab{Engine: Chromium}, Job{URL: "about:blank"}); v.Engine != Chromium {
		t.Errorf("%s", v.Engine)
	}
}

func TestLargeResultsAreRefusedAndHarmNothing(t *testing.T) {
	needs(t, HeadlessShell)
	r := newRig(t, func(c *Config) { c.MaxResult = 1 << 10 })
	l := r.open(Tab{})
	for _, n := range []int{2 << 10, 4 << 20} {
		_, err := l.Do(t.Context(), Job{Action: Evaluate, Script: fmt.Sprintf(`"x".repeat(%d)`, n)})
		var e *Error
		if !errors.As(err, &e) || e.Kind != "too_large" {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if got, err := l.Do(t.Context(), Job{Action: Evaluate, Script: "1"}); err != nil || string(got.Value) != "1" {
		t.Errorf("the next: %v", err)
	}
	l.Close()
}

func TestServerThatAsksToComeBackIsWaitedFor(t *testing.T) {
	needs(t, HeadlessShell)
	r := newRig(t, func(c *Config) { c.Admission.MaxAttempts = 2 })
	var mu sync.Mutex
	asked := 0
	s := serve(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/" {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}
		_, _ = w.Write([]byte("<title>in</title>"))
	})
	got := r.do(Tab{}, Job{URL: s.URL + "/"})
	if got.Status != 200 || got.Attempts != 2 || got.Waited < time.Second {
		t.Errorf("status %d, attempt %d, waited %v", got.Status, got.Attempts, got.Waited)
	}
}
