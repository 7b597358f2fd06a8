package network

import (
	"net/netip"

	"github.com/gaia-host/gaia/subsystems/admission"
)

// ErrPrivate is the error of a guarded dial to an address that is not public. It is
// an admission.ErrDenied too: nothing was sent, and it is no fault of the target.
var ErrPrivate error = refusal("network: the address is not public")

type refusal string

func (r refusal) Error() string { return string(r) }

// Unwrap returns admission.ErrDenied.
func (refusal) Unwrap() error { return admission.ErrDenied }

// notPublic are the ranges that a guarded dial does not reach: the registries of
// special-purpose addresses of IANA for IPv4 and IPv6.
func notPublic() []netip.Prefix {
	texts := [...]string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "3fff::/20",
	}
	all := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		all[i] = netip.MustParsePrefix(t)
	}
	return all
}

// guard tells which addresses a stranger may have dialled. It is immutable.
type guard struct {
	deny, allow []netip.Prefix
	unicast     netip.Prefix // the IPv6 addresses that are public at all
	translated  []embedding
}

// embedding is a range of IPv6 addresses that lead to the IPv4 address within them.
type embedding struct {
	netip.Prefix
	at int // of its first byte
}

func newGuard(allow []netip.Prefix) *guard {
	return &guard{deny: notPublic(), allow: allow, unicast: netip.MustParsePrefix("2000::/3"), translated: []embedding{
		{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64
		{netip.MustParsePrefix("2002::/16"), 2},     // 6to4
	}}
}

// permits reports whether ip is public or allowed by name.
func (g *guard) permits(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, p := range g.allow {
		if p.Contains(ip) {
			return true
		}
	}
	if ip.Is6() {
		b := ip.As16()
		for _, e := range g.translated {
			if e.Contains(ip) {
				return g.permits(netip.AddrFrom4([4]byte(b[e.at : e.at+4])))
			}
		}
		if !g.unicast.Contains(ip) {
			return false
		}
	}
	for _, p := range g.deny {
		if p.Contains(ip) {
			return false
		}
	}
	return ip.IsValid()
}
