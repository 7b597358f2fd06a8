package process

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	line := "42 (a) (b c) S 1 42 7 0 -1 4194304 1 0 0 0 11 22 3 4 20 0 1 0 987654 1000 250 18446744073709551615 1\n"
	p, ok := parseStat([]byte(line))
	want := proc{pid: 42, ppid: 1, pgrp: 42, session: 7, state: 'S', ticks: 40, start: 987654, rss: 250}
	if !ok || p != want {
		t.Errorf("got %+v, %v", p, ok)
	}
	var r procReader
	if p, ok := r.read(os.Getpid()); !ok || p.pid != os.Getpid() || p.ppid != os.Getppid() || p.rss < 100 || p.start == 0 {
		t.Errorf("of this program: %+v, %v", p, ok)
	}
}

// A look between the two halves of an exec says nothing about where a process came
// from.
func TestAProcessInAnExecHasNoEnvironmentYet(t *testing.T) {
	line := "42 (a) S" + strings.Repeat(" 1", 46) + " ENV END 0\n"
	for ends, want := range map[string]bool{"0 0": true, "9 9": false, "8 9": false} {
		env, end, _ := strings.Cut(ends, " ")
		got := inExec([]byte(strings.NewReplacer("ENV", env, "END", end).Replace(line)))
		if got != want {
			t.Errorf("%s: %v", ends, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) (b c) S 1 42 7 0 -1 4194304 1 0 0 0 11 22 3 4 20 0 1 0 987654 1000 250 1\n"))
	f.Add([]byte("1 ( S"))
	f.Add([]byte(") ("))
	f.Fuzz(func(_ *testing.T, b []byte) { parseStat(b); inExec(b) })
}

func FuzzDecodeLimits(f *testing.F) {
	f.Add("as=1,nofile=2")
	f.Add("=,")
	f.Fuzz(func(t *testing.T, text string) {
		limits, err := decodeLimits(text)
		if err == nil && len(limits) == 0 {
			t.Error("nothing was read and nothing said")
		}
	})
}

func TestLimitsSurviveTheWayToTheShim(t *testing.T) {
	got, err := decodeLimits(encodeLimits(&Limits{AddressSpace: 1, OpenFiles: 2, UserProcs: 3, ProcessCPU: 1500 * time.Millisecond, FileSize: 5, Nice: 6, NoCore: true}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint64{"as": 1, "nofile": 2, "nproc": 3, "cpu": 2, "fsize": 5, "nice": 6, "core": 0} {
		if got[name] != want {
			t.Errorf("%s is %d", name, got[name])
		}
	}
}
