package wasm

// Spent tells what the hook that ran last cost, in units of fuel and in host calls. It is for a policy of one instance that
// nobody else asks: a benchmark. ok is false where that guest is in use or gone.
func (p *Policy) Spent() (fuel int64, hostCalls int, ok bool) {
	s := &p.slots[0]
	if !s.busy.CompareAndSwap(0, 1) {
		return 0, 0, false
	}
	defer s.free()
	if s.guest == nil {
		return 0, 0, false
	}
	return p.fuel - int64(s.guest.fuel.Get()), maxHostCalls - s.guest.calls, true
}
