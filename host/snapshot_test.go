package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A configured limit of a day comes back after a restart, as a policy's does.
func TestConfiguredLongLimitComesBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	set := []string{"routes.up.url=" + plainUpstream(t), "state_file=" + file, `limits.api.per_key={rate: 2, per: "24h", burst: 2, max_wait: 0}`}
	one := run(t, nil, set...)
	if code, _, _ := one.get("/up/"); code != 200 {
		t.Fatal(code)
	}
	if err := one.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	two := run(t, nil, set...)
	var codes []int
	for range 2 {
		code, _, _ := two.get("/up/")
		codes = append(codes, code)
	}
	if codes[0] != 200 || codes[1] != 429 {
		t.Errorf("one of two was left: %v", codes)
	}
}

// A snapshot is whole or not there: a reader never sees half of one.
func TestSnapshotIsAtomic(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	th := run(t, map[string]string{"p.js": `import { state } from "gaia"; export function onRequest() { state.set("k" + state.incr("n"), "v".repeat(1000)); }`},
		"routes.up.url="+plainUpstream(t), "state_file="+file)
	for range 50 {
		th.get("/up/")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			if err := th.writeState(file); err != nil {
				t.Error(err)
			}
		}
	}()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		data, err := os.ReadFile(file)
		if err == nil && !strings.HasSuffix(strings.TrimSpace(string(data)), "}") {
			t.Fatalf("half a file: %d bytes", len(data))
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}
