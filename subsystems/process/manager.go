package process

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

const levelDebug = slog.LevelDebug

// Manager starts and supervises processes under policy. It is safe for concurrent
// use; Start opens it and Stop ends all it started.
type Manager struct {
	config  Config // as given to New; live fields are in set
	log     *slog.Logger
	core    *admission.Core
	driver  *admission.Driver
	schema  *metrics.Schema
	set     atomic.Pointer[Config]
	counts  counters
	buffers buffers
	token   string // of this Manager, in marks
	marks   atomic.Uint64
	runs    atomic.Int32 // runs
	oomNow  atomic.Uint64

	system    // of the operating system; set by Start
	null      *os.File
	stopping  atomic.Bool
	stopWatch chan struct{}
	wg        sync.WaitGroup

	mu      sync.Mutex
	started bool                // guarded by mu, as all below
	procs   map[string]*Process // by ID
	order   []*Process          // by their start
	ended   []*Process          // by their end
	next    uint64
	notes   []string
	closing bool
	closed  chan struct{} // nil until Stop
}

// New returns a Manager, or what is wrong with its Config. It starts nothing.
func New(c Config) (*Manager, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	core, err := admission.New(admission.Options{Subsystem: policy.SubsystemProcess, Slot: c.Slot, Config: c.Admission, Random: c.Random})
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Cgroup == "" {
		c.Cgroup = CgroupAuto
	}
	var token [8]byte
	_, _ = rand.Read(token[:]) // never fails
	m := &Manager{
		config: c, log: c.Log, core: core, driver: admission.NewDriver(core, c.Clock, c.After),
		schema: metrics.NewSchema(policy.SubsystemProcess, fields()...), token: hex.EncodeToString(token[:]),
		stopWatch: make(chan struct{}), procs: make(map[string]*Process),
	}
	m.set.Store(&c)
	return m, nil
}

// Start makes ready: the folder of output files, the reaper, cgroups, the watch.
func (m *Manager) Start(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started || m.closing {
		return errors.New("process: a manager starts once")
	}
	if dir := m.config.LogDir; dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("process: make the folder of output files: %w", err)
		}
	}
	var err error
	if m.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return fmt.Errorf("process: %w", err)
	}
	if err := m.openSystem(ctx); err != nil {
		m.closeSystem()
		_ = m.null.Close()
		return err
	}
	m.started = true
	m.wg.Go(m.watch)
	return nil
}

// note keeps what the machine lacks. mu is held.
func (m *Manager) note(text string) { m.notes = append(m.notes, text) }

// Notes say what this machine lacks and what is done instead, for /health. The
// Manager works all the same.
func (m *Manager) Notes() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.notes)
}

// SetConfig puts the live fields of c in force. On an error nothing has changed.
func (m *Manager) SetConfig(c Config) error {
	if err := c.Check(); err != nil {
		return fmt.Errorf("process: %w", err)
	}
	if err := m.driver.SetConfig(c.Admission); err != nil {
		return fmt.Errorf("process: %w", err)
	}
	m.set.Store(&c)
	return nil
}

// liveConfig is the Config whose live fields are in force.
func (m *Manager) liveConfig() *Config { return m.set.Load() }

// Stop denies new starts and ends all processes at once, each by its stop signal
// and its grace. When ctx ends first it kills what is left, and the error says so.
// It returns when every child is gone; calling it again waits again.
func (m *Manager) Stop(ctx context.Context) error {
	m.stopping.Store(true)
	m.core.Close()
	m.mu.Lock()
	first := !m.closing
	m.closing = true
	if first {
		m.closed = make(chan struct{})
	}
	closed, started := m.closed, m.started
	procs := slices.Clone(m.order)
	m.mu.Unlock()
	m.driver.Cut()
	for _, p := range procs {
		p.tell(p.spec.Grace)
	}
	var err error
	for _, p := range procs {
		if _, waitErr := p.Wait(ctx); waitErr != nil {
			err = fmt.Errorf("process: stop: processes were killed: %w", waitErr)
			break
		}
	}
	if err != nil {
		for _, p := range procs {
			p.tell(0)
		}
		for _, p := range procs {
			<-p.done // clear gives up on what will not die
		}
	}
	if first {
		close(m.stopWatch)
		m.wg.Wait()
		if started {
			m.closeSystem()
			_ = m.null.Close()
		}
		close(closed)
	}
	<-closed
	return err
}

// Core returns the admission of the Manager, for status and explanations.
func (m *Manager) Core() *admission.Core { return m.core }

// newProcess makes and enters a process; nil where the Manager does not run.
func (m *Manager) newProcess(spec *Spec, path string) *Process {
	live := m.liveConfig()
	p := &Process{m: m, path: path, spec: spec.clone(live), done: make(chan struct{}), created: time.Now()}
	p.life, p.endLife = context.WithCancel(context.Background())
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.started || m.closing {
		p.endLife()
		return nil
	}
	m.next++
	p.id = p.spec.Name + "-" + strconv.FormatUint(m.next, 10)
	for i := range p.sinks {
		p.sinks[i] = sink{ring: &ring{max: p.spec.Output.Ring}, log: m.log}
		if p.spec.Output.Files {
			p.sinks[i].path = filepath.Join(m.config.LogDir, p.id+"."+Stream(i).String()+".log")
		}
	}
	m.procs[p.id] = p
	m.order = append(m.order, p)
	return p
}

// drop forgets a process that never ran.
func (m *Manager) drop(p *Process) {
	p.mu.Lock()
	p.finished = true
	p.mu.Unlock()
	p.endLife()
	for i := range p.sinks {
		p.sinks[i].finish()
	}
	close(p.done)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetLocked(p)
}

func (m *Manager) forgetLocked(p *Process) {
	delete(m.procs, p.id)
	if i := slices.Index(m.order, p); i >= 0 {
		m.order = slices.Delete(m.order, i, i+1)
	}
}

// retire moves p to the history, and forgets the oldest beyond its bound, with
// their files.
func (m *Manager) retire(p *Process) {
	m.mu.Lock()
	m.ended = append(m.ended, p)
	var old []*Process
	if n := len(m.ended) - m.liveConfig().History; n > 0 {
		old = slices.Clone(m.ended[:n])
		m.ended = slices.Delete(m.ended, 0, n)
		for _, q := range old {
			m.forgetLocked(q)
		}
	}
	m.mu.Unlock()
	for _, q := range old {
		for i := range q.sinks {
			if path := q.sinks[i].path; path != "" {
				removeLogs(path)
			}
		}
	}
}

// Get returns the process of that ID, running or in the history.
func (m *Manager) Get(id string) (*Process, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.procs[id]
	return p, ok && p.wasStarted()
}

// List returns all processes that were started, running and in the history, the
// oldest first.
func (m *Manager) List() []*Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.order), func(p *Process) bool { return !p.wasStarted() })
}

// mark is unlike that of any other run on the machine.
func (m *Manager) mark(id string) string {
	return m.token + "-" + id + "-" + strconv.FormatUint(m.marks.Add(1), 10)
}

// lookPath finds a program. One with a slash is left to the folder it starts in.
func lookPath(program string) (string, error) {
	if strings.ContainsRune(program, filepath.Separator) {
		return program, nil
	}
	return exec.LookPath(program)
}
