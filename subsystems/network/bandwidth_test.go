package network

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newCoordinator makes one that the test stops.
func newCoordinator(t testing.TB, change func(*Config)) *Coordinator {
	t.Helper()
	c := DefaultConfig()
	c.DNS.ResolvConf, c.DNS.HostsFile = "/nonexistent", "/nonexistent"
	if change != nil {
		change(&c)
	}
	n, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// endless is a connection that gives and takes bytes at once. Its zero value counts
// what is written.
type endless struct {
	net.Conn
	written atomic.Int64
}

func (e *endless) Read(p []byte) (int, error)        { return len(p), nil }
func (e *endless) Write(p []byte) (int, error)       { e.written.Add(int64(len(p))); return len(p), nil }
func (e *endless) Close() error                      { return nil }
func (e *endless) LocalAddr() net.Addr               { return &net.TCPAddr{} }
func (e *endless) RemoteAddr() net.Addr              { return &net.TCPAddr{} }
func (e *endless) SetDeadline(time.Time) error       { return nil }
func (e *endless) SetReadDeadline(t time.Time) error { return nil }

// openTo makes a paced connection to host that has no end.
func openTo(t testing.TB, n *Coordinator, host string) net.Conn {
	t.Helper()
	h, err := n.hosts.acquire(t.Context(), host, n.clock())
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.keep(&endless{}, h)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// readAll reads each connection with its size of buffer for d, and returns the bytes.
func readAll(d time.Duration, conns []net.Conn, size func(i int) int) []int64 {
	got := make([]int64, len(conns))
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			buf := make([]byte, size(i))
			_ = c.SetReadDeadline(end)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				got[i] += int64(n)
			}
		})
	}
	wg.Wait()
	return got
}

func sum(ns []int64) (total int64) {
	for _, n := range ns {
		total += n
	}
	return total
}

func within(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if math.Abs(got/want-1) > share {
		t.Errorf("%s: %.0f, want %.0f within %.1f %%", what, got, want, 100*share)
	}
}

func TestBandwidthIsHeldByOneAndByManyConnections(t *testing.T) {
	const seconds = 5
	for _, tt := range []struct {
		name  string
		conns int
		rate  Bandwidth
		want  float64 // bytes a second
	}{
		{"one, of all", 1, Bandwidth{Global: Rate{Down: 1 << 20}}, 1 << 20},
		{"200, of all", 200, Bandwidth{Global: Rate{Down: 1 << 20}}, 1 << 20},
		{"one, fast", 1, Bandwidth{Global: Rate{Down: 1 << 30}}, 1 << 30},
		{"200, slow", 200, Bandwidth{Global: Rate{Down: 10_000}}, 10_000},
		{"200 to two hosts", 200, Bandwidth{PerHost: Rate{Down: 1 << 20}}, 2 << 20},
		{"200, each", 200, Bandwidth{PerConn: Rate{Down: 10_000}}, 200 * 10_000},
		{"the narrowest holds", 200, Bandwidth{Global: Rate{Down: 1 << 20}, PerHost: Rate{Down: 1 << 20}, PerConn: Rate{Down: 10_000}}, 1 << 20},
		{"down alone", 2, Bandwidth{Global: Rate{Up: 1, Down: 1 << 20}}, 1 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newCoordinator(t, func(c *Config) { c.Bandwidth = tt.rate })
				conns := make([]net.Conn, tt.conns)
				for i := range conns {
					conns[i] = openTo(t, n, []string{"a", "b"}[i%2])
				}
				got := readAll(seconds*time.Second, conns, func(int) int { return 32 << 10 })
				within(t, "bytes", float64(sum(got)), seconds*tt.want, 0.02)
				if s := n.Stats(); int64(s.BytesReceived) != sum(got) || s.Throttled == 0 || s.ThrottledTime == 0 {
					t.Errorf("stats %d bytes, %d times %v", s.BytesReceived, s.Throttled, s.ThrottledTime)
				}
			})
		})
	}
}

func TestBandwidthIsSharedFairly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newCoordinator(t, func(c *Config) { c.Bandwidth.Global.Down = 1 << 20 })
		conns := make([]net.Conn, 20)
		for i := range conns {
			conns[i] = openTo(t, n, "a")
		}
		got := readAll(20*time.Second, conns, func(i int) int {
			if i%2 == 0 {
				return 512 // who reads little at a time gets no less
			}
			return 64 << 10
		})
		for i, n := range got {
			if want := float64(sum(got)) / float64(len(got)); math.Abs(float64(n)/want-1) > 0.05 {
				t.Errorf("connection %d got %d of %.0f", i, n, want)
			}
		}
	})
}

func TestBandwidthOfWritesIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newCoordinator(t, func(c *Config) { c.Bandwidth.Global.Up = 100_000 })
		c := openTo(t, n, "a")
		began := time.Now()
		if m, err := c.Write(make([]byte, 500_000)); m != 500_000 || err != nil {
			t.Fatal(m, err)
		}
		within(t, "ms of 500 kB at 100 kB/s", float64(time.Since(began).Milliseconds()), 5000, 0.02)
		began = time.Now()
		if _, err := io.ReadFull(c, make([]byte, 10<<20)); err != nil || time.Since(began) != 0 {
			t.Fatal("reads waited too", err, time.Since(began))
		}
	})
}

func TestBandwidthChangesAtRunTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newCoordinator(t, func(c *Config) { c.Bandwidth.Global.Down = 1 })
		conns := make([]net.Conn, 50) // the last of them waits for most of a minute
		for i := range conns {
			conns[i] = openTo(t, n, "a")
		}
		go func() {
			time.Sleep(time.Second)
			if err := n.SetBandwidth(Bandwidth{Global: Rate{Down: 1 << 20}}); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Second)
			if err := n.SetBandwidth(Bandwidth{PerConn: Rate{Down: 1 << 10}}); err != nil {
				t.Error(err)
			}
		}()
		got := sum(readAll(16*time.Second, conns, func(int) int { return 4 << 10 }))
		// Each connection may be a read ahead of each of the last two rates.
		const want, ahead = 5*(1<<20) + 10*50*(1<<10), 2 * 50 * (4 << 10)
		if got < want*97/100 || got > want*101/100+ahead {
			t.Errorf("%d bytes, want %d and at most %d more", got, want, ahead)
		}
		if b := n.Bandwidth(); b.PerConn.Down != 1<<10 || b.Global.Down != 0 {
			t.Error(b)
		}
		if err := n.SetBandwidth(Bandwidth{Global: Rate{Up: -1}}); err == nil {
			t.Error("a bad rate is in force")
		}
	})
}

func TestWaitForBandwidthEndsWithDeadlineAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newCoordinator(t, func(c *Config) { c.Bandwidth.PerConn.Down = 100 })
		c := openTo(t, n, "a")
		buf := make([]byte, 1000)
		// Short deadlines, one after the other, do not push the turn away.
		total := 0
		for began := time.Now(); time.Since(began) < 10*time.Second; {
			_ = c.SetReadDeadline(time.Now().Add(3 * time.Millisecond))
			m, err := c.Read(buf)
			total += m
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
		}
		within(t, "bytes", float64(total), 1000, 0.02)
		_ = c.SetReadDeadline(time.Time{})
		if err := n.SetBandwidth(Bandwidth{PerConn: Rate{Down: 1}}); err != nil {
			t.Fatal(err)
		}
		read := make(chan error)
		go func() {
			var err error
			for err == nil {
				_, err = c.Read(buf)
			}
			read <- err
		}()
		synctest.Wait()
		_ = c.SetReadDeadline(time.Unix(1, 0)) // what net/http does to end a Read
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		_ = c.SetReadDeadline(time.Time{})
		go func() {
			var err error
			for err == nil {
				_, err = c.Read(buf)
			}
			read <- err
		}()
		synctest.Wait()
		_ = c.Close()
		if err := <-read; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestBandwidthHammer(t *testing.T) {
	n := newCoordinator(t, func(c *Config) {
		c.Bandwidth = Bandwidth{Rate{1 << 30, 1 << 30}, Rate{1 << 30, 1 << 30}, Rate{1 << 30, 1 << 30}}
	})
	var wg sync.WaitGroup
	for range 8 {
		c := openTo(t, n, "a")
		for range 2 {
			wg.Go(func() {
				buf := make([]byte, 10_000)
				for range 100 {
					_, _ = c.Read(buf)
					_, _ = c.Write(buf)
				}
			})
		}
		wg.Go(func() {
			for i := range 50 {
				_ = n.SetBandwidth(Bandwidth{Global: Rate{int64(i%2) << 30, 1 << 30}, PerConn: Rate{Down: int64(i%3) << 30}})
				_ = c.SetReadDeadline(time.Now().Add(time.Minute))
				_ = n.Stats()
			}
			_ = c.Close()
			_ = c.Close()
		})
	}
	wg.Wait()
	if s := n.Stats(); s.Connections != 0 || s.ConnectionsOpened != 8 {
		t.Errorf("%d connections are open of %d", s.Connections, s.ConnectionsOpened)
	}
}

// BenchmarkRead is what pacing adds to a Read that does not wait.
func BenchmarkRead(b *testing.B) {
	for _, limited := range []bool{false, true} {
		name := map[bool]string{false: "unlimited", true: "under its limit"}[limited]
		b.Run(name, func(b *testing.B) {
			n := newCoordinator(b, func(c *Config) {
				if limited {
					c.Bandwidth = Bandwidth{Rate{0, 1 << 50}, Rate{0, 1 << 50}, Rate{0, 1 << 50}}
				}
			})
			c := openTo(b, n, "a")
			buf := make([]byte, 4<<10)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = c.Read(buf)
			}
		})
	}
}
