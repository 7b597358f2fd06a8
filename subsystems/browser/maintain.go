package browser

import (
	"context"
	"fmt"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
)

// beginLocked starts what looks after the browsers, with the first of them.
func (p *Pool) beginLocked() {
	if p.maintained {
		return
	}
	p.maintained = true
	p.wg.Go(p.maintain)
}

// maintain looks after the browsers until the pool ends.
func (p *Pool) maintain() {
	t := time.NewTicker(p.config.Load().CheckInterval)
	defer t.Stop()
	for {
		select {
		case <-p.base.Done():
			return
		case <-t.C:
			p.tend()
		}
	}
}

// tend pings and measures every browser, and ends those that are worn or idle.
func (p *Pool) tend() {
	p.mu.Lock()
	byPID := make(map[int]*instance, len(p.instances))
	for _, in := range p.instances {
		byPID[in.pid()] = in
		if !in.pinging {
			in.pinging = true
			p.wg.Go(func() { p.ping(in) })
		}
	}
	p.mu.Unlock()
	memory := memoryOf(byPID)
	p.mu.Lock()
	defer p.mu.Unlock()
	for pid, in := range byPID {
		if n := memory[pid]; n > 0 {
			in.memory = n
		}
		p.recycleLocked(in)
		p.retireLocked(in)
	}
	p.thinLocked()
	p.grantLocked()
}

// ping ends a browser that does not answer.
func (p *Pool) ping(in *instance) {
	wait := p.config.Load().PingTimeout
	ctx, cancel := context.WithTimeout(p.base, wait)
	defer cancel()
	_, err := call(ctx, in.root, browser.GetVersion, cdp.Empty{})
	if err != nil && p.base.Err() == nil && ctx.Err() != nil {
		in.conn.close(fmt.Errorf("%w: it did not answer for %v", ErrCrashed, wait))
	}
	p.mu.Lock()
	in.pinging = false
	p.mu.Unlock()
}

// recycleLocked lets a worn browser open no more tabs.
func (p *Pool) recycleLocked(in *instance) {
	if !in.draining && p.wornLocked(in) {
		in.draining = true
		p.counts.recycled.Add(1)
	}
}

// wornLocked reports whether a browser is to be replaced.
func (p *Pool) wornLocked(in *instance) bool {
	c := p.config.Load()
	return c.MaxTasks > 0 && in.tasks >= c.MaxTasks ||
		c.MaxMemory > 0 && in.memory > c.MaxMemory ||
		c.MaxAge > 0 && p.driver.Now()-in.started > int64(c.MaxAge)
}

// thinLocked ends browsers beyond the warm ones that nobody has used for a while.
func (p *Pool) thinLocked() {
	c := p.config.Load()
	if c.IdleTimeout == 0 {
		return
	}
	standard := 0
	for _, in := range p.instances {
		if in.kind == (kind{engine: HeadlessShell}) && !in.draining {
			standard++
		}
	}
	now := p.driver.Now()
	for _, in := range p.instances {
		if in.tabs > 0 || in.draining || now-in.idleSince < int64(c.IdleTimeout) {
			continue
		}
		if in.kind == (kind{engine: HeadlessShell}) {
			if standard <= c.MinBrowsers {
				continue
			}
			standard--
		}
		in.draining = true
		p.retireLocked(in)
	}
}
