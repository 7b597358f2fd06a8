package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

func TestKindsAndOwners(t *testing.T) {
	for _, c := range []struct{ function, file, kind string }{
		{"syscall.Syscall", "", kindSyscall},
		{"internal/runtime/syscall.Syscall6", "", kindSyscall},
		{"runtime.mallocgc", "", kindRuntime},
		{module + "/subsystems/api.(*Pool).Do", "do.go", kindGaia},
		{module + "/host.(*stress).api", "stress_test.go", kindTest},
		{"github.com/dop251/goja.(*vm).run", "", kindEngine},
		{"net/http.(*Transport).RoundTrip", "", kindOther},
	} {
		if got := kindOf(frame{c.function, c.file}); got != c.kind {
			t.Errorf("%s is %q, want %q", c.function, got, c.kind)
		}
	}
	stack := []frame{{"runtime.mallocgc", ""}, {"net/http.readRequest", ""}, {module + "/subsystems/api.(*Pool).Do", "do.go"}, {module + "/host/work.(*Server).serve", "server.go"}}
	if got := owner(stack); got != "subsystems/api" {
		t.Errorf("owner %q", got)
	}
	if got := starter(stack); got != "host/work.(*Server).serve" {
		t.Errorf("starter %q", got)
	}
	if got := owner(stack[:2]); got != "not gaia: net/http" {
		t.Errorf("owner %q", got)
	}
}

// The verdict follows from the shares and from how many cores were busy.
func TestVerdict(t *testing.T) {
	for want, leaves := range map[string]map[string]int64{
		"bound by the processor":    {"strings.ToLower": 900, "runtime.mallocgc": 100},
		"bound by input and output": {"strings.ToLower": 100, "syscall.Syscall": 900},
	} {
		p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "cpu"}}, DurationNanos: 1000}
		for name, n := range leaves {
			l := &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: name}}}}
			p.Sample = append(p.Sample, &profile.Sample{Location: []*profile.Location{l}, Value: []int64{n}})
		}
		var b strings.Builder
		tellCPU(&b, p)
		if !strings.Contains(b.String(), "verdict: "+want) {
			t.Errorf("want %q in\n%s", want, b.String())
		}
	}
}

func TestSummaryOfRealProfiles(t *testing.T) {
	dir := t.TempDir()
	runtime.GC()
	for name, file := range map[string]string{"allocs": "mem.prof", "goroutine": "goroutine.prof"} {
		f, err := os.Create(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := pprof.Lookup(name).WriteTo(f, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	if err := summarise(&b, dir); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cpu.prof: none", "goroutines: ", "allocated: ", "bench/profile."} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("want %q in\n%s", want, b.String())
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "cpu.prof"), []byte("no profile"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := summarise(&b, dir); err == nil {
		t.Error("a file that is no profile was read")
	}
	if err := summarise(&b, t.TempDir()); err == nil {
		t.Error("an empty folder was summed up")
	}
}
