package browser

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// want is which browser a tab needs.
type want struct {
	kind  kind
	fresh bool // all of one that was never used
}

// waiter is a tab that no browser has room for yet.
type waiter struct {
	want
	ready chan grant // of one
}

type grant struct {
	in  *instance
	err error
}

// failure is what became of the last launch of a kind.
type failure struct {
	err   error
	until int64         // no other launch before
	pause time.Duration // doubled with each
}

// The pause after a launch that failed.
const (
	firstPause = 500 * time.Millisecond
	maxPause   = 8 * time.Second
)

// acquire takes a place for a tab in a browser, launching one where it must.
func (p *Pool) acquire(ctx context.Context, w want) (*instance, error) {
	if _, err := p.config.Load().program(w.kind.engine); err != nil {
		return nil, err // at once, and without a pause before the next try
	}
	x := &waiter{w, make(chan grant, 1)}
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return nil, ErrStopped
	}
	p.waiters = append(p.waiters, x)
	p.grantLocked()
	p.mu.Unlock()
	select {
	case g := <-x.ready:
		return g.in, g.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	p.waiters = slices.DeleteFunc(p.waiters, func(o *waiter) bool { return o == x })
	p.mu.Unlock()
	select {
	case g := <-x.ready: // at the same moment
		if g.in != nil {
			p.release(g.in, true)
		}
	default:
	}
	return nil, fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
}

// release gives a place back. An unfit browser is replaced.
func (p *Pool) release(in *instance, fit bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	in.tabs--
	in.idleSince = p.driver.Now()
	p.recycleLocked(in)
	if !fit || in.exclusive {
		in.draining = true
	}
	p.retireLocked(in)
	p.grantLocked()
}

// retireLocked ends a browser that opens no more tabs and has none.
func (p *Pool) retireLocked(in *instance) {
	if !in.draining || in.tabs > 0 {
		return
	}
	select {
	case <-in.stop:
	default:
		close(in.stop)
	}
}

// grantLocked gives free places to those that wait, in order, and launches what
// the others need.
func (p *Pool) grantLocked() {
	rest := p.waiters[:0]
	for _, x := range p.waiters {
		if in := p.placeLocked(x.want); in != nil {
			in.tabs++
			in.tasks++
			in.exclusive = x.fresh
			p.recycleLocked(in)
			x.ready <- grant{in: in}
			continue
		}
		rest = append(rest, x)
	}
	clear(p.waiters[len(rest):])
	p.waiters = rest
	if !p.stopped {
		for k, n := range p.missingLocked() {
			p.growLocked(k, n)
		}
	}
}

// placeLocked returns the least busy browser that has room, nil for none.
func (p *Pool) placeLocked(w want) *instance {
	var best *instance
	room := p.config.Load().MaxTabs
	for _, in := range p.instances {
		switch {
		case in.draining || in.exclusive || in.kind != w.kind || in.tabs >= room:
		case w.fresh && in.tasks > 0:
		case best == nil || in.tabs < best.tabs || in.tabs == best.tabs && in.id < best.id:
			best = in
		}
	}
	return best
}

// missingLocked counts the browsers that are to be launched, by kind.
func (p *Pool) missingLocked() map[kind]int {
	if len(p.waiters) == 0 && p.config.Load().MinBrowsers == 0 {
		return nil
	}
	room := p.config.Load().MaxTabs
	shared, need := map[kind]int{}, map[kind]int{}
	for _, x := range p.waiters {
		if x.fresh {
			need[x.kind]++
		} else {
			shared[x.kind]++
		}
	}
	for k, n := range shared {
		need[k] += (n + room - 1) / room
	}
	for k := range need {
		need[k] -= p.launching[k]
	}
	// The warm ones: as many as are to be kept ready and are not there.
	standard := kind{engine: HeadlessShell}
	alive := p.launching[standard]
	for _, in := range p.instances {
		if in.kind == standard && !in.draining {
			alive++
		}
	}
	need[standard] = max(need[standard], p.config.Load().MinBrowsers-alive)
	return need
}

// growLocked launches up to n browsers of a kind. Where there is no room for more
// it ends one of another use that nobody needs: its end calls grantLocked again.
func (p *Pool) growLocked(k kind, n int) {
	if f := p.failures[k]; f != nil && n > 0 && p.driver.Now() < f.until {
		if !p.hopeLocked(k) {
			p.refuseLocked(k, f.err)
		}
		return
	}
	ending := 0
	for _, in := range p.instances {
		if in.draining && in.tabs == 0 {
			ending++
		}
	}
	for ; n > 0; n-- {
		if p.totalLocked() < p.config.Load().MaxBrowsers {
			p.launching[k]++
			p.beginLocked()
			p.wg.Go(func() { p.grow(k) })
			continue
		}
		if ending > 0 {
			ending--
			continue
		}
		if victim := p.spareLocked(k); victim != nil {
			victim.draining = true
			p.retireLocked(victim)
		}
	}
}

func (p *Pool) totalLocked() int {
	n := len(p.instances)
	for _, l := range p.launching {
		n += l
	}
	return n
}

// spareLocked returns the browser that was idle longest and that no waiter of the
// kind could use.
func (p *Pool) spareLocked(k kind) *instance {
	var spare *instance
	for _, in := range p.instances {
		if in.tabs == 0 && !in.draining && (in.kind != k || in.tasks > 0) && (spare == nil || in.idleSince < spare.idleSince) {
			spare = in
		}
	}
	return spare
}

// hopeLocked reports whether a place in a browser of the kind may come free.
func (p *Pool) hopeLocked(k kind) bool {
	if p.launching[k] > 0 {
		return true
	}
	for _, in := range p.instances {
		if in.kind == k && !in.draining {
			return true
		}
	}
	return false
}

func (p *Pool) refuseLocked(k kind, err error) {
	p.waiters = slices.DeleteFunc(p.waiters, func(x *waiter) bool {
		if x.kind == k {
			x.ready <- grant{err: err}
		}
		return x.kind == k
	})
}

// grow launches one browser.
func (p *Pool) grow(k kind) {
	var in *instance
	err := ErrStopped
	select {
	case p.launchGate <- struct{}{}:
		ctx, cancel := context.WithTimeout(p.base, p.config.Load().LaunchTimeout)
		begun := time.Now()
		if in, err = p.launch(ctx, k); err == nil {
			p.launches.Observe(time.Since(begun))
		}
		cancel()
		<-p.launchGate
	case <-p.base.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.launching[k]--; p.launching[k] == 0 {
		delete(p.launching, k)
	}
	if err != nil {
		p.counts.launchFailures.Add(1)
		p.log.Warn("a browser was not launched", "engine", string(k.engine), "error", err)
		p.failedLocked(k, err)
		return
	}
	p.counts.launched.Add(1)
	delete(p.failures, k)
	p.nextInstance++
	in.id, in.idleSince = p.nextInstance, p.driver.Now()
	p.instances[in.id] = in
	p.log.Info("a browser was launched", "pid", in.pid(), "engine", string(k.engine), "version", in.version)
	if p.counts.launched.Load() == 1 && p.config.Load().noSandbox() {
		p.log.Warn("browsers run without Chromium's sandbox: where pages are not trusted, run gaia as another user than root")
	}
	p.wg.Go(func() { p.watch(in) })
	if p.stopped {
		in.draining = true
		p.retireLocked(in)
	}
	p.grantLocked()
}

// failedLocked notes that a launch failed, and tells those that have nothing else
// to hope for.
func (p *Pool) failedLocked(k kind, err error) {
	f := p.failures[k]
	if f == nil {
		f = &failure{pause: firstPause / 2}
		p.failures[k] = f
	}
	f.err, f.pause = err, min(2*f.pause, maxPause)
	f.until = p.driver.Now() + int64(f.pause)
	if !p.hopeLocked(k) {
		p.refuseLocked(k, err)
	}
}
