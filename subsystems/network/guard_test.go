package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestGuardKnowsWhatIsNotPublic(t *testing.T) {
	g := newGuard([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")})
	for _, tt := range []struct {
		addr string
		ok   bool
	}{
		{"1.1.1.1", true}, {"93.184.216.34", true}, {"172.32.0.1", true}, {"100.128.0.1", true},
		{"2606:4700::1111", true}, {"64:ff9b::101:101", true}, {"2002:0101:0101::1", true},
		{"10.1.2.3", true}, {"::ffff:10.1.2.3", true}, {"fd00:1::5", true},

		{"0.0.0.0", false}, {"10.0.0.1", false}, {"100.64.0.1", false}, {"127.0.0.1", false}, {"127.255.0.9", false},
		{"169.254.169.254", false}, {"172.16.0.1", false}, {"172.31.255.255", false}, {"192.0.0.170", false},
		{"192.168.1.1", false}, {"198.18.0.1", false}, {"203.0.113.9", false}, {"224.0.0.1", false}, {"255.255.255.255", false},
		{"::", false}, {"::1", false}, {"::ffff:127.0.0.1", false}, {"::127.0.0.1", false}, {"fe80::1", false}, {"fe80::1%eth0", false},
		{"fc00::1", false}, {"fd00:2::1", false}, {"fec0::1", false}, {"ff02::1", false}, {"100::1", false},
		{"2001:db8::1", false}, {"2001::1", false}, {"64:ff9b::7f00:1", false}, {"64:ff9b::a9fe:a9fe", false},
		{"64:ff9b:1::1", false}, {"2002:7f00:1::1", false}, {"2002:c0a8:101::", false},
	} {
		if got := g.permits(netip.MustParseAddr(tt.addr)); got != tt.ok {
			t.Errorf("%s: %t", tt.addr, got)
		}
	}
	if g.permits(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestGuardedDialsReachPublicAddressesOnly(t *testing.T) {
	addr := netip.MustParseAddrPort(echo(t, "127.0.0.1:0"))
	port := addr.Port()
	n := newCoordinator(t, func(c *Config) {
		c.DNS.HostsFile = hostsFile(t, "127.0.0.1 mine.test", "127.0.0.9 mixed.test", "127.0.0.1 mixed.test", "127.0.0.9 theirs.test", "::1 theirs.test", "169.254.169.254 meta.test")
		c.AllowRanges = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	for _, host := range []string{"mine.test", "mixed.test", "127.0.0.1", "[::ffff:127.0.0.1]"} {
		if took, err := n.Check(t.Context(), "tcp", fmt.Sprintf("%s:%d", host, port), true); err != nil || took.Address.Addr().Unmap() != addr.Addr() {
			t.Errorf("%s: %s, %v", host, took.Address, err)
		}
	}
	for _, host := range []string{"theirs.test", "meta.test", "127.0.0.9", "[::1]", "0.0.0.0", "[::]", "169.254.169.254", "localhost."} {
		for name, d := range map[string]*Dialer{"guarded": n.Guarded(), "within": n.Within().Guarded()} {
			_, err := d.DialContext(t.Context(), "tcp", fmt.Sprintf("%s:%d", host, port))
			if host == "localhost." { // 127.0.0.1 is allowed, ::1 is not
				continue
			}
			if !errors.Is(err, ErrPrivate) || !errors.Is(err, admission.ErrDenied) {
				t.Errorf("%s, %s: %v", host, name, err)
			}
		}
	}
	if s := n.Stats(); s.Refused == 0 {
		t.Error("nothing was counted")
	}
}

// A name that is public when it is looked at and private when it is dialled is the
// usual way around a guard. Here the address that was looked at is the one dialled.
func TestGuardHoldsAgainstRebinding(t *testing.T) {
	port := netip.MustParseAddrPort(echo(t, "127.0.0.1:0")).Port()
	s := startNameServer(t, records("flip.test. 0 A 127.0.0.1"))
	n, _ := newResolving(t, s, func(c *Config) { c.AllowRanges = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} })
	target := fmt.Sprintf("flip.test:%d", port)
	if _, err := n.Check(t.Context(), "tcp", target, true); err != nil {
		t.Fatal(err)
	}
	s.set(records("flip.test. 0 A 127.0.0.2", "flip.test. 0 AAAA ::1"))
	if _, err := n.Check(t.Context(), "tcp", target, true); !errors.Is(err, ErrPrivate) {
		t.Errorf("after the flip: %v", err)
	}
}

func TestDenyPrivateGuardsAll(t *testing.T) {
	addr := echo(t, "127.0.0.1:0")
	config := DefaultConfig()
	config.DNS.ResolvConf, config.DNS.HostsFile = "/nonexistent", "/nonexistent"
	n := newCoordinator(t, nil)
	_ = mustDial(t, n, addr).Close()
	config.DenyPrivate = true
	if err := n.SetConfig(config); err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]func(context.Context, string, string) (net.Conn, error){"plain": n.DialContext, "within": n.Within().DialContext} {
		if _, err := d(t.Context(), "tcp", addr); !errors.Is(err, ErrPrivate) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
