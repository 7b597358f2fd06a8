package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config describes a Transport. A time or count of 0 is no bound.
type Config struct {
	// Dial opens connections.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS are the settings of https; a nil one is the default. They are not changed.
	TLS *tls.Config

	TLSTimeout      time.Duration // of a handshake
	HeaderTimeout   time.Duration // from the request's end to the answer's head
	ContinueTimeout time.Duration // that a body waits for 100 where Expect asks for it
	IdleTimeout     time.Duration // of a kept connection
	MaxIdlePerHost  int           // kept connections
	MaxPerHost      int           // open connections; requests beyond wait, in order
	MaxHeaderBytes  int           // of an answer's head, informational ones included; 0 is 1 MiB
}

const defaultMaxHeader = 1 << 20

// Transport sends requests on connections that it keeps. It is safe for concurrent
// use. Close ends it; what is under way then ends by itself.
type Transport struct {
	c       Config
	buffers sync.Pool // of *[]byte, to send bodies with

	mu     sync.Mutex        // guards what follows, and the fields of conn that say so
	hosts  map[hostKey]*host // those with a connection
	fresh  []*conn           // exchanges that began a moment ago
	sweep  *time.Timer       // looks after fresh; nil: was never needed
	sweeps bool              // sweep is armed
	aging  *time.Timer       // ends connections that were kept for too long
	ages   bool              // aging is armed
	closed bool
}

// New returns a Transport. It opens nothing.
func New(c Config) *Transport {
	if c.MaxHeaderBytes == 0 {
		c.MaxHeaderBytes = defaultMaxHeader
	}
	if c.TLS == nil {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return &Transport{c: c, hosts: make(map[hostKey]*host)}
}

// RoundTrip sends r and returns its answer at the end of the head. The body of the
// answer must be read to its end or closed; that of a 101 is an io.ReadWriteCloser, and
// the connection its owner's. The body of r is closed in any case, maybe later, and r
// must not be changed before that.
//
// An error is ErrUnsendable, that of Dial, of the handshake or the body, of ctx (its
// cause), ErrHeaderTimeout, ErrMalformed or that of the connection. A request that
// a kept connection turned out to be too old for is sent again on another one, where
// that does no harm.
func (t *Transport) RoundTrip(ctx context.Context, r *Request) (*http.Response, error) {
	key, err := r.prepare()
	if err != nil {
		r.closeBody()
		return nil, err
	}
	for {
		if ctx.Err() != nil {
			r.closeBody()
			return nil, context.Cause(ctx)
		}
		c, err := t.get(ctx, key, r.waits())
		if err != nil {
			r.closeBody()
			return nil, err
		}
		kept := c.reused
		x := &exchange{conn: c, turn: c.turn}
		res, err := x.do(r)
		if err == nil {
			return res, nil
		}
		if errors.Is(err, errStale) {
			continue
		}
		if !kept || !x.mayRepeat(r) {
			return nil, err
		}
		if err := r.rewind(); err != nil {
			return nil, err
		}
	}
}

// Close ends all connections that are kept, and those in use as soon as they are not.
func (t *Transport) Close() {
	t.mu.Lock()
	t.closed = true
	var idle []*conn
	for _, h := range t.hosts {
		idle = append(idle, h.idle...)
		h.open -= len(h.idle)
		h.idle = nil
		if h.open == 0 {
			delete(t.hosts, h.key)
		}
	}
	if t.aging != nil {
		t.aging.Stop()
	}
	t.mu.Unlock()
	for _, c := range idle {
		_ = c.net.Close() // nothing was on its way
	}
}
