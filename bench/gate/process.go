package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// rolePrefix starts the hidden argument with which the gate runs itself again, as one of
// the processes that a row needs besides its own.
const rolePrefix = "role:"

// roleOf reads the hidden argument.
func roleOf(args []string) (role string, rest []string, ok bool) {
	if len(args) < 2 {
		return "", nil, false
	}
	role, ok = strings.CutPrefix(args[1], rolePrefix)
	return role, args[2:], ok
}

// runRole plays one part: it tells on standard output where it listens and ends with its
// standard input, so that no part outlives the gate.
func runRole(role string, args []string) int {
	parts := map[string]func(args []string, in io.Reader, out io.Writer) error{
		"upstream": serveUpstream, "generator": generate, "proxy": serveProxy, "names": serveNames, "silent": serveSilent,
	}
	part := parts[role]
	if part == nil {
		fmt.Fprintf(os.Stderr, "gate: no role %q\n", role)
		return exitUsage
	}
	if err := part(args, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "gate: %s: %v\n", role, err)
		return exitShort
	}
	return exitOK
}

// part is a process that plays a role.
type part struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startPart starts one. The caller closes it.
func startPart(role string, args ...string) (*part, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the gate's own program: %w", err)
	}
	p := &part{cmd: exec.Command(self, append([]string{rolePrefix + role}, args...)...)}
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	return p, nil
}

func (p *part) pid() int { return p.cmd.Process.Pid }

// line reads what the part says next.
func (p *part) line() (string, error) {
	text, err := p.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s ended early: %w", p.cmd.Args[1], err)
	}
	return strings.TrimSuffix(text, "\n"), nil
}

// Close ends the part and waits for it.
func (p *part) Close() error {
	err := p.in.Close()
	ended := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer ended.Stop()
	if w := p.cmd.Wait(); w != nil {
		err = errors.Join(err, fmt.Errorf("%s: %w", p.cmd.Args[1], w))
	}
	return err
}

// parts are the processes of one row.
type parts []*part

func (ps *parts) start(role string, args ...string) (*part, error) {
	p, err := startPart(role, args...)
	if err == nil {
		*ps = append(*ps, p)
	}
	return p, err
}

// startListening starts a part and returns the addresses that it tells.
func (ps *parts) startListening(role string, args ...string) (*part, []string, error) {
	p, err := ps.start(role, args...)
	if err != nil {
		return nil, nil, err
	}
	text, err := p.line()
	return p, strings.Fields(text), err
}

// Close ends the parts, the last first.
func (ps *parts) Close() error {
	var errs []error
	for i := len(*ps) - 1; i >= 0; i-- {
		errs = append(errs, (*ps)[i].Close())
	}
	return errors.Join(errs...)
}
