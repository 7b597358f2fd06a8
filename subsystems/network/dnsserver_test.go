package network

import (
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// nameServer is a name server on loopback, over UDP and TCP, whose answers are the
// test's.
type nameServer struct {
	addr   string
	answer atomic.Pointer[func(network string, q *dns.Msg) *dns.Msg] // nil message: silence
	asked  [2]atomic.Int64                                           // for A, for AAAA
	tcp    atomic.Int64
}

func startNameServer(t testing.TB, answer func(network string, q *dns.Msg) *dns.Msg) *nameServer {
	t.Helper()
	s := &nameServer{}
	s.set(answer)
	pc, ln := listenBoth(t)
	s.addr = pc.LocalAddr().String()
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait) // the last of the cleanups
	for _, server := range []*dns.Server{{PacketConn: pc}, {Listener: ln}} {
		ready := make(chan struct{})
		server.NotifyStartedFunc = func() { close(ready) }
		network := map[bool]string{true: "udp", false: "tcp"}[server.PacketConn != nil]
		server.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			if q.Question[0].Qtype == dns.TypeAAAA {
				s.asked[1].Add(1)
			} else {
				s.asked[0].Add(1)
			}
			if network == "tcp" {
				s.tcp.Add(1)
			}
			if r := (*s.answer.Load())(network, q); r != nil {
				_ = w.WriteMsg(r)
			}
		})
		wg.Go(func() { _ = server.ActivateAndServe() })
		<-ready
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return s
}

// listenBoth takes a port that is free for UDP and for TCP.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 100 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if ln, err := net.Listen("tcp", pc.LocalAddr().String()); err == nil {
			return pc, ln
		}
		_ = pc.Close()
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

func (s *nameServer) set(answer func(network string, q *dns.Msg) *dns.Msg) { s.answer.Store(&answer) }

func (s *nameServer) questions() int64 { return s.asked[0].Load() + s.asked[1].Load() }

// records answers with what zone says: lines of a zone file.
func records(zone ...string) func(string, *dns.Msg) *dns.Msg {
	return func(_ string, q *dns.Msg) *dns.Msg {
		r := new(dns.Msg).SetReply(q)
		r.RecursionAvailable = true
		name := q.Question[0].Name
		exists := false
		for _, line := range zone {
			rr, err := dns.NewRR(line)
			if err != nil {
				panic(err)
			}
			switch h := rr.Header(); {
			case h.Rrtype == dns.TypeSOA:
				r.Ns = append(r.Ns, rr)
			case !strings.EqualFold(h.Name, name):
			case h.Rrtype == q.Question[0].Qtype, h.Rrtype == dns.TypeCNAME:
				exists = true
				r.Answer = append(r.Answer, rr)
				if c, ok := rr.(*dns.CNAME); ok {
					name = c.Target
				}
			default:
				exists = true
			}
		}
		if len(r.Answer) > 0 {
			r.Ns = nil
		}
		if !exists {
			r.Rcode = dns.RcodeNameError
		}
		return r
	}
}

func code(rcode int) func(string, *dns.Msg) *dns.Msg {
	return func(_ string, q *dns.Msg) *dns.Msg { return new(dns.Msg).SetRcode(q, rcode) }
}

func silent(string, *dns.Msg) *dns.Msg { return nil }

// manualClock is time that the test moves.
type manualClock struct{ now atomic.Int64 }

func newManualClock() *manualClock {
	c := &manualClock{}
	c.now.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}
func (c *manualClock) read() int64             { return c.now.Load() }
func (c *manualClock) advance(d time.Duration) { c.now.Add(int64(d)) }

// newResolving makes a coordinator that asks s, by a clock that the test moves.
func newResolving(t testing.TB, s *nameServer, change func(*Config)) (*Coordinator, *manualClock) {
	t.Helper()
	clock := newManualClock()
	return newCoordinator(t, func(c *Config) {
		c.Clock = clock.read
		c.DNS.Servers = []string{s.addr}
		c.DNS.Timeout = 5 * time.Second
		if change != nil {
			change(c)
		}
	}), clock
}

// mustResolve returns the addresses of a name.
func mustResolve(t testing.TB, n *Coordinator, name string) (string, Answer) {
	t.Helper()
	a, err := n.Resolve(t.Context(), name)
	if err != nil {
		t.Fatalf("resolve %s: %v", name, err)
	}
	return addrsText(a), a
}

func addrsText(a Answer) string {
	var all []string
	for ip := range a.All() {
		all = append(all, ip.String())
	}
	return strings.Join(all, " ")
}

func wantNotFound(t testing.TB, n *Coordinator, name string) {
	t.Helper()
	_, err := n.Resolve(t.Context(), name)
	var not *net.DNSError
	if !errors.As(err, &not) || !not.IsNotFound || not.Name != name {
		t.Errorf("resolve %s: %v, want that it does not exist", name, err)
	}
}
