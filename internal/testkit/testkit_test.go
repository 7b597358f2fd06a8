package testkit

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// told is a test that notes what it is told. Its Fatalf and Skipf go on.
type told struct {
	testing.TB
	fatal, skipped bool
}

func (*told) Helper()                 {}
func (n *told) Fatalf(string, ...any) { n.fatal = true; panic(errEnd) }
func (n *told) Skipf(string, ...any)  { n.skipped = true }

var errEnd = errors.New("the test ended")

func TestUntilLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var holds atomic.Bool
		time.AfterFunc(Patience-time.Second, func() { holds.Store(true) })
		Until(t, "a second is left", holds.Load)
	})
}

func TestUntilGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, began := &told{TB: t}, time.Now()
		func() {
			defer func() {
				if r := recover(); r != errEnd { //nolint:errorlint // the value itself
					t.Errorf("recovered %v", r)
				}
			}()
			Until(n, "never", func() bool { return false })
		}()
		if took := time.Since(began); !n.fatal || took < Patience || took > Patience+time.Second {
			t.Errorf("failed: %v, after %v", n.fatal, took)
		}
	})
}

func TestMissingIsSkippedOutsideOfCIAlone(t *testing.T) {
	t.Setenv("CI", "")
	n := &told{TB: t}
	if Missing(n, "x"); !n.skipped || n.fatal {
		t.Errorf("outside of CI: %+v", n)
	}
	t.Setenv("CI", "true")
	n = &told{TB: t}
	func() {
		defer func() { _ = recover() }()
		Missing(n, "x")
	}()
	if !n.fatal || n.skipped {
		t.Errorf("in CI: %+v", n)
	}
}

func TestFreeAddrIsFree(t *testing.T) {
	l, err := net.Listen("tcp", FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
