package wasm

import (
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/gaia-host/gaia/extensions/policy"
)

// rawModule exports an empty function "noop": (i64) -> i64.
var rawModule = []byte("\x00asm\x01\x00\x00\x00\x01\x06\x01\x60\x01\x7e\x01\x7e\x03\x02\x01\x00\x07\x08\x01\x04noop\x00\x00\x0a\x06\x01\x04\x00\x20\x00\x0b")

// BenchmarkHook measures a whole hook, and what is in it, against a raw call of an empty function.
func BenchmarkHook(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		r := wazero.NewRuntime(bg)
		defer closeQuietly(r)
		m, err := r.Instantiate(bg, rawModule)
		if err != nil {
			b.Fatal(err)
		}
		fn, stack := m.ExportedFunction("noop"), make([]uint64, 1)
		b.ReportAllocs()
		for b.Loop() {
			if err := fn.CallWithStack(bg, stack); err != nil {
				b.Fatal(err)
			}
		}
	})
	p := open(b, "bench.wasm", Config{Scope: newScope(benchScope)})
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			req, d := request(), policy.Decision{}
			req.Size = c.size
			b.ReportAllocs()
			for b.Loop() {
				d.Reset()
				if err := p.OnRequest(req, &d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("route", func(b *testing.B) {
		req, d, ups := request(), policy.Decision{}, upstreams()
		b.ReportAllocs()
		for b.Loop() {
			d.Reset()
			if err := p.OnRoute(req, ups, &d); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			req, d := request(), policy.Decision{}
			for pb.Next() {
				d.Reset()
				if err := p.OnRequest(req, &d); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkParts measures the steps of a hook.
func BenchmarkParts(b *testing.B) {
	p := open(b, "bench.wasm", Config{Instances: 4})
	req := request()
	b.Run("lease", func(b *testing.B) {
		for b.Loop() {
			s, err := p.acquire(policy.HookRequest, req.Key)
			if err != nil {
				b.Fatal(err)
			}
			p.release(s)
		}
	})
	s, err := p.acquire(policy.HookRequest, req.Key)
	if err != nil {
		b.Fatal(err)
	}
	defer p.release(s)
	g := s.guest
	b.Run("begin", func(b *testing.B) {
		for b.Loop() {
			g.call.Begin(req, nil)
			g.end()
		}
	})
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			g.encode(policy.HookRequest, req, nil, nil)
		}
	})
	b.Run("run", func(b *testing.B) {
		n := g.encode(policy.HookRequest, req, nil, nil)
		for b.Loop() {
			if _, err := g.run(policy.HookRequest, n); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		word := uint64(policy.ActionAllow) << 56
		var d policy.Decision
		for b.Loop() {
			if _, err := g.decode(policy.HookRequest, word, &d); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkOpen measures what a reload costs: metering, compiling or the cache, and one instance.
func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		p := open(b, "bench.wasm", Config{Instances: 1})
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
