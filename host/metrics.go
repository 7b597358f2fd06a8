package host

import (
	"runtime"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/host/control"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// collector renders every number of the host for Prometheus. Nothing is counted
// here: it reads what the parts count.
type collector struct {
	h *Host

	build, health, generation, reloads, calls, faults, breaker, guests, value *prometheus.Desc
	upHealthy, upInFlight, upErrors                                           *prometheus.Desc
	fields                                                                    map[string][]*prometheus.Desc // by subsystem, in the order of its schema
	latency                                                                   map[string]*prometheus.Desc   // by subsystem
	witness                                                                   witnessDescs
}

func (h *Host) newRegistry() *prometheus.Registry {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("gaia_"+name, help, labels, nil)
	}
	c := &collector{h: h,
		build:      desc("build_info", "The version that runs; always 1.", "version", "go"),
		health:     desc("health", "What /health says of a subsystem: 0 ok, 1 degraded, 2 failing.", "subsystem"),
		generation: desc("policy_generation", "Number of the generation of policies in force."),
		reloads:    desc("policy_reloads_total", "Changes of policies or configuration, by how they ended.", "result"),
		calls:      desc("policy_calls_total", "Hooks called.", "policy"),
		faults:     desc("policy_faults_total", "Hooks that failed, by kind.", "policy", "kind"),
		breaker:    desc("policy_breaker_open", "1 while a policy keeps failing and is not asked.", "policy"),
		guests:     desc("policy_guests", "Guests that a policy has.", "policy"),
		value:      desc("policy_value", "A policy's own counters and gauges.", "policy", "name"),
		upHealthy:  desc("upstream_healthy", "1 while the balancer may choose the upstream as usual.", "route", "upstream"),
		upInFlight: desc("upstream_in_flight", "Attempts under way at the upstream.", "route", "upstream"),
		upErrors:   desc("upstream_error_ratio", "Share of the attempts of the last 5 to 10 s that failed there.", "route", "upstream"),
		fields:     map[string][]*prometheus.Desc{},
		latency:    map[string]*prometheus.Desc{},
		witness:    newWitnessDescs(),
	}
	for _, src := range h.Sources() {
		s := src.Schema()
		c.latency[s.Subsystem()] = desc(s.Subsystem()+"_attempt_duration_seconds", "Time of attempts, from their start to the end of the answer.")
		for i := range s.Len() {
			c.fields[s.Subsystem()] = append(c.fields[s.Subsystem()], desc(s.Subsystem()+"_"+s.Field(i).Name, s.Field(i).Help))
		}
	}
	r := prometheus.NewRegistry()
	r.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Gatherer is the one registry of the process.
func (h *Host) Gatherer() prometheus.Gatherer { return h.registry }

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.build, c.health, c.generation, c.reloads, c.calls, c.faults, c.breaker, c.guests, c.value, c.upHealthy, c.upInFlight, c.upErrors} {
		ch <- d
	}
	for _, d := range c.witness.all() {
		ch <- d
	}
	for name, ds := range c.fields {
		ch <- c.latency[name]
		for _, d := range ds {
			ch <- d
		}
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	st := c.h.policies.Status()
	gauge(c.build, 1, c.h.o.Version, runtime.Version())
	gauge(c.generation, float64(st.Generation))
	counter(c.reloads, float64(c.h.counts.ok.Load()), "ok")
	counter(c.reloads, float64(c.h.counts.refused.Load()), "refused")
	for _, p := range st.Policies {
		counter(c.calls, float64(p.Calls), p.Name)
		for _, k := range policy.FaultKinds() {
			counter(c.faults, float64(p.FaultsByKind[k.String()]), p.Name, k.String())
		}
		open := 0.0
		if p.BreakerOpen {
			open = 1
		}
		gauge(c.breaker, open, p.Name)
		gauge(c.guests, float64(p.Guests), p.Name)
	}
	c.witness.collect(&c.h.witness, counter)
	c.h.natives.Metrics().Range(func(pol, name string, _ metrics.FieldKind, v float64) { gauge(c.value, v, pol, name) })
	for _, r := range c.h.gateway.Routes() {
		for _, u := range upstreamsOf(r.Group, c.h.clock()) {
			well := 0.0
			if u.Health == route.Healthy.String() {
				well = 1
			}
			gauge(c.upHealthy, well, r.Name, u.Name)
			gauge(c.upInFlight, float64(u.InFlight), r.Name, u.Name)
			gauge(c.upErrors, u.ErrorRate, r.Name, u.Name)
		}
	}
	for i := range c.h.parts {
		p := &c.h.parts[i]
		ch <- c.attempts(p)
		gauge(c.health, healthValue(c.h.partHealth(p).Status), p.name())
	}
	for _, src := range c.h.Sources() {
		s := src.Schema()
		for i, v := range src.Read(make([]float64, 0, s.Len())) {
			if s.Field(i).Kind == metrics.Counter {
				counter(c.fields[s.Subsystem()][i], v)
			} else {
				gauge(c.fields[s.Subsystem()][i], v)
			}
		}
	}
}

// attempts is the histogram of a subsystem's attempts.
func (c *collector) attempts(p *part) prometheus.Metric {
	var s metrics.HistogramSnapshot
	p.Core().Latency().Snapshot(&s)
	buckets := make(map[float64]uint64, len(s.Bounds))
	for i, bound := range s.Bounds {
		buckets[bound.Seconds()] = s.Buckets[i]
	}
	return prometheus.MustNewConstHistogram(c.latency[p.name()], s.Count, s.Sum, buckets)
}

func healthValue(status string) float64 {
	switch status {
	case control.HealthOK:
		return 0
	case control.HealthDegraded:
		return 1
	}
	return 2
}
