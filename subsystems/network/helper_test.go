package network

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
)

// echo is a server on loopback that sends back what it gets. It returns its address.
func echo(t testing.TB, listen string) string {
	t.Helper()
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

// hostsFile writes a hosts file and returns its path.
func hostsFile(t testing.TB, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func mustDial(t testing.TB, n *Coordinator, addr string) net.Conn {
	t.Helper()
	c, err := n.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// goPolicy is a policy of functions that counts what it is asked.
type goPolicy struct {
	policy.Base
	onRequest func(*policy.Request, *policy.Decision)
	mu        sync.Mutex
	asked     []string
	ended     []string
}

func (p *goPolicy) Name() string { return "p" }

func (p *goPolicy) Hooks() policy.Hooks {
	return policy.HooksOf(policy.HookRequest, policy.HookDone)
}

func (p *goPolicy) OnRequest(r *policy.Request, d *policy.Decision) error {
	p.mu.Lock()
	p.asked = append(p.asked, r.Subsystem+" "+r.Action+" "+r.Key+" "+r.Tenant)
	p.mu.Unlock()
	if p.onRequest != nil {
		p.onRequest(r, d)
	}
	return nil
}

func (p *goPolicy) OnDone(r *policy.Request, res *policy.Response) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = append(p.ended, fmt.Sprint(r.Action, " ", res.Status, " ", res.Error))
	return nil
}

// take returns what was asked and ended since the last call.
func (p *goPolicy) take() (asked, ended string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked, ended = strings.Join(p.asked, ", "), strings.Join(p.ended, ", ")
	p.asked, p.ended = nil, nil
	return asked, ended
}
