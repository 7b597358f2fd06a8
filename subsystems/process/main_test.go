package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gaia-host/gaia/internal/testkit"
)

// TestMain plays the shim, and one that gaia's end is tried on, for the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "__exec" {
		fmt.Fprintln(os.Stderr, Exec(os.Args[2:], os.Environ()))
		os.Exit(126)
	}
	if len(os.Args) > 2 && os.Args[1] == "__parent" {
		parent(os.Args[2])
	}
	goleak.VerifyTestMain(m)
}

// parent starts a process and waits to be killed.
func parent(pidFile string) {
	m, err := New(DefaultConfig())
	if err == nil {
		err = m.Start(context.Background())
	}
	var p *Process
	if err == nil {
		p, err = m.Launch(context.Background(), Spec{Args: []string{"sleep", "600"}})
	}
	if err == nil {
		err = os.WriteFile(pidFile, []byte(strconv.Itoa(p.PID())+"\n"), 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {}
}

const patience = 30 * time.Second

// newManager starts a Manager that the test's end stops.
func newManager(t testing.TB, change func(*Config)) *Manager {
	t.Helper()
	c := DefaultConfig()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c.Shim = []string{self, "__exec"}
	c.Tick = 50 * time.Millisecond
	if change != nil {
		change(&c)
	}
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := m.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return m
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func launch(t testing.TB, m *Manager, s Spec) *Process {
	t.Helper()
	p, err := m.Launch(within(t), s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sh(script string) []string { return []string{"sh", "-c", script} }

func wait(t testing.TB, p *Process) Exit {
	t.Helper()
	e, err := p.Wait(within(t))
	if err != nil {
		t.Fatalf("%v; status %+v", err, p.Status())
	}
	return e
}

// run launches and waits.
func runToEnd(t testing.TB, m *Manager, s Spec) (*Process, Exit) {
	t.Helper()
	p := launch(t, m, s)
	return p, wait(t, p)
}

// readsPIDs waits until a file holds n numbers.
func readsPIDs(t testing.TB, file string, n int) []int {
	t.Helper()
	var pids []int
	testkit.Until(t, "pids in "+filepath.Base(file), func() bool {
		b, err := os.ReadFile(file)
		pids = pids[:0]
		if err != nil || !strings.HasSuffix(string(b), "\n") {
			return false
		}
		for _, f := range strings.Fields(string(b)) {
			pid, err := strconv.Atoi(f)
			if err != nil {
				return false
			}
			pids = append(pids, pid)
		}
		return len(pids) >= n
	})
	return pids
}

// alive reports whether a process exists that is no zombie.
func alive(pid int) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	state := strings.TrimSpace(string(out))
	return err == nil && state != "" && state[0] != 'Z'
}
