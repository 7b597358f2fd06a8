package state

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"
)

const second = int64(time.Second)

// mustSet stores v and fails the test if that is refused.
func mustSet(t testing.TB, s *Store, now int64, key string, v Value, ttl time.Duration) {
	t.Helper()
	if err := s.Set(now, key, v, ttl); err != nil {
		t.Fatalf("Set(%q): %v", key, err)
	}
}

// wantValue fails the test unless key holds want; the zero Value means absent.
func wantValue(t testing.TB, s *Store, now int64, key string, want Value) {
	t.Helper()
	got, ok := s.Get(now, key)
	if !got.Equal(want) || ok != (want.Kind != KindNone) {
		t.Errorf("Get(%d, %q) = %+v, %v; want %+v", now, key, got, ok, want)
	}
}

// wantUsage fails the test unless s counts these entries and bytes.
func wantUsage(t testing.TB, s *Store, entries int, bytes int64) {
	t.Helper()
	if s.Len() != entries || s.Bytes() != bytes {
		t.Errorf("Len, Bytes = %d, %d; want %d, %d", s.Len(), s.Bytes(), entries, bytes)
	}
	kept := 0
	for i := range s.shards {
		kept += len(s.shards[i].entries)
	}
	if s.parent == nil && kept != entries {
		t.Errorf("the maps keep %d entries, want %d", kept, entries)
	}
}

// keys lists the keys of s under prefix in order.
func keys(s *Store, now int64, prefix string) []string {
	var all []string
	s.Range(now, prefix, func(key string, _ Value, _ int64) bool {
		all = append(all, key)
		return true
	})
	slices.Sort(all)
	return all
}

func TestSetReplacesValueAndExpiry(t *testing.T) {
	s := New(Limits{})
	for _, v := range []Value{Num(-1.5), Text("grün"), Bool(true), Bool(false), Bytes([]byte{0, 255}), Text("")} {
		mustSet(t, s, 0, "k", v, 0)
		wantValue(t, s, 0, "k", v)
		wantUsage(t, s, 1, 1+int64(v.size()))
	}
	mustSet(t, s, 0, "k", Num(1), time.Second)
	mustSet(t, s, 0, "k", Num(2), 0)
	wantValue(t, s, math.MaxInt64-1, "k", Num(2))
	mustSet(t, s, 0, "k", Num(3), time.Hour)
	mustSet(t, s, 0, "k", Num(4), time.Second)
	wantValue(t, s, 2*second, "k", Value{})
}

func TestSetRefuses(t *testing.T) {
	limits := Limits{MaxKey: 4, MaxValue: 8}
	tests := []struct {
		name string
		key  string
		v    Value
		ttl  time.Duration
		want error
	}{
		{"a long key", "12345", Num(1), 0, ErrTooLarge},
		{"a long text", "k", Text("123456789"), 0, ErrTooLarge},
		{"long bytes", "k", Bytes(make([]byte, 9)), 0, ErrTooLarge},
		{"no value", "k", Value{}, 0, ErrKind},
		{"an unknown kind", "k", Value{Kind: 77}, 0, ErrKind},
		{"NaN", "k", Num(math.NaN()), 0, ErrNumber},
		{"infinity", "k", Num(math.Inf(-1)), 0, ErrNumber},
		{"a negative ttl", "k", Num(1), -1, ErrTTL},
		{"the longest key", "1234", Num(1), 0, nil},
		{"the longest text", "k", Text("12345678"), 0, nil},
		{"the longest ttl", "k", Num(1), math.MaxInt64, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := New(limits)
			if err := s.Set(second, tt.key, tt.v, tt.ttl); !errors.Is(err, tt.want) {
				t.Errorf("Set: %v, want %v", err, tt.want)
			}
			if _, err := s.SetIfAbsent(second, tt.key, tt.v, tt.ttl); !errors.Is(err, tt.want) {
				t.Errorf("SetIfAbsent: %v, want %v", err, tt.want)
			}
			if tt.want != nil {
				wantUsage(t, s, 0, 0)
			} else {
				wantValue(t, s, math.MaxInt64-1, tt.key, tt.v)
			}
		})
	}
}

func TestExpiryEdge(t *testing.T) {
	s := New(Limits{})
	mustSet(t, s, 100, "k", Num(1), 50)
	wantValue(t, s, 149, "k", Num(1))
	wantValue(t, s, 150, "k", Value{})
	if s.Delete(150, "k") {
		t.Error("deleted an entry at the moment it expired")
	}
	mustSet(t, s, 100, "k", Num(1), 50)
	if ok, err := s.SetIfAbsent(149, "k", Num(2), 0); ok || err != nil {
		t.Errorf("SetIfAbsent before the expiry = %v, %v", ok, err)
	}
	if ok, err := s.SetIfAbsent(150, "k", Num(2), 0); !ok || err != nil {
		t.Errorf("SetIfAbsent at the expiry = %v, %v", ok, err)
	}
	wantValue(t, s, 1000, "k", Num(2))
	wantUsage(t, s, 1, 9)
}

func TestDelete(t *testing.T) {
	s := New(Limits{})
	if s.Delete(0, "k") {
		t.Error("deleted what is not there")
	}
	mustSet(t, s, 0, "k", Text("abc"), time.Hour)
	if !s.Delete(0, "k") || s.Delete(0, "k") {
		t.Error("want one deletion")
	}
	wantValue(t, s, 0, "k", Value{})
	wantUsage(t, s, 0, 0)
}

func TestIncr(t *testing.T) {
	s := New(Limits{})
	incr := func(now int64, key string, by, want float64, wantErr error) {
		t.Helper()
		got, err := s.Incr(now, key, by, 10)
		if got != want || !errors.Is(err, wantErr) {
			t.Errorf("Incr(%d, %q, %v) = %v, %v; want %v, %v", now, key, by, got, err, want, wantErr)
		}
	}
	incr(0, "n", 2, 2, nil)
	incr(9, "n", -5, -3, nil)
	incr(10, "n", 1, 1, nil) // the ttl of the creation holds: it expired at 10
	incr(10, "n", math.NaN(), 0, ErrNumber)
	mustSet(t, s, 0, "big", Num(math.MaxFloat64), 0)
	incr(0, "big", math.MaxFloat64, 0, ErrNumber)
	wantValue(t, s, 0, "big", Num(math.MaxFloat64))
	for _, v := range []Value{Text("1"), Bool(true), Bytes([]byte("1"))} {
		mustSet(t, s, 0, "other", v, 0)
		incr(0, "other", 1, 0, ErrKind)
		wantValue(t, s, 0, "other", v)
	}
	incr(1<<60, "fresh", 1, 1, nil)
	if _, err := s.Incr(0, strings.Repeat("k", 513), 1, 0); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Incr of a long key: %v", err)
	}
}

func TestCompareAndSet(t *testing.T) {
	one, text, none := Num(1), Text("x"), Value{}
	tests := []struct {
		have, expect, next Value
		swapped            bool
		want               Value
	}{
		{none, none, one, true, one},
		{none, one, text, false, none},
		{one, one, text, true, text},
		{one, Num(2), text, false, one},
		{one, none, text, false, one},
		{one, Bool(true), text, false, one},
		{text, Bytes([]byte("x")), one, false, text},
		{one, one, none, true, none},
		{none, none, none, true, none},
	}
	for i, tt := range tests {
		s := New(Limits{})
		if tt.have.Kind != KindNone {
			mustSet(t, s, 0, "k", tt.have, 0)
		}
		if swapped, err := s.CompareAndSet(0, "k", tt.expect, tt.next, 0); swapped != tt.swapped || err != nil {
			t.Errorf("%d: swapped %v, %v; want %v", i, swapped, err, tt.swapped)
		}
		wantValue(t, s, 0, "k", tt.want)
	}
	s := New(Limits{MaxValue: 8})
	if ok, err := s.CompareAndSet(0, "k", none, Text("123456789"), 0); ok || !errors.Is(err, ErrTooLarge) {
		t.Errorf("CompareAndSet of a long value = %v, %v", ok, err)
	}
}

func TestFullEntries(t *testing.T) {
	s := New(Limits{MaxEntries: 3})
	mustSet(t, s, 0, "a", Num(1), 0)
	mustSet(t, s, 0, "b", Num(1), 10)
	mustSet(t, s, 0, "c", Num(1), 20)
	for name, op := range map[string]func() error{
		"Set":         func() error { return s.Set(9, "d", Num(1), 0) },
		"Incr":        func() error { _, err := s.Incr(9, "d", 1, 0); return err },
		"SetIfAbsent": func() error { _, err := s.SetIfAbsent(9, "d", Num(1), 0); return err },
		"Import":      func() error { return s.Import(9, Entry{Key: "d", Kind: KindNumber}) },
	} {
		if err := op(); !errors.Is(err, ErrFull) {
			t.Errorf("%s into a full store: %v", name, err)
		}
	}
	mustSet(t, s, 9, "a", Num(2), 0) // what exists can change
	if got := keys(s, 9, ""); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("live entries were evicted: %q", got)
	}
	mustSet(t, s, 10, "d", Num(1), 0)
	if got := keys(s, 10, ""); !slices.Equal(got, []string{"a", "c", "d"}) {
		t.Errorf("keys = %q", got)
	}
	if !s.Delete(10, "a") {
		t.Error("nothing deleted in a full store")
	}
	mustSet(t, s, 10, "e", Num(1), 0)
}

func TestFullBytes(t *testing.T) {
	s := New(Limits{MaxBytes: 20})
	mustSet(t, s, 0, "a", Text("123456789"), 0)
	mustSet(t, s, 0, "b", Text("12345678"), 10)
	if err := s.Set(0, "a", Text("12345678901"), 0); !errors.Is(err, ErrFull) {
		t.Errorf("growing over the cap: %v", err)
	}
	if err := s.Set(0, "c", Num(1), 0); !errors.Is(err, ErrFull) {
		t.Errorf("adding over the cap: %v", err)
	}
	wantValue(t, s, 0, "a", Text("123456789"))
	wantUsage(t, s, 2, 19)
	mustSet(t, s, 0, "a", Text("1234567890"), 0)
	mustSet(t, s, 10, "a", Text("1234567890123456789"), 0)
	wantUsage(t, s, 1, 20)
}

func TestWritesSweepWhatExpired(t *testing.T) {
	s := New(Limits{})
	const n = 20_000
	for i := range int64(n) {
		mustSet(t, s, i, fmt.Sprint("session:", i), Num(1), 100)
	}
	// Each shard keeps its share of the 100 that live and, at most, what expired since its last write.
	if got := s.Len(); got > 100+4*shardCount {
		t.Errorf("%d entries are kept, about 100 of them live", got)
	}
	full := New(Limits{MaxEntries: 500})
	for i := range int64(n) {
		mustSet(t, full, i, fmt.Sprint("session:", i), Num(1), 499)
	}
}

// What expires first is found after expiries were moved, taken away and given back.
func TestExpiriesThatMove(t *testing.T) {
	s := New(Limits{MaxEntries: 2}).Fork() // an overlay has one shard, so that all keys share one heap
	mustSet(t, s, 0, "a", Num(1), 10)
	mustSet(t, s, 0, "b", Num(1), 20)
	mustSet(t, s, 0, "a", Num(1), 400)
	mustSet(t, s, 20, "c", Num(1), 0) // in the place of b

	s = New(Limits{MaxEntries: 4}).Fork()
	for i, key := range []string{"a", "b", "c", "d"} {
		mustSet(t, s, 0, key, Num(1), time.Duration(10*(i+1)))
	}
	mustSet(t, s, 0, "a", Num(1), 400)
	mustSet(t, s, 0, "b", Num(1), 0)
	mustSet(t, s, 0, "c", Num(1), 0)
	mustSet(t, s, 0, "c", Num(1), 300)
	mustSet(t, s, 40, "e", Num(1), 0) // in the place of d
	if got := keys(s, 40, ""); !slices.Equal(got, []string{"a", "b", "c", "e"}) {
		t.Errorf("keys = %q", got)
	}
	if err := s.Set(299, "f", Num(1), 0); !errors.Is(err, ErrFull) {
		t.Errorf("Set before the next expiry: %v", err)
	}
	mustSet(t, s, 300, "f", Num(1), 0) // in the place of c
	mustSet(t, s, 400, "g", Num(1), 0) // in the place of a
	if got := keys(s, 400, ""); !slices.Equal(got, []string{"b", "e", "f", "g"}) {
		t.Errorf("keys = %q", got)
	}
}

func TestKeysAndTextsAreCopied(t *testing.T) {
	buf := []byte("key-value")
	s := New(Limits{})
	mustSet(t, s, 0, unsafe.String(&buf[0], 3), Text(unsafe.String(&buf[4], 5)), 0)
	if ok, err := s.CompareAndSet(0, "key", Text("value"), Text(unsafe.String(&buf[4], 5)), 0); !ok || err != nil {
		t.Fatal(ok, err)
	}
	copy(buf, "XXXXXXXXX")
	wantValue(t, s, 0, "key", Text("value"))
	if got := keys(s, 0, ""); !slices.Equal(got, []string{"key"}) {
		t.Errorf("keys = %q", got)
	}
}

func TestRange(t *testing.T) {
	s := New(Limits{})
	for i := range 200 {
		mustSet(t, s, 0, fmt.Sprintf("p%d/%03d", i%2, i), Num(float64(i)), 0)
	}
	mustSet(t, s, 0, "p0/short", Num(1), 5)
	if got := len(keys(s, 4, "p0/")); got != 101 {
		t.Errorf("%d keys before the expiry, want 101", got)
	}
	if got := len(keys(s, 5, "p0/")); got != 100 {
		t.Errorf("%d keys at the expiry, want 100", got)
	}
	visits := 0
	s.Range(0, "", func(key string, _ Value, expires int64) bool {
		if want := map[bool]int64{true: 5}[key == "p0/short"]; expires != want {
			t.Errorf("%s expires at %d, want %d", key, expires, want)
		}
		s.Delete(0, key) // the store may be used from within
		visits++
		return visits < 7
	})
	if visits != 7 || s.Len() != 194 {
		t.Errorf("visited %d, left %d; want 7 and 194", visits, s.Len())
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	s := New(Limits{})
	mustSet(t, s, 0, "text", Text("value"), 0)
	mustSet(t, s, 0, "num", Num(1), time.Hour)
	fork := s.Fork()
	mustSet(t, fork, 0, "own", Num(1), 0)
	for name, op := range map[string]func(){
		"Get":           func() { s.Get(1, "text") },
		"Get, absent":   func() { s.Get(1, "none") },
		"Get, overlay":  func() { fork.Get(1, "text") },
		"Incr":          func() { _, _ = s.Incr(1, "num", 1, time.Hour) },
		"Incr, overlay": func() { _, _ = fork.Incr(1, "own", 1, 0) },
		"Set a number":  func() { _ = s.Set(1, "num", Num(2), time.Hour) },
		"CompareAndSet": func() { _, _ = s.CompareAndSet(1, "num", Num(2), Num(2), time.Hour) },
	} {
		if n := testing.AllocsPerRun(200, op); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s := New(Limits{})
	mustSet(b, s, 0, "policy/tenant-42", Num(1), 0)
	b.ReportAllocs()
	for b.Loop() {
		s.Get(1, "policy/tenant-42")
	}
}

func BenchmarkIncr(b *testing.B) {
	s := New(Limits{})
	mustSet(b, s, 0, "policy/tenant-42", Num(1), time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Incr(1, "policy/tenant-42", 1, time.Hour)
	}
}

func BenchmarkFork(b *testing.B) {
	s := New(Limits{})
	b.ReportAllocs()
	for b.Loop() {
		s.Fork().Get(1, "policy/tenant-42")
	}
}
