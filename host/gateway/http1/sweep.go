package http1

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// tick is how often requests are looked at that are being served. One that is seen
// twice gets a watcher, which notices that its client leaves: most are answered
// before, and cost nothing for it.
const tick = 25 * time.Millisecond

// sweeper runs sweep every tick as long as it says that there is something to see.
type sweeper struct {
	on    atomic.Bool
	sweep func() (busy bool)

	mu     sync.Mutex
	timer  *time.Timer // guarded by mu
	closed bool        // guarded by mu
}

func (p *sweeper) init(sweep func() bool) { p.sweep = sweep }

// wake makes sure that it runs. It is called with every request.
func (p *sweeper) wake() {
	if !p.on.Load() && p.on.CompareAndSwap(false, true) {
		p.schedule()
	}
}

func (p *sweeper) schedule() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
	case p.timer == nil:
		p.timer = time.AfterFunc(tick, p.run)
	default:
		p.timer.Reset(tick)
	}
}

func (p *sweeper) run() {
	if !p.sweep() {
		p.on.Store(false)
		if !p.sweep() || !p.on.CompareAndSwap(false, true) {
			return // else a request began between the two
		}
	}
	p.schedule()
}

func (p *sweeper) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

// sweep looks at every connection and reports whether a request is being served.
func (s *Server) sweep() (busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		state := c.state.Load()
		if state&phases != phaseActive {
			continue
		}
		busy = true
		if c.swept == state {
			c.watch.start(c)
		}
		c.swept = state
	}
	return busy
}

// Whether the reader of a connection may be watched.
const (
	watchShut = iota // somebody reads from it
	watchOpen        // the handler runs and nobody reads
	watchOn          // a watcher does
)

// watch is the watcher of a connection's client.
type watch struct {
	gate atomic.Int32
	stop atomic.Bool

	mu    sync.Mutex
	ended chan struct{} // of the watcher that runs; guarded by mu
}

// start has a goroutine wait until the client leaves or shut is called.
func (w *watch) start(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.gate.CompareAndSwap(watchOpen, watchOn) {
		return
	}
	w.stop.Store(false)
	ended := make(chan struct{})
	w.ended = ended
	go func() {
		defer close(ended)
		c.watchClient()
	}()
}

// shut ends the watching, and reports whether there was any: then c's deadline is
// gone.
func (w *watch) shut(c *conn) bool {
	if w.gate.Swap(watchShut) != watchOn {
		return false
	}
	w.mu.Lock()
	ended := w.ended
	w.mu.Unlock()
	w.stop.Store(true)
	_ = c.rwc.SetReadDeadline(longAgo) // on a closed connection it ends by itself
	<-ended
	c.setReadDeadline(time.Time{})
	return true
}

// watchClient waits for the end of the client's direction. What comes before it stays
// in the buffer; once that is full, no end can be seen behind it.
func (c *conn) watchClient() {
	ctx := c.ctx.Load()
	for {
		_ = c.rwc.SetReadDeadline(time.Time{})
		if c.watch.stop.Load() {
			return
		}
		have := c.br.Buffered()
		if have == c.br.Size() {
			return
		}
		_, err := c.br.Peek(have + 1)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			ctx.cancel()
			return
		}
	}
}
