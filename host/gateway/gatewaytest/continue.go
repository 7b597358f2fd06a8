package gatewaytest

import (
	"io"
	"net/http"
	"time"
)

func continueBehaviours() []behaviour {
	return []behaviour{
		{name: "100-passes", check: checkContinue},
		{name: "refused-417", check: func(f *fixture) { checkContinueRefused(f, 417) }},
		{name: "refused-401", check: func(f *fixture) { checkContinueRefused(f, 401) }},
		{name: "body-without-waiting", check: checkContinueImpatient},
		{name: "early-hints", check: checkEarlyHints},
	}
}

// checkContinue wants exactly one 100 and no body at the upstream before it.
func checkContinue(f *fixture) {
	o := f.origin(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // net/http sends the 100 here
		_, _ = w.Write(body)
	})
	addr := f.front(o.URL)
	w := f.dial(addr)
	w.send(request(addr, "POST /up/", "Content-Length: 5", "Expect: 100-continue"))
	f.equal("interim status", w.head("POST").StatusCode, 100)
	w.send("hello")
	res := w.head("POST")
	f.equal("status", res.StatusCode, 200)
	body, _ := io.ReadAll(res.Body)
	f.equal("body", string(body), "hello")
}

// checkContinueRefused wants the upstream's final answer in place of a 100, so
// that the client never sends the body.
func checkContinueRefused(f *fixture, status int) {
	o := f.origin(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) })
	addr := f.front(o.URL)
	w := f.dial(addr)
	w.send(request(addr, "POST /up/", "Content-Length: 4194304", "Expect: 100-continue"))
	_ = w.SetReadDeadline(time.Now().Add(f.patience))
	f.equal("status", w.head("POST").StatusCode, status)
}

func checkContinueImpatient(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	f.ok(addr, request(addr, "POST /up/", "Content-Length: 5", "Expect: 100-continue")+"hello")
	f.equal("body", o.only().body, "hello")
}

// checkEarlyHints lets a 103 pass or be dropped, but cleanly.
func checkEarlyHints(f *fixture) {
	addr := f.front("http://" + f.answering("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"+
		"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	w := f.dial(addr)
	w.send(request(addr, "GET /up/"))
	res := w.head("GET")
	for res.StatusCode < 200 {
		if res.StatusCode == 103 {
			f.equal("Link of the 103", res.Header.Get("Link"), "</a.css>")
		}
		res = w.head("GET")
	}
	body, _ := io.ReadAll(res.Body)
	f.equal("status", res.StatusCode, 200)
	f.equal("body", string(body), "ok")
	f.equal("Link of the 200", res.Header.Get("Link"), "")
}
