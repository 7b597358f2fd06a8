package route

import "sync"

// wrr is smooth weighted round robin, the algorithm of nginx
// (ngx_http_upstream_get_peer): every candidate gains its weight, the richest is
// taken and pays the sum. Picks of one upstream are spread as evenly as the
// weights allow, with or without exclusions.
type wrr struct {
	weights []int64 // fixed

	mu      sync.Mutex
	current []int64 // guarded by mu
}

// pick returns the richest candidate. Without commit the state stays as it is.
func (w *wrr) pick(skip func(int) bool, commit bool) (int, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	best, total := -1, int64(0)
	for i, weight := range w.weights {
		if weight == 0 || (skip != nil && skip(i)) {
			continue
		}
		total += weight
		if best < 0 || w.current[i]+weight > w.current[best]+w.weights[best] {
			best = i
		}
	}
	if best < 0 {
		return 0, false
	}
	if commit {
		for i, weight := range w.weights {
			if weight != 0 && (skip == nil || !skip(i)) {
				w.current[i] += weight
			}
		}
		w.current[best] -= total
	}
	return best, true
}
