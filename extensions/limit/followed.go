package limit

// followed is a bucket and the trail of what is given back to it. The zero value is full.
// Guarded by its owner.
type followed struct {
	Bucket
	trail *trail // nil: nothing was given back yet
}

// follow returns the trail, begun now where there is none, when the TAT was tat.
func (f *followed) follow(now, tat int64, r *Rate) *trail {
	if f.trail == nil {
		f.trail = newTrail(now, tat, r)
	}
	return f.trail
}

// refund gives back what is due of cost units of a take of own that left at that time.
func (f *followed) refund(now, cost, own, left int64, r *Rate) {
	h := f.follow(now, r.tat(f.word.Load(), now), r)
	h.refund(now, &f.Bucket, r, r.worth(cost), min(r.worth(own), r.full), left)
}

// changed is told when the rate has.
func (f *followed) changed() {
	f.mark()
	if f.trail != nil {
		f.trail.changed()
	}
}

// copyOf makes f one like p.
func (f *followed) copyOf(p *followed) {
	f.word.Store(p.word.Load())
	if p.trail != nil {
		trail := *p.trail
		f.trail = &trail
	}
}
