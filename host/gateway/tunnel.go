package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/gaia-host/gaia/extensions/policy"
)

// maxNamed bounds the hosts that are remembered as told of in the log.
const maxNamed = 1024

// connect opens a tunnel. It is admitted as a whole: what passes through it is
// nobody's to see.
func (x *exchange) connect() {
	host, port, ok := connectTarget(x.r.RequestURI)
	switch {
	case !x.set.forward:
		x.answer(forwardOff(http.StatusMethodNotAllowed))
		return
	case !ok:
		x.answer(badTarget("CONNECT wants a host and a port, such as example.com:443"))
		return
	case x.r.ContentLength != 0:
		x.answer(&problem{status: http.StatusBadRequest, kind: problemBadRequest, title: "a CONNECT has no body"})
		return
	case x.s.self.Load().has(host + ":" + port):
		x.answer(loopProblem("the target " + quoted(x.r.RequestURI)))
		return
	}
	if fault := x.steer.take(x.r.Header); fault != "" {
		x.answer(&problem{status: http.StatusBadRequest, kind: problemBadRequest, title: "a Gaia field is wrong", detail: fault})
		return
	}
	c := &x.call
	c.Key, c.Profile = keyOf(host+":"+port, "443"), x.s.outer
	x.url.Scheme, x.url.Host = "https", c.Key
	c.Method, c.URL, c.Header = http.MethodConnect, &x.url, x.r.Header
	c.Tenant, c.Priority, c.HasPriority, c.Cost = x.steer.tenant, x.steer.priority, x.steer.hasPriority, x.steer.cost
	ctx := x.r.Context()
	if x.steer.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, x.steer.timeout)
		defer cancel()
	}
	lease, err := x.s.pool.Admit(ctx, c)
	if err != nil {
		x.fail(err)
		return
	}
	x.s.named.tell(x.s, c.Key)
	t := &tunnel{target: lease.Conn}
	head := "HTTP/1.1 200 Connection established\r\n"
	if w := waitField(c.Result.Waited); w != "" {
		head += "Gaia-Wait: " + w + "\r\n"
	}
	got, kind := x.run(t, func(w *bufio.Writer) { _, _ = w.WriteString(head + "\r\n") })
	lease.Done(kind, got)
}

// upgrade turns the connection into a tunnel to an upstream that has switched
// protocols.
func (x *exchange) upgrade(res *http.Response) {
	target, ok := res.Body.(io.ReadWriteCloser)
	if !ok || x.steer.upgrade == "" || !strings.EqualFold(x.steer.upgrade, res.Header.Get("Upgrade")) {
		_ = res.Body.Close() // nobody asked for it
		x.answer(x.upstreamFailed(policy.ErrorOther, errors.New("the upstream switched to a protocol that was not asked for")))
		return
	}
	fields := x.w.Header()
	passFields(fields, res.Header)
	fields["Connection"], fields["Upgrade"] = []string{"Upgrade"}, res.Header["Upgrade"]
	x.explain(fields, func(name string, value []byte) { fields[name] = []string{string(value)} })
	x.run(&tunnel{target: target}, func(w *bufio.Writer) {
		_, _ = w.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
		_ = fields.Write(w) // w keeps its first error for Flush
		_, _ = w.WriteString("\r\n")
	})
}

// tunnel is a pair of connections that bytes pass between.
type tunnel struct {
	client net.Conn
	target io.ReadWriteCloser
}

// run takes the connection over, writes the answer's head and copies until both
// directions have ended. It returns the bytes that came from the target and how it
// ended, as one of policy's kinds of failure.
func (x *exchange) run(t *tunnel, head func(*bufio.Writer)) (int64, string) {
	client, buffered, err := x.w.Hijack()
	if err != nil {
		_ = t.target.Close() // there is no connection to copy to
		x.cut = true
		return 0, policy.ErrorCanceled
	}
	t.client = client
	defer t.cut()
	head(buffered.Writer)
	if buffered.Flush() != nil {
		return 0, policy.ErrorCanceled
	}
	early := make([]byte, buffered.Reader.Buffered())
	_, _ = io.ReadFull(buffered, early) // they are there
	var up sync.WaitGroup
	up.Go(func() {
		if _, err := t.target.Write(early); err != nil {
			t.cut()
			return
		}
		_, _ = x.s.pipe(t, t.target, client) // a failure has cut the other direction too
	})
	got, err := x.s.pipe(t, client, t.target)
	up.Wait()
	if err != nil {
		return got, policy.ErrorReset
	}
	return got, ""
}

// pipe copies one direction and passes its end on. A failure ends both.
func (s *Server) pipe(t *tunnel, dst io.Writer, src io.Reader) (int64, error) {
	lent := s.memory.get(copyBuffer)
	defer s.memory.put(lent)
	var total int64
	for {
		n, err := src.Read(*lent)
		if n > 0 {
			total += int64(n)
			if _, werr := dst.Write((*lent)[:n]); werr != nil {
				t.cut()
				return total, werr
			}
		}
		if err == io.EOF {
			if h, ok := dst.(interface{ CloseWrite() error }); !ok || h.CloseWrite() != nil {
				t.cut()
			}
			return total, nil
		}
		if err != nil {
			t.cut()
			return total, err
		}
	}
}

// cut ends both directions at once.
func (t *tunnel) cut() {
	_ = t.client.Close() // both may be closed already
	_ = t.target.Close()
}

// namedHosts remembers which hosts were told of.
type namedHosts struct {
	mu   sync.Mutex
	seen map[string]struct{} // guarded by mu
}

// tell logs, once for each host, that tunnels to it are paced as a whole.
func (n *namedHosts) tell(s *Server, host string) {
	n.mu.Lock()
	_, known := n.seen[host]
	if known || len(n.seen) >= maxNamed {
		n.mu.Unlock()
		return
	}
	if n.seen == nil {
		n.seen = map[string]struct{}{}
	}
	n.seen[strings.Clone(host)] = struct{}{} // or it would keep the whole head of the request
	n.mu.Unlock()
	s.log.Info("a tunnel is paced as a whole, not request by request; to pace each request, start gaia with --route and use the base URL it prints",
		"host", host, "route", "--route NAME=https://"+host)
}
