package js

import (
	"errors"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dop251/goja"

	"github.com/gaia-host/gaia/extensions/natives"
)

// Why a hook is cut off.
var (
	errBudget = errors.New("the budget of time is spent")
	errMemory = errors.New("it allocated more than 256 MiB")
)

// maxGrowth is how much the heap may grow while one hook runs. It is the growth of the
// whole process, for goja does not count: a hook that ends within a tick is never
// blamed for its neighbours.
const maxGrowth = 256 << 20

// States of a watch beyond its deadline in ticks.
const (
	watchIdle   = 0
	watchFired  = ^uint64(0)
	watchFiring = watchFired - 1
)

// parkAfter is how many ticks in a row without a hook stop the ticker.
const parkAfter = 64

// watchdog interrupts guests that run past a deadline. It counts deadlines in its own
// ticks, not in wall time, and fires only where the process had the processor for as
// long, and once more after everything else that waits for one: on a starved machine it
// fires late, but not on a hook that had no chance to run. It sleeps while nothing runs.
type watchdog struct {
	tick   time.Duration
	now    atomic.Uint64
	parked atomic.Bool
	wake   chan struct{} // cap 1
	stop   chan struct{}
	done   sync.WaitGroup

	mu      sync.Mutex // guards the changes of watches
	watches atomic.Pointer[[]*watch]
}

// watch is the watchdog's eye on one guest.
type watch struct {
	_        [64]byte
	deadline atomic.Uint64
	_        [56]byte
	dog      *watchdog
	rt       *goja.Runtime
	cut      atomic.Bool // read by capped built-ins, which an interrupt does not stop

	why error // set before the deadline says fired
	// Of the watchdog's goroutine: the run it sees, and the tick, the heap and the
	// processor time of the process when it first saw it.
	seen  uint64
	since uint64
	heap  uint64
	cpu   time.Duration
}

func newWatchdog(tick time.Duration) *watchdog {
	w := &watchdog{tick: tick, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	w.watches.Store(&[]*watch{})
	w.now.Store(1)
	w.done.Go(w.run)
	return w
}

// close ends the goroutine and waits for it.
func (w *watchdog) close() {
	close(w.stop)
	w.done.Wait()
}

// add returns a watch of rt.
func (w *watchdog) add(rt *goja.Runtime) *watch {
	e := &watch{dog: w, rt: rt}
	w.mu.Lock()
	defer w.mu.Unlock()
	old := *w.watches.Load()
	next := append(append(make([]*watch, 0, len(old)+1), old...), e)
	w.watches.Store(&next)
	return e
}

// remove forgets a watch that is not in use.
func (w *watchdog) remove(e *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := *w.watches.Load()
	next := make([]*watch, 0, len(old))
	for _, o := range old {
		if o != e {
			next = append(next, o)
		}
	}
	w.watches.Store(&next)
}

// ticks is a budget in ticks, at least one whole one.
func (w *watchdog) ticks(budget time.Duration) uint64 {
	return uint64((budget+w.tick-1)/w.tick) + 1
}

// enter starts a run of so many ticks; exit takes what it returns.
func (e *watch) enter(ticks uint64) uint64 {
	d := e.dog.now.Load() + ticks
	e.deadline.Store(d)
	if e.dog.parked.Load() {
		select {
		case e.dog.wake <- struct{}{}:
		default:
		}
	}
	return d
}

// exit ends a run. Where the watchdog fired meanwhile it waits for it to finish and
// takes the interrupt back, for that would hit the next run; it returns why it fired.
func (e *watch) exit(d uint64) error {
	if e.deadline.CompareAndSwap(d, watchIdle) {
		return nil
	}
	for e.deadline.Load() != watchFired {
		runtime.Gosched()
	}
	e.rt.ClearInterrupt()
	e.cut.Store(false)
	why := e.why
	e.deadline.Store(watchIdle)
	return why
}

func (w *watchdog) run() {
	ticker := time.NewTicker(w.tick)
	defer ticker.Stop()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	idle := 0
	for {
		select {
		case <-w.stop:
			return
		case <-ticker.C:
		}
		if w.scan(w.now.Add(1), sample) {
			idle = 0
			continue
		}
		if idle++; idle < parkAfter {
			continue
		}
		ticker.Stop()
		w.parked.Store(true)
		if !w.busy() { // a run that began before the store did not wake anyone
			select {
			case <-w.stop:
				return
			case <-w.wake:
			}
		}
		w.parked.Store(false)
		idle = 0
		ticker.Reset(w.tick)
	}
}

func (w *watchdog) busy() bool {
	for _, e := range *w.watches.Load() {
		if e.deadline.Load() != watchIdle {
			return true
		}
	}
	return false
}

// scan looks at every guest once and reports whether one runs.
func (w *watchdog) scan(now uint64, sample []metrics.Sample) (busy bool) {
	read, cpu := false, time.Duration(0)
	for _, e := range *w.watches.Load() {
		d := e.deadline.Load()
		if d == watchIdle || d >= watchFiring {
			continue
		}
		busy = true
		if !read {
			metrics.Read(sample)
			read, cpu = true, natives.ProcessTime()
		}
		heap := sample[0].Value.Uint64()
		if e.seen != d {
			e.seen, e.since, e.heap, e.cpu = d, now, heap, cpu
		}
		switch {
		case d < now:
			if cpu-e.cpu >= time.Duration(d-min(d, e.since))*w.tick && w.still(e, d) {
				e.fire(d, errBudget)
			}
		case heap < e.heap:
			e.heap = heap
		case heap-e.heap > maxGrowth:
			e.fire(d, errMemory)
		}
	}
	return busy
}

// still reports whether the run goes on after all that waits for a processor had one: a
// hook may have been put aside in the middle, behind a thousand callers.
func (w *watchdog) still(e *watch, d uint64) bool {
	runtime.Gosched()
	return e.deadline.Load() == d
}

func (e *watch) fire(d uint64, why error) {
	if !e.deadline.CompareAndSwap(d, watchFiring) {
		return
	}
	e.why = why
	e.cut.Store(true)
	e.rt.Interrupt(why)
	e.deadline.Store(watchFired)
}
