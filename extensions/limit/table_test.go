package limit

import (
	"math"
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

// A slab that is as full as one gets, with all its keys at home in the last group, finds
// each of them, and ends its search for who is not there.
func TestFullSlab(t *testing.T) {
	for groups := range 20 {
		s := &slab{make([]group, groups+1), make([]string, 4*(groups+1))}
		n := len(s.names) * 7 / 8
		hash := func(i int) uint64 { return math.MaxUint64 - uint64(i) }
		for i := range n {
			s.put(hash(i), strconv.Itoa(i), int64(i))
		}
		for i := range n {
			if e := s.find(hash(i)); e == nil || e.word.Load() != int64(i) {
				t.Errorf("%d groups: %d of %d is not found", groups+1, i, n)
			}
		}
		for _, absent := range []uint64{1, math.MaxUint64 / 2, hash(n)} {
			if s.find(absent) != nil {
				t.Errorf("%d groups: found what is not there", groups+1)
			}
		}
	}
}

// A table that was large and may be small from now on lets go of what has expired.
func TestTableShrinks(t *testing.T) {
	const many, few = 300_000, 100
	l := mustNew(t, TokenBucket, Params{Rate: 1, Burst: 1, MaxKeys: 1 << 20})
	for i := range many {
		l.Take(t0, strconv.Itoa(i), 1, 0)
	}
	if err := l.Set(Params{Rate: 1, Burst: 1, MaxKeys: few}); err != nil {
		t.Fatal(err)
	}
	for i := range many / sweepRate {
		l.Take(t0+int64(i+2)*sec, "new"+strconv.Itoa(i), 1, 0)
	}
	if n := l.Len(); n > few {
		t.Errorf("%d keys of %d are held", n, few)
	}
}

// In a table of hardly any places, where keys fight for each and entries end, come again
// and move, no key is granted more than its burst, no unit given back is lost, and the
// count of keys stays true.
func TestTinyTableHammer(t *testing.T) {
	const burst, workers, rounds, hot, places = 4, 8, 2000, 3, 8
	p := Params{Rate: 1, Per: 1 << 40, Burst: burst, MaxKeys: places, WhenFull: FullDeny}
	l := mustNew(t, TokenBucket, p)
	var granted [hot]atomic.Int64
	var wg sync.WaitGroup
	for g := range workers {
		wg.Go(func() {
			for i := range rounds {
				k := (g + i) % hot
				if l.Take(t0, strconv.Itoa(k), 1, 0).OK {
					granted[k].Add(1)
					if i%4 != 0 {
						granted[k].Add(-1)
						l.GiveBack(t0, strconv.Itoa(k), 1, t0)
					}
				}
				other := "o" + strconv.Itoa((g*7+i)%50)
				if l.Take(t0, other, 1, 0).OK {
					l.GiveBack(t0, other, 1, t0) // to be evicted
				}
				switch i % 50 {
				case 1:
					p := p
					p.MaxKeys = places + i%3
					if err := l.Set(p); err != nil {
						t.Error(err)
					}
				case 2:
					l.Export(t0, func(Record) bool { return true })
				case 3:
					l.Reset(other)
				}
			}
		})
	}
	wg.Wait()
	for i := range hot {
		n := granted[i].Load()
		if left := l.Peek(t0, strconv.Itoa(i), 0).Remaining; n > burst || n > 0 && n+left != burst {
			t.Errorf("%d: %d granted and %d left of %d", i, n, left, burst)
		}
	}
	held := 0
	l.(*tokenBucket).keys.all(func(string, int64) bool { held++; return true })
	if held != l.Len() || held > places+2 {
		t.Errorf("%d keys are held, and counted as %d", held, l.Len())
	}
}
