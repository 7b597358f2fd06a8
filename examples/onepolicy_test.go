package examples_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/internal/testkit"
)

// five is a host with the one policy for all five kinds of work.
type five struct {
	t      *testing.T
	h      *host.Host
	client *http.Client
}

func runFive(t *testing.T, policy string) *five {
	t.Helper()
	dir := t.TempDir()
	cfg, err := config.Load(config.Options{File: "one-policy/gaia.yaml", Set: []string{"listen=127.0.0.1:0", `control=""`, "socket=" + filepath.Join(dir, "g.sock"), "watch=false",
		"policies.one-policy.use=one-policy/" + policy, "files.roots.scratch.path=" + t.TempDir(), "files.roots.scratch.quota=64KiB",
		"network.allow_ranges=[127.0.0.1]", "browser.dir=" + filepath.Join(dir, "browsers")}})
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.New(cfg, host.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", cfg.Socket)
	}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := h.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return &five{t, h, &http.Client{Transport: transport, Timeout: time.Minute}}
}

// ask asks for an action and returns status and body.
func (f *five) ask(action string, in map[string]any) (int, string) {
	data, err := json.Marshal(in)
	if err != nil {
		f.t.Error(err)
	}
	res, err := f.client.Post("http://gaia/v1/"+action, "application/json", strings.NewReader(string(data)))
	if err != nil {
		f.t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Error(err)
	}
	return res.StatusCode, string(body)
}

// must asks for an action that has to succeed.
func (f *five) must(action string, in map[string]any) string {
	f.t.Helper()
	code, body := f.ask(action, in)
	if code != 200 {
		f.t.Fatalf("%s %v: %d %s", action, in, code, body)
	}
	return body
}

func TestOnePolicyMovesLoadBetweenAllFive(t *testing.T) {
	testkit.Program(t, "chromium-headless-shell")
	for _, policy := range []string{"policy.js", "policy.wasm"} {
		t.Run(policy, func(t *testing.T) {
			release := make(chan struct{})
			arrived := make(chan struct{}, 8)
			var once sync.Once
			page := upstream(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					arrived <- struct{}{}
					<-release
				}
				fmt.Fprintln(w, "<!doctype html><title>page</title>hello")
			})
			f := runFive(t, policy)
			defer once.Do(func() { close(release) })

			// all five go
			f.must("api/request", map[string]any{"url": page.URL + "/"})
			f.must("network/resolve", map[string]any{"host": "localhost"})
			f.must("process/run", map[string]any{"args": []string{"true"}})
			f.must("browser/html", map[string]any{"url": page.URL + "/"})
			f.must("files/write", map[string]any{"file": "scratch:full", "data": strings.Repeat("x", 64<<10)})

			// the disk is full: no page is opened, until there is room again
			code, body := f.ask("browser/html", map[string]any{"url": page.URL + "/"})
			if code != 503 || !strings.Contains(body, "the scratch disk is over its quota") || !strings.Contains(body, `"policy":"one-policy"`) {
				t.Errorf("a page with a full disk: %d %s", code, body)
			}
			f.must("api/request", map[string]any{"url": page.URL + "/"})
			f.must("files/remove", map[string]any{"file": "scratch:full"})
			f.must("browser/html", map[string]any{"url": page.URL + "/"})

			// browsers are busy: processes start slowly
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() { f.ask("browser/html", map[string]any{"url": page.URL + "/slow"}) })
			}
			for range 3 {
				<-arrived
			}
			began := time.Now()
			for range 4 {
				f.must("process/run", map[string]any{"args": []string{"true"}})
			}
			if took := time.Since(began); took < 500*time.Millisecond {
				t.Errorf("four processes beside three busy browsers took %v, want 200 ms between them", took)
			}
			once.Do(func() { close(release) })
			wg.Wait()
		})
	}
}
