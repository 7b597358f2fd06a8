package http1

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is what Serve returns after Shutdown or Close.
var ErrClosed = errors.New("http1: the server is closed")

const (
	defaultMaxHeader = 1 << 20
	readBuffer       = 4 << 10
	// freshGrace is how long a server that shuts down waits for the first byte of a
	// connection that was just opened.
	freshGrace = 250 * time.Millisecond
	maxPause   = time.Second // after an Accept that failed
)

// Config describes a Server. A duration of 0 is no bound.
type Config struct {
	// Handler answers the requests. Its panics cut the connection; those other than
	// http.ErrAbortHandler are logged. To call runtime.Goexit is a panic too.
	Handler           http.Handler
	MaxHeaderBytes    int           // of a head; 0 is 1 MiB
	ReadHeaderTimeout time.Duration // for a head, from its first byte or the opening of the connection
	IdleTimeout       time.Duration // of a connection between requests
	Log               *slog.Logger  // nil discards
}

// Server serves HTTP/1.1 on one listener. Its methods are safe for concurrent use;
// it cannot be started again.
type Server struct {
	Config
	draining atomic.Bool // new requests are the last of their connections
	canceled atomic.Bool
	readers  sync.Pool // of *bufio.Reader
	buffers  sync.Pool // of *[]byte for answers
	date     atomic.Pointer[dateField]
	sweeper  sweeper
	empty    chan struct{} // closed once draining and without a connection
	over     chan struct{} // closed with the first Shutdown or Close

	mu       sync.Mutex
	listener net.Listener       // guarded by mu
	conns    map[*conn]struct{} // guarded by mu
}

// New returns a server that serves nothing yet.
func New(c Config) *Server {
	if c.MaxHeaderBytes <= 0 {
		c.MaxHeaderBytes = defaultMaxHeader
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{Config: c, conns: map[*conn]struct{}{}, empty: make(chan struct{}), over: make(chan struct{})}
	s.sweeper.init(s.sweep)
	return s
}

// Serve accepts connections from l, which it closes, until Shutdown or Close, and
// returns ErrClosed then. Errors of Accept are logged and waited out, unless they say
// that l is closed.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	defer func() { _ = l.Close() }() // it may be closed already
	pause := 5 * time.Millisecond
	for !s.draining.Load() {
		rwc, err := l.Accept()
		switch {
		case err == nil:
			pause = 5 * time.Millisecond
			s.start(rwc)
		case s.draining.Load():
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			s.Log.Warn("a connection could not be accepted", "error", err, "pause", pause)
			select {
			case <-time.After(pause):
				pause = min(2*pause, maxPause)
			case <-s.over:
			}
		}
	}
	return ErrClosed
}

func (s *Server) start(rwc net.Conn) {
	c := &conn{s: s, rwc: rwc}
	c.w.c = c
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		_ = rwc.Close() // had it come a moment later, nobody would have taken it
		return
	}
	s.conns[c] = struct{}{}
	go c.serve()
}

// remove forgets a connection whose goroutine ends.
func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.emptyLocked()
}

func (s *Server) emptyLocked() {
	if len(s.conns) > 0 || !s.draining.Load() {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

// drain closes the listener and what is idle.
func (s *Server) drain() {
	s.draining.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.over:
	default:
		close(s.over)
	}
	if s.listener != nil {
		_ = s.listener.Close() // nothing is lost with it
	}
	for c := range s.conns {
		c.closeIn(phaseIdle, phaseEnding)
	}
	s.emptyLocked()
}

// Shutdown takes no new connections, closes idle ones, and waits for the requests
// under way and the handlers that took their connection over, until ctx ends: then it
// returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain()
	fresh := time.AfterFunc(freshGrace, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.closeIn(phaseNew, phaseEnding)
		}
	})
	defer fresh.Stop()
	select {
	case <-s.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Cancel ends the contexts of all requests, and of those to come.
func (s *Server) Cancel() {
	s.canceled.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if ctx := c.ctx.Load(); ctx != nil {
			ctx.cancel()
		}
	}
}

// Close cuts every connection, those that handlers took over too, and returns when
// all handlers have.
func (s *Server) Close() {
	s.Cancel()
	s.drain()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.rwc.Close() // it is cut
	}
	s.mu.Unlock()
	<-s.empty
	s.sweeper.close()
}

func (s *Server) reader(rwc net.Conn) *bufio.Reader {
	if br, ok := s.readers.Get().(*bufio.Reader); ok {
		br.Reset(rwc)
		return br
	}
	return bufio.NewReaderSize(rwc, readBuffer)
}

// dateField is the value of Date for one second.
type dateField struct {
	unix int64
	text string
}

func (s *Server) dateAt(now time.Time) string {
	d := s.date.Load()
	if d == nil || d.unix != now.Unix() {
		d = &dateField{now.Unix(), now.UTC().Format(http.TimeFormat)}
		s.date.Store(d)
	}
	return d.text
}
