package metrics

import (
	"fmt"
	"math"
	"sync"
)

// Pool hands out Views of sources of one schema. It is safe for concurrent use and needs no closing.
type Pool struct {
	schema *Schema
	bodies sync.Pool
}

// NewPool makes a pool for sources of s.
func NewPool(s *Schema) *Pool {
	p := &Pool{schema: s}
	p.bodies.New = func() any {
		return &body{
			pool: p, values: make([]float64, 0, s.Len()),
			shown: make([]float64, s.Len()),
			// With room to spare all keys stand in the group where they are looked for.
			numbers: make(map[string]float64, 2*s.Len()),
		}
	}
	return p
}

// handlesPerBody is how many Views are allocated at once.
const handlesPerBody = 128

// body is what is pooled: the values, the map, whose keys stay in place between uses, and a supply of handles.
type body struct {
	pool    *Pool
	values  []float64          // of the lease, by index
	shown   []float64          // what numbers holds, by index; nothing while numbers is empty
	numbers map[string]float64 // brought up to date when it is asked for
	handles []View
}

// View is a lease of a pooled map from field name to value, as the source was when View was called. It belongs to one
// goroutine at a time and ends with Release; whatever is called on it afterwards panics. A handle is used for one lease only
// (handles cost 8 bytes each, allocated by the hundred), so a stale one is always found, also when its map is on lease again.
type View struct {
	body *body // nil once released
}

// View reads src into a pooled map. It panics if src is not of the pool's schema. A View that is never released costs its map, no more.
func (p *Pool) View(src Source) *View {
	if src.Schema() != p.schema {
		panic(fmt.Sprintf("metrics: view of %s from the pool of %s", src.Schema().subsystem, p.schema.subsystem))
	}
	b := p.bodies.Get().(*body)
	b.values = src.Read(b.values[:0])
	p.schema.checkLen(b.values)
	if len(b.handles) == 0 {
		b.handles = make([]View, handlesPerBody)
	}
	v := &b.handles[0]
	b.handles = b.handles[1:]
	v.body = b
	return v
}

// fill brings the map up to date. It writes only what changed since the body's last use, which is most of what a view costs, and starts afresh if
// a reader added keys or took some out.
func (b *body) fill() map[string]float64 {
	numbers, names := b.numbers, b.pool.schema.names
	if len(numbers) != len(b.values) {
		clear(numbers)
	}
	fresh := len(numbers) == 0
	shown := b.shown[:len(b.values)]
	for i, v := range b.values {
		if math.Float64bits(v) != math.Float64bits(shown[i]) || fresh {
			shown[i] = v
			numbers[names[i]] = v
		}
	}
	return numbers
}

// live gives the body of a view that is on lease.
func (v *View) live() *body {
	if v.body == nil {
		panic("metrics: use of a View after Release")
	}
	return v.body
}

// Map is the numbers by field name. It is to be read only, and not after Release: the next user of the map sees what is written to it.
func (v *View) Map() map[string]float64 { return v.live().fill() }

// Get gives one number, and false if there is no field of that name. It does not need the map: for a few numbers it is the cheaper way.
func (v *View) Get(name string) (float64, bool) {
	b := v.live()
	i, ok := b.pool.schema.Index(name)
	if !ok {
		return 0, false
	}
	return b.values[i], true
}

// Schema is the schema of the numbers, for readers that want kinds or the stable order.
func (v *View) Schema() *Schema { return v.live().pool.schema }

// Release gives the map back to the pool. A second Release panics.
func (v *View) Release() {
	b := v.live()
	v.body = nil
	b.pool.bodies.Put(b)
}
