package files

import (
	"hash/maphash"
	"os"
	"sync"
	"sync/atomic"
)

// stripes are locks for paths: changes of one path take turns.
type stripes struct {
	seed  maphash.Seed
	locks [64]sync.Mutex
}

func (s *stripes) of(name string) int {
	return int(maphash.String(s.seed, name) % uint64(len(s.locks)))
}

// lock locks the paths, each once and in one order for all callers, and returns
// what unlocks them.
func (s *stripes) lock(a, b string) (unlock func()) {
	i, j := s.of(a), s.of(b)
	if i == j {
		s.locks[i].Lock()
		return s.locks[i].Unlock
	}
	first, second := &s.locks[min(i, j)], &s.locks[max(i, j)]
	first.Lock()
	second.Lock()
	return func() {
		second.Unlock()
		first.Unlock()
	}
}

// bufferSize is that of a pooled buffer: large enough that a system call for each
// costs little, small enough for hundreds of them.
const bufferSize = 128 << 10

// buffers is a pool of buffers that counts its use.
type buffers struct {
	pool        sync.Pool
	taken, made atomic.Uint64
}

func (b *buffers) get() *[bufferSize]byte {
	b.taken.Add(1)
	if buf, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buf
	}
	b.made.Add(1)
	return new([bufferSize]byte)
}

func (b *buffers) put(buf *[bufferSize]byte) { b.pool.Put(buf) }

// sync forces a file or folder to the disk.
func (m *Manager) sync(f *os.File) error {
	m.counts.syncs.Add(1)
	return f.Sync()
}
