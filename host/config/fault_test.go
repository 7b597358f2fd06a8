package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// brokenFiles are the inputs under testdata.
func brokenFiles() ([]string, error) {
	files, err := filepath.Glob("testdata/faults/*.yaml")
	more, _ := filepath.Glob("testdata/faults/*.json")
	return append(files, more...), err
}

// The whole text of each broken file, as a user sees it.
func TestFaultTexts(t *testing.T) {
	files, err := brokenFiles()
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			o := from("gaia"+filepath.Ext(file), string(text))
			o.Env = []string{"A=1"}
			cfg, err := Load(o)
			if err == nil || cfg != nil {
				t.Fatal("a broken file was taken")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is printed:\n%v", err)
			}
			golden(t, "testdata/faults/"+filepath.Base(file)+".golden", err.Error()+"\n")
		})
	}
}

func TestFaultsOfOtherSources(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    Options
		want string
	}{
		{"no file", Options{File: "none.yaml", ReadFile: from("x", "").ReadFile}, "none.yaml  cannot be read: no such file\n1 error"},
		{"empty file", from("e.yaml", ""), "e.yaml  the file is empty; give it at least one key, or leave it out\n1 error"},
		{"no text", from("b.yaml", "listen: \xff"), "b.yaml:1:9  not UTF-8 text\n   1 | listen: \ufffd\n     |         ^\n1 error"},
		{"env", Options{Env: []string{
			"GAIA_LISTN=x", "GAIA_API__RETRY__BSE=1", "GAIA_WATCH=perhaps", "GAIA_API__MAX_ATTEMPTS=0", "GAIA_QQQ=1",
		}}, `env GAIA_API__RETRY__BSE    unknown variable (did you mean "GAIA_API__RETRY__BASE"?)
env GAIA_LISTN              unknown variable (did you mean "GAIA_LISTEN"?)
env GAIA_QQQ                unknown variable
env GAIA_WATCH              watch: want true or false, got "perhaps"
env GAIA_API__MAX_ATTEMPTS  api.max_attempts: must be at least 1 (the first attempt counts)
5 errors`},
		{"flags", Options{Flags: map[string]any{"listen": "nowhere", "routes.a.url": "x", "state_fil": "x", "a..b": 1}},
			`--state-fil  state_fil: unknown key (did you mean "state_file"?)
--a..b       "a..b" is not a dotted key
--listen     listen: want HOST:PORT such as "127.0.0.1:8080", got "nowhere"
--route a    routes.a.url: want a URL such as "https://api.example.com", got "x"
4 errors`},
		{"set", Options{Set: []string{
			"limits.api.per_key.rate=lots", "limts.api=1", "nothing", "=x", `a."b=1`,
			"routes.a.url=https://a.example", "routes.a.headers.authorization=${env:UNSET_KEY}hunter2", "log.level=[a]",
		}}, `--set limits.api.per_key.rate=lots            limits.api.per_key.rate: want number, got "lots"
--set limts.api=***                           limts: unknown key (did you mean "limits"?)
--set log.level=***                           log.level: want text, got a list
--set                                         want KEY=VALUE with a dotted key, got "nothing"
--set                                         want KEY=VALUE with a dotted key, got ""
--set                                         want KEY=VALUE with a dotted key, got "a.\"b=1"
--set routes.a.headers.authorization=***      routes.a.headers.authorization: environment variable UNSET_KEY is not set
7 errors`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Load(tc.o)
			if err == nil {
				t.Fatal("no error")
			}
			if got := squeeze(err.Error()); got != squeeze(tc.want) {
				t.Errorf("got\n%s\nwant\n%s", err, tc.want)
			}
		})
	}
}

// squeeze ignores how wide the column of places is.
func squeeze(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !strings.Contains(line, " | ") {
			lines[i] = strings.Join(strings.Fields(line), " ")
		}
	}
	return strings.Join(lines, "\n")
}

func TestFaultsAreBounded(t *testing.T) {
	var text strings.Builder
	for i := range 5000 {
		text.WriteString("k" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + strings.Repeat("y", i/100) + ": 1\n")
	}
	_, err := Load(from("gaia.yaml", text.String()))
	if n := strings.Count(err.Error(), "\n"); n > maxFaults+2 {
		t.Errorf("%d lines", n)
	}
}

func TestLongLinesAreCut(t *testing.T) {
	line := `{"allowed_hosts": [` + strings.Repeat(`"a.example", `, 500) + `"b"], "watch": 5}`
	_, err := Load(from("gaia.json", line))
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 4 || len(lines[1]) > 140 || lines[1][strings.Index(lines[2], "^")] != '5' {
		t.Errorf("got\n%v", err)
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"listen", "limits", "max_wait", "per_key", "api"}
	for got, want := range map[string]string{
		"limts": "limits", "maxWait": "max_wait", "MAX-WAIT": "max_wait", "lisetn": "listen", "perkey": "per_key",
		"ap": "api", "zebra": "", "": "", "xyz": "", "Listen": "listen", strings.Repeat("l", 1000): "",
	} {
		if s := Suggest(got, known); s != want {
			t.Errorf("Suggest(%q) = %q, want %q", got, s, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"ab", "ba", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}, {"rate", "rate", 0}} {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
