package metrics

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/bytebufferpool"
)

// mustOpen gives the value that open makes of these names, or fails the test.
func mustOpen(t testing.TB, open func(policy, name string) (*Value, error), policy, name string) *Value {
	t.Helper()
	v, err := open(policy, name)
	if err != nil {
		t.Fatalf("open %s.%s: %v", policy, name, err)
	}
	return v
}

func TestRegistryNames(t *testing.T) {
	r := NewRegistry()
	hits := mustOpen(t, r.Counter, "p", "hits")
	if mustOpen(t, r.Counter, "p", "hits") != hits {
		t.Error("one name, two counters")
	}
	if mustOpen(t, r.Counter, "q", "hits") == hits {
		t.Error("two policies share a counter")
	}
	if _, err := r.Gauge("p", "hits"); !errors.Is(err, ErrOtherKind) {
		t.Errorf("gauge of a counter's name: %v", err)
	}
	mustOpen(t, r.Gauge, "p", "level")
	if _, err := r.Counter("p", "level"); !errors.Is(err, ErrOtherKind) {
		t.Errorf("counter of a gauge's name: %v", err)
	}
	for _, name := range []string{"", "9x", "a b", "a-b", "é", strings.Repeat("x", MaxNameLength+1)} {
		if _, err := r.Counter("p", name); !errors.Is(err, ErrName) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for i := 2; i < MaxNames; i++ {
		mustOpen(t, r.Gauge, "p", fmt.Sprint("n", i))
	}
	if _, err := r.Gauge("p", "one_more"); !errors.Is(err, ErrTooManyNames) {
		t.Errorf("name %d: %v", MaxNames+1, err)
	}
	mustOpen(t, r.Counter, "p", "hits") // what exists stays reachable
	r.Forget("p")
	if v := mustOpen(t, r.Gauge, "p", "hits"); v.Load() != 0 {
		t.Errorf("a forgotten name came back as %v", v.Load())
	}
}

func TestValue(t *testing.T) {
	r := NewRegistry()
	type step struct {
		op   string
		arg  float64
		done bool
		want float64
	}
	run := func(name string, v *Value, steps []step) {
		t.Helper()
		for i, s := range steps {
			op := v.Add
			if s.op == "set" {
				op = v.Set
			}
			if done := op(s.arg); done != s.done || v.Load() != s.want {
				t.Errorf("%s %d: %s(%v) = %v, now %v; want %v, %v", name, i, s.op, s.arg, done, v.Load(), s.done, s.want)
			}
		}
	}
	nan, inf, most := math.NaN(), math.Inf(1), math.MaxFloat64
	run("counter", mustOpen(t, r.Counter, "p", "c"), []step{
		{"add", 1.5, true, 1.5}, {"add", 0, true, 1.5}, {"add", -1, false, 1.5}, {"add", nan, false, 1.5}, {"add", inf, false, 1.5},
		{"set", 1, false, 1.5}, {"add", most, true, most}, {"add", most, false, most},
	})
	run("gauge", mustOpen(t, r.Gauge, "p", "g"), []step{
		{"set", 5, true, 5}, {"add", -7, true, -2}, {"set", nan, false, -2}, {"set", -inf, false, -2}, {"add", nan, false, -2}, {"add", -inf, false, -2}, {"set", 0, true, 0},
	})
	if v := mustOpen(t, r.Gauge, "p", "g"); v.Kind() != Gauge {
		t.Errorf("kind = %v", v.Kind())
	}
}

func TestRegistryRangeAndJSON(t *testing.T) {
	r := NewRegistry()
	json0 := func() string {
		var buf bytebufferpool.ByteBuffer
		r.AppendJSON(&buf)
		if !json.Valid(buf.B) {
			t.Errorf("not JSON: %s", &buf)
		}
		return buf.String()
	}
	if got := json0(); got != `{}` {
		t.Errorf("empty registry: %s", got)
	}
	mustOpen(t, r.Gauge, "b", "z").Set(-0.5)
	mustOpen(t, r.Counter, "b", "a").Add(3)
	mustOpen(t, r.Counter, `a "quoted"`, "n").Add(1)
	var got []string
	r.Range(func(policy, name string, kind FieldKind, value float64) {
		got = append(got, fmt.Sprint(policy, ".", name, " ", kind, " ", value))
		mustOpen(t, r.Gauge, "b", "from_within")
	})
	if want := "a \"quoted\".n counter 1|b.a counter 3|b.z gauge -0.5"; strings.Join(got, "|") != want {
		t.Errorf("Range gave %q", got)
	}
	if got, want := json0(), `{"a \"quoted\"":{"n":1},"b":{"a":3,"from_within":0,"z":-0.5}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestHammerRegistry(t *testing.T) {
	const goroutines, loops = 32, 300
	r := NewRegistry()
	var wg sync.WaitGroup
	release := make(chan struct{})
	for range goroutines {
		wg.Go(func() {
			<-release
			for i := range loops {
				mustOpen(t, r.Counter, fmt.Sprint("p", i%3), fmt.Sprint("n", i%50)).Add(0.5)
				if i%100 == 0 {
					r.Range(func(string, string, FieldKind, float64) {})
				}
			}
		})
	}
	close(release)
	wg.Wait()
	sum := 0.0
	r.Range(func(_, _ string, _ FieldKind, v float64) { sum += v })
	if sum != goroutines*loops/2 {
		t.Errorf("sum = %v, want %v", sum, goroutines*loops/2)
	}
}

func TestHammerValue(t *testing.T) {
	const goroutines, loops = 8, 50_000
	v := mustOpen(t, NewRegistry().Gauge, "p", "g")
	var wg sync.WaitGroup
	release := make(chan struct{})
	for g := range goroutines {
		wg.Go(func() {
			<-release
			for range loops {
				v.Add(float64(1 - 2*(g%2)*2)) // half add 1, half take 3
			}
		})
	}
	close(release)
	wg.Wait()
	if want := float64(goroutines/2*loops) * (1 - 3); v.Load() != want {
		t.Errorf("value = %v, want %v", v.Load(), want)
	}
}
