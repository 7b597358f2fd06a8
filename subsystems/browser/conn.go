package browser

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/cdp/jsonv2"
	"github.com/chromedp/cdproto/target"
)

const (
	// stuckWrite is how long a browser may leave a command in the pipe.
	stuckWrite = 10 * time.Second
	readBuffer = 64 << 10
	// bufferKept is the largest buffer that is kept between messages.
	bufferKept = 1 << 20
)

// conn is the two pipes to one browser. It is safe for concurrent use. Its
// goroutine ends when the browser closes its pipe or close is called.
type conn struct {
	r, w  *os.File
	limit int // bytes of a message
	done  chan struct{}
	root  *session // of the browser itself

	writing sync.Mutex // one message at a time

	mu       sync.Mutex                    // guards what follows
	err      error                         // why done is closed
	next     int64                         // number of the last command
	calls    map[int64]*pending            // not answered yet
	sessions map[target.SessionID]*session // attached
	closed   bool
}

type pending struct {
	result jsonv2.Value
	err    error
	done   chan struct{}
}

// session is the way to one target of the browser, the browser itself where id is
// "". on is called in the reader's goroutine for each event: it must not block.
type session struct {
	conn *conn
	id   target.SessionID
	on   func(method string, params jsonv2.Value)
	once sync.Once
	err  error         // why done is closed
	done chan struct{} // closed when the target detached or crashed
}

// newConn speaks over the pipes, which it closes in the end.
func newConn(r, w *os.File, limit int) *conn {
	c := &conn{r: r, w: w, limit: limit, done: make(chan struct{}), calls: map[int64]*pending{}, sessions: map[target.SessionID]*session{}}
	c.root = &session{conn: c, done: make(chan struct{})}
	go c.read()
	return c
}

// close ends the connection: what waits for an answer gets err.
func (c *conn) close(err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed, c.err = true, err
	calls, sessions := c.calls, c.sessions
	c.calls, c.sessions = nil, nil
	c.mu.Unlock()
	_ = c.r.Close()
	_ = c.w.Close()
	for _, p := range calls {
		p.err = err
		close(p.done)
	}
	for _, s := range sessions {
		s.end(err)
	}
	c.root.end(err)
	close(c.done)
}

// read hands on what the browser sends, until its pipe ends.
func (c *conn) read() {
	r := bufio.NewReaderSize(c.r, readBuffer)
	var buf []byte
	for {
		text, large, err := readMessage(r, buf, c.limit)
		if err != nil {
			c.close(fmt.Errorf("%w: its pipe ended: %w", ErrCrashed, err))
			return
		}
		if large {
			c.answer(idOfHead(text), nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, c.limit))
		} else if err := c.dispatch(text); err != nil {
			c.close(fmt.Errorf("%w: %w", ErrCrashed, err))
			return
		}
		if buf = text; cap(buf) > bufferKept {
			buf = nil
		}
	}
}

// dispatch hands on one message. text may be used again afterwards.
func (c *conn) dispatch(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	var m message
	if err := decode(text, &m); err != nil {
		return err
	}
	if m.ID != 0 {
		if m.Error != nil {
			c.answer(m.ID, nil, m.Error)
		} else {
			c.answer(m.ID, m.Result, nil)
		}
		return nil
	}
	if m.Method == target.DetachedFromTarget.Method {
		var e target.EventDetachedFromTarget
		if err := decode(m.Params, &e); err == nil {
			c.detach(e.SessionID)
		}
		return nil
	}
	c.mu.Lock()
	s := c.sessions[m.SessionID]
	c.mu.Unlock()
	if s != nil && s.on != nil {
		s.on(m.Method, m.Params)
	}
	return nil
}

func (c *conn) answer(id int64, result jsonv2.Value, err error) {
	c.mu.Lock()
	p := c.calls[id]
	delete(c.calls, id)
	c.mu.Unlock()
	if p != nil {
		p.result, p.err = result, err
		close(p.done)
	}
}

// attach makes the session of a target that was attached to.
func (c *conn) attach(id target.SessionID, on func(string, jsonv2.Value)) (*session, error) {
	s := &session{conn: c, id: id, on: on, done: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, c.err
	}
	c.sessions[id] = s
	return s, nil
}

// detach ends a session. Commands under way in it are never answered by the browser.
func (c *conn) detach(id target.SessionID) {
	c.mu.Lock()
	s := c.sessions[id]
	delete(c.sessions, id)
	c.mu.Unlock()
	if s != nil {
		s.end(errDetached)
	}
}

// errDetached is the error of a command to a page that is gone.
var errDetached = errors.New("browser: the page is closed")

// send writes a command and returns where its answer will be.
func (c *conn) send(s *session, method string, params any) (int64, *pending, error) {
	p := &pending{done: make(chan struct{})}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return 0, nil, c.err
	}
	c.next++
	id := c.next
	c.calls[id] = p
	c.mu.Unlock()
	text, err := encode(command{ID: id, SessionID: s.id, Method: method, Params: params})
	if err != nil {
		c.forget(id)
		return 0, nil, err
	}
	if err := c.write(text); err != nil {
		c.close(fmt.Errorf("%w: it takes no commands: %w", ErrCrashed, err))
	}
	return id, p, nil
}

func (c *conn) write(text []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.w.SetWriteDeadline(time.Now().Add(stuckWrite)); err != nil {
		return err
	}
	_, err := c.w.Write(text)
	return err
}

func (c *conn) forget(id int64) {
	c.mu.Lock()
	delete(c.calls, id)
	c.mu.Unlock()
}

// do runs a command and decodes its result into into, which may be nil.
func (s *session) do(ctx context.Context, method string, params, into any) error {
	id, p, err := s.conn.send(s, method, params)
	if err != nil {
		return err
	}
	if err := s.wait(ctx, id, p); err != nil || into == nil {
		return err
	}
	return decode(p.result, into)
}

// wait waits for the answer to a command.
func (s *session) wait(ctx context.Context, id int64, p *pending) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		s.conn.forget(id)
		return ctx.Err()
	case <-s.done:
	}
	select {
	case <-p.done: // the answer came first
		return p.err
	default:
		s.conn.forget(id)
		return s.err
	}
}

// end ends the session: commands under way and later ones fail with err.
func (s *session) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.done)
	})
}

// cause is why the connection ended, nil while it is open.
func (c *conn) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// call runs a typed command.
func call[P, R any](ctx context.Context, s *session, c cdp.Command[P, R], params P) (R, error) {
	var result R
	err := s.do(ctx, c.Method, params, &result)
	return result, err
}
