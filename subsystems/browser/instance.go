package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/extensions"
)

const (
	// killGrace is how long a killed process may take to be gone.
	killGrace = 10 * time.Second
	// messageRoom is what a message may hold beside a result of the largest size.
	messageRoom = 1 << 20
	// shmNeeded is how much of /dev/shm a browser wants to find free.
	shmNeeded = 256 << 20
)

// instance is one browser process.
type instance struct {
	pool    *Pool
	id      uint64
	kind    kind
	conn    *conn
	root    *session
	proc    Process
	profile string
	started int64         // by the pool's clock
	version string        // as it says itself
	stop    chan struct{} // closed when it is no longer wanted

	// These are guarded by the pool's mutex.
	tabs      int
	tasks     int   // tabs opened so far
	idleSince int64 // when the last tab closed
	exclusive bool  // leased as a whole
	draining  bool  // opens no more tabs
	pinging   bool
	memory    int64 // bytes, when it was last measured
}

func (in *instance) pid() int { return in.proc.PID() }

// launch starts a browser and speaks with it.
func (p *Pool) launch(ctx context.Context, k kind) (*instance, error) {
	c := p.config.Load()
	program, err := c.program(k.engine)
	if err != nil {
		return nil, err
	}
	profile, err := p.profiles.make(k.engine)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLaunch, err)
	}
	in := &instance{pool: p, kind: k, profile: profile, stop: make(chan struct{})}
	if err := in.start(ctx, c, program); err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrLaunch, err), in.destroy())
	}
	in.started = p.driver.Now()
	return in, nil
}

func (in *instance) start(ctx context.Context, c *Config, program string) error {
	proxy, err := c.proxy(ctx)
	if err != nil {
		return err
	}
	fromUs, toBrowser, err := os.Pipe()
	if err != nil {
		return err
	}
	fromBrowser, toUs, err := os.Pipe()
	if err != nil {
		return errors.Join(err, fromUs.Close(), toBrowser.Close())
	}
	in.proc, err = c.Launcher.Launch(ctx, Command{
		Argv: c.argv(in.kind, program, in.profile, proxy, shmFree() < shmNeeded),
		Env:  environment(in.profile, c.Env), Dir: in.profile, Files: [2]*os.File{fromUs, toUs},
	})
	fromUs.Close()
	toUs.Close()
	if err != nil {
		fromBrowser.Close()
		toBrowser.Close()
		return err
	}
	in.conn = newConn(fromBrowser, toBrowser, int(c.MaxResult+c.MaxResult/2+messageRoom)) // base64
	in.root = in.conn.root
	if err := in.greet(ctx, c); err != nil {
		in.proc.Kill()
		return in.withOutput(err)
	}
	return nil
}

// greet waits until the browser answers and prepares it.
func (in *instance) greet(ctx context.Context, c *Config) error {
	v, err := call(ctx, in.root, browser.GetVersion, cdp.Empty{})
	if err != nil {
		return err
	}
	in.version = v.Product
	if err := denyDownloads(ctx, in.root, ""); err != nil {
		return err
	}
	for _, name := range in.kind.names() {
		if _, err := call(ctx, in.root, extensions.LoadUnpacked, extensions.LoadUnpackedParams{Path: c.Extensions[name]}); err != nil {
			return fmt.Errorf("load the extension %s: %w", name, err)
		}
	}
	return nil
}

// withOutput adds what the browser said before it ended.
func (in *instance) withOutput(err error) error {
	select {
	case <-in.proc.Done():
	case <-time.After(outputGrace):
	}
	if said := lastWords(in.proc.Output()); said != "" {
		return fmt.Errorf("%w; it said: %s", err, said)
	}
	return err
}

// lastWords is the line of a browser's output that tells most about its end.
func lastWords(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	best := lines[len(lines)-1]
	for _, line := range lines {
		if strings.Contains(line, ":FATAL:") {
			best = line
		}
	}
	const longest = 400
	return best[:min(len(best), longest)]
}

// outputGrace is how long the last output of a process that ended is waited for.
const outputGrace = time.Second

// environment holds nothing of gaia's own: secrets among it are not for pages.
func environment(profile string, more []string) []string {
	return append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
		"HOME=" + profile, "TMPDIR=" + tempOf(profile), "XDG_RUNTIME_DIR=" + tempOf(profile),
		"DBUS_SESSION_BUS_ADDRESS=disabled:",
	}, more...)
}

// destroy ends the processes and removes the files.
func (in *instance) destroy() error {
	var errs []error
	if in.conn != nil {
		in.conn.close(ErrCrashed)
	}
	if in.proc != nil {
		in.proc.Kill()
		select {
		case <-in.proc.Done():
		case <-time.After(killGrace):
			errs = append(errs, fmt.Errorf("browser: process %d does not end", in.pid()))
		}
		in.proc.Kill() // what it started in its last moment
	}
	return errors.Join(append(errs, removeProfile(in.profile))...)
}

// watch waits for the end of the browser, wanted or not, and clears up after it.
func (p *Pool) watch(in *instance) {
	select {
	case <-in.stop:
		in.conn.close(ErrStopped) // nobody has a tab, or the pool is stopped
	case <-in.conn.done:
	case <-in.proc.Done():
		in.conn.close(fmt.Errorf("%w: its process %d ended", ErrCrashed, in.pid()))
	}
	// After a crash its last tab may be given back, and stop be closed, before this
	// runs: why the connection ended is what tells.
	cause := in.conn.cause()
	wanted := errors.Is(cause, ErrStopped)
	if !wanted {
		p.counts.crashes.Add(1)
	}
	p.mu.Lock()
	in.draining = true
	tabs := in.tabs
	p.mu.Unlock()
	if err := in.destroy(); err != nil {
		p.log.Warn("a browser was not cleared up", "pid", in.pid(), "error", err)
	}
	if !wanted {
		p.log.Warn("a browser ended that was wanted", "pid", in.pid(), "engine", string(in.kind.engine), "tabs", tabs, "error", cause, "said", lastWords(in.proc.Output()))
	}
	p.mu.Lock()
	delete(p.instances, in.id)
	p.grantLocked()
	p.mu.Unlock()
}
