package network

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

// contextOver is a context that is over.
func contextOver() (context.Context, context.CancelFunc) {
	return context.WithDeadline(context.Background(), time.Unix(1, 0))
}

// startServer runs a name server until the test ends, and waits until it knows name.
func startServer(t *testing.T, addr, name, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s:\n%s", program, out.String())
		}
	})
	testkit.StartServer(t, cmd, syscall.SIGKILL) // it has ended before its output is read
	probe := newCoordinator(t, func(c *Config) {
		c.DNS.Servers, c.DNS.Timeout = []string{addr}, 300*time.Millisecond
	})
	testkit.Until(t, program+" answers", func() bool {
		probe.FlushCache()
		_, err := probe.Resolve(t.Context(), name)
		return err == nil
	})
	return cmd
}

func freePort(t *testing.T) (addr, port string) {
	t.Helper()
	pc, ln := listenBoth(t)
	addr = ln.Addr().String()
	_, _ = pc.Close(), ln.Close()
	_, port, _ = net.SplitHostPort(addr)
	return addr, port
}

func TestUnbound(t *testing.T) {
	program := testkit.Program(t, "unbound")
	addr, port := freePort(t)
	conf := filepath.Join(t.TempDir(), "unbound.conf")
	text := fmt.Sprintf(`server:
  interface: 127.0.0.1@%s
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  directory: "%s"
  local-zone: "test." static
  local-data: "two.test. 2 IN A 192.0.2.1"
  local-data: "two.test. 2 IN AAAA 2001:db8::1"
  local-data: "alias.test. 2 IN CNAME two.test."
  local-data: "test. 60 IN SOA ns.test. host.test. 1 2 3 4 5"
remote-control:
  control-enable: no
`, port, filepath.Dir(conf))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startServer(t, addr, "two.test", program, "-d", "-c", conf)
	clock := newManualClock()
	n := newCoordinator(t, func(c *Config) { c.DNS.Servers, c.Clock = []string{addr}, clock.read })
	for range 3 {
		if got, a := mustResolve(t, n, "two.test"); got != "2001:db8::1 192.0.2.1" || a.TTL != 2*time.Second {
			t.Errorf("%q for %v", got, a.TTL)
		}
	}
	if q := n.Stats().DNSQueries; q != 2 {
		t.Errorf("%d questions within the TTL", q)
	}
	clock.advance(2 * time.Second)
	if mustResolve(t, n, "two.test"); n.Stats().DNSQueries != 4 {
		t.Error("the answer outlived its TTL")
	}
	wantNotFound(t, n, "gone.test")
}

func TestDnsmasqFlipsARecord(t *testing.T) {
	program := testkit.Program(t, "dnsmasq")
	addr, port := freePort(t)
	hosts := filepath.Join(t.TempDir(), "hosts")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(hosts, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(hosts), 0o755); err != nil {
		t.Fatal(err)
	}
	write("192.0.2.1 flip.test\n")
	cmd := startServer(t, addr, "flip.test", program, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=",
		"--listen-address=127.0.0.1", "--bind-interfaces", "--port="+port, "--addn-hosts="+hosts, "--local-ttl=2", "--local=/test/", "--user=root", "--log-facility=-")
	clock := newManualClock()
	n := newCoordinator(t, func(c *Config) {
		c.DNS.Servers, c.DNS.Timeout, c.Clock = []string{addr}, 300*time.Millisecond, clock.read
	})
	if got, a := mustResolve(t, n, "flip.test"); got != "192.0.2.1" || a.TTL != 2*time.Second {
		t.Errorf("%q for %v", got, a.TTL)
	}
	write("192.0.2.2 flip.test\n")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got, _ := mustResolve(t, n, "flip.test"); got != "192.0.2.1" {
		t.Errorf("%q within the TTL", got)
	}
	testkit.Until(t, "the new record is there", func() bool {
		clock.advance(2 * time.Second)
		got, _ := mustResolve(t, n, "flip.test")
		return got == "192.0.2.2"
	})
	// The server goes silent: what was known stands in, and says that it is old.
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	clock.advance(3 * time.Second)
	if got, a := mustResolve(t, n, "flip.test"); got != "192.0.2.2" || !a.Stale {
		t.Errorf("while the server is stopped: %q, %+v", got, a)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	write("")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, "the name is gone", func() bool {
		clock.advance(6 * time.Second)
		_, err := n.Resolve(t.Context(), "flip.test")
		return err != nil && strings.Contains(err.Error(), "no such host")
	})
}
