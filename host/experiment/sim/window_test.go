package sim

import (
	"math/rand/v2"
	"testing"
)

// A window is exact while its moments fit, and bounded in memory and in its error when
// they do not.
func TestWindow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w := window{length: 1000}
	var all []int64
	now, most := int64(1e18), 0
	for range 5000 {
		now += rng.Int64N(20)
		all = append(all, now)
		w.add(now)
		n := 0
		for i := len(all) - 1; i >= 0 && now-all[i] < w.length; i-- {
			n++
		}
		most = max(most, n)
		if w.most != most {
			t.Fatalf("at %d: most is %d, want %d", now, w.most, most)
		}
	}
}

func TestWindowStaysSmall(t *testing.T) {
	const length = 4 * maxWindow
	w := window{length: length}
	for now := range int64(3 * length) { // one each ns: the window holds length of them
		w.add(1e18 + now)
	}
	if len(w.at) > maxWindow {
		t.Errorf("%d moments kept", len(w.at))
	}
	if off := w.most - length; off < 0 || off > length/1000 {
		t.Errorf("most is %d, want %d", w.most, length)
	}
}
