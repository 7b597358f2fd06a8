package route

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

const t0 = int64(1_780_000_000_000_000_000)

func balanced(t testing.TB, o Options, prev *Group, ups ...Upstream) *Group {
	t.Helper()
	for i := range ups {
		if ups[i].URL == nil {
			ups[i].URL = mustURL(t, "http://"+ups[i].Name+".example")
		}
	}
	g, err := NewBalanced(ups, o, prev)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func named(n int) []Upstream {
	ups := make([]Upstream, n)
	for i := range ups {
		ups[i] = Upstream{Name: fmt.Sprintf("u%d", i), Weight: 1}
	}
	return ups
}

// Whatever the weights, a cycle of as many picks as they sum up to gives each exactly its
// weight, from any point on.
func TestWeightsAreExactOverACycle(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		ups := named(1 + rnd.IntN(8))
		sum := 0
		for i := range ups {
			ups[i].Weight = rnd.IntN(6)
			sum += ups[i].Weight
		}
		g := balanced(t, Options{}, nil, ups...)
		for cycle := range 3 {
			counts := make([]int, len(ups))
			for range sum {
				i, _ := g.Pick(&Query{Now: t0})
				counts[i]++
			}
			for i, n := range counts {
				if n != ups[i].Weight {
					t.Fatalf("cycle %d of %+v: counts %v", cycle, ups, counts)
				}
			}
		}
	}
}

func TestLeastInFlight(t *testing.T) {
	g := balanced(t, Options{Balance: LeastInFlight}, nil, Upstream{Name: "a", Weight: 2}, Upstream{Name: "b", Weight: 1}, Upstream{Name: "c", Weight: 1})
	rnd := rand.New(rand.NewPCG(3, 4))
	var running []int
	for range 2000 {
		if len(running) > 0 && rnd.IntN(3) == 0 {
			k := rnd.IntN(len(running))
			g.End(running[k], t0, time.Millisecond, false)
			running = slices.Delete(running, k, k+1)
			continue
		}
		i, _ := g.Pick(&Query{Now: t0})
		for j := range 3 {
			if (g.InFlight(i)+1)*int64(g.Upstream(j).Weight) > (g.InFlight(j)+1)*int64(g.Upstream(i).Weight) {
				t.Fatalf("%d has %d under way, %d has %d", i, g.InFlight(i), j, g.InFlight(j))
			}
		}
		g.Begin(i)
		running = append(running, i)
	}
	idle := balanced(t, Options{Balance: LeastInFlight}, nil, named(3)...)
	counts := [3]int{}
	for range 300 {
		i, _ := idle.Pick(&Query{Now: t0})
		counts[i]++
	}
	if counts != [3]int{100, 100, 100} {
		t.Errorf("equals do not take turns: %v", counts)
	}
}

func TestP2CLeavesTheSlowOneAlone(t *testing.T) {
	g := balanced(t, Options{Balance: P2C}, nil, named(4)...)
	now := t0
	counts := [4]int{}
	ask := func(n int, slow time.Duration) {
		counts = [4]int{}
		for range n {
			i, _ := g.Pick(&Query{Now: now})
			counts[i]++
			d := 10 * time.Millisecond
			if i == 3 {
				d = slow
			}
			g.Begin(i)
			now += int64(d / 4)
			g.End(i, now, d, false)
		}
	}
	ask(400, 10*time.Millisecond)
	for i, n := range counts {
		if n < 50 {
			t.Fatalf("equals are not chosen alike: %d has %d of 400", i, n)
		}
	}
	ask(400, 200*time.Millisecond)
	if counts[3] > 40 {
		t.Errorf("the slow one got %d of 400", counts[3])
	}
	now += int64(time.Minute)
	ask(400, 10*time.Millisecond)
	if counts[3] < 40 {
		t.Errorf("once quick again it got %d of 400", counts[3])
	}
}

// An upstream that leaves moves only its own keys, and shares follow the weights.
func TestRendezvousMovesOnlyItsShare(t *testing.T) {
	for _, weights := range [][]int{{1, 1, 1, 1, 1}, {3, 1, 2, 1, 1}} {
		ups, sum := named(5), 0
		for i := range ups {
			ups[i].Weight = weights[i]
			sum += weights[i]
		}
		all := balanced(t, Options{Balance: Rendezvous}, nil, ups...)
		without := balanced(t, Options{Balance: Rendezvous}, nil, ups[1:]...)
		const keys = 20_000
		counts := make([]int, 5)
		for k := range keys {
			q := Query{Now: t0, Req: &policy.Request{Path: fmt.Sprintf("/item/%d", k)}}
			was, _ := all.Pick(&q)
			counts[was]++
			is, _ := without.Pick(&q)
			if was != 0 && without.Upstream(is).Name != all.Upstream(was).Name {
				t.Fatalf("weights %v: key %d moved from %s to %s, which both stayed", weights, k, all.Upstream(was).Name, without.Upstream(is).Name)
			}
		}
		for i, n := range counts {
			want := keys * weights[i] / sum
			if n < want*94/100 || n > want*106/100 {
				t.Errorf("weights %v: upstream %d has %d keys, want about %d", weights, i, n, want)
			}
		}
	}
}

func TestLogarithm(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	check := func(h uint64) {
		t.Helper()
		whole, x := split(h)
		if got, want := whole-log2(x), 64-math.Log2(float64(h|1)); math.Abs(got-want) > 0.00002 || whole-x-bend > got {
			t.Fatalf("%d: %v, want %v; at least %v", h, got, want, whole-x-bend)
		}
	}
	for n := range 100_000 {
		check(rnd.Uint64() >> (n % 64))
	}
	for _, h := range []uint64{0, 1, 2, math.MaxUint64} {
		check(h)
	}
}

func TestStickyKeepsToOneUpstream(t *testing.T) {
	for _, c := range []struct {
		sticky Sticky
		req    func(value string) *policy.Request
	}{
		{Sticky{By: ByTenant}, func(v string) *policy.Request { return &policy.Request{Tenant: v} }},
		{Sticky{By: ByKey}, func(v string) *policy.Request { return &policy.Request{Key: v} }},
		{Sticky{By: ByHeader, Header: "X-Session"}, func(v string) *policy.Request { return &policy.Request{Header: one{"X-Session", v}} }},
	} {
		g := balanced(t, Options{Sticky: c.sticky}, nil, named(4)...)
		used := map[int]bool{}
		for k := range 64 {
			q := Query{Now: t0, Req: c.req(fmt.Sprint("v", k))}
			first, _ := g.Pick(&q)
			used[first] = true
			for range 3 {
				if again, _ := g.Pick(&q); again != first {
					t.Fatalf("%+v: went to %d and to %d", c.sticky, first, again)
				}
			}
			q.Skip.Add(first)
			other, _ := g.Pick(&q)
			if again, _ := g.Pick(&q); again != other || other == first {
				t.Fatalf("%+v: without %d to %d, then %d", c.sticky, first, other, again)
			}
		}
		if len(used) != 4 {
			t.Errorf("%+v: only %v are used", c.sticky, used)
		}
		counts := make([]int, 4)
		for range 40 {
			i, _ := g.Pick(&Query{Now: t0, Req: c.req("")})
			counts[i]++
		}
		if !slices.Equal(counts, []int{10, 10, 10, 10}) {
			t.Errorf("%+v: requests without a value are not balanced: %v", c.sticky, counts)
		}
	}
}

type one struct{ name, value string }

func (o one) Lookup(name string) (string, bool) { return o.value, name == o.name && o.value != "" }

func TestTiersFailOver(t *testing.T) {
	g := balanced(t, Options{Outlier: Outlier{Consecutive: 1, EjectFor: time.Second, MaxShare: 1}}, nil,
		Upstream{Name: "backup", Weight: 1, Tier: 2}, Upstream{Name: "a", Weight: 1}, Upstream{Name: "b", Weight: 1}, Upstream{Name: "spare", Weight: 1, Tier: 1})
	now := t0
	used := func() string {
		names := map[string]bool{}
		for range 10 {
			i, ok := g.Pick(&Query{Now: now})
			if !ok {
				return "none"
			}
			names[g.Upstream(i).Name] = true
		}
		return fmt.Sprint(slices.Sorted(func(yield func(string) bool) {
			for n := range names {
				if !yield(n) {
					return
				}
			}
		}))
	}
	fail := func(i int) { g.Begin(i); g.End(i, now, time.Millisecond, true) }
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, "[a b]"},
		{func() { fail(1) }, "[b]"},
		{func() { fail(2) }, "[spare]"},
		{func() { g.Probe(3, false, 1, 1) }, "[backup]"},
		{func() { g.Pause(0, now+int64(time.Minute)) }, "none"},
		{func() { g.Probe(1, true, 1, 1) }, "[a]"},
	} {
		step.do()
		if got := used(); got != step.want {
			t.Fatalf("%s are used, want %s", got, step.want)
		}
	}
	if i, ok := balanced(t, Options{}, g, Upstream{Name: "spare", Weight: 1}).Pick(&Query{Now: now, Sick: true}); !ok || i != 0 {
		t.Error("a sick upstream is not chosen where the sick are asked for")
	}
}

func TestNames(t *testing.T) {
	for _, name := range Balances() {
		b, err := ParseBalance(name)
		if err != nil || b.String() != name {
			t.Errorf("%s is read as %s, %v", name, b, err)
		}
	}
	if b, err := ParseBalance(""); b != RoundRobin || err != nil {
		t.Error("no name is not round robin")
	}
	if _, err := ParseBalance("random"); err == nil {
		t.Error("an unknown name is read")
	}
	if Balance(99).String() != "invalid" || HealthState(99).String() != "invalid" || Ejected.String() != "ejected" {
		t.Error("names of what is not known")
	}
}

func TestChoosingAllocatesNothing(t *testing.T) {
	req := &policy.Request{Path: "/a", Tenant: "t"}
	for b := range balances {
		for n, weight := range map[int]int{16: 1, few: 3, few + 1: 1, MaxUpstreams: 2} {
			ups := named(n)
			ups[0].Weight = weight
			g := balanced(t, Options{Balance: b, Outlier: DefaultOutlier()}, nil, ups...)
			now := t0
			if n := testing.AllocsPerRun(500, func() {
				now += 1e6
				i, _ := g.Pick(&Query{Now: now, Req: req})
				g.Begin(i)
				g.End(i, now, time.Millisecond, now%7 == 0)
			}); n != 0 {
				t.Errorf("%s: %v allocations", b, n)
			}
		}
	}
}

func BenchmarkPick(b *testing.B) {
	req := &policy.Request{Path: "/v1/chat/completions"}
	for way := range balances {
		for _, heavy := range []int{1, 3} {
			ups := named(16)
			ups[0].Weight = heavy
			g := balanced(b, Options{Balance: way, Outlier: DefaultOutlier()}, nil, ups...)
			for i := range ups {
				g.Begin(i)
				g.End(i, t0, time.Millisecond, false)
			}
			b.Run(fmt.Sprintf("%s/%d", way, heavy), func(b *testing.B) {
				for b.Loop() {
					g.Pick(&Query{Now: t0, Req: req})
				}
			})
		}
	}
}
