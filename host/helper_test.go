package host

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host/config"
)

// syncBuffer is a log that tests read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

// testHost is a running host and what a test needs of it.
type testHost struct {
	*Host
	t      *testing.T
	dir    string
	log    *syncBuffer
	client *http.Client
	events chan ReloadEvent
}

// run starts a host with policies given as FILE -> source, in the order of names,
// and settings given as --set would.
func run(t *testing.T, policies map[string]string, set ...string) *testHost {
	t.Helper()
	dir := t.TempDir()
	var files []string
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		if !strings.HasPrefix(name, "std/") {
			save(t, filepath.Join(dir, name), policies[name])
			name = filepath.Join(dir, name)
		}
		files = append(files, name)
	}
	th := runFiles(t, files, set...)
	th.dir = dir
	return th
}

// runFiles starts a host with the policies named, and stops it with the test.
func runFiles(t *testing.T, files []string, set ...string) *testHost {
	t.Helper()
	set = append([]string{"listen=127.0.0.1:0", `control=""`, "socket=" + filepath.Join(t.TempDir(), "g.sock")}, set...)
	cfg, err := config.Load(config.Options{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return runConfig(t, cfg, files, set...)
}

// runConfig starts a host with a configuration; a reload reads set again.
func runConfig(t *testing.T, cfg *config.Config, files []string, set ...string) *testHost {
	t.Helper()
	return runOptions(t, cfg, Options{Policies: files}, set...)
}

// runOptions is runConfig with options; what a test needs of them is set.
func runOptions(t *testing.T, cfg *config.Config, o Options, set ...string) *testHost {
	t.Helper()
	th := &testHost{t: t, dir: t.TempDir(), log: &syncBuffer{}, events: make(chan ReloadEvent, 4096)}
	th.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2000}, Timeout: 30 * time.Second}
	o.Version, o.Log = "test", slog.New(slog.NewTextHandler(th.log, nil))
	o.ReadConfig = func() (*config.Config, error) { return config.Load(config.Options{Set: set}) }
	o.OnReload = func(ev ReloadEvent) { th.events <- ev }
	var err error
	th.Host, err = New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := th.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		th.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := th.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", tail(th.log.String(), 4000))
		}
	})
	return th
}

// save replaces a file the way an editor does.
func save(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// save replaces one of the policies.
func (th *testHost) save(name, text string) { save(th.t, filepath.Join(th.dir, name), text) }

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// reloaded waits for the next change of policies.
func (th *testHost) reloaded() ReloadEvent {
	th.t.Helper()
	select {
	case ev := <-th.events:
		return ev
	case <-time.After(10 * time.Second):
		th.t.Fatal("no reload")
		return ReloadEvent{}
	}
}

// get asks the gateway and returns status, header and body.
func (th *testHost) get(path string, header ...string) (int, http.Header, string) {
	th.t.Helper()
	code, h, body, err := th.try(path, header...)
	if err != nil {
		th.t.Fatal(err)
	}
	return code, h, body
}

func (th *testHost) try(path string, header ...string) (int, http.Header, string, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+th.Addr()+path, nil)
	if err != nil {
		return 0, nil, "", err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := th.client.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, string(body), err
}

// acceptance reports whether the long forms run.
func acceptance() bool { return os.Getenv("GAIA_ACCEPTANCE") != "" }
