package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestDialCarriesBytes(t *testing.T) {
	addr := echo(t, "127.0.0.1:0")
	n := newCoordinator(t, nil)
	c := mustDial(t, n, addr)
	for _, text := range []string{"hello", strings.Repeat("x", 1<<20)} {
		go func() { _, _ = io.WriteString(c, text) }()
		got := make([]byte, len(text))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
			t.Fatalf("%d bytes came back otherwise: %v", len(text), err)
		}
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if _, err := c.(syscall.Conn).SyscallConn(); err != nil {
		t.Error(err)
	}
	_, _ = c.Close(), c.Close()
	if s := n.Stats(); s.Connections != 0 || s.BytesSent != 5+1<<20 || s.BytesReceived != 5+1<<20 || s.Requests != 1 || s.Succeeded != 1 {
		t.Errorf("%+v", s)
	}
	if values := n.Read(nil); len(values) != n.Schema().Len() {
		t.Errorf("%d values for %d fields", len(values), n.Schema().Len())
	}
}

// A connection's port is chosen when it is known where to: bound before, one port serves one
// connection, whatever its other end.
func TestNoPortIsBoundBeforeDialling(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	_, err = newCoordinator(t, nil).DialContext(t.Context(), "tcp", l.Addr().String())
	var op *net.OpError
	if !errors.As(err, &op) || op.Source != nil {
		t.Errorf("got %v, want it refused without an address of this side", err)
	}
}

func TestDialRefusesWhatItCannotDo(t *testing.T) {
	n := newCoordinator(t, nil)
	for _, tt := range []struct{ network, addr string }{
		{"udp", "127.0.0.1:1"}, {"unix", "/tmp/x"}, {"tcp", "127.0.0.1"}, {"tcp", "127.0.0.1:http"}, {"tcp", "127.0.0.1:0"},
		{"tcp", ":80"}, {"tcp", "127.0.0.1:65536"}, {"tcp6", "127.0.0.1:80"}, {"tcp4", "[::1]:80"}, {"tcp", "a b:80"},
	} {
		if c, err := n.DialContext(t.Context(), tt.network, tt.addr); err == nil {
			_ = c.Close()
			t.Errorf("%s %s was dialled", tt.network, tt.addr)
		}
	}
	if s := n.Stats(); s.Connections != 0 {
		t.Errorf("%d connections are left", s.Connections)
	}
}

// blackHole is a listener whose queue is full: who connects hears nothing. The test
// is skipped where the family is missing.
func blackHole(t *testing.T, ip netip.Addr, port uint16) {
	t.Helper()
	family := syscall.AF_INET
	var sa syscall.Sockaddr = &syscall.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 2}}
	if ip.Is6() {
		family, sa = syscall.AF_INET6, &syscall.SockaddrInet6{Port: int(port), Addr: ip.As16()}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no sockets of this family: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, sa); err != nil {
		t.Skipf("bind %s: %v", ip, err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 16 {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(ip, port).String(), 100*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Skip("the queue of a listener is never full here")
}

func TestIPv6BlackHoleIsPassedAndRemembered(t *testing.T) {
	addr := netip.MustParseAddrPort(echo(t, "127.0.0.1:0"))
	blackHole(t, netip.IPv6Loopback(), addr.Port())
	n := newCoordinator(t, func(c *Config) {
		c.DNS.HostsFile = hostsFile(t, "::1 two.test", "127.0.0.1 two.test")
		c.AttemptDelay = 20 * time.Millisecond
	})
	target := fmt.Sprintf("two.test:%d", addr.Port())
	for i := range 2 {
		took, err := n.Check(t.Context(), "tcp", target, false)
		if err != nil || took.Address != addr {
			t.Fatalf("dial %d reached %s: %v", i, took.Address, err)
		}
		a, _ := n.Resolve(t.Context(), "two.test")
		order, err := n.permitted(targetOf(t, n, target), a)
		if err != nil || order[0] != addr {
			t.Errorf("the next dial begins with %s", order[0])
		}
	}
	// A dial of that family alone still tries it.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := n.DialContext(ctx, "tcp6", target); err == nil {
		t.Error("the black hole answered")
	}
}

func targetOf(t *testing.T, n *Coordinator, addr string) target {
	t.Helper()
	tg, err := n.target("tcp", addr, false)
	if err != nil {
		t.Fatal(err)
	}
	return tg
}

func TestADeadAddressLeadsToTheNext(t *testing.T) {
	addr := netip.MustParseAddrPort(echo(t, "127.0.0.1:0"))
	n := newCoordinator(t, func(c *Config) {
		c.DNS.HostsFile = hostsFile(t, "127.0.0.2 x.test", "127.0.0.3 x.test", "127.0.0.1 x.test", "127.0.0.2 dead.test", "127.0.0.3 dead.test")
		c.AttemptDelay = time.Minute // a refusal does not wait for it
	})
	c := mustDial(t, n, fmt.Sprintf("x.test:%d", addr.Port()))
	_ = c.Close()
	_, err := n.DialContext(t.Context(), "tcp", fmt.Sprintf("dead.test:%d", addr.Port()))
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
	if s := n.Stats(); s.AddressFailures != 4 || s.DialFailures != 1 || s.Connections != 0 {
		t.Errorf("%d addresses, %d dials failed, %d open", s.AddressFailures, s.DialFailures, s.Connections)
	}
}

func TestMemoryOfFailuresIsBoundedAndFades(t *testing.T) {
	m := &memory{}
	m.init()
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 80)
	}
	for i := range 3 * maxFailures {
		m.fail(at(i), int64(i))
	}
	if len(m.failed) > maxFailures {
		t.Errorf("%d addresses are remembered", len(m.failed))
	}
	m.fail(at(1), 0)
	list := []netip.AddrPort{at(1), at(2)}
	m.failed = map[netip.AddrPort]int64{at(1): failureMemory}
	m.sort(list, failureMemory-1)
	if list[0] != at(2) {
		t.Error("an address that failed comes first")
	}
	list = []netip.AddrPort{at(1), at(2)}
	if m.sort(list, failureMemory); list[0] != at(1) {
		t.Error("a failure is remembered for ever")
	}
}

func TestConnectionsToAHostAreBounded(t *testing.T) {
	addr := echo(t, "127.0.0.1:0")
	n := newCoordinator(t, func(c *Config) { c.MaxConnsPerHost, c.QueueMax = 2, 1 })
	first, second := mustDial(t, n, addr), mustDial(t, n, addr)
	third := make(chan net.Conn)
	go func() {
		c, err := n.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Error(err)
		}
		third <- c
	}()
	testkit.Until(t, "one waits", func() bool { return n.Stats().ConnectionsQueued == 1 })
	if _, err := n.DialContext(t.Context(), "tcp", addr); !errors.Is(err, ErrBusy) {
		t.Errorf("beyond the queue: %v", err)
	}
	_, _ = first.Close(), first.Close() // twice counts once
	c := <-third
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := n.DialContext(ctx, "tcp", addr); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a place that was given back twice: %v", err)
	}
	_, _ = second.Close(), c.Close()
	if s := n.Stats(); s.Connections != 0 || s.ConnectionWaits != 2 || s.ConnectionsOpened != 3 {
		t.Errorf("%d open, %d waited, %d opened", s.Connections, s.ConnectionWaits, s.ConnectionsOpened)
	}
}

func TestPoliciesAreAskedOnceForEachOperation(t *testing.T) {
	addr := echo(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(addr)
	p := &goPolicy{}
	slot := hooktest.Slot(1, p)
	n := newCoordinator(t, func(c *Config) { c.Slot = slot })
	ctx := WithCaller(t.Context(), &Caller{Tenant: "acme", Cost: 2})
	expect := func(what, asked, ended string) {
		t.Helper()
		if a, e := p.take(); a != asked || e != ended {
			t.Errorf("%s: asked %q, ended %q; want %q, %q", what, a, e, asked, ended)
		}
	}
	c, err := n.DialContext(ctx, "tcp", "LocalHost:"+port)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "many bytes")
	_, _ = c.Read(make([]byte, 4))
	_ = c.Close()
	expect("a dial", "network connect localhost:"+port+" acme", "connect 200 ")
	_, _ = n.Resolve(ctx, "localhost")
	expect("a resolve", "network resolve localhost acme", "resolve 200 ")
	_, _ = n.Resolve(ctx, "a b")
	expect("no name", "", "")
	_, _ = n.DialContext(ctx, "tcp", "127.0.0.1:1")
	expect("a refusal", "network connect 127.0.0.1:1 acme", "connect 0 refused")
	if c, err = n.Within().DialContext(ctx, "tcp", addr); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	expect("a part", "", "")
	p.onRequest = func(_ *policy.Request, d *policy.Decision) { d.Action, d.Status = policy.ActionDeny, 403 }
	var denied *admission.DeniedError
	if _, err := n.DialContext(ctx, "tcp", addr); !errors.As(err, &denied) || denied.Status != 403 {
		t.Error(err)
	}
	if _, err := n.Resolve(ctx, "localhost"); !errors.As(err, &denied) {
		t.Error(err)
	}
}

func TestStopClosesConnections(t *testing.T) {
	addr := echo(t, "127.0.0.1:0")
	n := newCoordinator(t, nil)
	c := mustDial(t, n, addr)
	if err := n.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := n.DialContext(t.Context(), "tcp", addr); err == nil {
		t.Error("a dial after Stop")
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"servers": func(c *Config) { c.DNS.Servers = []string{"example.com"} }, "timeout": func(c *Config) { c.DNS.Timeout = 0 },
		"max_entries": func(c *Config) { c.DNS.MaxEntries = 0 }, "min_ttl": func(c *Config) { c.DNS.MinTTL = 2 * time.Hour },
		"proxy": func(c *Config) { c.ProxyListen = "here" }, "per_host": func(c *Config) { c.Bandwidth.PerHost.Up = -1 },
		"queue_max": func(c *Config) { c.QueueMax = -1 },
	} {
		c := DefaultConfig()
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
