package limit

import (
	"slices"
	"time"
)

// window counts units in windows by the clock: of one length (fixedWindow), or
// hours, days, weeks and months of a time zone (calendar). Waiters hold places
// in the windows to come, at most maxBatches of them.
type window struct {
	unmoved
	start, end int64
	used       int64
	ahead      []int64 // used of the windows that follow
}

// bounds are the start and the end of the window that holds now.
func (c *settings) bounds(now int64) (start, end int64) {
	if c.p.Every == "" {
		per := int64(c.p.Per)
		start = now - now%per
		return start, addSat(start, per)
	}
	t := time.Unix(0, now).In(c.zone)
	y, m, d := t.Date()
	var from, to time.Time
	switch c.p.Every {
	case "hour":
		// By the clock of the zone, yet never before now where that is put back.
		from = t.Truncate(time.Hour)
		to = from.Add(time.Hour)
		return from.UnixNano(), to.UnixNano()
	case "week":
		d -= (int(t.Weekday()) + 6) % 7 // from Monday
		from, to = time.Date(y, m, d, 0, 0, 0, 0, c.zone), time.Date(y, m, d+7, 0, 0, 0, 0, c.zone)
	case "month":
		from, to = time.Date(y, m, 1, 0, 0, 0, 0, c.zone), time.Date(y, m+1, 1, 0, 0, 0, 0, c.zone)
	default:
		from, to = time.Date(y, m, d, 0, 0, 0, 0, c.zone), time.Date(y, m, d+1, 0, 0, 0, 0, c.zone)
	}
	// A zone may skip midnight: what counts is that the window holds now.
	return min(from.UnixNano(), now), max(to.UnixNano(), now+1)
}

// advance rolls the windows that have ended. A clock a little behind stays in
// the window that others are in.
func (w *window) advance(c *settings, now int64) {
	if now < w.start {
		now = w.start
	}
	for w.end <= now {
		if len(w.ahead) == 0 {
			w.used = 0
			w.start, w.end = c.bounds(now)
			return
		}
		w.used = w.ahead[0]
		w.ahead = slices.Delete(w.ahead, 0, 1)
		w.start, w.end = c.bounds(w.end)
	}
}

func (w *window) take(c *settings, now, cost int64, maxWait time.Duration) Result {
	w.advance(c, now)
	r := Result{Limit: c.p.Max, Remaining: max(c.p.Max-w.used, 0)}
	if w.used > 0 {
		r.Reset = time.Duration(w.end - now)
	}
	switch {
	case cost > c.p.Max:
		r.Wait = Never
		return r
	case w.used+cost <= c.p.Max || cost == 0:
		w.used += cost
		r.OK, r.Remaining = true, max(c.p.Max-w.used, 0)
		if cost > 0 {
			r.Reset = time.Duration(w.end - now)
		}
		return r
	}
	at := w.end
	for i := 0; i < maxBatches; i++ {
		if r.Wait = time.Duration(at - now); r.Wait > maxWait {
			if i >= len(w.ahead) || w.ahead[i]+cost <= c.p.Max {
				return r
			}
		} else if i == len(w.ahead) {
			w.ahead = append(w.ahead, cost)
			r.OK = true
			return r
		} else if w.ahead[i]+cost <= c.p.Max {
			w.ahead[i] += cost
			r.OK = true
			return r
		}
		_, at = c.bounds(at)
	}
	return r
}

// at returns the count of the window that holds that time, nil for a past one.
func (w *window) at(c *settings, at int64) *int64 {
	if at < w.start {
		return nil
	}
	end := w.end
	if at < end {
		return &w.used
	}
	for i := range w.ahead {
		if _, end = c.bounds(end); at < end {
			return &w.ahead[i]
		}
	}
	return nil
}

func (w *window) giveBack(c *settings, now, cost, at int64) {
	w.advance(c, now)
	if n := w.at(c, at); n != nil {
		*n = max(*n-cost, 0)
	}
}

func (w *window) settle(c *settings, now, estimate, actual, taken int64) {
	if actual < estimate {
		w.giveBack(c, now, estimate-actual, taken)
		return
	}
	w.advance(c, now)
	w.used = addSat(w.used, actual-estimate)
}

// learn makes room no larger than the upstream says there is, if what it says holds for
// as long as the window does. That a minute of an upstream is used up says nothing of
// a day.
func (w *window) learn(c *settings, now int64, f Feedback) {
	w.advance(c, now)
	if f.Remaining < 0 || f.Remaining >= c.p.Max {
		return
	}
	switch {
	case f.Reset < 0 && c.p.Every != "" && (f.Window < 0 || int64(f.Window) < w.end-w.start-int64(time.Hour)):
		return // it does not say how long, or not for as long; days differ by an hour
	case f.Reset >= 0 && addSat(now, int64(f.Reset)) < w.end-resetSlack:
		return
	}
	w.used = max(w.used, c.p.Max-f.Remaining)
}

func (w *window) idle(_ *settings, now int64) bool {
	return w.end <= now || w.used == 0 && len(w.ahead) == 0
}

func (w *window) clone() window {
	next := *w
	next.ahead = slices.Clone(w.ahead)
	return next
}

// save leaves out reservations: who made them ends with the process.
func (w *window) save(c *settings, now int64, r *Record) {
	w.advance(c, now)
	if w.used > 0 {
		r.Used, r.ResetAt = w.used, w.end
	}
}

// restore counts what was used in the window that is still open.
func (w *window) restore(c *settings, now int64, r Record) {
	w.advance(c, now)
	if r.Used > 0 && r.ResetAt > now {
		w.used = max(w.used, min(r.Used, c.p.Max))
	}
}
