package gateway

import (
	"sync"
	"sync/atomic"
)

// memory lends the buffers of a Server and counts what bodies read ahead take. The
// zero value is ready.
type memory struct {
	small, copies sync.Pool // of *[]byte
	ahead         atomic.Int64
}

const (
	smallBuffer = 4 << 10
	copyBuffer  = 32 << 10
)

// get lends a buffer of size smallBuffer or copyBuffer.
func (m *memory) get(size int) *[]byte {
	if b, ok := m.poolOf(size).Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, size)
	return &b
}

// put takes a buffer back.
func (m *memory) put(b *[]byte) { m.poolOf(len(*b)).Put(b) }

func (m *memory) poolOf(size int) *sync.Pool {
	if size == copyBuffer {
		return &m.copies
	}
	return &m.small
}

// reserve counts n bytes read ahead, or reports that there are too many already.
func (m *memory) reserve(n int64) bool {
	if m.ahead.Add(n) > maxAheadSum {
		m.ahead.Add(-n)
		return false
	}
	return true
}

func (m *memory) release(n int64) { m.ahead.Add(-n) }
