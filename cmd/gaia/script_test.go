package main

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host/control"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"gaia": main}) }

// TestScript runs what a user would type, and compares what comes back.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_RUNTIME_DIR", e.WorkDir)
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("SOCKET", filepath.Join(e.WorkDir, "gaia.sock"))
			for _, name := range []string{"PORT", "CONTROL_PORT"} {
				port, err := freePort()
				if err != nil {
					return err
				}
				e.Setenv(name, port)
			}
			return nil
		},
		Condition: condition,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"upstream": upstream, "trust": trust, "tlssite": tlsSite, "registry": registry, "ready": ready, "get": get, "waitfor": waitFor, "waitlogs": waitLogs, "exitcode": exitCodeIs, "waitfile": waitFile, "signal": signalGaia, "slowget": slowGet, "slowanswer": slowAnswer, "interrupted": interrupted,
		},
	})
}

// condition knows [lang:c], the compiler of a language, and [registry]: they are here, as they must be in CI.
func condition(name string) (bool, error) {
	tool, ok := map[string]string{"lang:c": "clang", "registry": "docker-registry"}[name]
	if !ok {
		return false, fmt.Errorf("there is no condition %s", name)
	}
	_, err := exec.LookPath(tool)
	return err == nil || os.Getenv("CI") != "", nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// upstream starts a server that says what it was asked; its URL is in $UPSTREAM.
// A path /status/N answers N.
func upstream(ts *testscript.TestScript, _ bool, _ []string) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var code int
		if n, _ := fmt.Sscanf(r.URL.Path, "/status/%d", &code); n == 1 {
			w.WriteHeader(code)
		}
		fmt.Fprintf(w, "upstream %s %s\n", r.Method, r.URL.RequestURI())
		for _, name := range []string{"X-Policy", "Gaia-Tenant"} {
			if v := r.Header.Get(name); v != "" {
				fmt.Fprintf(w, "%s: %s\n", name, v)
			}
		}
	}))
	ts.Defer(srv.Close)
	ts.Setenv("UPSTREAM", srv.URL)
}

// trust writes a configuration that runs p.js and wants a signature: trust PUB FILE
func trust(ts *testscript.TestScript, _ bool, args []string) {
	_, key, _ := strings.Cut(strings.TrimSpace(ts.ReadFile(args[0])), "\n")
	text := fmt.Sprintf("require_signed: [%q]\npolicies:\n  p: { use: ./p.js }\n", key)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// tlsSite serves the files of the script over TLS; its URL is in $SITE, and gaia
// trusts it. With ! it ends.
func tlsSite(ts *testscript.TestScript, neg bool, _ []string) {
	if neg {
		site, _ := sites.LoadAndDelete(ts)
		site.(*httptest.Server).Close()
		return
	}
	srv := httptest.NewTLSServer(http.FileServer(http.Dir(ts.MkAbs("site"))))
	ts.Defer(srv.Close)
	sites.Store(ts, srv)
	ts.Setenv("SITE", srv.URL)
	block := &pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}
	ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), pem.EncodeToMemory(block), 0o600))
	ts.Setenv("SSL_CERT_FILE", ts.MkAbs("ca.pem"))
}

// sites are the servers of tlssite by script.
var sites sync.Map

// ready waits until the gaia of $SOCKET serves.
func ready(ts *testscript.TestScript, _ bool, _ []string) {
	c := control.NewClient(ts.Getenv("SOCKET"), "", "")
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	poll(ts, ctx, "gaia is not ready", func() bool {
		st, err := c.Status(ctx)
		if err != nil {
			return false
		}
		conn, err := net.Dial("tcp", st.Listen) // the control plane opens before the gateway does
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
}

// poll asks until ok or the time is over.
func poll(ts *testscript.TestScript, ctx context.Context, what string, ok func() bool) {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for !ok() {
		select {
		case <-t.C:
		case <-ctx.Done():
			ts.Fatalf("%s", what)
		}
	}
}

// get prints status, fields and body of an answer: get [-x PROXY] URL [NAME=VALUE...]
func get(ts *testscript.TestScript, _ bool, args []string) {
	transport := &http.Transport{DisableKeepAlives: true}
	if args[0] == "-x" {
		proxy, err := url.Parse(args[1])
		ts.Check(err)
		transport.Proxy, args = http.ProxyURL(proxy), args[2:]
	}
	req, err := http.NewRequest(http.MethodGet, args[0], nil)
	ts.Check(err)
	for _, h := range args[1:] {
		name, value, _ := strings.Cut(h, "=")
		req.Header.Set(name, value)
	}
	res, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Do(req)
	ts.Check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", res.Status)
	_ = res.Header.Write(ts.Stdout())
	fmt.Fprintf(ts.Stdout(), "\n%s", body)
	if len(args) > 0 {
		ts.Check(os.WriteFile(ts.MkAbs("answer"), fmt.Appendf(nil, "%s\n%v\n%s", res.Status, res.Header, body), 0o600))
	}
}

// waitFor waits until a URL answers with a text: waitfor URL TEXT
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	last := ""
	poll(ts, ctx, "never came: "+args[1], func() bool {
		res, err := http.Get(args[0])
		if err != nil {
			return false
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		last = res.Status + "\n" + string(body)
		return strings.Contains(last, args[1])
	})
}

// slowGet sends a request and goes on once it has been sent; slowanswer waits for
// what it got.
func slowGet(ts *testscript.TestScript, _ bool, args []string) {
	sent := make(chan struct{})
	answer := make(chan string, 1)
	trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), http.MethodGet, args[0], nil)
	ts.Check(err)
	go func() {
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		answer <- res.Status
	}()
	<-sent
	waiting.Store(ts, answer)
}

// waiting holds the answers of slowget by script.
var waiting sync.Map

func slowAnswer(ts *testscript.TestScript, _ bool, args []string) {
	answer, ok := waiting.LoadAndDelete(ts)
	if !ok {
		ts.Fatalf("slowget first")
	}
	if got := <-answer.(chan string); got != args[0] {
		ts.Fatalf("got %s, want %s", got, args[0])
	}
}

// signalGaia sends SIGTERM to the gaia of $SOCKET.
func signalGaia(ts *testscript.TestScript, _ bool, _ []string) {
	st, err := control.NewClient(ts.Getenv("SOCKET"), "", "").Status(context.Background())
	ts.Check(err)
	ts.Check(syscall.Kill(st.PID, syscall.SIGTERM))
}

// waitFile waits until a file holds a text: waitfile PATH TEXT
func waitFile(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Second)
	defer cancel()
	poll(ts, ctx, args[0]+" never held "+args[1], func() bool {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && strings.Contains(string(data), args[1])
	})
}

// exitCodeIs runs gaia and compares the exit code: exitcode N gaia ARGS...
func exitCodeIs(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// waitLogs waits until a process has said something.
func waitLogs(ts *testscript.TestScript, _ bool, args []string) {
	c := control.NewClient(ts.Getenv("SOCKET"), "", "")
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	input, err := json.Marshal(map[string]any{"id": args[0], "follow": true})
	ts.Check(err)
	res, err := c.Work(ctx, control.WorkRequest{Subsystem: "process", Action: "logs", Input: input})
	ts.Check(err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if lines.Text() == args[1] {
			return
		}
	}
	ts.Fatalf("%s never said %q: %v", args[0], args[1], lines.Err())
}
