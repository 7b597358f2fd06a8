package state

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hammer runs n goroutines of fn, released together, and waits for them.
func hammer(n int, fn func(g int)) {
	var wg sync.WaitGroup
	release := make(chan struct{})
	for g := range n {
		wg.Go(func() {
			<-release
			fn(g)
		})
	}
	close(release)
	wg.Wait()
}

func TestHammerIncrIsExact(t *testing.T) {
	const goroutines, loops = 64, 500
	for name, s := range map[string]*Store{"store": New(Limits{}), "overlay": New(Limits{}).Fork()} {
		hammer(goroutines, func(int) {
			for i := range loops {
				if _, err := s.Incr(0, fmt.Sprint("n", i%3), 1, time.Hour); err != nil {
					t.Error(err)
				}
			}
		})
		sum := 0.0
		for i := range 3 {
			v, _ := s.Get(0, fmt.Sprint("n", i))
			sum += v.Num
		}
		if sum != goroutines*loops {
			t.Errorf("%s: sum = %v, want %v", name, sum, goroutines*loops)
		}
		wantUsage(t, s, 3, 3*10)
	}
}

func TestHammerCompareAndSetAsLock(t *testing.T) {
	s := New(Limits{})
	shared := 0 // guarded by the key "lock"; the race detector watches
	hammer(32, func(g int) {
		for range 50 {
			for {
				ok, err := s.CompareAndSet(0, "lock", Value{}, Num(float64(g)), time.Hour)
				if err != nil {
					t.Error(err)
					return
				}
				if ok {
					break
				}
				runtime.Gosched()
			}
			shared++
			if ok, err := s.CompareAndSet(0, "lock", Num(float64(g)), Value{}, 0); !ok || err != nil {
				t.Errorf("unlock = %v, %v", ok, err)
			}
		}
	})
	if shared != 32*50 {
		t.Errorf("shared = %d, want %d", shared, 32*50)
	}
}

func TestHammerSetIfAbsentOnce(t *testing.T) {
	s := New(Limits{})
	var won atomic.Int64
	hammer(32, func(int) {
		for i := range 200 {
			if ok, _ := s.SetIfAbsent(int64(i), fmt.Sprint("once", i), Bool(true), 0); ok {
				won.Add(1)
			}
		}
	})
	if won.Load() != 200 {
		t.Errorf("%d marks were set, want 200", won.Load())
	}
}

// Writers with expiring keys, readers, sweeps at the cap, forks and snapshots at once: no deadlock, no race, exact books at the end.
func TestHammerEverythingAtTheCap(t *testing.T) {
	s := New(Limits{MaxEntries: 200})
	var clock atomic.Int64
	hammer(16, func(g int) {
		for i := range 400 {
			now := clock.Add(1)
			key := fmt.Sprint("k", (g*7+i)%400)
			switch g % 4 {
			case 0:
				_ = s.Set(now, key, Text("some text"), time.Duration(i%50))
			case 1:
				_, _ = s.Incr(now, key, 1, 20)
				s.Delete(now, key)
			case 2:
				fork := s.Fork()
				_ = fork.Set(now, key, Num(1), 3)
				fork.Delete(now+3, fmt.Sprint("k", i))
				fork.Get(now, key)
			case 3:
				s.Get(now, key)
				if i%20 == 0 {
					s.Export(now, func(Entry) bool { return true })
				}
			}
			if n := s.Len(); n > 200 {
				t.Errorf("%d entries in a store of 200", n)
			}
		}
	})
	end := clock.Load() + second
	for i := range s.shards {
		s.sweep(&s.shards[i], end)
	}
	for key := range contents(s, end) {
		s.Delete(end, key)
	}
	wantUsage(t, s, 0, 0)
}
