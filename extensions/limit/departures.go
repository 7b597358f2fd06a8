package limit

import "slices"

// maxComing bounds how many may wait to leave: a take looks at all who wait behind, 7 ns
// each, while the others wait for the lock. From half of it on, a key has no more of the
// other half than its weight's part, so that no key takes the places of all.
const maxComing = 1 << 12

// departures are those who leave on one rate and were told when: not always in the order
// in which they asked. Those who left are charged to a bucket. Those to come are charged to
// it in the order in which they will leave, so that whoever comes before them takes only
// what they will not miss. So no interval ever has more than the rate and the burst.
//
// Guarded by its owner. A look costs as much as there are who wait behind.
type departures struct {
	left   followed
	coming []departure
	gone   int            // how many at the head of coming have left
	places map[string]int // how many of those to come a key has
	stale  bool           // the rate changed since the TATs to come were charged
}

// departure is one to come.
type departure struct {
	at, cost, tat int64  // the TAT is that once it has left
	by            *share // whose it is; told of it in waits
}

// advance charges whoever has left by now.
func (d *departures) advance(now int64, r *Rate) {
	if d.stale {
		d.stale = false
		d.left.clamp(now, r)
		d.charge(d.gone, now, r)
	}
	for d.gone < len(d.coming) && d.coming[d.gone].at <= now {
		e := d.coming[d.gone]
		d.coming[d.gone].by = nil
		d.gone++
		e.by.waits -= e.cost
		d.placed(e.by.key, -1)
		if d.left.trail != nil {
			d.left.trail.note(e.at, e.tat, r)
		}
		d.left.word.Store(e.tat)
	}
	if d.gone > 0 && 2*d.gone >= len(d.coming) {
		d.coming = d.coming[:copy(d.coming, d.coming[d.gone:])]
		d.gone = 0
	}
}

// after is the first of those to come who leaves after at.
func (d *departures) after(at int64) int {
	n, _ := slices.BinarySearchFunc(d.coming[d.gone:], at, func(e departure, at int64) int {
		if e.at <= at {
			return -1
		}
		return 1
	})
	return d.gone + n
}

// before is the TAT before the i-th leaves, if he does not do so before now.
func (d *departures) before(i int, now int64, r *Rate) int64 {
	if i > d.gone {
		return d.coming[i-1].tat
	}
	return r.tat(d.left.word.Load(), now)
}

// soonest is when cost units may leave, not before want, so that nobody who was told when
// is in their way. cost is at most the burst, and want not before now.
func (d *departures) soonest(now, want, cost int64, r *Rate) (at int64) {
	at = want
	for i := d.after(want); ; {
		before := d.before(i, now, r)
		at = max(at, addSat(before, r.step(before, cost))-r.full)
		if i < len(d.coming) && at >= d.coming[i].at {
			i++
			continue
		}
		late := d.late(i, max(before, at), cost, r)
		if late < 0 {
			return at
		}
		at, i = max(at, d.coming[late].at), late+1
	}
}

// late is the last one, from the i-th on, who may not leave when he was told to, if cost
// units leave before him at a TAT of tat; -1 for none.
func (d *departures) late(i int, tat, cost int64, r *Rate) int {
	tat = addSat(tat, r.step(tat, cost))
	for ; i < len(d.coming); i++ {
		e := d.coming[i]
		tat = max(tat, e.at)
		tat = addSat(tat, r.step(tat, e.cost))
		switch {
		case tat <= e.tat: // from here on all is as before
			return -1
		case tat-e.at > r.full:
			return i
		}
	}
	return -1
}

// full says that key, which has that part of all weights, may not wait too.
func (d *departures) full(key string, part float64) bool {
	n := len(d.coming) - d.gone
	return n >= maxComing || n >= maxComing/2 && float64(d.places[key]) >= part*maxComing/2
}

// placed notes that a key has n places more.
func (d *departures) placed(key string, n int) {
	if d.places == nil {
		d.places = map[string]int{}
	}
	if n += d.places[key]; n > 0 {
		d.places[key] = n
	} else {
		delete(d.places, key)
	}
}

// add charges e, which leaves when soonest told.
func (d *departures) add(now int64, e departure, r *Rate) {
	if e.at > now {
		e.by.waits += e.cost
		e.by.paced = max(e.by.paced, e.at)
		d.placed(e.by.key, 1)
		i := d.after(e.at)
		d.coming = slices.Insert(d.coming, i, e)
		d.charge(i, now, r)
		return
	}
	tat := r.tat(d.left.word.Load(), now)
	d.left.word.Store(addSat(tat, r.step(tat, e.cost)))
	d.charge(d.gone, now, r)
}

// charge brings the TATs to date, from the i-th on.
func (d *departures) charge(i int, now int64, r *Rate) {
	for tat := d.before(i, now, r); i < len(d.coming); i++ {
		e := &d.coming[i]
		tat = max(tat, e.at)
		tat = addSat(tat, r.step(tat, e.cost))
		if e.tat == tat {
			return
		}
		e.tat = tat
	}
}

// refund gives back cost units of a take of own that left, or would leave, at that time.
func (d *departures) refund(now, cost, own, left int64, r *Rate) {
	if left <= now {
		d.left.refund(now, cost, own, left, r)
		d.charge(d.gone, now, r)
		return
	}
	for i := d.after(left - 1); i < len(d.coming) && d.coming[i].at == left; i++ {
		e := &d.coming[i]
		if e.cost < cost {
			continue
		}
		e.by.waits -= cost
		if e.cost -= cost; e.cost == 0 {
			d.placed(e.by.key, -1)
			d.coming = slices.Delete(d.coming, i, i+1)
		}
		d.charge(i, now, r)
		return
	}
}

// owe charges units that were used whatever is left.
func (d *departures) owe(now, cost int64, r *Rate) {
	d.left.owe(now, r, cost)
	d.charge(d.gone, now, r)
}

// changed is told when the rate has.
func (d *departures) changed() {
	d.left.changed()
	for i := d.gone; i < len(d.coming); i++ {
		d.coming[i].tat = -1
	}
	d.stale = true
}

// copyOf makes d one like p, of other shares.
func (d *departures) copyOf(p *departures, of func(*share) *share) {
	d.left.copyOf(&p.left)
	d.coming, d.stale = slices.Clone(p.coming[p.gone:]), p.stale
	for i := range d.coming {
		d.coming[i].by = of(d.coming[i].by)
		d.placed(d.coming[i].by.key, 1)
	}
}
