package files

import (
	"sync/atomic"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// counters are the numbers of a Manager besides those of its admission.
type counters struct {
	read, written, syncs, swept, counts, events atomic.Uint64
	staged                                      atomic.Int64
}

// Stats are the numbers of a Manager at one moment.
type Stats struct {
	admission.Stats
	BytesRead, BytesWritten uint64
	Syncs                   uint64 // of files and folders to the disk
	Swept                   uint64 // stage folders of crashed processes removed
	Counts                  uint64 // of roots with a quota
	Events                  uint64 // given to watches
	BuffersTaken            uint64 // from the pool
	BuffersMade             uint64 // because the pool was empty
	Staged                  int64  // writes under way
	Readers, Watches        int
}

// Stats reads the numbers. It allocates nothing.
func (m *Manager) Stats() Stats {
	n := &m.counts
	s := Stats{
		Stats: m.core.Stats(), BytesRead: n.read.Load(), BytesWritten: n.written.Load(), Syncs: n.syncs.Load(),
		Swept: n.swept.Load(), Counts: n.counts.Load(), Events: n.events.Load(),
		BuffersTaken: m.bufs.taken.Load(), BuffersMade: m.bufs.made.Load(), Staged: n.staged.Load(),
	}
	m.mu.Lock()
	s.Readers, s.Watches = len(m.readers), len(m.watches)
	m.mu.Unlock()
	return s
}

// Usage is what a root holds and may hold.
type Usage struct {
	Root              string
	Bytes, Files      int64 // of no meaning before Counted
	Quota, QuotaFiles int64 // 0: none
	Free              int64 // bytes of its file system, -1 unknown
	Counted           bool  // roots are counted when they have a quota
	ReadOnly          bool
	Trouble           string // what the last look at it failed with, "" none
}

// Usage lists the roots by name.
func (m *Manager) Usage() []Usage {
	list := make([]Usage, 0, len(m.roots))
	for _, r := range m.roots {
		conf := r.conf.Load()
		u := Usage{Root: r.name, Quota: conf.Quota, QuotaFiles: conf.QuotaFiles, Free: r.free.Load(), Counted: r.counted.Load(), ReadOnly: conf.ReadOnly}
		u.Bytes, u.Files = r.use.now()
		if t := r.trouble.Load(); t != nil {
			u.Trouble = *t
		}
		list = append(list, u)
	}
	return list
}

// fields describes the numbers; every root has its own.
func (m *Manager) fields() []metrics.Field {
	fields := append(admission.Fields(),
		metrics.Field{Name: "bytes_read_total", Help: "Bytes of files read.", Kind: metrics.Counter},
		metrics.Field{Name: "bytes_written_total", Help: "Bytes written to files.", Kind: metrics.Counter},
		metrics.Field{Name: "syncs_total", Help: "Times a file or folder was forced to the disk.", Kind: metrics.Counter},
		metrics.Field{Name: "swept_total", Help: "Stage folders of crashed processes that were removed.", Kind: metrics.Counter},
		metrics.Field{Name: "counts_total", Help: "Times a root with a quota was counted anew.", Kind: metrics.Counter},
		metrics.Field{Name: "events_total", Help: "Events given to watches.", Kind: metrics.Counter},
		metrics.Field{Name: "buffers_taken_total", Help: "Buffers taken from the pool.", Kind: metrics.Counter},
		metrics.Field{Name: "buffers_made_total", Help: "Buffers made because the pool was empty.", Kind: metrics.Counter},
		metrics.Field{Name: "staged", Help: "Writes under way.", Kind: metrics.Gauge},
		metrics.Field{Name: "readers", Help: "Files open for streaming.", Kind: metrics.Gauge},
		metrics.Field{Name: "watches", Help: "Watches under way.", Kind: metrics.Gauge},
	)
	for _, r := range m.roots {
		of := func(name, help string) metrics.Field {
			return metrics.Field{Name: "root_" + metricName(r.name) + "_" + name, Help: help, Kind: metrics.Gauge}
		}
		fields = append(fields,
			of("bytes", "Bytes of the root's files; counted where it has a quota."),
			of("files", "Files, folders and links of the root; counted where it has a quota."),
			of("quota_left_bytes", "Bytes until the quota of the root is full; -1: it has none."),
			of("free_bytes", "Bytes free in the root's file system; -1: unknown."),
		)
	}
	return fields
}

// Source gives the manager's numbers: the Read of a Manager itself is that of files.
func (m *Manager) Source() metrics.Source { return numbers{m} }

type numbers struct{ m *Manager }

func (n numbers) Schema() *metrics.Schema { return n.m.schema }

// Read appends the manager's numbers to dst[:0], in the order of Schema.
func (n numbers) Read(dst []float64) []float64 {
	m, s := n.m, n.m.Stats()
	dst = m.core.AppendValues(dst[:0])
	dst = append(dst, float64(s.BytesRead), float64(s.BytesWritten), float64(s.Syncs), float64(s.Swept), float64(s.Counts),
		float64(s.Events), float64(s.BuffersTaken), float64(s.BuffersMade), float64(s.Staged), float64(s.Readers), float64(s.Watches))
	for _, r := range m.roots {
		bytes, files := r.use.now()
		left := -1.0
		if q := r.conf.Load().Quota; q > 0 {
			left = float64(max(q-bytes, 0))
		}
		dst = append(dst, float64(bytes), float64(files), left, float64(r.free.Load()))
	}
	return dst
}
