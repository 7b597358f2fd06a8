package limit

const stretchesMost = 32

// trail follows one bucket so that what is given back late is exact: what the
// bucket would hold had the units never been taken.
//
// Had they not been, the TAT would have been as much lower ever since they left,
// unless the bucket would have been full in between: then time has given back the
// rest. So what is due is the least backlog (TAT less now) that anybody met who left
// after them. A take does not note what it meets. But the TAT never falls but by a
// refund, so that what it was at one refund bounds what all met until the next. Who
// waits is noted when he reserves, as of the time when he will leave.
//
// A refund lowers the backlogs met by those who left after its units, as it
// would have been; so any number of refunds together stay exact.
//
// Those who wait were told when to leave, and a lower TAT would help only who comes
// after all of them. What is due meanwhile is kept in spare: the next who comes
// leaves on it at once, and raises what those meet who leave later.
type trail struct {
	since   int64 // nothing is known of who left before
	at, tat int64 // from at on the TAT was not below tat
	floor   int64 // a TAT that refunds do not undercut: an upstream told of it
	ahead   int64 // when the last waiter leaves
	prior   int64 // when the one before leaves, at the latest
	spare   int64 // due, and not taken off the TAT; 0 where nobody waits
	stale   bool  // the level changed otherwise than by takes: begin anew

	past, future stretches // of those who left, and of those who wait
}

// stretch is a time in which everybody who left met at least this backlog. It begins
// where the one before ends.
type stretch struct {
	end, least int64
	waiters    int64 // of the future: who have not given back
}

// stretches are stretches by their ends.
type stretches struct {
	all [stretchesMost]stretch
	n   int
}

// many waiters are those of which nothing is known.
const many int64 = 1 << 40

func newTrail(now, tat int64, r *Rate) *trail {
	h := &trail{}
	h.begin(now, tat, r)
	return h
}

// begin forgets what is known, but for when the last waiter leaves.
func (h *trail) begin(now, tat int64, r *Rate) {
	ahead := max(h.ahead, tat-r.full)
	*h = trail{since: now, at: now, tat: tat, floor: h.floor, ahead: ahead, prior: ahead}
	if ahead > now {
		h.future.push(stretch{ahead, -1, many})
	}
}

// changed lets the trail begin anew: the level changes otherwise than by takes.
func (h *trail) changed() { h.stale, h.spare = true, 0 }

// note brings the trail to now, when the TAT is tat.
func (h *trail) note(now, tat int64, r *Rate) {
	if now <= h.at && tat <= h.tat {
		return
	}
	now = max(now, h.at)
	for h.future.n > 0 && h.future.all[0].end <= now {
		first := h.future.drop()
		h.leave(first.end, first.least, r)
	}
	if h.future.n > 0 { // it began, and its rest is to come
		h.leave(now, h.future.all[0].least, r)
	}
	if h.tat-r.full < now { // who came had not to wait, and is not noted
		least := h.tat - now
		if h.ahead > now { // they left before others who had reserved: what they met is not known
			least = 0
		}
		h.leave(now, least-h.spare, r)
		h.spare = min(h.spare, max(least, 0))
	}
	h.at, h.tat = now, tat
}

// leave notes what those met who left until end.
func (h *trail) leave(end, least int64, r *Rate) {
	spacing := r.full/(stretchesMost/4) + 1
	next := stretch{end, least, 0}
	if !h.past.widen(h.since, next, spacing) {
		if h.past.n == stretchesMost {
			h.since = h.past.drop().end
		}
		h.past.push(next)
	}
}

// waits notes who leaves at a time to come and meets that backlog then, less what is
// in spare. What is more than the backlog would be lost to time by then.
func (h *trail) waits(leaves, met int64, r *Rate) {
	spare := h.spare
	h.spare = min(spare, max(met, 0))
	met -= spare
	next, spacing := stretch{leaves, met, 1}, max(r.full/4, (leaves-h.at)/16)+1
	if h.future.n == stretchesMost {
		spacing = leaves // the last takes it
	}
	if !h.future.widen(h.at, next, spacing) {
		h.future.push(next)
	}
	h.prior, h.ahead = max(h.prior, min(h.ahead, leaves)), max(h.ahead, leaves)
}

// due is how much of d is to be given back, of units worth own that left at that time.
func (h *trail) due(now, d, own, left int64, r *Rate) int64 {
	tat := h.tat - h.spare
	// By the take alone: the TAT was own after it at least.
	due := left + own - max(now, h.ahead, h.tat-r.full)
	if left >= h.since {
		due = max(due, h.past.least(left, h.future.least(left, tat-now)))
	}
	if left > now { // who comes next must not leave before those who were before it
		room := h.tat - r.full - left
		if left == h.ahead {
			room = h.tat - r.full - h.prior
		}
		due = min(due, room)
	}
	return max(min(d, due, tat-max(now, h.floor)), 0)
}

// sync brings the trail to now, and the TAT to what is due where nobody waits any
// more; false where the bucket is gone.
func (h *trail) sync(now int64, b *Bucket, r *Rate) (word int64, ok bool) {
	for {
		word = b.word.Load()
		if word == gone {
			return 0, false
		}
		if word < 0 {
			b.clamp(now, r)
			continue
		}
		if h.stale {
			h.begin(now, max(word, now), r)
		}
		h.note(now, max(word, now), r)
		if h.spare == 0 || h.ahead > now || word-r.full > now {
			return word, true
		}
		if d := max(min(h.spare, word-max(now, h.floor)), 0); b.word.CompareAndSwap(word, word-d) {
			h.spare, h.tat = 0, min(h.tat, word)-d
			return word - d, true
		}
	}
}

// refund gives back of b what is due of d, of units worth own that left at that time;
// false where the bucket is gone.
func (h *trail) refund(now int64, b *Bucket, r *Rate, d, own, left int64) bool {
	for {
		word, ok := h.sync(now, b, r)
		if !ok {
			return false
		}
		left = min(max(left, 0), max(now, h.ahead))
		due := min(h.due(now, d, own, left, r), max(word-now, 0)) // a clock may have been put back
		if due == 0 {
			break
		}
		if left <= now && h.ahead > now {
			h.spare = min(h.spare+due, r.full)
		} else if b.word.CompareAndSwap(word, word-due) {
			h.tat -= due
			if left == h.ahead {
				h.prior = h.ahead // that before is not known
			}
		} else {
			continue
		}
		h.past.lower(left, due)
		h.future.lower(left, due)
		break
	}
	if left <= now || d < own || !h.future.left(left) {
		return true
	}
	// Nobody waits behind those who still do: after them the bucket is as empty as it
	// may be, and no emptier.
	end := now
	if n := h.future.n; n > 0 {
		end = h.future.all[n-1].end
	}
	for {
		word := b.word.Load()
		if word == gone || word < 0 || word <= end+r.full {
			return word != gone
		}
		if b.word.CompareAndSwap(word, end+r.full) {
			h.tat = min(h.tat, end+r.full)
			h.ahead, h.prior = end, end
			return true
		}
	}
}

// left says that one who would have left at that time does not, and forgets the last
// stretches where nobody waits any more. It reports whether there were such.
func (s *stretches) left(at int64) bool {
	i := 0
	for i < s.n && s.all[i].end < at {
		i++
	}
	if i == s.n {
		return false
	}
	s.all[i].waiters--
	n := s.n
	for s.n > 0 && s.all[s.n-1].waiters <= 0 {
		s.n--
	}
	return s.n < n
}

// use takes units worth w from what is in spare.
func (h *trail) use(w int64) {
	h.spare -= w
	h.future.raise(w)
}

// widen adds to the last stretch where that began less than spacing before, or where
// it ends later. The first began at begin.
func (s *stretches) widen(begin int64, with stretch, spacing int64) bool {
	if s.n == 0 {
		return false
	}
	last := &s.all[s.n-1]
	if s.n > 1 {
		begin = s.all[s.n-2].end
	}
	if with.end > last.end && with.end-begin >= spacing {
		return false
	}
	last.end, last.least, last.waiters = max(last.end, with.end), min(last.least, with.least), last.waiters+with.waiters
	return true
}

func (s *stretches) push(next stretch) {
	s.all[s.n] = next
	s.n++
}

// drop forgets the oldest.
func (s *stretches) drop() stretch {
	first := s.all[0]
	s.n = copy(s.all[:], s.all[1:s.n])
	return first
}

// least is the least backlog of those who left after a time, and most at the most.
func (s *stretches) least(after, most int64) int64 {
	for i := s.n - 1; i >= 0 && s.all[i].end > after; i-- {
		most = min(most, s.all[i].least)
	}
	return most
}

// lower lowers what those met who left after a time.
func (s *stretches) lower(after, d int64) {
	for i := s.n - 1; i >= 0 && s.all[i].end > after; i-- {
		s.all[i].least -= d
	}
}

// raise raises what all meet, up to the first who may find the bucket full: what time
// gives back, it gives those after him too.
func (s *stretches) raise(d int64) {
	for i := range s.n {
		if s.all[i].least < 0 {
			return
		}
		s.all[i].least += d
	}
}
