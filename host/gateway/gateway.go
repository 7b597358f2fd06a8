package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gaia-host/gaia/subsystems/api"
)

// ErrListen is wrapped by the error of a Start that could not bind.
var ErrListen = errors.New("gateway: listen")

// Config describes a Server. A time or size of 0 is no bound. Fields marked live are
// what SetConfig changes.
type Config struct {
	Listen string    // HOST:PORT; port 0 takes a free one
	Routes []Route   // live
	Pool   *api.Pool // sends the requests; it outlives the Server
	// ForwardProxy serves absolute-form requests and CONNECT. Live.
	ForwardProxy bool
	// ForwardProfile is the pool's profile for their targets; "" is the routes'.
	ForwardProfile string
	// AllowedHosts are values of Host, with or without a port, that routes answer to
	// besides loopback, the listen address and the hosts of routes. Live.
	AllowedHosts []string

	MaxHeaderBytes    int           // of a request's head; 0 is net/http's 1 MiB
	ReadHeaderTimeout time.Duration // from a connection's first byte to the end of a head
	IdleTimeout       time.Duration // of a connection between requests
	MaxRequestBody    int64         // live: bytes
	DrainTimeout      time.Duration // live: of Stop with a context that has no deadline

	Log   *slog.Logger // nil discards
	Clock func() int64 // ns since the Unix epoch; nil follows the system's
}

// Server is the gateway. Methods are safe for concurrent use. Start and Stop work
// once.
type Server struct {
	pool  *api.Pool
	outer string // the profile of forward requests
	log   *slog.Logger
	clock func() int64
	live  atomic.Pointer[settings]
	self  atomic.Pointer[selfSet]

	listen   string
	addr     atomic.Pointer[string]
	http     *http.Server
	serving  sync.WaitGroup
	active   inFlight
	fresh    freshConns
	tunnels  tunnels
	named    namedHosts
	memory   memory
	flushers sync.Pool // of *flusher

	configuring sync.Mutex
	cancel      context.CancelFunc // of every request's context
	stopping    sync.Once
	stopErr     error
}

// settings are the live part of a Config, made ready. Immutable.
type settings struct {
	table   *table
	hosts   *hostSet
	allowed []string
	forward bool
	maxBody int64
	drain   time.Duration
}

// New returns a Server that serves c, or what is wrong with it (ErrRoute). It opens
// nothing yet.
func New(c Config) (*Server, error) {
	if c.Pool == nil {
		return nil, errors.New("gateway: a Config without a Pool")
	}
	s := &Server{pool: c.Pool, outer: c.ForwardProfile, log: c.Log, clock: c.Clock, listen: c.Listen, active: inFlight{idle: make(chan struct{})}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.clock == nil {
		start := time.Now()
		s.clock = func() int64 { return start.UnixNano() + int64(time.Since(start)) }
	}
	s.flushers.New = func() any { return newFlusher() }
	s.self.Store(newSelfSet(c.Listen, nil))
	set, err := s.settingsOf(&c)
	if err != nil {
		return nil, err
	}
	s.live.Store(set)
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	base, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.http = &http.Server{
		Handler:                      s,
		Protocols:                    protocols,
		MaxHeaderBytes:               c.MaxHeaderBytes,
		ReadHeaderTimeout:            c.ReadHeaderTimeout,
		IdleTimeout:                  c.IdleTimeout,
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		BaseContext:                  func(net.Listener) context.Context { return base },
		ConnState:                    s.fresh.changed,
		DisableGeneralOptionsHandler: true,
	}
	return s, nil
}

func (s *Server) settingsOf(c *Config) (*settings, error) {
	t, err := newTable(c.Routes, s.self.Load().has)
	if err != nil {
		return nil, err
	}
	return &settings{
		table: t, hosts: newHostSet(s.Addr(), s.self.Load(), c.Routes, c.AllowedHosts), allowed: c.AllowedHosts,
		forward: c.ForwardProxy, maxBody: c.MaxRequestBody, drain: c.DrainTimeout,
	}, nil
}

// SetConfig puts the live fields of c in force for requests that begin from now on.
// Routes that New would refuse are logged, and nothing changes.
func (s *Server) SetConfig(c Config) {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	set, err := s.settingsOf(&c)
	if err != nil {
		s.log.Error("the gateway keeps its routes: the new ones are refused", "error", err)
		return
	}
	s.live.Store(set)
}

// Start binds the address and serves. The error says why it could not (ErrListen).
func (s *Server) Start(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.listen)
	if err != nil {
		return listenError(s.listen, err)
	}
	s.bound(l.Addr().String())
	s.serving.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the gateway stopped serving", "error", err)
		}
	})
	return nil
}

// bound makes ready what depends on the port that was bound.
func (s *Server) bound(addr string) {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	s.addr.Store(&addr)
	s.self.Store(newSelfSet(addr, machineAddrs()))
	old := s.live.Load()
	set := *old
	set.hosts = newHostSet(addr, s.self.Load(), old.table.routes, old.allowed)
	if t, err := newTable(old.table.routes, s.self.Load().has); err == nil { // New has checked them
		set.table = t
	}
	s.live.Store(&set)
}

func machineAddrs() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil // then only loopback is known as the gateway's own
	}
	var addrs []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			addrs = append(addrs, p.Addr())
		}
	}
	return addrs
}

func listenError(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w on %s: the port is taken by another program; stop it or choose another with --listen (%w)", ErrListen, addr, syscall.EADDRINUSE)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w on %s: this machine has no such address (%w)", ErrListen, addr, syscall.EADDRNOTAVAIL)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w on %s: permission denied; ports below 1024 need privileges (%w)", ErrListen, addr, syscall.EACCES)
	}
	return fmt.Errorf("%w on %s: %w", ErrListen, addr, err)
}

// Addr returns the address that is served, before Start the configured one.
func (s *Server) Addr() string {
	if a := s.addr.Load(); a != nil {
		return *a
	}
	return s.listen
}

// Routes returns the routes in force. The slice must not be changed.
func (s *Server) Routes() []Route { return s.live.Load().table.routes }

// Stop refuses new connections, closes idle ones and lets requests under way end,
// streams and tunnels too, until ctx does; then it cuts them, and the error says so.
// It returns once no request is being served, and may be called again.
func (s *Server) Stop(ctx context.Context) error {
	s.stopping.Do(func() { s.stopErr = s.stop(ctx) })
	return s.stopErr
}

func (s *Server) stop(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok && s.live.Load().drain > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.live.Load().drain)
		defer cancel()
	}
	silent := time.AfterFunc(freshGrace, s.fresh.close)
	defer silent.Stop()
	err := s.http.Shutdown(ctx)
	if err == nil {
		err = s.drain(ctx) // hijacked connections are not the server's any more
	}
	s.cancel()
	s.tunnels.cut()
	if err != nil {
		_ = s.http.Close() // what it says of connections is of no use now
		err = fmt.Errorf("gateway: stop: requests were cut: %w", err)
	}
	<-s.active.ended()
	s.serving.Wait()
	return err
}

// drain waits until no request is being served, or ctx ends.
func (s *Server) drain(ctx context.Context) error {
	select {
	case <-s.active.ended():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inFlight counts the requests being served. idle is made by New.
type inFlight struct {
	n    atomic.Int64 // count, and the bit last
	idle chan struct{}
	once sync.Once
}

// last marks that idle is to be closed when the count gets to 0.
const last = int64(1) << 62

func (f *inFlight) enter() { f.n.Add(1) }

func (f *inFlight) leave() {
	if f.n.Add(-1) == last {
		f.once.Do(func() { close(f.idle) })
	}
}

// ended returns a channel that is closed once the requests under way have ended.
func (f *inFlight) ended() <-chan struct{} {
	if f.n.Or(last)&^last == 0 {
		f.once.Do(func() { close(f.idle) })
	}
	return f.idle
}

// freshGrace is how long a stopping server waits for the first byte of a connection
// that was just opened. net/http alone would wait for 5 s.
const freshGrace = 250 * time.Millisecond

// freshConns are the connections that have sent nothing yet.
type freshConns struct {
	count atomic.Int64
	mu    sync.Mutex
	open  map[net.Conn]struct{} // guarded by mu
}

// changed is http.Server.ConnState.
func (f *freshConns) changed(c net.Conn, state http.ConnState) {
	if state != http.StateNew && f.count.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if state == http.StateNew {
		if f.open == nil {
			f.open = map[net.Conn]struct{}{}
		}
		f.open[c] = struct{}{}
	} else {
		delete(f.open, c)
	}
	f.count.Store(int64(len(f.open)))
}

func (f *freshConns) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.open {
		_ = c.Close() // it sent nothing
	}
}
