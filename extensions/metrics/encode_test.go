package metrics

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/valyala/bytebufferpool"

	"github.com/gaia-host/gaia/internal/testkit"
)

func TestAppendJSONGolden(t *testing.T) {
	odd := &literal{
		NewSchema("odd", Field{Name: "nan"}, Field{Name: "inf"}, Field{Name: "neg"}, Field{Name: "zero"}, Field{Name: "big"}, Field{Name: "huge"}, Field{Name: "tiny"}, Field{Name: "part"}),
		[]float64{math.NaN(), math.Inf(1), -5, math.Copysign(0, -1), 1<<53 - 1, 1e300, 1e-9, 0.1},
	}
	empty := &literal{schema: NewSchema("empty")}
	const apiJSON = `{"requests_total":1000,"succeeded_total":1001,"failed_total":1002,"denied_total":1003,"delayed_total":1004,` +
		`"retried_total":1005,"bytes_total":1006,"in_flight":2000,"queued":2001,"idle":2002,"wait_seconds_total":12.75,"latency_seconds":0.0425}`
	const oddJSON = `{"nan":null,"inf":null,"neg":-5,"zero":0,"big":9007199254740991,"huge":1e+300,"tiny":1e-09,"part":0.1}`
	tests := []struct {
		name string
		srcs []Source
		want string
	}{
		{"none", nil, `{}`},
		{"one", []Source{busyCounters("api")}, `{"api":` + apiJSON + `}`},
		{"several", []Source{busyCounters("api"), empty, odd}, `{"api":` + apiJSON + `,"empty":{},"odd":` + oddJSON + `}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			buf := bytebufferpool.Get()
			defer bytebufferpool.Put(buf)
			AppendJSON(buf, tt.srcs...)
			if buf.String() != tt.want {
				t.Errorf("got  %s\nwant %s", buf, tt.want)
			}
			var parsed map[string]map[string]*float64
			if err := json.Unmarshal(buf.B, &parsed); err != nil {
				t.Errorf("not JSON: %v", err)
			}
		})
	}
	var one bytebufferpool.ByteBuffer
	AppendJSONOne(&one, odd)
	if one.String() != oddJSON {
		t.Errorf("one source: %s", &one)
	}
}

func TestBlockLayoutOnTheWire(t *testing.T) {
	src := &literal{NewSchema("a", Field{Name: "x"}, Field{Name: "y"}), []float64{1, -2}}
	var buf bytebufferpool.ByteBuffer
	buf.B = append(buf.B, 0xaa) // what is in the buffer stays
	AppendBlock(&buf, 0x0102030405060708, src)
	want := "aa" + "0807060504030201" + "02000000" + hexLittleEndian(Layout(src.schema)) + "000000000000f03f" + "00000000000000c0"
	if got := hex.EncodeToString(buf.B); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func hexLittleEndian(n uint32) string {
	return hex.EncodeToString([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
}

func TestBlockRoundTrip(t *testing.T) {
	api, odd := busyCounters("api"), &literal{NewSchema("odd", Field{Name: "inf"}, Field{Name: "tiny"}), []float64{math.Inf(-1), 5e-324}}
	var buf bytebufferpool.ByteBuffer
	AppendBlock(&buf, 7, api, odd)
	version, layout, values, err := DecodeBlock(buf.B)
	if version != 7 || layout != Layout(api.schema, odd.schema) || err != nil {
		t.Errorf("version %d, layout %#x, %v", version, layout, err)
	}
	if want := append(api.Read(nil), odd.values...); !slices.Equal(values, want) {
		t.Errorf("values %v, want %v", values, want)
	}
	if names := Names(api.schema, odd.schema); len(names) != len(values) || names[12] != "odd.inf" {
		t.Errorf("names %q", names)
	}
	for name, b := range map[string][]byte{
		"nothing":                nil,
		"half a header":          buf.B[:15],
		"a value short":          buf.B[:len(buf.B)-8],
		"a byte short":           buf.B[:len(buf.B)-1],
		"a byte too much":        append(slices.Clone(buf.B), 0),
		"a count that overflows": {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0},
	} {
		if _, _, _, err := DecodeBlock(b); !errors.Is(err, ErrBlock) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeBlock(f *testing.F) {
	var buf bytebufferpool.ByteBuffer
	AppendBlock(&buf, 7, busyCounters("api"))
	f.Add(buf.B)
	f.Add(buf.B[:BlockHeader])
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		version, layout, values, err := DecodeBlock(b)
		if err != nil {
			if !errors.Is(err, ErrBlock) || values != nil {
				t.Fatalf("%v, %v", values, err)
			}
			return
		}
		// Written again by hand, the block is the same: nothing was lost or made up.
		fields := make([]Field, len(values))
		for i := range fields {
			fields[i].Name = "f" + string(appendNumber(nil, float64(i)))
		}
		var again bytebufferpool.ByteBuffer
		AppendBlock(&again, version, &literal{NewSchema("s", fields...), values})
		copy(again.B[12:16], []byte{byte(layout), byte(layout >> 8), byte(layout >> 16), byte(layout >> 24)})
		if !bytes.Equal(again.B, b) {
			t.Fatalf("%x came back as %x", b, again.B)
		}
	})
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	if testkit.Race {
		t.Skip("sync.Pool forgets at random under the race detector")
	}
	src, other := busyCounters("api"), busyCounters("net")
	p := NewPool(src.Schema())
	var buf bytebufferpool.ByteBuffer
	values := make([]float64, 0, src.Schema().Len())
	r, w, h := NewRegistry(), &Window{}, NewHistogram()
	counter, err := r.Counter("p", "n")
	if err != nil {
		t.Fatal(err)
	}
	var snapshot HistogramSnapshot
	now := int64(0)
	for name, op := range map[string]func(){
		"View, Release":      func() { p.View(src).Release() },
		"View, Map, Release": func() { src.requests.Add(1); v := p.View(src); v.Map(); v.Get("queued"); v.Release() },
		"Stats":              func() { src.Stats() },
		"Read":               func() { values = src.Read(values) },
		"AppendJSON":         func() { buf.Reset(); AppendJSON(&buf, src, other) },
		"AppendJSONOne":      func() { buf.Reset(); AppendJSONOne(&buf, src) },
		"AppendBlock":        func() { buf.Reset(); AppendBlock(&buf, 1, src, other) },
		"Registry.Counter":   func() { _, _ = r.Counter("p", "n") },
		"Value.Add":          func() { counter.Add(1) },
		"Window.Observe":     func() { now += 1e6; w.Observe(now, 1e6, false) },
		"Window.Stats":       func() { w.Stats(now) },
		"Histogram.Observe":  func() { h.Observe(1e6) },
		"Histogram.Snapshot": func() { h.Snapshot(&snapshot) },
	} {
		if n := testing.AllocsPerRun(1000, op); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	src := busyCounters("api")
	var buf bytebufferpool.ByteBuffer
	b.ReportAllocs()
	for b.Loop() {
		buf.Reset()
		AppendJSONOne(&buf, src)
	}
}

func BenchmarkAppendBlock(b *testing.B) {
	src := busyCounters("api")
	var buf bytebufferpool.ByteBuffer
	b.ReportAllocs()
	for b.Loop() {
		buf.Reset()
		AppendBlock(&buf, 1, src)
	}
}
