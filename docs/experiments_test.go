package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/host/experiment"
	"github.com/gaia-host/gaia/host/experiment/script"
)

// The page names what the module exports, every limiter, metric and experiment.
func TestExperimentsNamesEveryWord(t *testing.T) {
	text := read(t, "docs/experiments.md")
	for _, m := range experiment.Metrics() {
		if row := fmt.Sprintf("| `%s` | %s | %s |\n", m.Name, m.Unit, m.Doc); !strings.Contains(text, row) {
			t.Errorf("the page lacks the row %s", row)
		}
	}
	for _, k := range limit.Kinds() {
		if !strings.Contains(text, "`"+k.String()+"`") {
			t.Errorf("the page lacks the limiter %s", k)
		}
	}
	for _, name := range script.Std() {
		picture := "pictures/" + strings.TrimPrefix(name, script.StdPrefix) + ".png"
		if !strings.Contains(text, "`"+name+"`") || !strings.Contains(text, "]("+picture+")") {
			t.Errorf("the page lacks %s or its picture", name)
		}
		if info, err := os.Stat(filepath.Join(root, "docs", picture)); err != nil || info.Size() > 100_000 {
			t.Errorf("%s: %v, or it is too large", picture, err)
		}
	}
	object, names := "", 0
	for line := range strings.Lines(read(t, "host/experiment/script/module.js")) {
		if m := regexp.MustCompile(`^export const (\w+) = (?:\{|new Object)`).FindStringSubmatch(line); m != nil {
			object = m[1] + "."
		}
		for _, m := range regexp.MustCompile(`(\w+): (?:kind\("|\()|^strategy\.(\w+) =`).FindAllStringSubmatch(line, -1) {
			names++
			if !strings.Contains(text, "`"+object+m[1]+m[2]+"(") {
				t.Errorf("the page lacks %s%s", object, m[1]+m[2])
			}
		}
	}
	if names < 20 {
		t.Errorf("only %d names were found", names)
	}
}

// Every experiment in the pages loads, and what it says holds together.
func TestExperimentsRun(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if b.kind != "experiment" {
				continue
			}
			found++
			file := filepath.Join(t.TempDir(), "exp."+b.lang)
			if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := script.Load(t.Context(), file)
			if err != nil {
				t.Errorf("%s: %v", b, err)
				continue
			}
			s.Spec.Replicas = 1
			if _, err := experiment.Run(t.Context(), s.Spec, experiment.Options{Inline: s}); err != nil {
				t.Errorf("%s: %v", b, err)
			}
		}
	}
	if found == 0 {
		t.Error("there are none")
	}
}
