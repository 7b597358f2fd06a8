package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain lets the bench start the test's own program as a proxy in Go.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == roleArg {
		if err := play(os.Args[2:]); err != nil {
			os.Exit(exitFailed)
		}
		return
	}
	os.Exit(m.Run())
}

// built is gaia's program, built of the tree.
func built(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gaia")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/gaia")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build gaia: %v\n%s", err, out)
	}
	return path
}

// The two tests that need gaia's program share it.
func TestGateway(t *testing.T) {
	gaia := built(t)
	t.Run("configurations", func(t *testing.T) { testConfigurations(t, gaia) })
	t.Run("run", func(t *testing.T) { testRun(t, gaia) })
}

// Each system's own program takes the configurations of its cases.
func testConfigurations(t *testing.T, gaia string) {
	checks := map[string]func(argv []string) []string{
		"nginx":   func(argv []string) []string { return append(argv, "-t") },
		"haproxy": func(argv []string) []string { return append(argv, "-c") },
		"caddy":   func(argv []string) []string { return append([]string{argv[0], "validate"}, argv[2:]...) },
		"gaia":    func(argv []string) []string { return append([]string{argv[0], "validate"}, argv[2:]...) },
	}
	b := &bench{options: options{gaia: gaia}, a: "127.0.0.1:1", b: "127.0.0.1:2"}
	for _, sys := range systems() {
		kind, _, _ := strings.Cut(sys.name, "-")
		for _, k := range cases() {
			if checks[kind] == nil || !strings.Contains(" "+strings.Join(sys.cases, " ")+" ", " "+k.name+" ") {
				continue
			}
			t.Run(sys.name+"/"+k.name, func(t *testing.T) {
				if why := sys.missing(b.options); why != "" {
					if sys.name == "nginx" && os.Getenv("CI") != "" {
						t.Fatal(why)
					}
					t.Skip(why) // no package of `make deps`
				}
				dir := t.TempDir()
				argv, err := sys.argv(b.settings(sys, k, dir, "127.0.0.1:3"))
				if err != nil {
					t.Fatal(err)
				}
				argv = checks[kind](argv)
				cmd := exec.Command(argv[0], argv[1:]...)
				cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

// A run of one second, from the start of the upstream to the table.
func testRun(t *testing.T, gaia string) {
	for _, name := range []string{"nginx", "wrk"} {
		if program(name) != "" {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	var stdout, stderr bytes.Buffer
	args := []string{"-gaia", gaia, "-rounds", "1", "-time", "1s", "-connections", "8", "-cases", "deny", "-systems", "reverseproxy,gaia-wasm"}
	if code := run(t.Context(), args, &stdout, &stderr); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"| case | system |", "| deny | reverseproxy |", "| deny | gaia-wasm |", "| case | gaia | reverseproxy |", "1 x 1s"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in the table", want)
		}
	}
	if t.Failed() {
		t.Logf("%s\n%s", &stdout, &stderr)
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
}

func TestArguments(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
	}{
		{"-h", exitOK}, {"extra", exitUsage}, {"-rounds 0", exitUsage}, {"-time 100ms", exitUsage}, {"-time 1500ms", exitUsage},
		{"-cases nothing", exitUsage}, {"-systems apache", exitUsage}, {"-connections 1", exitUsage},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(c.args), &stdout, &stderr); code != c.code {
			t.Errorf("%s: exit code %d, want %d", c.args, code, c.code)
		}
		if stdout.Len() > 0 || stderr.Len() == 0 {
			t.Errorf("%s: %q on standard output, %q on standard error", c.args, &stdout, &stderr)
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-list"}, &stdout, &stderr); code != exitOK || strings.Count(stdout.String(), "\n") != len(systems()) {
		t.Errorf("-list: exit code %d, %q", code, &stdout)
	}
}

func TestJudge(t *testing.T) {
	plain, deny := kase{name: "proxy"}, kase{name: "deny", deny: true}
	for _, c := range []struct {
		kase kase
		s    sample
		fine bool
	}{
		{plain, sample{answers: 10}, true}, {plain, sample{}, false}, {plain, sample{answers: 10, refused: 1}, false},
		{plain, sample{answers: 10, broken: 1}, false}, {deny, sample{answers: 10_000, refused: 10_000}, true},
		{deny, sample{answers: 10_000, refused: 9_990}, true}, {deny, sample{answers: 10_000, refused: 9_000}, false},
	} {
		if err := c.s.judge(c.kase); (err == nil) != c.fine {
			t.Errorf("%s %+v: %v", c.kase.name, c.s, err)
		}
	}
}

func TestReading(t *testing.T) {
	got, err := parseResult("Running 1s test\nRESULT 5000 2000000 7 0 1500 9000\n")
	if want := (sample{rate: 2500, p50: 1.5, p99: 9, answers: 5000, refused: 7}); err != nil || got != want {
		t.Errorf("%+v %v, want %+v", got, err, want)
	}
	for _, text := range []string{"", "unable to connect", "RESULT", "RESULT 1 2 x"} {
		if _, err := parseResult(text); err == nil {
			t.Errorf("%q is taken as a result", text)
		}
	}
	if pid, parent, ok := parentOf("12 (a) b (c)) S 7 12 12 0"); pid != 12 || parent != 7 || !ok {
		t.Errorf("%d %d %v", pid, parent, ok)
	}
	if kib, err := pss("Rss:  9 kB\nPss:             4321 kB\nPss_Dirty: 1 kB\n"); err != nil || kib != 4321 {
		t.Errorf("%v %v", kib, err)
	}
}

// Requests are sent as planned, and a late answer counts from when its request was due.
func TestAsk(t *testing.T) {
	var asked atomic.Int64
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			<-time.After(200 * time.Millisecond)
		}
		if r.Header.Get("Gaia-Tenant") == "" {
			t.Error("no tenant")
		}
	}))
	defer slow.Close()
	b, s, k := &bench{options: options{conns: 1}}, &started{addr: slow.Listener.Addr().String()}, kase{tenants: 10}
	times, err := b.ask(t.Context(), s, k, plan{n: 25, long: time.Minute})
	if err != nil || len(times) != 25 || asked.Load() != 25 {
		t.Errorf("%d times, %d asked, %v", len(times), asked.Load(), err)
	}
	asked.Store(0)
	times, err = b.ask(t.Context(), s, k, plan{n: 10, rate: 100, long: time.Minute})
	if err != nil || len(times) != 10 || times[5] < 20*time.Millisecond { // those behind the first were due long before
		t.Errorf("%v %v", times, err)
	}
	if _, err := b.ask(t.Context(), s, k, plan{n: 1 << 30, long: 100 * time.Millisecond}); err == nil {
		t.Error("more than the time allows, and no error")
	}
	if _, err := b.ask(t.Context(), &started{addr: "127.0.0.1:1"}, k, plan{n: 1, long: time.Minute}); err == nil {
		t.Error("nobody listens, and no error")
	}
}

// Ratios are of one turn each: a slow turn of both sides is no ratio.
func TestAgainst(t *testing.T) {
	r := row{rounds: []sample{{cpu: 10}, {cpu: 40}, {cpu: 11}}}
	other := row{rounds: []sample{{cpu: 20}, {cpu: 80}, {cpu: 22}}}
	if got := against(r, other); got != "0.50" {
		t.Errorf("%s", got)
	}
	if got := against(r, row{}); got != "" {
		t.Errorf("%q against nothing", got)
	}
}

// A system that does not start says why.
func TestStartFails(t *testing.T) {
	b := &bench{dir: t.TempDir(), a: "127.0.0.1:1"}
	broken := system{name: "broken", argv: func(settings) ([]string, error) {
		return []string{"/bin/sh", "-c", "echo I will not; exit 3"}, nil
	}}
	if _, err := b.start(broken, kase{}); err == nil || !strings.Contains(err.Error(), "I will not") {
		t.Errorf("a program that ends at once: %v", err)
	}
}
