package process

import (
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/subsystems/admission"
)

type counters struct {
	starts, startFailures, restarts, gaveUp, breaches atomic.Uint64
	exitZero, exitOther, signaled, stopped, timeouts  atomic.Uint64
	ooms, left, cut                                   atomic.Uint64
	runNanos                                          atomic.Int64
	rss, processes                                    atomic.Int64
	cpuNanos                                          atomic.Int64
}

// Stats are the numbers of a Manager at one moment.
type Stats struct {
	admission.Stats
	Running       int    // now
	Starts        uint64 // that went well, restarts too
	StartFailures uint64
	Restarts      uint64
	GaveUp        uint64 // processes that kept ending
	ExitZero      uint64 // runs that ended with code 0
	ExitOther     uint64 // with another code
	Signaled      uint64 // by a signal that gaia did not send
	Stopped       uint64 // because they were told to
	Timeouts      uint64
	Breaches      uint64 // of watched limits
	OOMs          uint64
	Left          uint64 // processes that would not die
	Cut           uint64 // runs whose output was cut
	RunTime       time.Duration
	CPUTime       time.Duration // of runs that ended
	RSS           int64         // bytes of all processes now, as the watch saw last
	Processes     int64         // with all descendants, as the watch saw last
}

// Stats reads the numbers. It allocates nothing.
func (m *Manager) Stats() Stats {
	n := &m.counts
	return Stats{
		Stats: m.core.Stats(), Running: int(m.runs.Load()), Starts: n.starts.Load(), StartFailures: n.startFailures.Load(),
		Restarts: n.restarts.Load(), GaveUp: n.gaveUp.Load(), ExitZero: n.exitZero.Load(), ExitOther: n.exitOther.Load(),
		Signaled: n.signaled.Load(), Stopped: n.stopped.Load(), Timeouts: n.timeouts.Load(), Breaches: n.breaches.Load(),
		OOMs: n.ooms.Load(), Left: n.left.Load(), Cut: n.cut.Load(), RunTime: time.Duration(n.runNanos.Load()),
		CPUTime: time.Duration(n.cpuNanos.Load()), RSS: n.rss.Load(), Processes: n.processes.Load(),
	}
}

func (m *Manager) countExit(e *Exit) {
	n := &m.counts
	switch e.Reason {
	case ReasonExit:
		if e.Code == 0 {
			n.exitZero.Add(1)
		} else {
			n.exitOther.Add(1)
		}
	case ReasonStop:
		n.stopped.Add(1)
	case ReasonTimeout:
		n.timeouts.Add(1)
	case ReasonSignal, ReasonOOM:
		n.signaled.Add(1)
	}
	if e.OOM {
		n.ooms.Add(1)
	}
	if e.Cut {
		n.cut.Add(1)
	}
	n.left.Add(uint64(e.Left))
	n.runNanos.Add(int64(e.Uptime()))
	n.cpuNanos.Add(int64(e.User + e.System))
}

func fields() []metrics.Field {
	count := func(name, help string) metrics.Field {
		return metrics.Field{Name: name, Help: help, Kind: metrics.Counter}
	}
	gauge := func(name, help string) metrics.Field {
		return metrics.Field{Name: name, Help: help, Kind: metrics.Gauge}
	}
	return append(admission.Fields(),
		gauge("running", "Processes that run, without their descendants."),
		count("starts_total", "Processes started, restarts too."),
		count("start_failures_total", "Starts that failed."),
		count("restarts_total", "Processes started again."),
		count("gave_up_total", "Processes that kept ending and are not started again."),
		count("exits_zero_total", "Runs that ended with code 0."),
		count("exits_nonzero_total", "Runs that ended with another code."),
		count("signaled_total", "Runs that a signal ended which gaia did not send."),
		count("stopped_total", "Runs that ended because they were told to."),
		count("timeouts_total", "Runs that took longer than they may."),
		count("limit_breaches_total", "Runs that broke a watched limit."),
		count("oom_kills_total", "Runs that the kernel killed for want of memory."),
		count("unkillable_total", "Processes that would not die."),
		count("output_cut_total", "Runs whose output was cut because somebody held the pipe."),
		count("run_seconds_total", "Time of runs that ended."),
		count("cpu_seconds_total", "Processor time of runs that ended."),
		gauge("memory_bytes", "Resident memory of all processes with their descendants."),
		gauge("processes", "Processes that run, with their descendants."),
	)
}

// Schema describes what Read gives: a Manager is a metrics.Source.
func (m *Manager) Schema() *metrics.Schema { return m.schema }

// Read appends the Manager's numbers to dst[:0], in the order of Schema.
func (m *Manager) Read(dst []float64) []float64 {
	dst = m.core.AppendValues(dst[:0])
	s := m.Stats()
	return append(dst, float64(s.Running), float64(s.Starts), float64(s.StartFailures), float64(s.Restarts), float64(s.GaveUp),
		float64(s.ExitZero), float64(s.ExitOther), float64(s.Signaled), float64(s.Stopped), float64(s.Timeouts), float64(s.Breaches),
		float64(s.OOMs), float64(s.Left), float64(s.Cut), s.RunTime.Seconds(), s.CPUTime.Seconds(), float64(s.RSS), float64(s.Processes))
}
