package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// From exec to the first answer, and the memory of an idle gaia. It is an absolute
// promise, so it is held in acceptance only, on the median of several starts.
func TestStartIsQuickAndSmall(t *testing.T) {
	if os.Getenv("GAIA_ACCEPTANCE") == "" {
		t.Skip("runs in make acceptance")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "gaia")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	policy := filepath.Join(dir, "p.js")
	if err := os.WriteFile(policy, []byte("import { limiter } from \"gaia\";\nconst l = limiter.tokenBucket(\"l\", { rate: 1000 });\nexport function onRequest() { return l.admit(); }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	var times []time.Duration
	var sizes []int
	for range 7 {
		took, kib := startOnce(t, bin, policy, srv.URL)
		times, sizes = append(times, took), append(sizes, kib)
	}
	slices.Sort(times)
	slices.Sort(sizes)
	t.Logf("first answer after %v (median of %v), idle at %d KiB", times[3], times, sizes[3])
	if times[3] > 150*time.Millisecond {
		t.Errorf("the first answer came after %v", times[3])
	}
	if sizes[3] > 40<<10 {
		t.Errorf("idle at %d KiB", sizes[3])
	}
}

func startOnce(t *testing.T, bin, policy, upstream string) (time.Duration, int) {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(bin, "run", policy, "--listen", "127.0.0.1:"+port, "--control", "", "--socket", filepath.Join(dir, "s"), "--route", "api="+upstream)
	// What asks for this test would be an unknown setting of gaia's.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GAIA_") })
	var said bytes.Buffer
	cmd.Stderr, cmd.Stdout = &said, &said
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		res, err := c.Get("http://127.0.0.1:" + port + "/api/")
		if err == nil {
			res.Body.Close()
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("%v\n%s", err, &said)
		}
		<-time.After(time.Millisecond)
	}
	took := time.Since(began)
	<-time.After(2 * time.Second) // idle
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	kib := 0
	for _, line := range strings.Split(string(status), "\n") {
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			break
		}
	}
	return took, kib
}
