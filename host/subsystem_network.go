package host

import (
	"net"
	"net/netip"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/work"
	"github.com/gaia-host/gaia/subsystems/network"
)

// newNetwork makes the coordinator of names, connections and bandwidth. The pool of
// API connections dials with it.
func (h *Host) newNetwork(cfg *config.Config) (part, error) {
	var err error
	if h.network, err = network.New(h.networkConfig(cfg)); err != nil {
		return part{}, err
	}
	return part{
		subsystem: h.network,
		check:     func(cfg *config.Config) error { c := h.networkConfig(cfg); return c.Check() },
		apply:     func(cfg *config.Config) error { return h.network.SetConfig(h.networkConfig(cfg)) },
		health:    func() (failing, degraded []string) { return h.network.Failing(), nil },
		actions:   work.Network(work.NetworkConfig{Coordinator: h.network}),
	}, nil
}

// networkConfig maps the configuration to the coordinator's.
func (h *Host) networkConfig(cfg *config.Config) network.Config {
	n := &cfg.Network
	rate := func(r config.Rate) network.Rate { return network.Rate{Up: int64(r.Up), Down: int64(r.Down)} }
	return network.Config{
		Admission: h.admissionConfig(cfg, policy.SubsystemNetwork), Slot: &h.slot, Clock: h.clock, Log: h.log.With("subsystem", policy.SubsystemNetwork),
		DenyPrivate: n.DenyPrivate, AllowRanges: n.Ranges(), MaxConnsPerHost: n.MaxConnsPerHost, QueueMax: n.QueueMax,
		DialTimeout: n.DialTimeout.Std(), AttemptDelay: n.AttemptDelay.Std(), ProxyListen: n.Proxy,
		Bandwidth: network.Bandwidth{Global: rate(n.Bandwidth.Global), PerHost: rate(n.Bandwidth.PerHost), PerConn: rate(n.Bandwidth.PerConn)},
		DNS: network.DNS{Servers: n.DNS.Servers, Timeout: n.DNS.Timeout.Std(), MinTTL: n.DNS.MinTTL.Std(), MaxTTL: n.DNS.MaxTTL.Std(),
			NegativeTTL: n.DNS.NegativeTTL.Std(), StaleFor: n.DNS.StaleFor.Std(), MaxEntries: n.DNS.MaxEntries},
	}
}

// forwardProfile is the pool's profile for the targets of the forward proxy: who
// reaches a listener that is not loopback does not choose private addresses.
func forwardProfile(listen string) string {
	host, _, err := net.SplitHostPort(listen)
	if ip, notIP := netip.ParseAddr(host); err == nil && (host == "localhost" || notIP == nil && ip.IsLoopback()) {
		return ""
	}
	return workProfile
}

// Network returns the coordinator of names, connections and bandwidth, for programs
// that embed gaia.
func (h *Host) Network() *network.Coordinator { return h.network }
