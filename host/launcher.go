package host

import (
	"context"
	"os"
	"time"

	"github.com/gaia-host/gaia/subsystems/browser"
	"github.com/gaia-host/gaia/subsystems/process"
)

// launcher starts browsers through the process manager: its policies and limits
// hold for them, and it ends whatever they leave behind.
type launcher struct{ manager *process.Manager }

const (
	browserOutput = 8 << 10 // bytes of each stream that are kept
	// browserLife stands for no bound: the pool ends its browsers itself.
	browserLife = 10 * 365 * 24 * time.Hour
)

// Launch implements browser.Launcher.
func (l launcher) Launch(ctx context.Context, c browser.Command) (browser.Process, error) {
	p, err := l.manager.Launch(ctx, process.Spec{
		Args: c.Argv, Env: c.Env, Dir: c.Dir, ExtraFiles: []*os.File{c.Files[0], c.Files[1]},
		Output: process.Output{Ring: browserOutput}, Timeout: browserLife,
	})
	if err != nil {
		return nil, err
	}
	return &launched{p, p.PID()}, nil
}

// launched is a browser's process.
type launched struct {
	*process.Process
	pid int // also once it has ended
}

// PID implements browser.Process.
func (p *launched) PID() int { return p.pid }

// Kill implements browser.Process: it does not wait.
func (p *launched) Kill() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.Process.Kill(ctx) // told; Done says when it is gone
}

// Output implements browser.Process.
func (p *launched) Output() string {
	return string(p.Tail(process.Stdout, browserOutput)) + string(p.Tail(process.Stderr, browserOutput))
}
