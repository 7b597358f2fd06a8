package browser

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/cdp/jsonv2"
	"github.com/chromedp/cdproto/target"
)

func TestMessagesAreReadWithinTheirBound(t *testing.T) {
	long := strings.Repeat("x", 300)
	in := "{}\x00" + `{"id":7,"result":"` + long + "\"}\x00\x00" + long + "\x00{\"a\":1}\x00"
	for name, from := range map[string]io.Reader{"whole": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in))} {
		r := bufio.NewReaderSize(from, 16)
		var got []string
		for {
			text, large, err := readMessage(r, nil, 100)
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("%s: %v", name, err)
				}
				break
			}
			if large {
				got = append(got, fmt.Sprintf("large %d", idOfHead(text)))
			} else {
				got = append(got, string(text))
			}
		}
		if want := `{} | large 7 |  | large 0 | {"a":1}`; strings.Join(got, " | ") != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, _, err := readMessage(bufio.NewReader(strings.NewReader("half")), nil, 100); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a message: %v", err)
	}
}

// peer is the browser's end of a connection.
type peer struct {
	*conn
	in  *bufio.Reader
	out *os.File
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	ours, their, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	theirs, our, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{newConn(ours, our, 1000), bufio.NewReader(theirs), their}
	t.Cleanup(func() {
		p.conn.close(ErrClosed)
		<-p.done
		their.Close()
		theirs.Close()
	})
	return p
}

func TestAnswersFindTheirCommands(t *testing.T) {
	p := newPeer(t)
	events := make(chan string, 1)
	s, err := p.attach("one", func(method string, _ jsonv2.Value) { events <- method })
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for id := 1; id <= 3; id++ {
			if _, err := p.in.ReadBytes(0); err != nil {
				return
			}
		}
		fmt.Fprintf(p.out, "{\"method\":\"Some.event\",\"sessionId\":\"one\"}\x00{\"id\":99,\"result\":{}}\x00")
		fmt.Fprintf(p.out, "{\"id\":2,\"error\":{\"code\":-1,\"message\":\"no\"}}\x00{\"id\":1,\"result\":{\"product\":\"P\"},\"sessionId\":\"one\"}\x00")
		fmt.Fprintf(p.out, "{\"id\":3,\"result\":{\"product\":\"%s\"}}\x00", strings.Repeat("x", 2000))
	}()
	ids := make([]*pending, 3)
	for i := range ids {
		if _, ids[i], err = p.send(s, browser.GetVersion.Method, cdp.Empty{}); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []string{"", "no", "too large"} {
		err := s.wait(t.Context(), int64(i+1), ids[i])
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("command %d: %v", i+1, err)
		}
	}
	if e := <-events; e != "Some.event" {
		t.Errorf("event %q", e)
	}
}

func TestEndOfAConnectionEndsWhatWaits(t *testing.T) {
	for name, end := range map[string]func(*peer, *session){
		"pipe":    func(p *peer, _ *session) { p.out.Close() },
		"garbage": func(p *peer, _ *session) { p.out.WriteString("garbage\x00") },
		"detach": func(p *peer, s *session) {
			fmt.Fprintf(p.out, `{"method":"Target.detachedFromTarget","params":{"sessionId":%q}}`+"\x00", s.id)
		},
		"close": func(p *peer, _ *session) { p.conn.close(ErrClosed) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t)
			s, err := p.attach("one", nil)
			if err != nil {
				t.Fatal(err)
			}
			id, waits, err := p.send(s, "Page.enable", nil)
			if err != nil {
				t.Fatal(err)
			}
			end(p, s)
			if err := s.wait(t.Context(), id, waits); err == nil {
				t.Error("it was answered")
			}
			<-s.done
			if err := s.do(t.Context(), "Page.enable", nil, nil); err == nil {
				t.Error("a later command was answered")
			}
		})
	}
}

func TestCommandEndsWithItsContext(t *testing.T) {
	p := newPeer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.root.do(ctx, "Page.enable", nil, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.calls) != 0 {
		t.Error("it is still waited for")
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte("{\"id\":1,\"result\":{}}\x00"))
	f.Add([]byte("{\"method\":\"Page.lifecycleEvent\",\"sessionId\":\"s\",\"params\":{\"frameId\":\"t\",\"loaderId\":\"l\",\"name\":\"load\",\"timestamp\":1}}\x00"))
	f.Add([]byte("{\"method\":\"Network.responseReceived\",\"sessionId\":\"s\",\"params\":{\"type\":\"Document\",\"requestId\":\"l\",\"loaderId\":\"l\",\"frameId\":\"t\",\"response\":{\"status\":200,\"headers\":{\"A\":\"b\",\"c\":1}}}}\x00"))
	f.Add([]byte("{\"method\":\"Target.detachedFromTarget\",\"params\":{\"sessionId\":\"s\"}}\x00"))
	f.Add([]byte("{\"id\":1,\"error\":{\"code\":1,\"message\":\"\\ud800\"}}\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &conn{limit: 500, calls: map[int64]*pending{1: {done: make(chan struct{})}}, sessions: map[target.SessionID]*session{}}
		b := &tab{id: "t", loads: map[cdp.LoaderID]*load{}, changed: make(chan struct{}), in: &instance{}}
		s := &session{conn: c, id: "s", done: make(chan struct{})}
		s.on = func(method string, params jsonv2.Value) {
			if method != "Page.javascriptDialogOpening" && method != "Inspector.targetCrashed" { // these act on a browser
				b.event(method, params)
			}
		}
		b.session, c.sessions["s"] = s, s
		r := bufio.NewReaderSize(bytes.NewReader(data), 64)
		for {
			text, large, err := readMessage(r, nil, c.limit)
			if err != nil {
				break
			}
			if len(text) > c.limit {
				t.Fatalf("%d bytes of a message", len(text))
			}
			if !large {
				_ = c.dispatch(text)
			}
		}
		if len(b.loads) > maxLoads || len(b.order) > maxLoads {
			t.Fatalf("%d documents are remembered", len(b.loads))
		}
	})
}
