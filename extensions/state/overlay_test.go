package state

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// contents lists what s holds at now.
func contents(s *Store, now int64) map[string]Value {
	all := map[string]Value{}
	s.Range(now, "", func(key string, v Value, _ int64) bool {
		all[key] = v
		return true
	})
	return all
}

func TestForkIsolation(t *testing.T) {
	parent := New(Limits{})
	mustSet(t, parent, 0, "a", Num(1), 0)
	mustSet(t, parent, 0, "b", Text("b"), 100)
	mustSet(t, parent, 0, "c", Num(3), 0)
	before := contents(parent, 0)

	fork := parent.Fork()
	wantValue(t, fork, 0, "a", Num(1))
	if n, err := fork.Incr(0, "a", 10, 0); n != 11 || err != nil {
		t.Errorf("Incr over the parent's value = %v, %v", n, err)
	}
	if !fork.Delete(0, "b") || fork.Delete(0, "b") {
		t.Error("want one deletion")
	}
	mustSet(t, fork, 0, "c", Num(30), 50)
	mustSet(t, fork, 0, "d", Num(4), 50)
	if ok, err := fork.CompareAndSet(0, "e", Value{}, Num(5), 0); !ok || err != nil {
		t.Errorf("CompareAndSet = %v, %v", ok, err)
	}

	if got := contents(parent, 0); !maps.Equal(got, before) {
		t.Errorf("the parent changed: %v", got)
	}
	want := map[string]Value{"a": Num(11), "c": Num(30), "d": Num(4), "e": Num(5)}
	if got := contents(fork, 49); !maps.Equal(got, want) {
		t.Errorf("overlay = %v", got)
	}
	wantUsage(t, fork, 4, 4*9)

	// What expired in the overlay does not let the parent's value shine through, also once it is swept.
	for range 3 {
		wantValue(t, fork, 50, "c", Value{})
		mustSet(t, fork, 50, "a", Num(11), 0)
	}
	if got := keys(fork, 50, ""); !slices.Equal(got, []string{"a", "e"}) {
		t.Errorf("overlay at 50 = %q", got)
	}
	wantUsage(t, fork, 2, 2*9)

	// Reads fall through to what the parent holds now.
	mustSet(t, parent, 50, "f", Num(6), 0)
	mustSet(t, parent, 50, "a", Num(7), 0)
	wantValue(t, fork, 50, "f", Num(6))
	wantValue(t, fork, 50, "a", Num(11))
}

func TestForkKeepsExpiryOfParent(t *testing.T) {
	parent := New(Limits{})
	mustSet(t, parent, 0, "n", Num(1), 100)
	fork := parent.Fork()
	if n, err := fork.Incr(10, "n", 1, time.Hour); n != 2 || err != nil {
		t.Errorf("Incr = %v, %v", n, err)
	}
	wantValue(t, fork, 99, "n", Num(2))
	wantValue(t, fork, 100, "n", Value{})
}

func TestForkRefusesWhatParentWould(t *testing.T) {
	parent := New(Limits{MaxEntries: 2})
	mustSet(t, parent, 0, "a", Num(1), 0)
	mustSet(t, parent, 0, "b", Num(1), 10)
	fork := parent.Fork()
	if err := fork.Set(9, "c", Num(1), 0); !errors.Is(err, ErrFull) {
		t.Errorf("Set over a full parent: %v", err)
	}
	mustSet(t, fork, 9, "a", Num(2), 0)
	mustSet(t, fork, 10, "c", Num(1), 0) // b has expired, though the parent still counts it
	if err := fork.Set(10, "d", Num(1), 0); !errors.Is(err, ErrFull) {
		t.Errorf("Set over a full overlay: %v", err)
	}
	if !fork.Delete(10, "a") {
		t.Error("nothing deleted")
	}
	mustSet(t, fork, 10, "d", Num(1), 0)
	wantUsage(t, parent, 2, 18)
}

func TestForkOfFork(t *testing.T) {
	root := New(Limits{})
	mustSet(t, root, 0, "a", Num(1), 0)
	mustSet(t, root, 0, "b", Num(1), 0)
	mustSet(t, root, 0, "d", Num(1), 0)
	middle := root.Fork()
	middle.Delete(0, "a")
	mustSet(t, middle, 0, "c", Num(3), 0)
	top := middle.Fork()
	mustSet(t, top, 0, "a", Num(9), 0)
	mustSet(t, top, 0, "d", Num(9), 0)
	top.Delete(0, "c")
	if got, want := contents(top, 0), (map[string]Value{"a": Num(9), "b": Num(1), "d": Num(9)}); !maps.Equal(got, want) {
		t.Errorf("top = %v", got)
	}
	if got, want := contents(middle, 0), (map[string]Value{"b": Num(1), "c": Num(3), "d": Num(1)}); !maps.Equal(got, want) {
		t.Errorf("middle = %v", got)
	}
	wantUsage(t, top, 3, 27)
	wantUsage(t, root, 3, 27)
}

// A long dry run deletes ever new keys of a parent whose entries come and go: what hides keys must not pile up.
func TestForkDropsHidingEntries(t *testing.T) {
	parent := New(Limits{})
	fork := parent.Fork()
	for i := range 50 * minPurge {
		key := fmt.Sprint("k", i)
		mustSet(t, parent, 0, key, Num(1), 0)
		if !fork.Delete(0, key) {
			t.Fatalf("%s was not there", key)
		}
		parent.Delete(0, key)
	}
	if n := len(fork.shards[0].entries); n > 2*minPurge {
		t.Errorf("the overlay keeps %d hiding entries that hide nothing", n)
	}
}

// A store and an overlay behave like a map with expiries, whatever is done to them.
func TestStoreAgainstModel(t *testing.T) {
	type cell struct {
		v       Value
		expires int64
	}
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		s, now, model := New(Limits{}), int64(0), map[string]cell{}
		for step := range 2000 {
			if step == 1000 && seed%2 == 0 {
				s = s.Fork()
			}
			now += rnd.Int64N(3)
			key := fmt.Sprint("k", rnd.IntN(40))
			if c, ok := model[key]; ok && now >= c.expires {
				delete(model, key)
			}
			have, present := model[key]
			ttl := rnd.Int64N(20)
			expires := int64(never)
			if ttl > 0 {
				expires = now + ttl
			}
			switch rnd.IntN(5) {
			case 0:
				mustSet(t, s, now, key, Num(float64(step)), time.Duration(ttl))
				model[key] = cell{Num(float64(step)), expires}
			case 1:
				if got := s.Delete(now, key); got != present {
					t.Fatalf("seed %d step %d: Delete = %v", seed, step, got)
				}
				delete(model, key)
			case 2:
				if present {
					expires = have.expires
				}
				if _, err := s.Incr(now, key, 1, time.Duration(ttl)); err != nil {
					t.Fatal(err)
				}
				model[key] = cell{Num(have.v.Num + 1), expires}
			case 3:
				if ok, err := s.SetIfAbsent(now, key, Num(-1), time.Duration(ttl)); ok == present || err != nil {
					t.Fatalf("seed %d step %d: SetIfAbsent = %v, %v", seed, step, ok, err)
				}
				if !present {
					model[key] = cell{Num(-1), expires}
				}
			case 4:
				wantValue(t, s, now, key, have.v)
			}
		}
		want := map[string]Value{}
		for key, c := range model {
			if now < c.expires {
				want[key] = c.v
			}
		}
		if got := contents(s, now); !maps.Equal(got, want) {
			t.Fatalf("seed %d: contents %v, want %v", seed, got, want)
		}
		for key := range want {
			s.Delete(now, key)
		}
		mustSet(t, s, now+1000, "last", Num(1), 0)
		for i := range s.shards {
			s.sweep(&s.shards[i], now+1000)
		}
		if s.parent == nil { // an overlay also counts what its parent has not removed yet
			wantUsage(t, s, 1, 4+8)
		}
	}
}
