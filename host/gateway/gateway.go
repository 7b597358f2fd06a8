package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gaia-host/gaia/host/gateway/http1"
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

	MaxHeaderBytes    int           // of a request's head; 0 is 1 MiB
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
	http     *http1.Server
	serving  sync.WaitGroup
	named    namedHosts
	memory   memory
	flushers sync.Pool // of *flusher
	spare    sync.Pool // of *exchange

	configuring sync.Mutex
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
	s := &Server{pool: c.Pool, outer: c.ForwardProfile, log: c.Log, clock: c.Clock, listen: c.Listen}
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
	s.http = http1.New(http1.Config{
		Handler: s, MaxHeaderBytes: c.MaxHeaderBytes, ReadHeaderTimeout: c.ReadHeaderTimeout, IdleTimeout: c.IdleTimeout, Log: s.log,
	})
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
		if err := s.http.Serve(l); !errors.Is(err, http1.ErrClosed) {
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
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("gateway: stop: requests were cut: %w", err)
	}
	s.http.Close()
	s.serving.Wait()
	return err
}
