package metrics

import (
	"math"
	"sync/atomic"
)

// Value is one counter or gauge. Its zero value is a counter at 0. It is always finite, and safe for concurrent use.
type Value struct {
	kind FieldKind
	n    atomicFloat
}

// Kind says whether v is a counter or a gauge.
func (v *Value) Kind() FieldKind { return v.kind }

// Add adds by and reports whether it did: not if by is NaN or infinite, if the sum would be, or if a counter would go down.
func (v *Value) Add(by float64) bool {
	if v.kind == Counter && by < 0 {
		return false
	}
	return finite(by) && v.n.add(by)
}

// Set makes f the value of a gauge and reports whether it did: not if f is NaN or infinite, or v a counter.
func (v *Value) Set(f float64) bool {
	if v.kind == Counter || !finite(f) {
		return false
	}
	v.n.store(f)
	return true
}

// Load gives the value.
func (v *Value) Load() float64 { return v.n.load() }

// atomicFloat is a float64 that is read and changed atomically. Its zero value is 0.
type atomicFloat struct {
	bits atomic.Uint64
}

func (a *atomicFloat) load() float64   { return math.Float64frombits(a.bits.Load()) }
func (a *atomicFloat) store(f float64) { a.bits.Store(math.Float64bits(f)) }

// add adds by unless the sum is not finite.
func (a *atomicFloat) add(by float64) bool {
	for {
		have := a.bits.Load()
		sum := math.Float64frombits(have) + by
		if !finite(sum) {
			return false
		}
		if a.bits.CompareAndSwap(have, math.Float64bits(sum)) {
			return true
		}
	}
}
