// Package peer has what gaia is compared with where more than one program of this module
// needs it. It is no part of gaia and no example of how to use it.
package peer

import (
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"github.com/gaia-host/gaia/subsystems/api"
)

// Transport is one of net/http with the settings of gaia's own client pool.
func Transport() *http.Transport {
	c := api.DefaultConfig()
	return &http.Transport{
		DialContext: (&net.Dialer{Timeout: c.DialTimeout}).DialContext, DisableCompression: true,
		MaxIdleConnsPerHost: c.MaxIdleConnsPerHost, IdleConnTimeout: c.IdleConnTimeout, ResponseHeaderTimeout: c.HeaderTimeout,
	}
}

// buffers lend the proxy its copy buffers.
type buffers struct{ sync.Pool }

func (b *buffers) Get() []byte {
	if buf, ok := b.Pool.Get().(*[]byte); ok {
		return *buf
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buf []byte) { b.Pool.Put(&buf) }

// ReverseProxy is httputil.ReverseProxy to an upstream with what makes it fast: a tuned
// transport and borrowed buffers. prefix is taken off every path.
func ReverseProxy(upstream, prefix string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			u := r.Out.URL
			u.Scheme, u.Host, u.Path = "http", upstream, strings.TrimPrefix(u.Path, prefix)
			r.Out.Host = ""
		},
		Transport: Transport(), BufferPool: &buffers{},
	}
}

// Server serves a handler as every proxy in Go here is served.
func Server(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
}
