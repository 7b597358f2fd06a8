package browser

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/subsystems/admission"
)

type counters struct {
	launched, launchFailures, crashes, pageCrashes, recycled, tabs, bytes atomic.Uint64
}

// Stats are the numbers of a Pool at one moment.
type Stats struct {
	admission.Stats
	Launched       uint64 // browsers launched
	LaunchFailures uint64
	Crashes        uint64 // browsers that ended by themselves or were ended because they hung
	PageCrashes    uint64
	Recycled       uint64 // browsers replaced by age, tasks or memory
	TabsOpened     uint64
	ResultBytes    uint64 // of screenshots, PDFs, HTML texts and values
	Browsers       int    // running
	Launching      int
	Tabs           int   // open
	Leases         int   // open
	Waiting        int   // tabs that wait for a browser
	Memory         int64 // bytes, proportional set size of all browsers when last measured
}

// Stats reads the numbers. It allocates nothing.
func (p *Pool) Stats() Stats {
	n := &p.counts
	s := Stats{
		Stats: p.core.Stats(), Launched: n.launched.Load(), LaunchFailures: n.launchFailures.Load(), Crashes: n.crashes.Load(),
		PageCrashes: n.pageCrashes.Load(), Recycled: n.recycled.Load(), TabsOpened: n.tabs.Load(), ResultBytes: n.bytes.Load(),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Browsers, s.Launching, s.Leases, s.Waiting = len(p.instances), p.totalLocked()-len(p.instances), len(p.leases), len(p.waiters)
	for _, in := range p.instances {
		s.Tabs += in.tabs
		s.Memory += in.memory
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
		count("launched_total", "Browsers launched."),
		count("launch_failures_total", "Browsers that did not start."),
		count("crashes_total", "Browsers that ended by themselves, or were ended because they hung."),
		count("page_crashes_total", "Pages that crashed."),
		count("recycled_total", "Browsers replaced by age, tasks or memory."),
		count("tabs_opened_total", "Tabs opened."),
		count("result_bytes_total", "Bytes of screenshots, PDFs, HTML texts and values."),
		gauge("browsers", "Browsers running."),
		gauge("launching", "Browsers being launched."),
		gauge("tabs", "Tabs open."),
		gauge("leases", "Leases open."),
		gauge("waiting", "Tabs that wait for a browser."),
		gauge("memory_bytes", "Proportional set size of all browsers, as last measured."),
	)
}

// Schema describes what Read gives: a Pool is a metrics.Source.
func (p *Pool) Schema() *metrics.Schema { return p.schema }

// Read appends the pool's numbers to dst[:0], in the order of Schema.
func (p *Pool) Read(dst []float64) []float64 {
	dst = p.core.AppendValues(dst[:0])
	s := p.Stats()
	return append(dst, float64(s.Launched), float64(s.LaunchFailures), float64(s.Crashes), float64(s.PageCrashes), float64(s.Recycled),
		float64(s.TabsOpened), float64(s.ResultBytes), float64(s.Browsers), float64(s.Launching), float64(s.Tabs), float64(s.Leases),
		float64(s.Waiting), float64(s.Memory))
}

// Launches is the histogram of launches that succeeded, to the first answer of the
// browser.
func (p *Pool) Launches() *metrics.Histogram { return p.launches }

// Opens is the histogram of tabs opened, without the wait for a browser.
func (p *Pool) Opens() *metrics.Histogram { return p.opens }

// Info describes one browser of the pool.
type Info struct {
	ID         uint64
	PID        int
	Engine     Engine
	Version    string
	Extensions []string
	Tabs       int
	Tasks      int // tabs opened so far
	Age        time.Duration
	Memory     int64 // bytes, 0 not measured yet
	Draining   bool  // opens no more tabs
}

// List describes the browsers, oldest first.
func (p *Pool) List() []Info {
	now := p.driver.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Info, 0, len(p.instances))
	for _, in := range p.instances {
		list = append(list, Info{ID: in.id, PID: in.pid(), Engine: in.kind.engine, Version: in.version, Extensions: in.kind.names(),
			Tabs: in.tabs, Tasks: in.tasks, Age: time.Duration(max(now-in.started, 0)), Memory: in.memory, Draining: in.draining})
	}
	slices.SortFunc(list, func(a, b Info) int { return int(a.ID) - int(b.ID) })
	return list
}
