package process

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

// acceptance reports whether the long forms run.
func acceptance() bool { return os.Getenv("GAIA_ACCEPTANCE") != "" }

func TestAChildThatIgnoresTheSignalIsKilledAfterItsGrace(t *testing.T) {
	m := newManager(t, nil)
	ready := filepath.Join(t.TempDir(), "pid")
	p := launch(t, m, Spec{Args: sh(`trap "" TERM; echo $$ >` + ready + `; while :; do sleep 1; done`)})
	readsPIDs(t, ready, 1)
	if err := p.Terminate(within(t), 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if e := p.Exit(); e.Reason != ReasonStop || e.Signal != syscall.SIGKILL {
		t.Errorf("ended %v", e.String())
	}
}

// Every way out of a process group that a descendant has.
func escapes() map[string]string {
	return map[string]string{
		"in the group":      `sleep 600 & echo $! >FILE`,
		"a session":         `setsid sh -c 'echo $$ >FILE; exec sleep 600' &`,
		"a double fork":     `sh -c 'sleep 600 & echo $! >FILE' &`,
		"both":              `setsid sh -c 'setsid sh -c "echo \$\$ >FILE; exec sleep 600" &' &`,
		"ignoring the stop": `setsid sh -c 'trap "" TERM; echo $$ >FILE; while :; do sleep 600; done' &`,
	}
}

func TestDescendantsThatLeaveTheGroupEndWithTheProcess(t *testing.T) {
	testkit.Program(t, "setsid")
	for _, group := range []string{CgroupOff, "/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if group != CgroupOff && !isCgroup2(group) {
			continue
		}
		t.Run(group, func(t *testing.T) {
			m := newManager(t, func(c *Config) { c.Cgroup = group })
			for name, script := range escapes() {
				for how, after := range map[string]string{"killed": "sleep 600", "terminated": "sleep 600", "of itself": "exit 0"} {
					file := filepath.Join(t.TempDir(), "pid")
					script := strings.ReplaceAll(script, "FILE", file)
					if how == "of itself" {
						after = "until [ -s " + file + " ]; do :; done; exit 0"
					}
					p := launch(t, m, Spec{Args: sh(script + "\n" + after), Grace: 300 * time.Millisecond})
					pids := readsPIDs(t, file, 1)
					var err error
					switch how {
					case "killed":
						err = p.Kill(within(t))
					case "terminated":
						err = p.Terminate(within(t), 0)
					}
					e := wait(t, p)
					if err != nil || e.Left != 0 {
						t.Errorf("%s, %s: %v, %d left", name, how, err, e.Left)
					}
					if alive(pids[0]) {
						t.Errorf("%s, %s: the descendant lives", name, how)
						syscall.Kill(pids[0], syscall.SIGKILL)
					}
				}
			}
			testkit.Until(t, "no zombie stays", func() bool { return len(zombies(t)) == 0 })
		})
	}
}

func isCgroup2(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return false
	}
	probe := filepath.Join(dir, "gaia-probe")
	if os.Mkdir(probe, 0o755) != nil {
		return false
	}
	return os.Remove(probe) == nil
}

// zombies lists this program's dead children that nobody waited for.
func zombies(t testing.TB) []string {
	t.Helper()
	out, err := exec.Command("ps", "--ppid", strconv.Itoa(os.Getpid()), "-o", "stat=,pid=,comm=").Output()
	if err != nil {
		return nil // it lists nothing
	}
	var bad []string
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(strings.TrimSpace(line), "Z") {
			bad = append(bad, line)
		}
	}
	return bad
}

func children(t testing.TB) int {
	t.Helper()
	out, _ := exec.Command("ps", "--ppid", strconv.Itoa(os.Getpid()), "-o", "comm=").Output()
	n := 0
	for line := range strings.Lines(string(out)) {
		if strings.TrimSpace(line) != "ps" {
			n++
		}
	}
	return n
}

// A process whose environment and session are its own, and whose parent has ended
// between two looks, has left nothing that points to where it came from but a pipe.
func TestAPipeThatNobodyFoundIsCut(t *testing.T) {
	testkit.Program(t, "setsid")
	m := newManager(t, func(c *Config) { c.WaitDelay = 50 * time.Millisecond; c.Tick = time.Hour })
	file := filepath.Join(t.TempDir(), "pid")
	p := launch(t, m, Spec{Args: sh(`(setsid env -i sh -c 'echo $$ >` + file + `; exec sleep 600' &) ; until [ -s ` + file + ` ]; do :; done; echo done`)})
	pid := readsPIDs(t, file, 1)[0]
	defer syscall.Kill(pid, syscall.SIGKILL)
	e := wait(t, p)
	if got := string(p.Tail(Stdout, 100)); got != "done\n" || !e.OK() {
		t.Errorf("%v, output %q", e.String(), got)
	}
	if e.Cut == !alive(pid) {
		t.Errorf("cut %v, the holder lives: %v", e.Cut, alive(pid))
	}
}

func TestAForkStormEndsWhole(t *testing.T) {
	m := newManager(t, nil)
	dir := t.TempDir()
	script := `i=0; while [ $i -lt 300 ]; do sh -c 'sleep 600 & echo $! >` + dir + `/$$; wait' & i=$((i+1)); done; echo all; wait`
	p := launch(t, m, Spec{Args: sh(script)})
	testkit.Until(t, "300 children have forked", func() bool {
		d, err := os.ReadDir(dir)
		return err == nil && len(d) == 300
	})
	began := time.Now()
	if err := p.Kill(within(t)); err != nil {
		t.Fatal(err)
	}
	t.Logf("600 processes were gone in %v", time.Since(began))
	if out, _ := exec.Command("pgrep", "-f", dir).Output(); len(out) > 0 {
		t.Errorf("alive: %s", out)
	}
	testkit.Until(t, "no child is left", func() bool { return children(t) == 0 })
}

func TestAGigabyteWithoutNewlineFlowsAndIsBounded(t *testing.T) {
	m := newManager(t, func(c *Config) { c.LogDir = t.TempDir(); c.LogBytes = 1 << 20; c.LogKeep = 2 })
	size := int64(128 << 20)
	if acceptance() {
		size = 1 << 30
	}
	p := launch(t, m, Spec{Args: []string{"head", "-c", strconv.FormatInt(size, 10), "/dev/zero"}, Output: Output{Files: true, Ring: 32 << 10}})
	slow := p.Follow(context.Background(), Stdout, 1<<40) // nobody reads it until the end
	before := p.Status().Written[Stdout]                  // it follows from there, or from earlier
	e := wait(t, p)
	s := p.Status()
	if !e.OK() || s.Written[Stdout] != size {
		t.Fatalf("%v, %d bytes", e.String(), s.Written[Stdout])
	}
	rest, err := io.ReadAll(slow)
	if err != nil || len(rest) != 32<<10 || slow.Lost() > size-32<<10 || slow.Lost() < size-before-32<<10 {
		t.Errorf("a late reader got %d bytes, %d lost: %v", len(rest), slow.Lost(), err)
	}
	files, err := filepath.Glob(s.Files[0] + "*")
	if err != nil || len(files) != 3 {
		t.Errorf("files %v %v", files, err)
	}
	var total int64
	for _, f := range files {
		if i, err := os.Stat(f); err == nil {
			total += i.Size()
		}
	}
	if total > 3<<20 {
		t.Errorf("the files hold %d bytes", total)
	}
	t.Logf("%d bytes in %v", size, e.Uptime())
}

func TestNoZombieAfterManyRuns(t *testing.T) {
	m := newManager(t, nil)
	runs := 100
	if acceptance() {
		runs = 1000
	}
	for i := range runs {
		script := "exit 0"
		if i%10 == 0 {
			script = `setsid sh -c '(true &); true' & (true &) ; exit 0` // orphans of all kinds
		}
		runToEnd(t, m, Spec{Args: sh(script)})
	}
	testkit.Until(t, "no child is left", func() bool { return children(t) == 0 })
	if n := m.Stats(); n.Running != 0 || n.InFlight != 0 || n.ExitZero != uint64(runs) {
		t.Errorf("%+v", n)
	}
}

// Children that others in this program start keep their status, whatever is reaped.
func TestOtherChildrenKeepTheirStatus(t *testing.T) {
	m := newManager(t, func(c *Config) { c.Tick = 10 * time.Millisecond })
	p := launch(t, m, Spec{Args: sh(`while :; do (setsid true &); sleep 0.01; done`)})
	for range 50 {
		if err := exec.Command("sh", "-c", "exit 0").Run(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Kill(within(t)); err != nil {
		t.Error(err)
	}
}

// Two Managers in one program do not take each other's children for orphans, however
// long a leader is left unreaped.
func TestManagersLeaveEachOthersChildren(t *testing.T) {
	eager := newManager(t, func(c *Config) { c.Tick = 10 * time.Millisecond })
	m := newManager(t, nil)
	var ps []*Process
	for range 8 {
		ps = append(ps, launch(t, m, Spec{Args: sh(`(trap "" TERM; while :; do sleep 0.01; done) & exit 5`), Grace: 300 * time.Millisecond}))
	}
	runToEnd(t, eager, Spec{Args: sh("sleep 0.2")})
	for _, p := range ps {
		if e := wait(t, p); e.Reason != ReasonExit || e.Code != 5 {
			t.Errorf("%s ended %v, want code 5", p.ID(), e.String())
		}
	}
}

func TestTheManagersEndIsTheEndOfAllInParallel(t *testing.T) {
	c := DefaultConfig()
	c.Grace = 300 * time.Millisecond
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const n = 40
	var ps []*Process
	for i := range n {
		p, err := m.Launch(t.Context(), Spec{Args: sh(`trap "" TERM; echo $$ >` + dir + "/" + strconv.Itoa(i) + `; while :; do sleep 600; done`)})
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	for i := range n {
		readsPIDs(t, filepath.Join(dir, strconv.Itoa(i)), 1)
	}
	began := time.Now()
	if err := m.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > n*c.Grace/2 {
		t.Errorf("%d stops took %v: one after the other", n, took)
	}
	for _, p := range ps {
		if e := p.Exit(); e.Reason != ReasonStop {
			t.Errorf("%s ended %v", p.ID(), e.String())
		}
	}
	if _, err := m.Launch(t.Context(), Spec{Args: []string{"true"}}); err == nil {
		t.Error("a start after the end")
	}
	if err := m.Stop(within(t)); err != nil {
		t.Error(err)
	}
}

func TestAStopThatIsOutOfTimeKills(t *testing.T) {
	c := DefaultConfig()
	c.Grace = time.Hour
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(t.TempDir(), "pid")
	p, err := m.Launch(t.Context(), Spec{Args: sh(`trap "" TERM; echo $$ >` + ready + `; while :; do sleep 600; done`)})
	if err != nil {
		t.Fatal(err)
	}
	readsPIDs(t, ready, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := m.Stop(ctx); err == nil {
		t.Error("no error says that a process was killed")
	}
	if e := p.Exit(); e.Signal != syscall.SIGKILL {
		t.Errorf("ended %v", e.String())
	}
}

func TestChildrenDieWithTheirManagersProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pid")
	parent := exec.Command(self, "__parent", file)
	parent.Stderr = os.Stderr
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	child := readsPIDs(t, file, 1)[0]
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	testkit.Until(t, "the child is gone", func() bool { return !alive(child) })
}
