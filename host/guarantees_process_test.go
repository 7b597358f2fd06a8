package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/process"
)

// processGuarantees are the guarantees 18 to 22.
func processGuarantees() []guarantee {
	return []guarantee{
		{18, "a-process-outlives-the-request-that-started-it", processOutlivesItsRequest},
		{19, "a-slot-is-free-when-its-process-has-ended", processSlotsComeBack},
		{20, "whoever-waits-gets-the-same-end", processHasOneWaiter},
		{21, "signals-to-gaia-are-gaias", processLeavesSignals},
		{22, "limits-output-trees-and-counts-of-processes-are-real", processIsReal},
	}
}

const processPatience = 30 * time.Second

func processContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), processPatience)
	t.Cleanup(cancel)
	return ctx
}

func launchProcess(t *testing.T, m *process.Manager, script string) *process.Process {
	t.Helper()
	p, err := m.Launch(processContext(t), process.Spec{Args: []string{"sh", "-c", script}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func endOf(t *testing.T, p *process.Process) process.Exit {
	t.Helper()
	e, err := p.Wait(processContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func processOutlivesItsRequest(t *testing.T) {
	m := run(t, nil).Processes()
	ctx, cancel := context.WithCancel(context.Background())
	gate := filepath.Join(t.TempDir(), "go")
	p, err := m.Launch(ctx, process.Spec{Args: []string{"sh", "-c", "until [ -e " + gate + " ]; do sleep 0.02; done; echo alive"}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-p.Done():
		t.Fatalf("it ended with its request: %+v", p.Exit())
	case <-time.After(300 * time.Millisecond): // the earlier system had killed it by then
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if e := endOf(t, p); !e.OK() || string(p.Tail(process.Stdout, 100)) != "alive\n" {
		t.Errorf("ended %v, said %q", e.String(), p.Tail(process.Stdout, 100))
	}
}

func processSlotsComeBack(t *testing.T) {
	m := run(t, nil, "limits.process.global.concurrency=3").Processes()
	for range 10 { // three times as many as there are slots, and nobody cleans up
		endOf(t, launchProcess(t, m, "exit 0"))
	}
	if s := m.Stats(); s.InFlight != 0 || s.Running != 0 || s.ExitZero != 10 {
		t.Errorf("after ten ends: %d in flight, %d running, %d well", s.InFlight, s.Running, s.ExitZero)
	}
}

func processHasOneWaiter(t *testing.T) {
	m := run(t, nil).Processes()
	for range 10 {
		p := launchProcess(t, m, `trap "exit 7" TERM; echo ready; while :; do sleep 0.01; done`)
		if b := make([]byte, 16); !follows(p, b, "ready") {
			t.Fatal("it is not ready")
		}
		var wg sync.WaitGroup
		ends := make([]process.Exit, 4)
		for i := range ends {
			wg.Go(func() {
				if i == 0 {
					_ = p.Terminate(context.Background(), time.Minute)
				}
				ends[i], _ = p.Wait(context.Background())
			})
		}
		wg.Wait()
		for _, e := range ends {
			if e != ends[0] || e.Code != 7 || e.Reason != process.ReasonStop {
				t.Fatalf("one got %+v, another %+v", e, ends[0])
			}
		}
	}
}

func follows(p *process.Process, b []byte, want string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), processPatience)
	defer cancel()
	n, err := p.Follow(ctx, process.Stdout, 100).Read(b)
	return err == nil && strings.HasPrefix(string(b[:n]), want)
}

// What reaches gaia is not swallowed: a process that is up does not change what
// SIGINT does. Nothing but cmd/gaia subscribes to signals.
func processLeavesSignals(t *testing.T) {
	m := run(t, nil).Processes()
	endOf(t, launchProcess(t, m, "exit 0"))
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("/proc is not there")
	}
	p := launchProcess(t, m, `grep SigIgn /proc/self/status; grep SigBlk /proc/self/status`)
	endOf(t, p)
	for line := range strings.Lines(string(p.Tail(process.Stdout, 1000))) {
		name, hex, _ := strings.Cut(strings.TrimSpace(line), ":")
		mask, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		if bits := uint64(1<<(syscall.SIGINT-1) | 1<<(syscall.SIGTERM-1)); err != nil || mask&bits != 0 {
			t.Errorf("a child starts with %s %x: %v", name, mask, err)
		}
	}
	for line := range strings.Lines(string(status)) {
		if name, hex, _ := strings.Cut(strings.TrimSpace(line), ":"); name == "SigIgn" {
			mask, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			if err != nil || mask&(1<<(syscall.SIGINT-1)) != 0 {
				t.Errorf("gaia ignores SIGINT: %x, %v", mask, err)
			}
		}
	}
	// A group of its own: what is typed at gaia's terminal does not reach it.
	p = launchProcess(t, m, `echo $(ps -o pgid= -p $$)`)
	endOf(t, p)
	if got := strings.TrimSpace(string(p.Tail(process.Stdout, 100))); got == strconv.Itoa(syscall.Getpgrp()) || got == "" {
		t.Errorf("the group is %q, gaia's is %d", got, syscall.Getpgrp())
	}
}

func processIsReal(t *testing.T) {
	m := run(t, nil, "process.watch_interval=20ms", "process.grace=300ms").Processes()
	t.Run("memory", func(t *testing.T) {
		p, err := m.Launch(processContext(t), process.Spec{Args: []string{"sh", "-c", `x=x; while :; do x=$x$x; done`}, Limits: process.Limits{Memory: 32 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		if e := endOf(t, p); e.Reason != process.ReasonMemory {
			t.Errorf("ended %v", e.String())
		}
	})
	t.Run("output", func(t *testing.T) {
		p := launchProcess(t, m, "echo out; echo err >&2")
		endOf(t, p)
		if out, err := string(p.Tail(process.Stdout, 10)), string(p.Tail(process.Stderr, 10)); out != "out\n" || err != "err\n" {
			t.Errorf("%q %q", out, err)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		p, err := m.Launch(processContext(t), process.Spec{Args: []string{"sh", "-c", "sleep 600; true"}, Timeout: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if e := endOf(t, p); e.Reason != process.ReasonTimeout || m.Stats().Timeouts != 1 {
			t.Errorf("ended %v, %d counted", e.String(), m.Stats().Timeouts)
		}
	})
	t.Run("tree", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "pid")
		p := launchProcess(t, m, "setsid sh -c 'echo $$ >"+file+".new; mv "+file+".new "+file+"; exec sleep 600' & sleep 600")
		var pid int
		testkit.Until(t, "the tree says its pid", func() bool {
			b, err := os.ReadFile(file)
			if err == nil {
				fmt.Sscan(string(b), &pid)
			}
			return pid != 0
		})
		if err := p.Terminate(processContext(t), 0); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); pid == 0 || err == nil {
			t.Errorf("the grandchild %d is still there", pid)
		}
	})
	t.Run("one stop each, together", func(t *testing.T) {
		before := m.Stats().Stopped
		var ps []*process.Process
		for range 10 {
			p := launchProcess(t, m, `trap "" TERM; echo ready; while :; do sleep 1; done`)
			if b := make([]byte, 16); !follows(p, b, "ready") {
				t.Fatal("it is not ready")
			}
			ps = append(ps, p)
		}
		ids := map[string]bool{}
		began := time.Now()
		var wg sync.WaitGroup
		for _, p := range ps {
			ids[p.ID()] = true
			wg.Go(func() { _ = p.Terminate(context.Background(), 0); _ = p.Terminate(context.Background(), 0) })
		}
		wg.Wait()
		if took := time.Since(began); took > 10*300*time.Millisecond || len(ids) != 10 {
			t.Errorf("ten stops of 300ms took %v; %d IDs", took, len(ids))
		}
		if n := m.Stats().Stopped - before; n != 10 {
			t.Errorf("%d stops were counted", n)
		}
	})
}
