package gatewaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// reference is the least gateway that passes the suite: net/http's server, its
// ReverseProxy and a handler for CONNECT.
type reference struct {
	Config
	self  string
	proxy *httputil.ReverseProxy
	dial  net.Dialer
	fault fault // breaks it on purpose; none: it is right
}

// fault is a mistake that gateways are known to make.
type fault string

const (
	bufferAnswer fault = "buffers the whole answer"
	keepNamed    fault = "keeps the fields that Connection names"
	addForwarded fault = "adds X-Forwarded-For"
	cleanPath    fault = "normalises the path"
	ignoreLeave  fault = "does not notice that the client left"
	cleanEnd     fault = "ends a cut answer cleanly"
	reuseUnread  fault = "reuses a connection whose body was not read"
	readAhead    fault = "reads the whole request before it forwards"
	keepGaia     fault = "passes the Gaia fields on"
	noTrailers   fault = "drops request trailers"
	obeyH2C      fault = "passes an upgrade to h2c on"
	loop         fault = "sends requests to itself"
	halfDuplex   fault = "waits for the request's end before it answers"
)

// exchange is what the proxy's hooks must know of a request.
type exchange struct {
	target *url.URL
	body   *watchedBody
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// watchedBody knows how reading the client's body ended.
type watchedBody struct {
	io.ReadCloser
	mu  sync.Mutex
	err error // guarded by mu
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

func (b *watchedBody) end() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func startReference(tb testing.TB, c Config) string {
	return (&reference{Config: c}).start(tb)
}

func (g *reference) start(tb testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("listen: %v", err)
	}
	g.self = l.Addr().String()
	g.dial.Timeout = g.DialTimeout
	tr := &http.Transport{
		DialContext:            g.dial.DialContext,
		ResponseHeaderTimeout:  g.HeaderTimeout,
		ExpectContinueTimeout:  time.Second,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    1000,
		MaxResponseHeaderBytes: 1 << 20,
	}
	g.proxy = &httputil.ReverseProxy{
		Rewrite:       g.rewrite,
		Transport:     tr,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler:  g.fail,

		ModifyResponse: g.closeUnread,
	}
	srv := &http.Server{
		Handler:           g,
		ReadHeaderTimeout: g.ReadHeaderTimeout,
		MaxHeaderBytes:    g.MaxHeaderBytes,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	if g.MaxHeaderBytes == 0 {
		srv.MaxHeaderBytes = 1 << 20
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	tb.Cleanup(func() {
		_ = srv.Close()
		tr.CloseIdleConnections()
		<-done
	})
	return g.self
}

// rewrite sets the upstream, and gives back what ReverseProxy takes away.
func (g *reference) rewrite(p *httputil.ProxyRequest) {
	p.Out.URL = exchangeOf(p.In).target
	p.Out.Host = ""
	if g.fault != noTrailers {
		p.Out.Trailer = p.In.Trailer // shared: filled when the body has been read
	}
	if g.fault == addForwarded {
		p.SetXForwarded()
	}
	if g.fault == keepGaia {
		return
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := p.In.Header[name]; ok {
			p.Out.Header[name] = v
		}
	}
	for _, name := range []string{"Gaia-Tenant", "Gaia-Priority", "Gaia-Cost", "Gaia-Timeout"} {
		p.Out.Header.Del(name)
	}
	if strings.EqualFold(p.Out.Header.Get("Upgrade"), "h2c") && g.fault != obeyH2C {
		p.Out.Header.Del("Upgrade")
		p.Out.Header.Del("Connection")
	}
}

func (g *reference) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.fault != halfDuplex {
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	if r.Method == http.MethodConnect {
		g.connect(w, r)
		return
	}
	target := g.target(w, r)
	if target == nil {
		return
	}
	w, r = g.spoil(w, r, target)
	if g.MaxRequestBody > 0 {
		if r.ContentLength > g.MaxRequestBody {
			w.Header().Set("Connection", "close")
			http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, g.MaxRequestBody)
	}
	if d, err := time.ParseDuration(r.Header.Get(HoldField)); err == nil && !g.hold(r, d) {
		return
	}
	x := &exchange{target: target, body: &watchedBody{ReadCloser: r.Body}}
	if r.Body == http.NoBody {
		x.body.err = io.EOF
	} else {
		r.Body = x.body
	}
	g.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
	if b, ok := w.(*bufferedWriter); ok {
		b.flush()
	}
}

// hold waits, and reports whether the client is still there. net/http notices a
// client that leaves only once the body has been read.
func (g *reference) hold(r *http.Request, d time.Duration) bool {
	if n := r.ContentLength; n > 0 && n <= 64<<10 {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return false
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	g.Held()
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
		g.Cancelled()
		return false
	}
}

// target is where the request goes; nil if it was answered.
func (g *reference) target(w http.ResponseWriter, r *http.Request) *url.URL {
	if r.URL.IsAbs() || !strings.HasPrefix(r.RequestURI, "/") {
		return g.forwardTarget(w, r)
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	var best *Route
	for i := range g.Routes {
		rt := &g.Routes[i]
		if strings.HasPrefix(path+"/", rt.PathPrefix) && (best == nil || len(rt.PathPrefix) > len(best.PathPrefix)) {
			best = rt
		}
	}
	if best == nil {
		names := make([]string, 0, len(g.Routes))
		for _, rt := range g.Routes {
			names = append(names, rt.Name+" at "+rt.PathPrefix)
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprintf(w, `{"title":"no route","detail":%q}`, strings.Join(names, ", "))
		return nil
	}
	if best.Strip {
		path = (path + "/")[len(best.PathPrefix)-1 : max(len(path), len(best.PathPrefix))]
	}
	u, err := url.Parse(best.Upstream + path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil
	}
	u.RawQuery, u.ForceQuery = query, r.URL.ForceQuery
	return u
}

func (g *reference) forwardTarget(w http.ResponseWriter, r *http.Request) *url.URL {
	switch {
	case !g.ForwardProxy || r.URL.Scheme != "http" && r.URL.Scheme != "https" || r.URL.Hostname() == "":
		http.Error(w, "no such target", http.StatusBadRequest)
	case r.URL.Scheme == "https":
		http.Error(w, "https:// needs CONNECT", http.StatusNotImplemented)
	case g.isSelf(r.URL.Host) && g.fault != loop:
		http.Error(w, "a request to the gateway itself", http.StatusLoopDetected)
	default:
		u := *r.URL
		return &u
	}
	return nil
}

func (g *reference) isSelf(hostport string) bool {
	host, port, _ := net.SplitHostPort(hostport)
	_, own, _ := net.SplitHostPort(g.self)
	return port == own && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

func (g *reference) connect(w http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.RequestURI)
	n, perr := strconv.ParseUint(port, 10, 16)
	if !g.ForwardProxy || err != nil || perr != nil || n == 0 || host == "" {
		http.Error(w, "CONNECT wants host:port", http.StatusBadRequest)
		return
	}
	if g.isSelf(r.Host) {
		http.Error(w, "a request to the gateway itself", http.StatusLoopDetected)
		return
	}
	up, err := g.dial.DialContext(r.Context(), "tcp", r.RequestURI)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = up.Close() }()
	c, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		pipe(up.(*net.TCPConn), brw.Reader, c.(*net.TCPConn))
	}()
	pipe(c.(*net.TCPConn), up, up.(*net.TCPConn))
	<-done
}

// pipe copies one direction and passes its end on; a failure ends both.
func pipe(dst *net.TCPConn, src io.Reader, from *net.TCPConn) {
	if _, err := io.Copy(dst, src); err != nil {
		_ = dst.Close()
		_ = from.Close()
		return
	}
	_ = dst.CloseWrite()
}

// closeUnread ends the connection after an answer that came before the body's
// end, as fail does: in full duplex, net/http keeps the connection of a body that
// turns out malformed, and takes what follows for a request.
func (g *reference) closeUnread(res *http.Response) error {
	if g.fault != reuseUnread && g.fault != halfDuplex && exchangeOf(res.Request).body.end() != io.EOF && res.StatusCode != http.StatusSwitchingProtocols {
		res.Header.Set("Connection", "close")
	}
	return nil
}

func (g *reference) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadGateway
	var timeout net.Error
	var tooLarge *http.MaxBytesError
	body := exchangeOf(r).body.end()
	switch {
	case errors.As(err, &tooLarge):
		status = http.StatusRequestEntityTooLarge
	case body != nil && body != io.EOF:
		status = http.StatusBadRequest
	case errors.As(err, &timeout) && timeout.Timeout():
		status = http.StatusGatewayTimeout
	}
	if body != io.EOF && g.fault != reuseUnread {
		w.Header().Set("Connection", "close")
	}
	http.Error(w, err.Error(), status)
}
