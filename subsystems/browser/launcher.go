package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Command is a browser to start.
type Command struct {
	Argv []string // Argv[0] is the path of the program
	Env  []string // the whole environment
	Dir  string   // working directory
	// Files become the descriptors 3 and 4. They stay the caller's to close.
	Files [2]*os.File
}

// Launcher starts processes for browsers. It is safe for concurrent use.
type Launcher interface {
	// Launch starts the command in a process group of its own and returns at once.
	// ctx bounds the start, not the life of the process.
	Launch(ctx context.Context, c Command) (Process, error)
}

// Process is a browser's main process and all that it started. Methods are safe
// for concurrent use.
type Process interface {
	PID() int
	// Done is closed once the main process has exited and was waited for.
	Done() <-chan struct{}
	// Kill ends the whole tree with SIGKILL. It may be called again, also after Done.
	Kill()
	// Output is the end of what was written to standard output and error.
	Output() string
}

// outputKept is how many bytes of a browser's output are kept.
const outputKept = 8 << 10

// pipeGrace is how long children of a browser that ended may hold its output open.
const pipeGrace = 100 * time.Millisecond

// ExecLauncher is a Launcher on os/exec, for programs that have no process
// manager. The zero value is ready to use.
type ExecLauncher struct{}

// Launch implements Launcher.
func (ExecLauncher) Launch(_ context.Context, c Command) (Process, error) {
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Env, cmd.Dir = c.Env, c.Dir
	cmd.ExtraFiles = c.Files[:]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := &execProcess{done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	cmd.WaitDelay = pipeGrace
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Argv[0], err)
	}
	p.pid = cmd.Process.Pid
	go func() {
		_ = cmd.Wait() // however it ended, it is gone
		close(p.done)
	}()
	return p, nil
}

type execProcess struct {
	pid    int
	done   chan struct{}
	output tail
}

func (p *execProcess) PID() int              { return p.pid }
func (p *execProcess) Done() <-chan struct{} { return p.done }
func (p *execProcess) Output() string        { return p.output.String() }

// Kill signals the group: as long as a member is left, its number is not given to
// another process.
func (p *execProcess) Kill() { _ = syscall.Kill(-p.pid, syscall.SIGKILL) }

// tail keeps the last bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// Write implements io.Writer; it never fails.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b[max(len(b)-outputKept, 0):]...)
	if over := len(t.buf) - outputKept; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

// String returns what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
