package network

import (
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// counters are what a Coordinator counts besides what its parts do.
type counters struct {
	sent, received            atomic.Uint64
	throttled, opened         atomic.Uint64
	dialFailed, addressFailed atomic.Uint64
	refused                   atomic.Uint64
	throttledNanos            atomic.Int64
}

// Stats are the numbers of a Coordinator at one moment.
type Stats struct {
	admission.Stats
	BytesSent, BytesReceived uint64
	Throttled                uint64        // times that bytes had to wait
	ThrottledTime            time.Duration // spent in such waits that ended
	DNSHits, DNSMisses       uint64
	DNSStale                 uint64 // answers given after their end
	DNSPrefetches            uint64
	DNSQueries               uint64 // questions sent to servers
	DNSFailures              uint64 // names that nobody answered for
	DNSEntries               int
	ConnectionsOpened        uint64
	Connections              int    // open, or being opened
	ConnectionWaits          uint64 // dials that waited for a place at their host
	ConnectionsQueued        int    // dials that wait for one
	Hosts                    int    // whose state is kept
	DialFailures             uint64 // dials that reached no address
	AddressFailures          uint64 // addresses that were tried in vain
	Refused                  uint64 // dials that the guard refused
	ProxyTunnels             int64  // open through the local proxy
}

// Stats reads the numbers. It allocates nothing.
func (n *Coordinator) Stats() Stats {
	c, r := &n.counts, &n.resolver
	s := Stats{
		Stats: n.core.Stats(), BytesSent: c.sent.Load(), BytesReceived: c.received.Load(),
		Throttled: c.throttled.Load(), ThrottledTime: time.Duration(c.throttledNanos.Load()),
		DNSHits: r.hits.Load(), DNSMisses: r.misses.Load(), DNSStale: r.stales.Load(), DNSPrefetches: r.prefetches.Load(),
		DNSQueries: r.asker.queries.Load(), DNSFailures: r.failures.Load(), DNSEntries: r.cache.len(),
		ConnectionsOpened: c.opened.Load(), ConnectionWaits: n.hosts.waits.Load(),
		DialFailures: c.dialFailed.Load(), AddressFailures: c.addressFailed.Load(), Refused: c.refused.Load(),
	}
	s.Connections, s.ConnectionsQueued, s.Hosts = n.hosts.numbers()
	if n.proxy != nil {
		s.ProxyTunnels = n.proxy.tunnels.Load()
	}
	return s
}

func fields() []metrics.Field {
	count := func(name, help string) metrics.Field {
		return metrics.Field{Name: name, Help: help, Kind: metrics.Counter}
	}
	gauge := func(name, help string) metrics.Field {
		return metrics.Field{Name: name, Help: help, Kind: metrics.Gauge}
	}
	return append(admission.Fields(),
		count("bytes_sent_total", "Bytes written to connections."),
		count("bytes_received_total", "Bytes read from connections."),
		count("throttled_total", "Times that bytes waited for bandwidth."),
		count("throttled_seconds_total", "Time spent in such waits that ended."),
		count("dns_hits_total", "Names answered from the cache."),
		count("dns_misses_total", "Names that were not in the cache."),
		count("dns_stale_total", "Names answered after the end of their answer, as no server answered."),
		count("dns_prefetches_total", "Names asked for again before the end of their answer."),
		count("dns_queries_total", "Questions sent to name servers."),
		count("dns_failures_total", "Names that nobody answered for."),
		gauge("dns_entries", "Names in the cache."),
		count("connections_opened_total", "Connections opened."),
		gauge("connections", "Connections open, or being opened."),
		count("connection_waits_total", "Dials that waited for a place at their host."),
		gauge("connections_queued", "Dials that wait for a place at their host."),
		gauge("hosts", "Hosts whose state is kept."),
		count("dial_failures_total", "Dials that reached no address."),
		count("address_failures_total", "Addresses that were tried in vain."),
		count("guard_refused_total", "Dials that the guard refused."),
		gauge("proxy_tunnels", "Tunnels open through the local proxy."),
		gauge("bandwidth_up_bytes", "Bound on all bytes written in a second; 0 none."),
		gauge("bandwidth_down_bytes", "Bound on all bytes read in a second; 0 none."),
	)
}

// Schema describes what Read gives: a Coordinator is a metrics.Source.
func (n *Coordinator) Schema() *metrics.Schema { return n.schema }

// Read appends the coordinator's numbers to dst[:0], in the order of Schema.
func (n *Coordinator) Read(dst []float64) []float64 {
	s := n.Stats()
	global := n.live.Load().bandwidth.Global
	return append(n.core.AppendValues(dst[:0]),
		float64(s.BytesSent), float64(s.BytesReceived), float64(s.Throttled), s.ThrottledTime.Seconds(),
		float64(s.DNSHits), float64(s.DNSMisses), float64(s.DNSStale), float64(s.DNSPrefetches),
		float64(s.DNSQueries), float64(s.DNSFailures), float64(s.DNSEntries),
		float64(s.ConnectionsOpened), float64(s.Connections), float64(s.ConnectionWaits), float64(s.ConnectionsQueued),
		float64(s.Hosts), float64(s.DialFailures), float64(s.AddressFailures), float64(s.Refused), float64(s.ProxyTunnels),
		float64(global.Up), float64(global.Down))
}
