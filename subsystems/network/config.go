package network

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Config describes a Coordinator. DefaultConfig is where to start from. Fields
// marked live are what SetConfig changes.
type Config struct {
	Admission admission.Config // live
	Slot      *policy.Slot     // the policies; nil: none
	Log       *slog.Logger     // nil discards

	// DenyPrivate guards every dial, as Guarded guards its own. Live.
	DenyPrivate bool
	// AllowRanges are addresses that guarded dials may reach although they are not
	// public. Live.
	AllowRanges []netip.Prefix

	// MaxConnsPerHost bounds the open connections to one host; 0 is no bound. Those
	// open when it is lowered stay. Live.
	MaxConnsPerHost int
	// QueueMax bounds the dials that wait for a connection to one host; 0 lets none
	// wait. Live.
	QueueMax int
	// DialTimeout bounds a dial with its wait and its name; 0 leaves that to the
	// caller's context. Live.
	DialTimeout time.Duration
	// AttemptDelay is how long the next address waits for the one before it
	// (RFC 8305); 0 tries all at once. Live.
	AttemptDelay time.Duration

	Bandwidth Bandwidth // live
	DNS       DNS       // live

	// ProxyListen is the address of the local proxy, HOST:PORT; "" serves none. On
	// an address that is not loopback its dials are guarded.
	ProxyListen string

	// Clock and After replace the time of admission and of the cache in tests.
	Clock admission.Clock
	After admission.After
}

// Rate is a bound in bytes a second for each direction; 0 is no bound. Up is what
// is written to a connection.
type Rate struct{ Up, Down int64 }

// Bandwidth bounds all connections together, those to each host, and each one.
type Bandwidth struct{ Global, PerHost, PerConn Rate }

// DNS describes the cache of names.
type DNS struct {
	// Servers are asked, HOST:PORT or addresses; none: those of resolv.conf.
	Servers []string
	// Timeout is how long one server may take for one question. After two rounds
	// of all servers a name has failed.
	Timeout time.Duration
	// MinTTL and MaxTTL bound what the records say. A record of TTL 0 under a
	// MinTTL of 0 is not kept.
	MinTTL, MaxTTL time.Duration
	// NegativeTTL bounds how long it is remembered that a name or its addresses do
	// not exist.
	NegativeTTL time.Duration
	// StaleFor is how long after its end an answer is still given while no server
	// answers; 0 never (RFC 8767).
	StaleFor time.Duration
	// MaxEntries bounds the names that are kept; those not asked for longest go.
	MaxEntries int

	// ResolvConf and HostsFile are the files of the system; "" is the usual place.
	ResolvConf, HostsFile string
}

// DefaultConfig bounds neither bytes nor connections, keeps 10 000 names by the TTL
// of their records up to an hour, and serves stale ones for an hour.
func DefaultConfig() Config {
	a := admission.DefaultConfig()
	a.Breaker.Enabled = false // the addresses that fail are remembered, one by one
	return Config{
		Admission:    a,
		QueueMax:     1000,
		DialTimeout:  10 * time.Second,
		AttemptDelay: 250 * time.Millisecond,
		DNS: DNS{
			Timeout: 2 * time.Second, MaxTTL: time.Hour, NegativeTTL: 30 * time.Second,
			StaleFor: time.Hour, MaxEntries: 10_000,
		},
	}
}

// Check returns every fault of c, joined; nil if there is none. It reads no file.
func (c *Config) Check() error {
	faults := []error{c.Admission.Check()}
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, f := range []struct {
		name string
		n    int64
	}{
		{"max_conns_per_host", int64(c.MaxConnsPerHost)}, {"queue_max", int64(c.QueueMax)},
		{"dial_timeout", int64(c.DialTimeout)}, {"attempt_delay", int64(c.AttemptDelay)},
		{"dns.min_ttl", int64(c.DNS.MinTTL)}, {"dns.max_ttl", int64(c.DNS.MaxTTL)},
		{"dns.negative_ttl", int64(c.DNS.NegativeTTL)}, {"dns.stale_for", int64(c.DNS.StaleFor)},
	} {
		if f.n < 0 {
			fault("%s must be 0 or more", f.name)
		}
	}
	faults = append(faults, c.Bandwidth.check())
	if c.DNS.Timeout <= 0 {
		fault("dns.timeout must be more than 0")
	}
	if c.DNS.MaxEntries < 1 {
		fault("dns.max_entries must be at least 1")
	}
	if c.DNS.MinTTL > c.DNS.MaxTTL {
		fault("dns.min_ttl is longer than dns.max_ttl")
	}
	for _, s := range c.DNS.Servers {
		if _, err := serverAddr(s); err != nil {
			fault("dns.servers: %w", err)
		}
	}
	if c.ProxyListen != "" {
		if _, _, err := net.SplitHostPort(c.ProxyListen); err != nil {
			fault("proxy: want HOST:PORT, got %q", c.ProxyListen)
		}
	}
	return errors.Join(faults...)
}

func (b *Bandwidth) check() error {
	var faults []error
	for _, r := range []struct {
		name string
		Rate
	}{{"global", b.Global}, {"per_host", b.PerHost}, {"per_conn", b.PerConn}} {
		if r.Up < 0 || r.Down < 0 {
			faults = append(faults, fmt.Errorf("bandwidth.%s: up and down must be 0 or more", r.name))
		}
	}
	return errors.Join(faults...)
}

// serverAddr is a name server's address with its port.
func serverAddr(text string) (string, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return net.JoinHostPort(ip.String(), "53"), nil
	}
	host, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = netip.ParseAddr(host)
	}
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return "", fmt.Errorf("want an address or ADDRESS:PORT, got %q", text)
	}
	return text, nil
}
