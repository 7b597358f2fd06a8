package limit

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// A table answers like a map, whatever is inserted, dropped and moved.
func TestTableAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	var tab table
	tab.init(1 << 20)
	want := map[string]int64{}
	for i := range 100_000 {
		key := strconv.Itoa(rng.IntN(20_000))
		switch rng.IntN(10) {
		case 0:
			tab.forget(key)
			delete(want, key)
		case 1:
			if w, ok := tab.word(key); ok != (want[key] != 0) || w != want[key] {
				t.Fatalf("step %d: word %d, %v, want %d", i, w, ok, want[key])
			}
		default:
			b := tab.insert(t0, key, func() int64 { return t0 + int64(i) + 1 })
			if want[key] == 0 {
				want[key] = t0 + int64(i) + 1
			}
			if b == nil || b.word.Load() != want[key] {
				t.Fatalf("step %d: another bucket", i)
			}
		}
	}
	if tab.len() != len(want) {
		t.Errorf("%d keys, want %d", tab.len(), len(want))
	}
	tab.all(func(key string, word int64) bool {
		if want[key] != word {
			t.Errorf("%s: %d, want %d", key, word, want[key])
		}
		delete(want, key)
		return true
	})
	if len(want) != 0 {
		t.Errorf("%d keys were not listed", len(want))
	}
}

// A key whose bucket is gone and that finds no place again is answered, and does
// not look for ever.
func TestForgottenKeyOfFullLimiter(t *testing.T) {
	l := mustNew(t, TokenBucket, Params{Rate: 1, Burst: 1, MaxKeys: 2})
	l.Take(t0, "k", 1, 0)
	l.Reset("k")
	for i := range 9 {
		l.Take(t0, strconv.Itoa(i), 1, 0)
	}
	if r := l.Take(t0, "k", 1, 0); r.OK {
		t.Errorf("the overflow is spent: %+v", r)
	}
	l.Settle(t0, "k", 1, 2, t0)
	l.GiveBack(t0, "k", 1, t0)
}

// While keys come, go and move, no key is granted more than its burst, and no
// unit that is given back is lost.
func TestTableHammer(t *testing.T) {
	const burst, workers, rounds = 8, 16, 3000
	l := mustNew(t, TokenBucket, Params{Rate: 1, Per: 1 << 40, Burst: burst, MaxKeys: 1 << 16})
	var granted [4]atomic.Int64
	names := [4]string{"a", "b", "c", "d"}
	var wg sync.WaitGroup
	release := make(chan struct{})
	for g := range workers {
		wg.Go(func() {
			<-release
			for i := range rounds {
				k := (g + i) % len(names)
				if l.Take(t0, names[k], 1, 0).OK {
					granted[k].Add(1)
					if i%2 == 0 {
						granted[k].Add(-1)
						l.GiveBack(t0, names[k], 1, t0)
					}
				}
				l.Take(t0, strconv.Itoa(g*rounds+i), 1, 0) // makes the slabs move
				if i%64 == 0 {
					l.Reset(strconv.Itoa(g*rounds + i))
				}
			}
		})
	}
	close(release)
	wg.Wait()
	for i, name := range names {
		n := granted[i].Load()
		if left := l.Peek(t0, name, 0).Remaining; n+left != burst {
			t.Errorf("%s: %d granted and %d left of %d", name, n, left, burst)
		}
	}
}
