package http1

import (
	"context"
	"slices"
	"sync"
	"time"
)

// requestContext is the context of requests, one after the other. It costs nothing
// until somebody waits for its end. AfterFunc is what context.AfterFunc and contexts
// derived from it look for.
type requestContext struct {
	mu    sync.Mutex
	done  chan struct{} // made when asked for
	err   error
	funcs []*afterFunc
}

type afterFunc struct {
	owner *requestContext
	run   func()
}

// Deadline implements context.Context. There is none.
func (c *requestContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements context.Context. There are none.
func (c *requestContext) Value(any) any { return nil }

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc runs f in a goroutine of its own when the context ends. stop prevents
// that, and reports whether it did.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	a := &afterFunc{c, f}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
	} else {
		c.funcs = append(c.funcs, a)
	}
	return a.stop
}

func (a *afterFunc) stop() bool {
	a.owner.mu.Lock()
	defer a.owner.mu.Unlock()
	i := slices.Index(a.owner.funcs, a)
	if i < 0 {
		return false
	}
	a.owner.funcs = slices.Delete(a.owner.funcs, i, i+1)
	return true
}

// cancel ends the context.
func (c *requestContext) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = context.Canceled
	if c.done != nil {
		close(c.done)
	}
	for _, a := range c.funcs {
		go a.run()
	}
	c.funcs = nil
}

// reusable reports whether another request may have it: nobody has seen it end, and
// nothing waits for that.
func (c *requestContext) reusable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil && len(c.funcs) == 0
}
