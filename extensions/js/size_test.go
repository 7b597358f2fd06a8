package js

import (
	"runtime"
	"testing"

	"github.com/gaia-host/gaia/internal/testkit"
)

// A guest is small enough for hundreds of them.
func TestGuestSize(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector needs memory of its own")
	}
	w := open(t, takeHook)
	const n = 100
	guests := make([]*guest, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range guests {
		g, err := newGuest(w.Policy)
		if err != nil {
			t.Fatal(err)
		}
		guests[i] = g
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := (after.HeapAlloc - before.HeapAlloc) / n; got > 320<<10 {
		t.Errorf("a guest has %d KiB", got>>10)
	} else {
		t.Logf("a guest has %d KiB", got>>10)
	}
	runtime.KeepAlive(guests)
}
