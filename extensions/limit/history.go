package limit

// history remembers what a count of units, those sent or those answered, had come to by
// some earlier times. The zero history remembers nothing.
type history struct {
	points [16]struct{ at, count int64 }
	n      int // used; the newest is points[n-1]
}

// add notes the count at a time. Points closer than spacing to the one before
// the last replace the last, so that 16 of them reach back far enough.
func (h *history) add(at, count, spacing int64) {
	switch {
	case h.n >= 2 && at-h.points[h.n-2].at < spacing:
		h.n--
	case h.n == len(h.points):
		copy(h.points[:], h.points[1:])
		h.n--
	}
	h.points[h.n].at, h.points[h.n].count = at, count
	h.n++
}

// by is a count that was reached by that time at the latest.
func (h *history) by(at int64) int64 {
	for i := h.n - 1; i >= 0; i-- {
		if h.points[i].at <= at {
			return h.points[i].count
		}
	}
	return 0
}
