package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// screen is a terminal with a command on it, and all that it has printed.
type screen struct {
	t    *testing.T
	keys *os.File // what is typed
	cmd  *exec.Cmd

	mu   sync.Mutex
	text bytes.Buffer
	done chan struct{} // closed when the command has let the terminal go
}

// onScreen starts gaia on a terminal of its own, whose Ctrl-C reaches it.
func onScreen(t *testing.T, args ...string) *screen {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("gaia") // as the test binary set it up for scripts
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s := &screen{t: t, keys: master, cmd: exec.CommandContext(ctx, path, args...), done: make(chan struct{})}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close()
	go func() {
		defer close(s.done)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			s.mu.Lock()
			s.text.Write(buf[:n])
			s.mu.Unlock()
			if err != nil { // EIO: nobody has it open any more
				return
			}
		}
	}()
	return s
}

func (s *screen) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// until waits until something is on the screen.
func (s *screen) until(what string) {
	s.t.Helper()
	for pattern := regexp.MustCompile(what); !pattern.MatchString(s.seen()); {
		select {
		case <-s.done:
			if pattern.MatchString(s.seen()) {
				return
			}
			s.t.Fatalf("it ended without %q: %q", what, s.seen())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// interrupt types Ctrl-C.
func (s *screen) interrupt() {
	s.t.Helper()
	if _, err := io.WriteString(s.keys, "\x03"); err != nil {
		s.t.Fatal(err)
	}
}

// end waits for the command.
func (s *screen) end() *os.ProcessState {
	<-s.done
	_ = s.cmd.Wait()
	return s.cmd.ProcessState
}

// lines are what a person is left with: carriage returns and erasures are carried out.
func (s *screen) lines() []string {
	var shown []string
	for line := range strings.SplitSeq(strings.ReplaceAll(s.seen(), "\r\n", "\n"), "\n") {
		if i := strings.LastIndex(line, "\r\x1b[K"); i >= 0 {
			line = line[i+len("\r\x1b[K"):]
		}
		shown = append(shown, line)
	}
	return shown
}

func longExperiment(t *testing.T, spec string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "long.json")
	if err := os.WriteFile(path, []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const longSpec = `{"duration": "%s", "replicas": %d, "scenarios": {"s": {"arrivals": {"kind": "constant", "rate": 300}}},
  "upstreams": {"api": {"latency": 10}}, "strategies": {"none": {"kind": "none"}}}`

// A terminal shows how far a run is and what is left, also within the first replica, and
// the line is gone when something else is printed.
func TestProgressOnATerminal(t *testing.T) {
	s := onScreen(t, "experiment", longExperiment(t, fmt.Sprintf(longSpec, "700h", 1)))
	s.until(`\r\x1b\[K +\d+ %  0 of 1 runs  \d\S* left\r`) // and drawn anew
	s.interrupt()
	if st := s.end(); st.ExitCode() != exitInterrupted {
		t.Errorf("ended with %v: %q", st, s.seen())
	}
	lines := s.lines()
	for _, line := range lines {
		if strings.Contains(line, "left") || strings.Contains(line, "runs") && !strings.Contains(line, "strateg") {
			t.Errorf("the progress is still there: %q", line)
		}
	}
	if len(lines) < 2 || !strings.HasPrefix(lines[0], "interrupted: ") && !strings.HasPrefix(lines[1], "interrupted: ") || !strings.Contains(s.seen(), "nothing to show") {
		t.Errorf("%q", lines)
	}
}

// Ctrl-C prints what there is.
func TestInterruptOnATerminal(t *testing.T) {
	s := onScreen(t, "experiment", longExperiment(t, fmt.Sprintf(longSpec, "10s", 1000)))
	s.until(` [1-9]\d* of 1000 runs `)
	s.interrupt()
	if st := s.end(); st.ExitCode() != exitInterrupted {
		t.Errorf("ended with %v: %q", st, s.seen())
	}
	text := strings.Join(s.lines(), "\n")
	for _, want := range []string{"\ninterrupted: ", "\nSTRATEGY ", "\nnone ", "the result is not whole", "of virtual time in"} {
		if !strings.Contains("\n"+text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// The second Ctrl-C ends it at once, whatever it is doing: here a hook that takes long.
func TestSecondInterruptEndsAtOnce(t *testing.T) {
	path := longExperiment(t, strings.Replace(fmt.Sprintf(longSpec, "700h", 1), `{"kind": "none"}`, `{"kind": "policy", "use": "slow.js"}`, 1))
	slow := "export function onRequest() { for (let i = 0; i < 3e7; i++); }"
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "slow.js"), []byte(slow), 0o600); err != nil {
		t.Fatal(err)
	}
	s := onScreen(t, "experiment", path)
	s.until(`0 of 1 runs`)
	s.interrupt()
	s.until(`interrupted: `)
	s.interrupt()
	st := s.end()
	if ws, ok := st.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGINT {
		if st.ExitCode() != exitInterrupted { // the hook in hand ended in between
			t.Errorf("ended with %v: %q", st, s.seen())
		}
	}
}
