package limit

import (
	"math"
	"testing"
	"time"
)

const sec = int64(time.Second)

func mustNew(t testing.TB, k Kind, p Params) Limiter {
	t.Helper()
	l, err := New(k, p)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func near(t *testing.T, what string, got, want, slack float64) {
	t.Helper()
	if math.Abs(got-want) > slack {
		t.Errorf("%s: %.5f, want %.5f", what, got, want)
	}
}
