package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/gaia-host/gaia/subsystems/admission"
)

// Bounds of the local proxy.
const (
	maxProxyConns    = 4096
	proxyHeaderTime  = 10 * time.Second
	proxyIdleTime    = 2 * time.Minute
	proxyHeaderBytes = 64 << 10
	tunnelBuffer     = 32 << 10
)

// proxy is the local proxy: CONNECT, and requests in absolute form. What browsers
// and child processes send through it obeys the bounds of its Coordinator.
type proxy struct {
	n       *Coordinator
	listen  string
	guarded bool
	server  *http.Server
	forward *httputil.ReverseProxy
	buffers sync.Pool
	tunnels atomic.Int64
	ended   atomic.Bool    // it has stopped serving and was not told to
	served  sync.WaitGroup // the accept loop

	mu     sync.Mutex
	ln     net.Listener
	self   string
	closed bool
	open   map[*tunnel]struct{}
	busy   sync.WaitGroup // tunnels
}

// tunnel is a pair of connections.
type tunnel struct{ client, target net.Conn }

func newProxy(n *Coordinator, listen string) *proxy {
	p := &proxy{n: n, listen: listen, open: make(map[*tunnel]struct{})}
	p.buffers.New = func() any { b := make([]byte, tunnelBuffer); return &b }
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Host = r.In.Host
			if _, ok := r.Out.Header["User-Agent"]; !ok {
				r.Out.Header["User-Agent"] = nil // none was sent
			}
		},
		Transport:    &http.Transport{DialContext: p.dial, DisableCompression: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { p.fail(w, r, err) },
		BufferPool:   p,
		ErrorLog:     slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	p.server = &http.Server{
		Handler: p, ReadHeaderTimeout: proxyHeaderTime, IdleTimeout: proxyIdleTime, MaxHeaderBytes: proxyHeaderBytes,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	return p
}

// Get and Put are httputil.BufferPool.
func (p *proxy) Get() []byte  { return *p.buffers.Get().(*[]byte) }
func (p *proxy) Put(b []byte) { p.buffers.Put(&b) }

func (p *proxy) start(ctx context.Context) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", p.listen)
	if err != nil {
		return fmt.Errorf("serve the local proxy: %w", err)
	}
	p.mu.Lock()
	p.ln, p.self = ln, ln.Addr().String()
	p.mu.Unlock()
	if tcp, ok := ln.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		p.guarded = true
	}
	p.served.Go(func() {
		if err := p.server.Serve(netutil.LimitListener(ln, maxProxyConns)); !errors.Is(err, http.ErrServerClosed) {
			p.ended.Store(true)
			p.n.log.Error("the local proxy has ended", "error", err)
		}
	})
	return nil
}

func (p *proxy) addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.self
}

// stop takes no new connections and waits for those there are until ctx ends; then
// it cuts them.
func (p *proxy) stop(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.server.Shutdown(ctx)
	ended := make(chan struct{})
	go func() { // ends with the tunnels, which cut below ends
		p.busy.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		err = errors.Join(err, context.Cause(ctx))
	}
	_ = p.server.Close()
	p.mu.Lock()
	for t := range p.open {
		t.close()
	}
	p.mu.Unlock()
	<-ended
	p.forward.Transport.(*http.Transport).CloseIdleConnections()
	return err
}

// wait returns once the accept loop has ended.
func (p *proxy) wait() { p.served.Wait() }

func (t *tunnel) close() {
	_ = t.client.Close()
	_ = t.target.Close()
}

func (p *proxy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if p.isSelf(addr) {
		return nil, errLoop
	}
	t, err := p.n.target(network, addr, p.guarded)
	return p.n.dial(ctx, t, err, nil)
}

var errLoop = errors.New("the target is this proxy")

// isSelf reports whether addr is where the proxy listens.
func (p *proxy) isSelf(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	own, ownPort, err2 := net.SplitHostPort(p.addr())
	if err != nil || err2 != nil || port != ownPort {
		return false
	}
	ip, listens := net.ParseIP(host), net.ParseIP(own)
	return host == own || host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified() || ip.Equal(listens))
}

// ServeHTTP is one request to the proxy.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.connect(w, r)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		p.forward.ServeHTTP(w, r)
	default:
		http.Error(w, "gaia: this is a proxy: send CONNECT HOST:PORT, or the whole http:// URL", http.StatusBadRequest)
	}
}

// connect opens a tunnel and keeps it until both directions have ended.
func (p *proxy) connect(w http.ResponseWriter, r *http.Request) {
	target, err := p.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	client, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = target.Close()
		http.Error(w, "gaia: CONNECT needs HTTP/1.1", http.StatusHTTPVersionNotSupported)
		return
	}
	t := &tunnel{client, target}
	defer t.close()
	if !p.enter(t) {
		return
	}
	defer p.leave(t)
	_ = client.SetDeadline(time.Time{})
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	done := make(chan struct{})
	go func() { // connect waits for it
		defer close(done)
		p.copy(target, io.MultiReader(io.LimitReader(rw.Reader, int64(rw.Reader.Buffered())), client))
	}()
	p.copy(client, target)
	<-done
}

// copy copies one direction and ends it, or both where it broke.
func (p *proxy) copy(dst net.Conn, src io.Reader) {
	buf := p.buffers.Get().(*[]byte)
	defer p.buffers.Put(buf)
	_, err := io.CopyBuffer(struct{ io.Writer }{dst}, src, *buf)
	half, ok := dst.(interface{ CloseWrite() error })
	if err == nil && ok && half.CloseWrite() == nil {
		return
	}
	_ = dst.Close()
}

func (p *proxy) enter(t *tunnel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.open[t] = struct{}{}
	p.busy.Add(1)
	p.tunnels.Add(1)
	return true
}

func (p *proxy) leave(t *tunnel) {
	p.mu.Lock()
	delete(p.open, t)
	p.mu.Unlock()
	p.tunnels.Add(-1)
	p.busy.Done()
}

// fail answers for what could not be reached.
func (p *proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadGateway
	var denied *admission.DeniedError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &denied):
		status = denied.Status
		if denied.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.FormatInt(int64((denied.RetryAfter+time.Second-1)/time.Second), 10))
		}
	case errors.Is(err, errLoop):
		status = http.StatusLoopDetected
	case errors.Is(err, ErrPrivate):
		status = http.StatusForbidden
	case errors.Is(err, ErrBusy):
		status = http.StatusServiceUnavailable
	case errors.As(err, &timeout) && timeout.Timeout():
		status = http.StatusGatewayTimeout
	}
	p.n.log.Debug("the local proxy did not reach a target", "target", r.Host, "error", err)
	http.Error(w, fmt.Sprintf("gaia: %v", err), status)
}
