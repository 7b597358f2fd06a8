package route

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// end is an attempt of a millisecond at upstream i that ends at now.
func end(g *Group, i int, now int64, failed bool) {
	g.Begin(i)
	g.End(i, now, time.Millisecond, failed)
}

// out counts the ejected.
func out(g *Group, now int64) int {
	n := 0
	for i := range g.Len() {
		if g.State(i, now) == Ejected {
			n++
		}
	}
	return n
}

// Whatever happens in whatever order, never more than the share are ejected.
func TestEjectionsStayWithinTheShare(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		n := 1 + rnd.IntN(10)
		share := float64(rnd.IntN(11)) / 10
		most := rnd.IntN(4)
		o := Outlier{Consecutive: most, Ratio: float64(rnd.IntN(3)) / 3, MinRequests: 3, EjectFor: time.Second, MaxEjectFor: 8 * time.Second, MaxShare: share}
		g := balanced(t, Options{Outlier: o}, nil, named(n)...)
		now := t0
		for range 200 {
			now += int64(rnd.IntN(int(500 * time.Millisecond)))
			i, ok := g.Pick(&Query{Now: now, Sick: rnd.IntN(2) == 0})
			if !ok {
				continue
			}
			end(g, i, now, rnd.IntN(4) != 0)
			if got := out(g, now); float64(got) > share*float64(n)+1e-6 {
				t.Fatalf("%d of %d are ejected, the share is %v", got, n, share)
			}
		}
	}
}

func TestEjectionGrowsAndEnds(t *testing.T) {
	o := Outlier{Consecutive: 3, EjectFor: time.Second, MaxEjectFor: 3 * time.Second, MaxShare: 0.5}
	g := balanced(t, Options{Outlier: o}, nil, named(2)...)
	now := t0
	for range 2 {
		end(g, 0, now, true)
	}
	end(g, 0, now, false)
	for range 2 {
		end(g, 0, now, true)
	}
	if st := g.State(0, now); st != Healthy {
		t.Fatalf("%s after two failures in a row", st)
	}
	end(g, 0, now, true)
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
		if st := g.State(0, now+int64(want)-1); st != Ejected {
			t.Fatalf("%s just before %v are over", st, want)
		}
		if v := g.View(nil, now); v[0].Healthy || !v[1].Healthy {
			t.Fatalf("the route hook sees %+v", v)
		}
		end(g, 0, now+int64(want)/2, true) // one that began before: it tells nothing new
		now += int64(want)
		if st := g.State(0, now); st != Trying {
			t.Fatalf("%s after %v", st, want)
		}
		g.Begin(0)
		g.End(0, now, 10*time.Second, true) // so does one that was under way all the time
		if st := g.State(0, now); st != Trying {
			t.Fatalf("%s for what began before the ejection", st)
		}
		tries := 0
		for at := range int64(20) { // two seconds
			if i, _ := g.Pick(&Query{Now: now + at*int64(time.Second)/10}); i == 0 {
				tries++
			}
		}
		if tries != 2 {
			t.Fatalf("tried %d times in two seconds", tries)
		}
		now += 2 * int64(time.Second)
		end(g, 0, now, true)
	}
	now += int64(3 * time.Second)
	end(g, 0, now+int64(time.Second), false)
	if st := g.State(0, now); st != Healthy {
		t.Fatalf("%s after a success", st)
	}
	if out(g, now) != 0 {
		t.Error("somebody is ejected")
	}
}

func TestEjectionByRatio(t *testing.T) {
	g := balanced(t, Options{Outlier: Outlier{Ratio: 0.5, MinRequests: 10, EjectFor: time.Second, MaxShare: 1}}, nil, named(2)...)
	for n := range 9 {
		end(g, 0, t0, n%2 == 0)
	}
	if out(g, t0) != 0 {
		t.Error("ejected for too few requests")
	}
	end(g, 0, t0, true)
	if out(g, t0) != 1 {
		t.Error("six of ten failed, and it is not ejected")
	}
}

func TestProbes(t *testing.T) {
	g := balanced(t, Options{Outlier: Outlier{Consecutive: 1, EjectFor: time.Hour, MaxShare: 1}}, nil, named(2)...)
	for _, step := range []struct {
		ok, changed bool
		want        HealthState
	}{
		{false, false, Healthy}, {true, false, Healthy}, {false, false, Healthy}, {false, false, Healthy}, {false, true, Down},
		{true, false, Down}, {false, false, Down}, {true, false, Down}, {true, true, Healthy}, {true, false, Healthy},
	} {
		if changed := g.Probe(0, step.ok, 2, 3); changed != step.changed || g.State(0, t0) != step.want {
			t.Fatalf("%+v: changed %v, %s", step, changed, g.State(0, t0))
		}
	}
	end(g, 0, t0, true)
	if st := g.State(0, t0); st != Ejected {
		t.Fatal(st)
	}
	g.Probe(0, true, 1, 1)
	if st := g.State(0, t0); st != Healthy {
		t.Errorf("%s: a good probe does not end the ejection", st)
	}
	g.Probe(0, false, 1, 1)
	g.Unprobed(0)
	if st := g.State(0, t0); st != Healthy {
		t.Errorf("%s: it is down and nobody probes it", st)
	}
}

func TestPause(t *testing.T) {
	g := balanced(t, Options{}, nil, named(2)...)
	g.Pause(0, t0+int64(time.Minute))
	g.Pause(0, t0+int64(time.Second)) // the later end counts
	for range 4 {
		if i, _ := g.Pick(&Query{Now: t0 + int64(59*time.Second)}); i != 1 {
			t.Fatal("one that asked to be left alone is chosen")
		}
	}
	if st := g.State(0, t0); st != Paused {
		t.Error(st)
	}
	if st := g.State(0, t0+int64(time.Minute)); st != Healthy {
		t.Error(st)
	}
}

func TestHealthHammer(t *testing.T) {
	o := Outlier{Consecutive: 2, EjectFor: time.Millisecond, MaxEjectFor: 4 * time.Millisecond, MaxShare: 0.5}
	for way := range balances {
		g := balanced(t, Options{Balance: way, Outlier: o}, nil, named(5)...)
		var wg sync.WaitGroup
		for p := range 8 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(p), 1))
				for n := range 400 {
					now := t0 + int64(n)*int64(time.Millisecond)
					i, ok := g.Pick(&Query{Now: now})
					if !ok {
						continue
					}
					end(g, i, now, rnd.IntN(2) == 0)
					g.Probe(i, rnd.IntN(2) == 0, 1, 3)
					g.View(nil, now)
					if n := out(g, now); n > 2 {
						t.Errorf("%d of 5 are ejected", n)
						return
					}
				}
			})
		}
		wg.Wait()
		for i := range 5 {
			if g.InFlight(i) != 0 {
				t.Errorf("%s: %d has attempts under way", way, i)
			}
		}
	}
}
