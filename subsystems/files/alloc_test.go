package files

import (
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gaia-host/gaia/internal/testkit"
)

// sink takes bytes and forgets them.
type sink struct{ n int64 }

func (s *sink) Write(b []byte) (int, error) { s.n += int64(len(b)); return len(b), nil }

func TestStreamingAMegabyteAllocatesLittle(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	m, dir := newManager(t, nil)
	mustWrite(t, filepath.Join(dir, "big"), text(1<<20))
	var s sink
	o := Options{}
	got := testing.AllocsPerRun(200, func() {
		s.n = 0
		r, err := m.Open(t.Context(), data("big"), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&s, r); err != nil || s.n != 1<<20 {
			t.Fatal(s.n, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%v allocations", got)
	if got > 5 {
		t.Errorf("%v allocations", got)
	}
}

func TestNumbersAreReadWithoutAllocation(t *testing.T) {
	m, _ := newManager(t, withQuota(1000, 10))
	src := m.Source()
	buf := src.Read(make([]float64, 0, src.Schema().Len()))
	if len(buf) != src.Schema().Len() {
		t.Fatalf("%d values for %d fields", len(buf), src.Schema().Len())
	}
	if n := testing.AllocsPerRun(100, func() { buf = src.Read(buf); _ = m.Stats() }); n != 0 && !testkit.Race {
		t.Errorf("%v allocations", n)
	}
	i, ok := src.Schema().Index("root_data_quota_left_bytes")
	if !ok || buf[i] != 1000 {
		t.Error(buf)
	}
	if i, ok := src.Schema().Index("root_data_free_bytes"); !ok || buf[i] <= 0 {
		t.Error("no free space is known")
	}
	if !slices.Contains(buf, 1000) {
		t.Error(buf)
	}
}
