package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/api"
)

func within(t *testing.T, d time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("%s: not within %v", what, d)
	}
}

func TestPortTaken(t *testing.T) {
	_, addr := start(t, Config{})
	s, err := New(Config{Listen: addr, Pool: newPool(t, nil)})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Start(context.Background())
	if !errors.Is(err, ErrListen) || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "taken by another program") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	if err := s.Stop(context.Background()); err != nil {
		t.Errorf("stop what never started: %v", err)
	}
	for _, bad := range []string{"nonsense", "127.0.0.1:99999", "203.0.113.1:1"} {
		s, err := New(Config{Listen: bad, Pool: newPool(t, nil)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(context.Background()); !errors.Is(err, ErrListen) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestStopDrains(t *testing.T) {
	there, finish := make(chan struct{}), make(chan struct{})
	up := origin(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begin ")
		w.(http.Flusher).Flush()
		close(there)
		select {
		case <-finish:
			_, _ = io.WriteString(w, "end")
		case <-r.Context().Done():
		}
	})
	s, addr := start(t, Config{Routes: upRoute(t, up.URL)})
	idle, err := net.Dial("tcp", addr) // kept alive after a request
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = idle.Close() }()
	_, _ = io.WriteString(idle, "GET /nowhere HTTP/1.1\r\nHost: "+addr+"\r\n\r\n")
	if _, err := idle.Read(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Dial("tcp", addr) // never says anything
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	got := make(chan string, 1)
	c := client(t)
	go func() {
		res, err := c.Get("http://" + addr + "/up/")
		if err != nil {
			got <- err.Error()
			return
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		got <- fmt.Sprint(string(body), " ", err)
	}()
	<-there
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.Background()) }()
	testkit.Until(t, "new connections are refused", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Fatalf("Stop did not wait for a request under way: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	if body := <-got; body != "begin end <nil>" {
		t.Errorf("the request under way ended with %q", body)
	}
	within(t, 2*time.Second, "Stop returns, idle and silent connections or not", func() {
		if err := <-stopped; err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	if err := s.Stop(context.Background()); err != nil {
		t.Errorf("the second Stop: %v", err)
	}
}

// TestStopCuts has a stream, a tunnel, an upload and a held request under way that
// would never end.
func TestStopCuts(t *testing.T) {
	var there sync.WaitGroup
	there.Add(4)
	once := sync.OnceFunc(there.Done)
	up := origin(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		there.Done()
		if r.Method == "POST" {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		<-r.Context().Done()
	})
	pool := newPool(t, func(c *api.Config) {
		c.Slot = hooktest.Slot(7, &hooktest.Policy{Request: func(r *policy.Request, d *policy.Decision) {
			if r.Path == "/held" {
				d.Action, d.Delay = policy.ActionDelay, 30*time.Second
				once()
			}
		}})
	})
	s, addr := start(t, Config{Routes: upRoute(t, up.URL), Pool: pool, ForwardProxy: true, DrainTimeout: 50 * time.Millisecond})
	var ends sync.WaitGroup
	for _, raw := range []string{
		"GET /up/stream HTTP/1.1\r\nHost: " + addr + "\r\n\r\n",
		"GET /up/held HTTP/1.1\r\nHost: " + addr + "\r\n\r\n",
		"POST /up/upload HTTP/1.1\r\nHost: " + addr + "\r\nContent-Length: 1000000\r\n\r\nbegun",
		"CONNECT " + strings.TrimPrefix(up.URL, "http://") + " HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, raw)
		if strings.HasPrefix(raw, "CONNECT") {
			_, _ = conn.Read(make([]byte, 64))
			there.Done()
		}
		ends.Go(func() { _, _ = io.Copy(io.Discard, conn) })
	}
	there.Wait()
	within(t, 3*time.Second, "Stop cuts what does not end", func() {
		if err := s.Stop(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v", err)
		}
	})
	within(t, time.Second, "every connection ends", ends.Wait)
}

// TestSetConfigUnderLoad moves a route between two upstreams while requests run.
func TestSetConfigUnderLoad(t *testing.T) {
	var counts [2]atomic.Int64
	var ups [2]string
	for i := range ups {
		ups[i] = origin(t, func(w http.ResponseWriter, _ *http.Request) {
			counts[i].Add(1)
			_, _ = io.WriteString(w, "ok")
		}).URL
	}
	pool := newPool(t, nil)
	s, addr := start(t, Config{Routes: upRoute(t, ups[0]), Pool: pool})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	c := client(t)
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				res, err := c.Post("http://"+addr+"/up/x", "text/plain", strings.NewReader("hello"))
				if err != nil {
					t.Errorf("request: %v", err)
					return
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if res.StatusCode != 200 || string(body) != "ok" || err != nil {
					t.Errorf("status %d: %q %v", res.StatusCode, body, err)
					return
				}
			}
		})
	}
	for i := range 200 {
		s.SetConfig(Config{Routes: upRoute(t, ups[(i+1)%2]), Pool: pool, ForwardProxy: i%2 == 0})
		time.Sleep(time.Millisecond)
	}
	close(stop)
	wg.Wait()
	if counts[0].Load() == 0 || counts[1].Load() == 0 {
		t.Errorf("shares: %d and %d", counts[0].Load(), counts[1].Load())
	}
	s.SetConfig(Config{Routes: []Route{{Name: "broken"}}})
	if got := s.Routes(); len(got) != 1 || got[0].Name != "up" {
		t.Errorf("refused routes are in force: %v", got)
	}
}

// TestNewRefuses is about configurations that cannot be served.
func TestNewRefuses(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("no pool, no error")
	}
	if _, err := New(Config{Pool: newPool(t, nil), Routes: []Route{{Name: "x"}}}); !errors.Is(err, ErrRoute) {
		t.Errorf("bad routes: %v", err)
	}
}
