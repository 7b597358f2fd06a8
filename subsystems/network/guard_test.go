package network

import (
	"net/netip"
	"testing"
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
