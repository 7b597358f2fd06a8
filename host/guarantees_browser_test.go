package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/browser"
)

// browserGuarantees are the guarantees 14 to 17.
func browserGuarantees() []guarantee {
	return []guarantee{
		{14, "a-browser-is-a-real-one-and-what-only-pretends-is-refused", guaranteeRealBrowser},
		{15, "a-launch-that-fails-counts-as-no-browser", guaranteeFailedLaunch},
		{16, "a-browser-that-ends-leaves-no-zombie", guaranteeNoZombie},
		{17, "each-browser-has-its-own-profile-no-port-and-outlives-the-request-that-launched-it", guaranteeOwnProfile},
	}
}

// browsers starts a host and returns its pool of browsers.
func browsers(t *testing.T, set ...string) (*testHost, *browser.Pool) {
	t.Helper()
	testkit.Program(t, "chromium-headless-shell")
	if testing.Short() {
		t.Skip("launches a browser")
	}
	th := run(t, nil, append([]string{"browser.dir=" + t.TempDir(), "network.allow_ranges=[127.0.0.0/8]"}, set...)...)
	return th, th.part("browser").subsystem.(*browser.Pool)
}

// pretender is a program that says nothing of the protocol.
func pretender(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "google-chrome")
	if err := os.WriteFile(name, []byte("#!/bin/sh\necho DevTools listening on ws://127.0.0.1:9222 >&2\nexec sleep 60\n"), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	return name
}

func guaranteeRealBrowser(t *testing.T) {
	_, pool := browsers(t)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<title>real</title><script>document.title += ' ' + 6*7</script>")
	}))
	defer site.Close()
	r, err := pool.Do(t.Context(), browser.Tab{Width: 300, Height: 200}, browser.Job{Action: browser.Screenshot, URL: site.URL})
	if err != nil || r.Title != "real 42" {
		t.Fatalf("%+v %v", r, err)
	}
	if img, err := png.Decode(bytes.NewReader(r.Data)); err != nil || img.Bounds().Dx() != 300 {
		t.Errorf("picture: %v", err)
	}
	_, fake := browsers(t, "browser.headless_shell="+pretender(t), "browser.launch_timeout=300ms")
	if _, err := fake.Open(t.Context(), browser.Tab{}, browser.Caller{}, 0); !errors.Is(err, browser.ErrLaunch) {
		t.Errorf("a pretender: %v", err)
	}
}

func guaranteeFailedLaunch(t *testing.T) {
	_, pool := browsers(t, "browser.headless_shell=/bin/false", "browser.max_browsers=2")
	for range 4 {
		if _, err := pool.Do(t.Context(), browser.Tab{}, browser.Job{URL: "about:blank", Timeout: 20 * time.Second}); !errors.Is(err, browser.ErrLaunch) {
			t.Fatal(err)
		}
	}
	if s := pool.Stats(); s.Browsers != 0 || s.Launching != 0 || s.Tabs != 0 || s.Launched != 0 || s.InFlight != 0 || s.LaunchFailures == 0 {
		t.Errorf("%+v", s)
	}
}

func guaranteeNoZombie(t *testing.T) {
	_, pool := browsers(t)
	for range 3 {
		l, err := pool.Open(t.Context(), browser.Tab{Isolation: browser.IsolateProcess}, browser.Caller{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	awaitBrowser(t, func() bool { return pool.Stats().Browsers == 0 })
	awaitBrowser(t, func() bool { return len(zombies()) == 0 }) // what is orphaned is reaped within a tick
}

// zombies are the children of this process that have ended and were not waited for.
func zombies() (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(f) > 1 && f[0] == "Z" && f[1] == strconv.Itoa(os.Getpid()) {
			found = append(found, string(text))
		}
	}
	return found
}

func guaranteeOwnProfile(t *testing.T) {
	t.Setenv("GUARANTEE_SECRET", "x")
	_, pool := browsers(t, "browser.max_tabs=1", "browser.max_browsers=2")
	ctx, cancel := context.WithCancel(t.Context())
	a, err := pool.Open(ctx, browser.Tab{}, browser.Caller{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	cancel() // the request is over; the browser goes on
	b, err := pool.Open(t.Context(), browser.Tab{}, browser.Caller{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := a.Do(t.Context(), browser.Job{Action: browser.HTML}); err != nil {
		t.Errorf("the browser ended with the request that launched it: %v", err)
	}
	if a.PID() == b.PID() {
		t.Error("a browser has more tabs than it may")
	}
	if x, y := profileOf(t, a.PID()), profileOf(t, b.PID()); x == y {
		t.Errorf("two browsers share the profile %s", x)
	}
	if c, err := net.DialTimeout("tcp", "127.0.0.1:9222", time.Second); err == nil {
		c.Close()
		t.Error("a browser listens on a port")
	}
	if err := syscall.Kill(a.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-a.Done():
	case <-time.After(time.Minute):
		t.Fatal("the crash went unnoticed")
	}
	if !errors.Is(a.Err(), browser.ErrCrashed) {
		t.Error(a.Err())
	}
	awaitBrowser(t, func() bool { return pool.Stats().Crashes == 1 })        // holders are told first
	awaitBrowser(t, func() bool { return syscall.Kill(-a.PID(), 0) != nil }) // the whole tree
	noSecrets(t)
}

// noSecrets starts a program that writes down its environment where a browser should be.
func noSecrets(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	name, file := filepath.Join(dir, "browser"), filepath.Join(dir, "env")
	if err := os.WriteFile(name, []byte("#!/bin/sh\nenv > "+file+"\nexit 1\n"), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	_, pool := browsers(t, "browser.headless_shell="+name)
	if _, err := pool.Do(t.Context(), browser.Tab{}, browser.Job{URL: "about:blank"}); !errors.Is(err, browser.ErrLaunch) {
		t.Error(err)
	}
	env, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(env), "GUARANTEE_SECRET") || !strings.Contains(string(env), "HOME="+pool.Dir()) {
		t.Errorf("gaia's own environment reached a browser: %s %v", env, err)
	}
}

func profileOf(t *testing.T, pid int) string {
	t.Helper()
	cmd, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range strings.FieldsFunc(string(cmd), func(r rune) bool { return r == 0 || r == ' ' }) { // it writes its own title
		if dir, ok := strings.CutPrefix(arg, "--user-data-dir="); ok {
			return dir
		}
		if strings.HasPrefix(arg, "--remote-debugging-port") {
			t.Error("a browser is told to listen on a port")
		}
	}
	t.Fatalf("process %d has no profile", pid)
	return ""
}

func awaitBrowser(t *testing.T, ok func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("it never came")
		}
	}
}
