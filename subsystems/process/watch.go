package process

import (
	"time"
)

// cpuTicks is over how many looks the use of the processor is averaged.
const cpuTicks = 10

// cpuWindow remembers the processor time of the last looks.
type cpuWindow struct {
	at  [cpuTicks + 1]time.Time
	cpu [cpuTicks + 1]time.Duration
	n   int
}

func (w *cpuWindow) add(now time.Time, cpu time.Duration) {
	i := w.n % len(w.at)
	w.at[i], w.cpu[i] = now, cpu
	w.n++
}

// cores is the average use between the oldest and the newest look; full says that
// the window is.
func (w *cpuWindow) cores() (cores float64, full bool) {
	if w.n < 2 {
		return 0, false
	}
	last := (w.n - 1) % len(w.at)
	first := 0
	if w.n > len(w.at) {
		first = w.n % len(w.at)
	}
	d := w.at[last].Sub(w.at[first])
	if d <= 0 {
		return 0, false
	}
	return float64(w.cpu[last]-w.cpu[first]) / float64(d), w.n >= len(w.at)
}

// observe keeps what a look saw and ends a run that breaks a limit.
func (r *run) observe(now time.Time, u usage) {
	r.mu.Lock()
	u.cpu = max(u.cpu, r.usage.cpu) // what a descendant used goes with it where nobody waited for it
	r.usage = u
	r.cpu.add(now, u.cpu)
	why := r.breachLocked()
	r.mu.Unlock()
	if why == "" {
		return
	}
	r.p.m.log.Warn("a process broke a limit", "process", r.p.id, "limit", string(why), "rss", u.rss, "cpu", u.cpu, "processes", u.processes)
	r.p.m.counts.breaches.Add(1)
	grace := r.p.spec.Grace
	if why != ReasonCPU {
		grace = 0 // it could take more while it is asked
	}
	r.stop(why, grace)
}

func (r *run) breachLocked() Reason {
	l := &r.p.spec.Limits
	if r.reason != "" || !l.watched() {
		return ""
	}
	cores, full := r.cpu.cores()
	slowed := r.group != nil // by its cgroup
	switch {
	case l.Memory > 0 && r.usage.rss > l.Memory:
		return ReasonMemory
	case l.Processes > 0 && r.usage.processes > l.Processes:
		return ReasonProcs
	case l.CPUTime > 0 && r.usage.cpu > l.CPUTime:
		return ReasonCPU
	case l.CPU > 0 && full && cores > l.CPU && !slowed:
		return ReasonCPU
	}
	return ""
}

// watch looks once a tick until stopped.
func (m *Manager) watch() {
	tick := time.NewTicker(m.config.Tick)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			m.look(now)
		case <-m.stopWatch:
			return
		}
	}
}
