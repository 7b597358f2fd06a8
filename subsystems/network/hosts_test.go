package network

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func newHosts(limit, queueMax int) *hosts {
	hs := &hosts{}
	hs.init()
	hs.set(limit, queueMax, Rate{}, 0)
	return hs
}

func TestConnectionsWaitInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hs := newHosts(2, 10)
		first, _ := hs.acquire(t.Context(), "a", 0)
		_, _ = hs.acquire(t.Context(), "a", 0)
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				if _, err := hs.acquire(t.Context(), "a", 0); err != nil {
					t.Error(err)
				}
				order <- i
			}()
			synctest.Wait()
		}
		if _, err := hs.acquire(t.Context(), "b", 0); err != nil {
			t.Fatal("another host waits too", err)
		}
		if live, queued, _ := hs.numbers(); live != 3 || queued != 3 {
			t.Fatal(live, queued)
		}
		for want := range 3 {
			hs.release(first, 0)
			if got := <-order; got != want {
				t.Errorf("number %d went as number %d", got, want)
			}
		}
	})
}

func TestQueueOfConnectionsIsBoundedAndLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hs := newHosts(1, 1)
		h, _ := hs.acquire(t.Context(), "a", 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		left := make(chan error)
		go func() {
			_, err := hs.acquire(ctx, "a", 0)
			left <- err
		}()
		synctest.Wait()
		if _, err := hs.acquire(t.Context(), "a", 0); !errors.Is(err, ErrBusy) {
			t.Errorf("beyond the queue: %v", err)
		}
		if err := <-left; !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		hs.release(h, 0)
		if live, queued, _ := hs.numbers(); live != 0 || queued != 0 {
			t.Errorf("%d live, %d queued at the end", live, queued)
		}
	})
}

func TestLimitBelowTheLiveConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hs := newHosts(5, 10)
		var h *host
		for range 5 {
			h, _ = hs.acquire(t.Context(), "a", 0)
		}
		hs.set(2, 10, Rate{}, 0)
		got := make(chan bool, 1)
		go func() {
			_, err := hs.acquire(t.Context(), "a", 0)
			got <- err == nil
		}()
		for range 3 { // 5 to 2: still full
			hs.release(h, 0)
			synctest.Wait()
			select {
			case <-got:
				t.Fatal("a connection beyond the new bound")
			default:
			}
		}
		hs.release(h, 0)
		if !<-got {
			t.Error("nobody was let go")
		}
		for range 2 {
			go func() {
				_, err := hs.acquire(t.Context(), "a", 0)
				got <- err == nil
			}()
		}
		synctest.Wait()
		hs.set(0, 10, Rate{}, 0) // no bound: everybody goes
		for range 2 {
			if !<-got {
				t.Error("a waiter failed at a bound that is gone")
			}
		}
	})
}

func TestHostsAreForgotten(t *testing.T) {
	hs := newHosts(10, 10)
	for i := range 100_000 {
		h, err := hs.acquire(t.Context(), fmt.Sprint("host-", i), int64(i))
		if err != nil {
			t.Fatal(err)
		}
		hs.release(h, int64(i))
	}
	if _, _, known := hs.numbers(); known > maxIdleHosts {
		t.Errorf("%d hosts are kept", known)
	}
	h, _ := hs.acquire(t.Context(), "late", 200_000+int64(hostIdle))
	hs.release(h, 200_000+int64(hostIdle))
	if _, _, known := hs.numbers(); known != 1 {
		t.Errorf("%d hosts are kept for ever", known)
	}
}

func TestHostsHammer(t *testing.T) {
	hs := newHosts(3, 100)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%3)*time.Millisecond)
				if h, err := hs.acquire(ctx, "a", 0); err == nil {
					hs.release(h, 0)
				}
				cancel()
			}
		})
	}
	wg.Go(func() {
		for i := range 100 {
			hs.set(i%4, 100, Rate{}, 0)
		}
	})
	wg.Wait()
	if live, queued, _ := hs.numbers(); live != 0 || queued != 0 {
		t.Errorf("%d live, %d queued at the end", live, queued)
	}
}
