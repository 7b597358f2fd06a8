package metrics

import (
	"fmt"
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
		return &body{pool: p, values: make([]float64, 0, s.Len()), numbers: make(map[string]float64, s.Len())}
	}
	return p
}

// handlesPerBody is how many Views are allocated at once.
const handlesPerBody = 128

// body is what is pooled: the map, whose keys stay in place between uses, and a supply of handles to it.
type body struct {
	pool    *Pool
	values  []float64
	numbers map[string]float64
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
	b.fill()
	if len(b.handles) == 0 {
		b.handles = make([]View, handlesPerBody)
	}
	v := &b.handles[0]
	b.handles = b.handles[1:]
	v.body = b
	return v
}

// fill writes the values into the map, and puts the map right if an earlier user added or took out keys.
func (b *body) fill() {
	for i := range b.pool.schema.fields {
		b.numbers[b.pool.schema.fields[i].Name] = b.values[i]
	}
	if len(b.numbers) != len(b.values) {
		clear(b.numbers)
		b.fill()
	}
}

// live gives the body of a view that is on lease.
func (v *View) live() *body {
	if v.body == nil {
		panic("metrics: use of a View after Release")
	}
	return v.body
}

// Map is the numbers by field name. It is to be read only, and not after Release.
func (v *View) Map() map[string]float64 { return v.live().numbers }

// Get gives one number, and false if there is no field of that name.
func (v *View) Get(name string) (float64, bool) {
	f, ok := v.live().numbers[name]
	return f, ok
}

// Schema is the schema of the numbers, for readers that want kinds or the stable order.
func (v *View) Schema() *Schema { return v.live().pool.schema }

// Release gives the map back to the pool. A second Release panics.
func (v *View) Release() {
	b := v.live()
	v.body = nil
	b.pool.bodies.Put(b)
}
