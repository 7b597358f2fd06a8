package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Defaults of the section network, by key.
const (
	DefaultNetworkQueueMax    = 1000
	DefaultNetworkDialTimeout = Duration(10 * time.Second)
	DefaultAttemptDelay       = Duration(250 * time.Millisecond)
	DefaultDNSTimeout         = Duration(2 * time.Second)
	DefaultMaxTTL             = Duration(time.Hour)
	DefaultNegativeTTL        = Duration(30 * time.Second)
	DefaultStaleFor           = Duration(time.Hour)
	DefaultMaxEntries         = 10_000
)

// Network are the settings of names, connections and bandwidth. A time or size of 0
// is no bound.
type Network struct {
	// DenyPrivate refuses every address that is not public, routes' too.
	DenyPrivate bool `koanf:"deny_private"`
	// AllowRanges are addresses, as CIDR, that are reached although they are not public.
	AllowRanges []string `koanf:"allow_ranges"`
	// MaxConnsPerHost bounds the open connections to one host.
	MaxConnsPerHost int `koanf:"max_conns_per_host"`
	// QueueMax bounds the dials that wait for one of them.
	QueueMax    int      `koanf:"queue_max"`
	DialTimeout Duration `koanf:"dial_timeout"`
	// AttemptDelay is how long the next address waits for the one before it.
	AttemptDelay Duration `koanf:"attempt_delay"`
	// Proxy is the address of the local proxy, HOST:PORT; "" serves none.
	Proxy     string    `koanf:"proxy" reload:"restart"`
	Bandwidth Bandwidth `koanf:"bandwidth"`
	DNS       DNS       `koanf:"dns"`
}

// Bandwidth bounds all connections together, those to each host, and each one.
type Bandwidth struct {
	Global  Rate `koanf:"global"`
	PerHost Rate `koanf:"per_host"`
	PerConn Rate `koanf:"per_conn"`
}

// Rate is a bound in bytes a second for each direction; 0 is no bound.
type Rate struct {
	Up   ByteSize `koanf:"up"`
	Down ByteSize `koanf:"down"`
}

// DNS are the settings of the cache of names.
type DNS struct {
	// Servers are asked instead of those of resolv.conf: ADDRESS or ADDRESS:PORT.
	Servers []string `koanf:"servers"`
	// Timeout is how long one server may take for one question.
	Timeout Duration `koanf:"timeout"`
	MinTTL  Duration `koanf:"min_ttl"`
	MaxTTL  Duration `koanf:"max_ttl"`
	// NegativeTTL bounds how long it is remembered that a name does not exist.
	NegativeTTL Duration `koanf:"negative_ttl"`
	// StaleFor is how long an old answer stands in while no server answers.
	StaleFor   Duration `koanf:"stale_for"`
	MaxEntries int      `koanf:"max_entries"`
}

// DefaultNetwork bounds neither bytes nor connections.
func DefaultNetwork() Network {
	return Network{
		QueueMax: DefaultNetworkQueueMax, DialTimeout: DefaultNetworkDialTimeout, AttemptDelay: DefaultAttemptDelay,
		DNS: DNS{Timeout: DefaultDNSTimeout, MaxTTL: DefaultMaxTTL, NegativeTTL: DefaultNegativeTTL, StaleFor: DefaultStaleFor, MaxEntries: DefaultMaxEntries},
	}
}

// Ranges returns AllowRanges as prefixes. What is none is left out: Load has refused
// it.
func (n *Network) Ranges() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range n.AllowRanges {
		if p, err := parseRange(text); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// parseRange reads a range, or one address.
func parseRange(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, err
		}
		return ip.Unmap().Prefix(ip.Unmap().BitLen())
	}
	return netip.ParsePrefix(text)
}

func (v *validator) network(n *Network) {
	at := func(path ...string) []string { return slices.Concat([]string{"network"}, path) }
	for i, text := range n.AllowRanges {
		if _, err := parseRange(text); err != nil {
			v.fail(at("allow_ranges", strconv.Itoa(i)), "want a range such as 10.1.0.0/16, got %s", quote(text))
		}
	}
	if n.Proxy != "" {
		v.address(n.Proxy, at("proxy")...)
	}
	for i, text := range n.DNS.Servers {
		_, noAddr := netip.ParseAddr(text)
		_, noPort := netip.ParseAddrPort(text)
		if noAddr != nil && noPort != nil {
			v.fail(at("dns", "servers", strconv.Itoa(i)), "want an address such as 192.0.2.53 or 127.0.0.1:5353, got %s", quote(text))
		}
	}
	if n.DNS.Timeout == 0 {
		v.fail(at("dns", "timeout"), "must be greater than 0")
	}
	if n.DNS.MaxEntries == 0 {
		v.fail(at("dns", "max_entries"), "must be at least 1")
	}
	if n.DNS.MinTTL > n.DNS.MaxTTL {
		v.fail(at("dns", "min_ttl"), "must be at most dns.max_ttl, %s", n.DNS.MaxTTL)
	}
}
