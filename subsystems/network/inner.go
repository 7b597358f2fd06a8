package network

import (
	"context"
	"fmt"
)

// GuardedProxy returns the address of a proxy on loopback whose dials are guarded:
// for programs that show strangers' pages. It is served from the first call on,
// until Stop.
func (n *Coordinator) GuardedProxy(ctx context.Context) (string, error) {
	n.innerMu.Lock()
	defer n.innerMu.Unlock()
	if n.innerDone {
		return "", fmt.Errorf("network: serve a proxy: %w", context.Canceled)
	}
	if n.inner != nil {
		return n.inner.addr(), nil
	}
	p := newProxy(n, "127.0.0.1:0")
	p.guarded = true
	if err := p.start(ctx); err != nil {
		return "", fmt.Errorf("network: %w", err)
	}
	n.inner = p
	return p.addr(), nil
}

// stopInner ends what GuardedProxy serves; later calls fail.
func (n *Coordinator) stopInner(ctx context.Context) error {
	n.innerMu.Lock()
	defer n.innerMu.Unlock()
	n.innerDone = true
	if n.inner == nil {
		return nil
	}
	return n.inner.stop(ctx)
}

// waitInner waits for it once everything is cut.
func (n *Coordinator) waitInner() {
	n.innerMu.Lock()
	defer n.innerMu.Unlock()
	if n.inner != nil {
		n.inner.wait()
	}
}
