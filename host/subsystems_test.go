package host

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/host/config"
)

// The quota of a root and whether it may be written to follow the configuration.
func TestFilesChangeWithTheConfiguration(t *testing.T) {
	th := run(t, nil, "files.roots.data.path="+t.TempDir())
	write := func(file string) (int, string) {
		code, _, body := th.ask("files/write", map[string]any{"file": file, "data": strings.Repeat("x", 600)})
		return code, body
	}
	if code, body := write("data:a"); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	old := th.Config().Files.Roots["data"]
	for _, step := range []struct {
		file, want string // of the answer, "" where the file is written
		change     func(roots map[string]config.FileRoot)
	}{
		{"data:b", "quota", func(roots map[string]config.FileRoot) { r := old; r.Quota = 1000; roots["data"] = r }},
		{"data:b", "read-only", func(roots map[string]config.FileRoot) { r := old; r.ReadOnly = true; roots["data"] = r }},
		{"data:b", "", func(roots map[string]config.FileRoot) { roots["data"] = old }},
	} {
		cfg := *th.Config()
		cfg.Files.Roots = map[string]config.FileRoot{}
		step.change(cfg.Files.Roots)
		if err := th.applyConfig(&cfg); err != nil {
			t.Fatal(err)
		}
		if code, body := write(step.file); (code == http.StatusOK) != (step.want == "") || !strings.Contains(body, step.want) {
			t.Errorf("%s, want %q: %d %s", step.file, step.want, code, body)
		}
	}
}

// How long work was held is told by the same field for every subsystem.
func TestWaitsAreToldForEverySubsystem(t *testing.T) {
	th := run(t, map[string]string{"slow.js": `
		import { delay } from "gaia";
		export const options = { match: { subsystem: ["process", "files", "network"] } };
		export function onRequest() { return delay(30) }`}, "files.roots.data.path="+t.TempDir())
	for action, in := range map[string]any{
		"process/run":     map[string]any{"args": []string{"true"}},
		"files/stat":      map[string]any{"file": "data:"},
		"network/resolve": map[string]any{"host": "localhost"},
	} {
		code, head, body := th.ask(action, in)
		if code != http.StatusOK || head.Get("Gaia-Wait") == "" {
			t.Errorf("%s: %d, Gaia-Wait %q: %s", action, code, head.Get("Gaia-Wait"), tail(body, 300))
		}
	}
}
