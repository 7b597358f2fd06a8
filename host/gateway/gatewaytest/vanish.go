package gatewaytest

import (
	"io"
	"net/http"
	"time"
)

func vanishBehaviours() []behaviour {
	return []behaviour{
		{name: "held", check: func(f *fixture) { checkHeldVanish(f, "") }},
		{name: "held-post", check: func(f *fixture) { checkHeldVanish(f, `{"prompt":"hello"}`) }},
		{name: "held-reset", check: checkHeldReset},
		{name: "held-then-served", check: checkHeldServed},
		{name: "before-head", check: checkVanishBeforeHead},
		{name: "upload", check: checkVanishUpload},
		{name: "download", check: checkVanishDownload},
		{name: "half-close-is-not-leaving", check: checkHalfClosedClient},
	}
}

// holding starts a gateway that reports holds on the channels.
func (f *fixture) holding(upstream string) (addr string, held, cancelled chan struct{}) {
	f.Helper()
	held, cancelled = make(chan struct{}, 16), make(chan struct{}, 16)
	addr = f.gateway(Config{
		Routes:    upRoute(upstream),
		Held:      func() { held <- struct{}{} },
		Cancelled: func() { cancelled <- struct{}{} },
	})
	return addr, held, cancelled
}

// checkHeldVanish is what gives a waiting caller's tokens back. Most calls that
// wait are POSTs with a body of a few KiB, and these must be noticed as well.
func checkHeldVanish(f *fixture, body string) {
	o := f.origin(nil)
	addr, held, cancelled := f.holding(o.URL)
	w := f.dial(addr)
	if body == "" {
		w.send(request(addr, "GET /up/", HoldField+": 30s"))
	} else {
		w.send(request(addr, "POST /up/", HoldField+": 30s", "Content-Length: 18") + body)
	}
	await(f, held, f.patience, "the request is held")
	_ = w.Close()
	await(f, cancelled, prompt, "the held request is cancelled")
	f.equal("requests at the upstream", o.count(), 0)
}

func checkHeldReset(f *fixture) {
	addr, held, cancelled := f.holding(f.origin(nil).URL)
	w := f.dial(addr)
	w.send(request(addr, "GET /up/", HoldField+": 30s"))
	await(f, held, f.patience, "the request is held")
	_ = w.SetLinger(0)
	_ = w.Close()
	await(f, cancelled, prompt, "the held request is cancelled")
}

func checkHeldServed(f *fixture) {
	o := f.origin(nil)
	addr, held, cancelled := f.holding(o.URL)
	f.ok(addr, request(addr, "POST /up/", HoldField+": 50ms", "Content-Length: 5")+"hello")
	f.equal("times held", len(held), 1)
	f.equal("times cancelled", len(cancelled), 0)
	f.equal("body", o.only().body, "hello")
}

// checkVanishBeforeHead has the upstream think while the client leaves.
func checkVanishBeforeHead(f *fixture) {
	there, left := make(chan struct{}), make(chan struct{})
	o := f.origin(func(_ http.ResponseWriter, r *http.Request) {
		close(there)
		<-r.Context().Done()
		close(left)
	})
	addr := f.front(o.URL)
	w := f.dial(addr)
	w.send(request(addr, "GET /up/"))
	await(f, there, f.patience, "the request reaches the upstream")
	_ = w.Close()
	await(f, left, prompt, "the upstream sees that the client left")
}

// checkVanishUpload wants the upstream to see a body that is cut, not one that
// ends: half an upload must not look like a whole one.
func checkVanishUpload(f *fixture) {
	for _, framing := range []string{"Content-Length: 8388608", "Transfer-Encoding: chunked"} {
		there, end := make(chan struct{}), make(chan error, 1)
		o := f.origin(func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.ReadFull(r.Body, make([]byte, 1<<20))
			close(there)
			if err == nil {
				_, err = io.Copy(io.Discard, r.Body)
			}
			end <- err
		})
		addr := f.front(o.URL)
		w := f.dial(addr)
		w.send(request(addr, "POST /up/", framing))
		if framing != "Content-Length: 8388608" {
			w.send("800000\r\n")
		}
		w.send(string(make([]byte, 3<<20)))
		await(f, there, f.patience, "the upload's beginning reaches the upstream")
		_ = w.Close()
		if err := await(f, end, prompt, "the upstream sees the end of the upload"); err == nil {
			f.Fatalf("%s: the upstream took a cut upload for a whole one", framing)
		}
	}
}

// checkVanishDownload has the client leave a download that it did not read.
func checkVanishDownload(f *fixture) {
	end := make(chan error, 1)
	o := f.origin(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1073741824")
		_, err := io.CopyN(w, newPattern(), 1<<30)
		end <- err
	})
	addr := f.front(o.URL)
	w := f.dial(addr)
	w.send(request(addr, "GET /up/"))
	w.head("GET")
	time.Sleep(20 * time.Millisecond) // the buffers fill; nothing depends on how far
	_ = w.Close()
	if err := await(f, end, prompt, "the upstream sees the end of the download"); err == nil {
		f.Fatalf("the gateway took the whole download for a client that had left")
	}
}

// checkHalfClosedClient sends a request and ends its direction, as netcat does.
// net/http takes that for leaving; a gateway may do so too, but must not hang.
func checkHalfClosedClient(f *fixture) {
	addr := f.front(f.origin(nil).URL)
	w := f.dial(addr)
	w.send(request(addr, "GET /up/", "Connection: close"))
	_ = w.CloseWrite()
	_ = w.SetReadDeadline(time.Now().Add(f.patience))
	if all, err := io.ReadAll(w.br); err != nil {
		f.Fatalf("after a half close: %.100q, then %v", all, err)
	}
}
