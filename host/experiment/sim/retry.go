package sim

import "time"

// maxShift keeps a doubling in range.
const maxShift = 40

// backoff is the wait before the caller's next try, after tries so far; u is a
// uniform draw and last the wait before.
func (r *Retry) backoff(tries int, last time.Duration, u float64) time.Duration {
	bound := r.Max
	if bound == 0 {
		bound = time.Hour
	}
	switch r.Kind {
	case "exponential":
		d := min(bound, r.Base<<min(tries-1, maxShift))
		if d <= 0 {
			d = bound // it overflowed
		}
		if r.Full {
			return time.Duration(u * float64(d))
		}
		return d
	case "decorrelated": // min(max, random between base and three times the last wait)
		low, high := float64(r.Base), 3*float64(max(last, r.Base))
		return min(bound, time.Duration(low+u*(high-low)))
	}
	return min(bound, r.Base)
}

// draw is a uniform number in [0, 1) that belongs to (seed, id, n) alone: the same
// under every strategy, in whatever order it is asked for. It is splitmix64
// (Steele, Lea and Flood, 2014).
func draw(seed, id, n uint64) float64 {
	return float64(finish(seed+id*golden+n*0xd1b54a32d192ed03)>>11) / (1 << 53)
}

const golden = 0x9e3779b97f4a7c15

// mix is a number of which every bit depends on every bit of z.
func mix(z uint64) uint64 { return finish(z + golden) }

func finish(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
