package gateway

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/subsystems/api"
)

// rawServer answers every request with the same bytes, at next to no cost, so that
// what is measured is the proxy between it and rawClients.
func rawServer(tb testing.TB, size int) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	answer := append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", size), bytes.Repeat([]byte("x"), size)...)
	var mu sync.Mutex
	var conns []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				buf := make([]byte, 16<<10)
				have := 0
				for {
					n, err := c.Read(buf[have:])
					if err != nil {
						return
					}
					if have += n; bytes.HasSuffix(buf[:have], []byte("\r\n\r\n")) {
						have = 0
						if _, err := c.Write(answer); err != nil {
							return
						}
					}
				}
			})
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

// rawClient sends the same request over one connection and reads the answers, whose
// length it learns from the first.
type rawClient struct {
	conn    net.Conn
	request []byte
	answer  []byte
}

func newRawClient(tb testing.TB, addr, path string) *rawClient {
	tb.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	c := &rawClient{conn: conn, request: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench/1\r\nAccept: */*\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n", path, addr)}
	if _, err := conn.Write(c.request); err != nil {
		tb.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	n := 0
	for _ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); ; {
		m, err := conn.Read(buf[n:])
		if n += m; err != nil {
			break
		}
	}
	_ = conn.SetReadDeadline(time.Time{})
	if !bytes.HasPrefix(buf, []byte("HTTP/1.1 200")) {
		tb.Fatalf("answer: %.200q", buf[:n])
	}
	c.answer = buf[:n]
	return c
}

func (c *rawClient) do() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	_, err := io.ReadFull(c.conn, c.answer)
	return err
}

// cpu is the processor time of the process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// load sends n requests over the connections and returns the processor time of each,
// client and upstream included.
func load(tb testing.TB, clients []*rawClient, n int) time.Duration {
	tb.Helper()
	before := cpu()
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			for range n / len(clients) {
				if err := c.do(); err != nil {
					tb.Errorf("request: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	return (cpu() - before) / time.Duration(n/len(clients)*len(clients))
}

// bareProxy is a tuned httputil.ReverseProxy and nothing else.
func bareProxy(tb testing.TB, upstream string) string {
	tb.Helper()
	u, err := url.Parse("http://" + upstream)
	if err != nil {
		tb.Fatal(err)
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true, ResponseHeaderTimeout: time.Minute}
	m := &memory{}
	srv := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: &httputil.ReverseProxy{
		Rewrite:    func(p *httputil.ProxyRequest) { p.SetURL(u) },
		Transport:  tr,
		BufferPool: bufferPool{m},
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
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
	return l.Addr().String()
}

type bufferPool struct{ m *memory }

func (p bufferPool) Get() []byte  { return *p.m.get(copyBuffer) }
func (p bufferPool) Put(b []byte) { p.m.put(&b) }

func connect(tb testing.TB, addr, path string, n int) []*rawClient {
	tb.Helper()
	clients := make([]*rawClient, n)
	for i := range clients {
		clients[i] = newRawClient(tb, addr, path)
	}
	return clients
}

// BenchmarkPlain reports the processor time of a request through the gateway, without
// a policy and with one, and as a ratio of what a bare ReverseProxy takes in the same
// round, less what client and upstream take by themselves. The ratios are medians.
func BenchmarkPlain(b *testing.B) {
	up := rawServer(b, 1024)
	_, plain := start(b, Config{Routes: upRoute(b, "http://"+up), Pool: newPool(b, nil)})
	policed := newPool(b, func(c *api.Config) {
		c.Slot = hooktest.Slot(7, &hooktest.Policy{Request: func(_ *policy.Request, d *policy.Decision) { d.Action = policy.ActionAllow }})
	})
	_, asked := start(b, Config{Routes: upRoute(b, "http://"+up), Pool: policed})
	const conns = 16
	sides := [...]struct {
		name    string
		clients []*rawClient
	}{
		{"direct", connect(b, up, "/x", conns)},
		{"bare", connect(b, bareProxy(b, up), "/x", conns)},
		{"gateway", connect(b, plain, "/up/x", conns)},
		{"policy", connect(b, asked, "/up/x", conns)},
	}
	for i := range sides {
		load(b, sides[i].clients, 2000)
	}
	var spent [len(sides)][]float64
	var plainRatio, policyRatio []float64
	for round := 0; b.Loop(); round++ {
		var us [len(sides)]float64
		for i := range sides {
			side := (i + round) % len(sides) // each takes each place in turn
			us[side] = float64(load(b, sides[side].clients, 4000).Nanoseconds()) / 1e3
		}
		for i := range us {
			spent[i] = append(spent[i], us[i])
		}
		plainRatio = append(plainRatio, (us[2]-us[0])/(us[1]-us[0]))
		policyRatio = append(policyRatio, (us[3]-us[0])/(us[1]-us[0]))
	}
	for i := range sides {
		b.ReportMetric(median(spent[i]), sides[i].name+"-us/req")
	}
	b.ReportMetric(median(plainRatio), "plain-ratio")
	b.ReportMetric(median(policyRatio), "policy-ratio")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
