package gatewaytest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func pressureBehaviours() []behaviour {
	return []behaviour{
		{name: "large-download", check: checkLargeDownload, alone: true},
		{name: "large-upload-length", check: func(f *fixture) { checkLargeUpload(f, false) }, alone: true},
		{name: "large-upload-chunked", check: func(f *fixture) { checkLargeUpload(f, true) }, alone: true},
		{name: "thousand-clients", check: checkThousandClients, alone: true},
		{name: "thousand-vanishing-clients", check: checkThousandVanish, alone: true},
	}
}

// heldBack is how much of a body may be between a sender and a receiver that does not
// read: what the kernel may keep of two connections, one side of which the suite holds
// small, and the little that a gateway may.
func heldBack() int64 {
	const little = 2 << 20
	return 2*kernelBuffer("wmem", 4<<20) + kernelBuffer("rmem", 6<<20) + little
}

// kernelBuffer is the largest buffer of a TCP connection, usual where that is unknown.
func kernelBuffer(kind string, usual int64) int64 {
	b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_" + kind)
	if err != nil {
		return usual
	}
	fields := strings.Fields(string(b)) // least, first, most
	if len(fields) != 3 {
		return usual
	}
	most, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return usual
	}
	return most
}

// largeSize is the size of a body that cannot be on its way as a whole.
func largeSize() int64 { return heldBack() + 12<<20 }

// stalls waits until the counter stands still, and fails if it went too far:
// then the gateway keeps what the receiver has not taken.
func (f *fixture) stalls(sent *atomic.Int64) {
	f.Helper()
	last, since, most := sent.Load(), time.Now(), heldBack()
	for deadline := time.Now().Add(f.patience); time.Since(since) < 150*time.Millisecond || last == 0; {
		time.Sleep(5 * time.Millisecond)
		if n := sent.Load(); n != last {
			last, since = n, time.Now()
		}
		if last > most {
			f.Fatalf("%d bytes were taken from the sender though the receiver reads nothing", last)
		}
		if time.Now().After(deadline) {
			f.Fatalf("the transfer does not come to rest: %d bytes", last)
		}
	}
}

// counted counts what is written through it.
type counted struct {
	io.Writer
	n *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// checkLargeDownload has the client wait in the middle: a gateway that reads
// ahead without bound is found by how much it takes from the upstream.
func checkLargeDownload(f *fixture) {
	var sent atomic.Int64
	largeSize := largeSize()
	o := f.origin(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(largeSize))
		_, _ = io.CopyN(counted{w, &sent}, newPattern(), largeSize)
	})
	addr := f.front(o.URL)
	w := f.dial(addr)
	_ = w.SetReadBuffer(64 << 10)
	w.send(request(addr, "GET /up/"))
	f.stalls(&sent)
	res := w.head("GET")
	h := sha256.New()
	if n, err := io.Copy(h, res.Body); err != nil || n != largeSize {
		f.Fatalf("download: %d bytes, %v", n, err)
	}
	f.equal("sum", [sha256.Size]byte(h.Sum(nil)), patternSum(largeSize))
}

func checkLargeUpload(f *fixture, chunked bool) {
	var sent atomic.Int64
	largeSize := largeSize()
	read := make(chan struct{})
	o := f.origin(func(w http.ResponseWriter, r *http.Request) {
		<-read
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		_, _ = fmt.Fprintf(w, "%d %v %x", n, err, h.Sum(nil))
	})
	o.narrow.Store(true)
	addr := f.front(o.URL)
	w := f.dial(addr)
	_ = w.SetWriteBuffer(64 << 10)
	go func() {
		out := counted{w, &sent}
		if !chunked {
			_, _ = io.WriteString(w, request(addr, "POST /up/", fmt.Sprintf("Content-Length: %d", largeSize)))
			_, _ = io.CopyN(out, newPattern(), largeSize)
			return
		}
		_, _ = io.WriteString(w, request(addr, "POST /up/", "Transfer-Encoding: chunked"))
		for src, left := newPattern(), largeSize; left > 0; left -= 64 << 10 {
			_, _ = io.WriteString(w, "10000\r\n")
			if _, err := io.CopyN(out, src, 64<<10); err != nil {
				return
			}
			_, _ = io.WriteString(w, "\r\n")
		}
		_, _ = io.WriteString(w, "0\r\n\r\n")
	}()
	f.stalls(&sent)
	close(read)
	a := w.answer("POST")
	a.want(f, 200)
	f.equal("bytes, error and sum at the upstream", a.body, fmt.Sprintf("%d <nil> %x", largeSize, patternSum(largeSize)))
}

const thousand = 1000

// checkThousandClients has a thousand requests under way at the same time; the
// upstream answers when all have arrived. Few goroutines of the suite's own
// take part, to stay below the race detector's limit.
func checkThousandClients(f *fixture) {
	var there atomic.Int64
	all := make(chan struct{})
	o := f.origin(func(w http.ResponseWriter, r *http.Request) {
		if there.Add(1) == thousand {
			close(all)
		}
		select {
		case <-all:
			_, _ = io.WriteString(w, r.RequestURI)
		case <-r.Context().Done():
		}
	})
	addr := f.front(o.URL)
	wires := make([]*wire, thousand)
	for i := range wires {
		wires[i] = f.dial(addr)
		wires[i].send(request(addr, fmt.Sprintf("GET /up/%d", i)))
	}
	for i, w := range wires {
		a := w.answer("GET")
		a.want(f, 200)
		f.equal("answer of its own request", a.body, fmt.Sprintf("/%d", i))
	}
}

// checkThousandVanish holds a thousand requests and has every client leave.
func checkThousandVanish(f *fixture) {
	var held, cancelled sync.WaitGroup
	held.Add(thousand)
	cancelled.Add(thousand)
	o := f.origin(nil)
	addr := f.gateway(Config{Routes: upRoute(o.URL), Held: held.Done, Cancelled: cancelled.Done})
	wires := make([]*wire, thousand)
	for i := range wires {
		wires[i] = f.dial(addr)
		wires[i].send(request(addr, "GET /up/", HoldField+": 1m"))
	}
	f.awaitGroup(&held, "a thousand requests are held")
	for _, w := range wires {
		_ = w.Close()
	}
	f.awaitGroup(&cancelled, "a thousand requests are cancelled")
	f.equal("requests at the upstream", o.count(), 0)
	f.ok(addr, request(addr, "GET /up/"))
}

func (f *fixture) awaitGroup(wg *sync.WaitGroup, what string) {
	f.Helper()
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	await(f, done, f.patience, what)
}
