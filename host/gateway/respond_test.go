package gateway

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// flushCounter counts what is written between flushes.
type flushCounter struct {
	pending, flushed, flushes int
}

func (c *flushCounter) Write(p []byte) (int, error) {
	c.pending += len(p)
	return len(p), nil
}

func (c *flushCounter) Flush() {
	c.flushed += c.pending
	c.pending = 0
	c.flushes++
}

func TestFlusher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFlusher(), &flushCounter{}
		f.out = c
		want := func(when string, flushed, flushes int) {
			t.Helper()
			f.mu.Lock()
			defer f.mu.Unlock()
			if c.flushed != flushed || c.flushes != flushes {
				t.Errorf("%s: %d bytes in %d flushes, want %d in %d", when, c.flushed, c.flushes, flushed, flushes)
			}
		}
		later := func() {
			time.Sleep(2 * flushAfter)
			synctest.Wait()
		}
		for range 3 {
			_ = f.write(c, []byte("abc"), false, false)
		}
		want("at once, of known length", 0, 0)
		later()
		want("a moment later", 9, 1)
		_ = f.write(c, []byte("abc"), true, false)
		want("at once, of a stream", 12, 2)
		_ = f.write(c, []byte("abc"), false, false)
		_ = f.write(c, []byte("abc"), false, true)
		later()
		want("after the last piece", 12, 2)
		_ = f.write(c, []byte("abc"), false, false)
		f.end()
		later()
		want("after the end", 12, 2)
		f.fire() // a timer that went off too late
		want("after a late timer", 12, 2)
	})
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestFlusherPassesErrors(t *testing.T) {
	f, gone := newFlusher(), errors.New("gone")
	f.out = &flushCounter{}
	if err := f.write(failingWriter{gone}, []byte("x"), true, false); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	f.end()
}

// TestCutAnswers has a client that asks for the end of an answer that has none.
func TestCutAnswers(t *testing.T) {
	up := origin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("part"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	_, addr := start(t, Config{Routes: upRoute(t, up.URL)})
	for range 3 {
		res, err := client(t).Post("http://"+addr+"/up/", "", nil)
		if err != nil {
			continue // it was cut before the head was passed on
		}
		buf := make([]byte, 200)
		n, err := 0, error(nil)
		for err == nil {
			var m int
			m, err = res.Body.Read(buf[n:])
			n += m
		}
		if _ = res.Body.Close(); err.Error() != "unexpected EOF" || string(buf[:n]) != "part" {
			t.Errorf("%q, then %v", buf[:n], err)
		}
	}
}
