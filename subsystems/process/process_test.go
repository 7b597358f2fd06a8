package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

func TestExitCodeSignalAndOutput(t *testing.T) {
	m := newManager(t, nil)
	for name, c := range map[string]struct {
		script string
		reason Reason
		code   int
		signal syscall.Signal
		out    string
	}{
		"zero":   {"echo hello", ReasonExit, 0, 0, "hello\n"},
		"other":  {"echo no; exit 3", ReasonExit, 3, 0, "no\n"},
		"signal": {"kill -USR1 $$", ReasonSignal, -1, syscall.SIGUSR1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, e := runToEnd(t, m, Spec{Args: sh(c.script)})
			if e.Reason != c.reason || e.Code != c.code || e.Signal != c.signal {
				t.Errorf("ended %+v", e)
			}
			if got := string(p.Tail(Stdout, 100)); got != c.out {
				t.Errorf("output %q, want %q", got, c.out)
			}
			if e.MaxRSS < 1<<16 || e.Uptime() <= 0 {
				t.Errorf("no usage in %+v", e)
			}
		})
	}
}

func TestInputEnvironmentAndFolder(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HOST", "x")
	m := newManager(t, nil)
	dir := t.TempDir()
	p, _ := runToEnd(t, m, Spec{Args: sh(`cat; pwd; echo "$A-$SECRET_OF_THE_HOST-$PATH"`), Input: []byte("in\n"), Dir: dir, Env: []string{"A=1", "A=2"}})
	want := "in\n" + dir + "\n2--" + os.Getenv("PATH") + "\n"
	if got := string(p.Tail(Stdout, 1000)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p, _ = runToEnd(t, m, Spec{Args: sh(`echo "$SECRET_OF_THE_HOST"`), InheritEnv: true})
	if got := string(p.Tail(Stdout, 1000)); got != "x\n" {
		t.Errorf("with InheritEnv got %q", got)
	}
}

func TestExtraFilesReachTheChild(t *testing.T) {
	m := newManager(t, nil)
	childReads, weWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	weRead, childWrites, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, m, Spec{Args: sh("cat <&3 >&4"), ExtraFiles: []*os.File{childReads, childWrites}})
	childReads.Close()
	childWrites.Close()
	if _, err := weWrite.WriteString("over a pipe"); err != nil {
		t.Fatal(err)
	}
	weWrite.Close()
	got, err := io.ReadAll(weRead)
	if err != nil || string(got) != "over a pipe" {
		t.Errorf("read %q, %v", got, err)
	}
	weRead.Close()
	wait(t, p)
}

func TestAStartThatCannotBe(t *testing.T) {
	m := newManager(t, func(c *Config) { c.Shim = nil })
	var start *StartError
	if _, err := m.Launch(within(t), Spec{Args: []string{"/no/such/program"}}); !errors.As(err, &start) {
		t.Errorf("no program: %v", err)
	}
	if _, err := m.Launch(within(t), Spec{Args: []string{"no-such-program"}}); !errors.As(err, &start) {
		t.Errorf("not in PATH: %v", err)
	}
	if _, err := m.Launch(within(t), Spec{Args: []string{"true"}, User: "no such user"}); !errors.As(err, &start) {
		t.Errorf("no user: %v", err)
	}
	if _, err := m.Launch(within(t), Spec{Args: []string{"true"}, Limits: Limits{OpenFiles: 10}}); !errors.Is(err, ErrShim) {
		t.Errorf("no shim: %v", err)
	}
	for _, s := range []Spec{
		{}, {Args: []string{"true"}, Env: []string{"nonsense"}}, {Args: []string{"a\x00b"}}, {Args: []string{"true"}, Timeout: -1},
		{Args: []string{"true"}, Name: "a/b"}, {Args: []string{"true"}, Output: Output{Files: true}},
		{Args: []string{"true"}, Restart: Restart{When: Always}, ExtraFiles: []*os.File{nil}},
	} {
		if _, err := m.Launch(within(t), s); !errors.Is(err, ErrSpec) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if n := m.Stats(); n.Running != 0 || n.InFlight != 0 || n.StartFailures != 3 {
		t.Errorf("left behind: %+v", n)
	}
	if got := len(m.List()); got != 0 {
		t.Errorf("%d processes are listed", got)
	}
}

func TestTheTimeoutEndsTheWholeGroup(t *testing.T) {
	m := newManager(t, nil)
	began := time.Now()
	_, e := runToEnd(t, m, Spec{Args: sh("sleep 600; true"), Timeout: 100 * time.Millisecond})
	took := time.Since(began)
	if e.Reason != ReasonTimeout || took > 10*time.Second {
		t.Errorf("ended %v after %v", e.String(), took)
	}
	t.Logf("a timeout of 100ms took %v", took)
}

func TestLimitsOfTheShim(t *testing.T) {
	m := newManager(t, nil)
	p, e := runToEnd(t, m, Spec{
		Args:   sh("ulimit -n; ulimit -v; ulimit -c; nice"),
		Limits: Limits{OpenFiles: 77, AddressSpace: 4 << 30, Nice: 3, NoCore: true},
	})
	own, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0) // the kernel's: 20 less the niceness
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("77\n4194304\n0\n%d\n", min(20-own+3, 19))
	if got := string(p.Tail(Stdout, 100)); !e.OK() || got != want {
		t.Errorf("%v: %q %q", e.String(), got, p.Tail(Stderr, 1000))
	}
	_, e = runToEnd(t, m, Spec{Args: sh("while :; do :; done"), Limits: Limits{ProcessCPU: time.Second}})
	if e.Signal != syscall.SIGXCPU && e.Signal != syscall.SIGKILL {
		t.Errorf("a busy loop ended %v", e.String())
	}
}

func TestTheWatchEndsWhatBreaksALimit(t *testing.T) {
	m := newManager(t, nil)
	_, e := runToEnd(t, m, Spec{Args: sh(`x=x; while :; do x=$x$x; done`), Limits: Limits{Memory: 32 << 20}, Timeout: patience})
	if e.Reason != ReasonMemory {
		t.Errorf("memory: %v", e.String())
	}
	_, e = runToEnd(t, m, Spec{Args: sh(`while :; do :; done`), Limits: Limits{CPUTime: 200 * time.Millisecond}, Timeout: patience})
	if e.Reason != ReasonCPU {
		t.Errorf("cpu time: %v", e.String())
	}
	_, e = runToEnd(t, m, Spec{Args: sh(`while :; do :; done`), Limits: Limits{CPU: 0.05}, Timeout: patience})
	if e.Reason != ReasonCPU {
		t.Errorf("cpu: %v", e.String())
	}
	_, e = runToEnd(t, m, Spec{Args: sh(`for i in 1 2 3 4 5 6; do sleep 600 & done; wait`), Limits: Limits{Processes: 4}, Timeout: patience})
	if e.Reason != ReasonProcs {
		t.Errorf("processes: %v", e.String())
	}
}

func TestStatusAndHistory(t *testing.T) {
	m := newManager(t, func(c *Config) { c.History = 2; c.LogDir = t.TempDir() })
	p := launch(t, m, Spec{Name: "job", Args: []string{"sleep", "600"}, Labels: map[string]string{"a": "b"}})
	testkit.Until(t, "the watch sees it", func() bool { return p.Status().RSS > 0 })
	s := p.Status()
	if s.State != StateRunning || s.PID == 0 || s.Name != "job" || s.ID != "job-1" || s.Processes != 1 || s.Labels["a"] != "b" {
		t.Errorf("status %+v", s)
	}
	if got, ok := m.Get("job-1"); !ok || got != p {
		t.Error("not found by its ID")
	}
	if err := p.Kill(within(t)); err != nil {
		t.Error(err)
	}
	if s := p.Status(); s.State != StateEnded || s.Exit == nil || s.Exit.Reason != ReasonStop || s.Exit.Signal != syscall.SIGKILL {
		t.Errorf("status %+v", s)
	}
	if err := p.Signal(syscall.SIGHUP); !errors.Is(err, ErrEnded) {
		t.Errorf("signal to an ended process: %v", err)
	}
	q, _ := runToEnd(t, m, Spec{Args: []string{"echo", "x"}, Output: Output{Files: true}})
	file := q.Status().Files[0]
	if b, err := os.ReadFile(file); err != nil || string(b) != "x\n" {
		t.Errorf("file: %q %v", b, err)
	}
	for range 2 {
		runToEnd(t, m, Spec{Args: []string{"true"}})
	}
	if l := m.List(); len(l) != 2 || l[0].ID() != "true-3" {
		t.Errorf("history of %d", len(l))
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file of a forgotten process: %v", err)
	}
}

func TestRunsAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	m := newManager(t, nil)
	p, e := runToEnd(t, m, Spec{Args: []string{"id", "-un"}, User: "nobody", Dir: "/"})
	if got := strings.TrimSpace(string(p.Tail(Stdout, 100))); got != "nobody" {
		t.Errorf("%v: %q %q", e.String(), got, p.Tail(Stderr, 1000))
	}
}
