package api

import (
	"io"
	"net/http"
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/internal/testkit"
)

// discard reads a body to its end without allocating.
func discard(r io.ReadCloser, buf []byte) {
	for {
		if _, err := r.Read(buf); err != nil {
			break
		}
	}
	r.Close()
}

func allowing() *hooktest.Policy {
	return &hooktest.Policy{Request: func(_ *policy.Request, d *policy.Decision) { d.Action = policy.ActionAllow }}
}

func TestAllocationsOverABareClient(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates, and makes sync.Pool forget")
	}
	u := testkit.Serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	buf := make([]byte, 512)
	bare := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}}
	defer bare.CloseIdleConnections()
	target := u.String()
	want := testing.AllocsPerRun(300, func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := bare.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		discard(res.Body, buf)
	})
	p := newPool(t, allowing(), nil)
	got := testing.AllocsPerRun(300, func() {
		res, err := p.Do(t.Context(), &Call{URL: u})
		if err != nil {
			t.Fatal(err)
		}
		discard(res.Body, buf)
	})
	t.Logf("bare client %v, pool with a policy %v allocations (the server's included in both)", want, got)
	if got > want {
		t.Errorf("%v allocations, the bare client makes %v", got, want)
	}
}

func BenchmarkDo(b *testing.B) {
	u := testkit.Serve(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	buf := make([]byte, 512)
	b.Run("bare", func(b *testing.B) {
		t := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
		defer t.CloseIdleConnections()
		b.ReportAllocs()
		for b.Loop() {
			req, _ := http.NewRequest(http.MethodGet, u.String(), nil)
			res, err := (&http.Client{Transport: t}).Do(req)
			if err != nil {
				b.Fatal(err)
			}
			discard(res.Body, buf)
		}
	})
	b.Run("pool", func(b *testing.B) {
		p := newPool(b, allowing(), nil)
		b.ReportAllocs()
		for b.Loop() {
			res, err := p.Do(b.Context(), &Call{URL: u})
			if err != nil {
				b.Fatal(err)
			}
			discard(res.Body, buf)
		}
	})
}
