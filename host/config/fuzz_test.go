package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

// Load never panics, and either gives a valid configuration or faults.
func FuzzLoad(f *testing.F) {
	files, _ := brokenFiles()
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			f.Add(text, strings.HasSuffix(file, ".json"), "a.b=c")
		}
	}
	f.Add([]byte(full), false, "policies.quota.params.rpm=[1, {a: b}]")
	f.Add([]byte("a: &a [*a]"), false, `a."b.c"=&x *x`)
	f.Add([]byte("? - ? -\n<<: {<<: 1}"), false, "=")
	f.Fuzz(func(t *testing.T, text []byte, asJSON bool, set string) {
		// The engine does not notice an endless loop.
		watchdog := time.AfterFunc(20*time.Second, func() { panic("Load does not end") })
		defer watchdog.Stop()
		name := "gaia.yaml"
		if asJSON {
			name = "gaia.json"
		}
		o := from(name, string(text))
		o.Set = []string{set}
		o.Env = []string{"GAIA_ALLOWED_HOSTS=" + set}
		cfg, err := Load(o)
		if (cfg == nil) != (err != nil) {
			t.Fatalf("config %v, error %v", cfg, err)
		}
		if err != nil {
			var faults Faults
			if !errors.As(err, &faults) || err.Error() == "" {
				t.Fatalf("not faults: %#v", err)
			}
			return
		}
		if err := cfg.Validate(); err != nil {
			t.Fatalf("loaded, but not valid: %v", err)
		}
		if _, err := cfg.JSON(); err != nil {
			t.Fatal(err)
		}
		if !Diff(cfg, cfg).Empty() {
			t.Fatal("differs from itself")
		}
		cfg.EffectiveRoutes()
	})
}

// Inputs made to be slow or deep end quickly and with a fault.
func TestHostileFiles(t *testing.T) {
	laughs := "x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n"
	for i := 1; i < 10; i++ {
		prev := "*x" + string(rune('0'+i-1))
		laughs += "x" + string(rune('0'+i)) + ": &x" + string(rune('0'+i)) + " [" + strings.Repeat(prev+", ", 9) + prev + "]\n"
	}
	const big = 1 << 17
	for name, text := range map[string]string{
		"billion laughs":  laughs,
		"own anchor":      "a: &a {b: *a}",
		"brackets":        strings.Repeat("[", big),
		"braces":          strings.Repeat("{", big),
		"pairs":           strings.Repeat("{a: ", big/4),
		"dashes":          strings.Repeat("- ", big/2),
		"questions":       strings.Repeat("? ", big/2),
		"colons":          strings.Repeat("a: ", big/3),
		"question lines":  strings.Repeat("?\n", big/2),
		"dash lines":      strings.Repeat("-\n", big/2),
		"anchor lines":    strings.Repeat("&a\n", big/3),
		"tag lines":       strings.Repeat("!a\n", big/3),
		"tags":            strings.Repeat("!a ", big/3),
		"anchors":         strings.Repeat("&a ", big/3),
		"aliases":         strings.Repeat("*a ", big/3),
		"merges":          strings.Repeat("<<: ", big/4),
		"bars":            strings.Repeat("| ", big/2),
		"quotes":          strings.Repeat("\"", big),
		"half pairs":      strings.Repeat("\"a\":", big/4),
		"documents":       strings.Repeat("---\n", big/4),
		"percent":         strings.Repeat("%a ", big/3),
		"blank":           strings.Repeat(" ", big),
		"lines":           strings.Repeat("\n", big) + "a",
		"tabs":            strings.Repeat("\t", big) + "a",
		"one word":        strings.Repeat("a", big),
		"commas":          "[" + strings.Repeat(",", big),
		"staircase":       staircase(700),
		"many keys":       manyKeys(5_000),
		"comments":        strings.Repeat("#\n", big/2) + "a",
		"carriage return": strings.Repeat("\r", big),
	} {
		t.Run(name, func(t *testing.T) {
			for _, file := range []string{"gaia.yaml", "gaia.json"} {
				start := time.Now()
				if _, err := Load(from(file, text)); err == nil {
					t.Errorf("%s: no fault", file)
				}
				if took := time.Since(start); took > 10*time.Second && !testkit.Race {
					t.Errorf("%s: took %v", file, took)
				}
			}
		})
	}
}

func staircase(steps int) string {
	var b strings.Builder
	for i := range steps {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("k" + strings.Repeat("z", i%7) + string(rune('a'+i%26)) + time.Duration(i).String() + ": {a: 1}\n")
	}
	return b.String()
}
