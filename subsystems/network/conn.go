package network

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// levels of the bandwidth, the narrowest first: a turn of a wider level is taken
// only when it can be used.
const (
	levelConn = iota
	levelHost
	levelGlobal
	bandwidthLevels
)

// maxWrite bounds what is written in one piece while nothing limits it, so that a
// new bound takes hold of a long Write.
const maxWrite = 256 << 10

// conn is a connection whose bytes are counted and paced, and whose host knows that
// it is open until it is closed.
type conn struct {
	net.Conn
	owner  *Coordinator
	host   *host
	rates  pair
	in     side
	out    side
	closed chan struct{}
	once   sync.Once
}

// side is one direction of a connection.
type side struct {
	buckets [bandwidthLevels]*bucket

	turn     sync.Mutex // held by the one Read or Write under way; guards what follows
	credit   int        // bytes that may move without asking
	level    int        // that is asked next
	quantum  int        // bytes asked for
	reserved bool       // a turn of level was taken, for the time due
	due      int64
	void     <-chan struct{}
	timer    *time.Timer

	deadline atomic.Pointer[time.Time] // nil: none
	kick     chan struct{}             // the deadline has changed
}

func newConn(raw net.Conn, c *Coordinator, h *host, r Rate) *conn {
	k := &conn{Conn: raw, owner: c, host: h, closed: make(chan struct{})}
	k.rates.start(r, c.clock())
	k.in.buckets = [...]*bucket{&k.rates.down, &h.rates.down, &c.rates.down}
	k.out.buckets = [...]*bucket{&k.rates.up, &h.rates.up, &c.rates.up}
	k.in.kick, k.out.kick = make(chan struct{}, 1), make(chan struct{}, 1)
	return k
}

// Read reads at most what the bandwidth lets through now, and waits for that.
func (k *conn) Read(p []byte) (int, error) {
	s := &k.in
	s.turn.Lock()
	defer s.turn.Unlock()
	limited := s.limited()
	if limited && len(p) > 0 {
		if err := k.acquire(s); err != nil {
			return 0, k.fault("read", err)
		}
		p = p[:min(len(p), s.credit)]
	}
	n, err := k.Conn.Read(p)
	if limited {
		s.credit -= n
	}
	k.owner.counts.received.Add(uint64(n))
	return n, err
}

// Write writes all of p, in pieces that the bandwidth lets through.
func (k *conn) Write(p []byte) (int, error) {
	s := &k.out
	s.turn.Lock()
	defer s.turn.Unlock()
	done := 0
	for {
		piece := p[done:min(len(p), done+maxWrite)]
		limited := s.limited()
		if limited && len(piece) > 0 {
			if err := k.acquire(s); err != nil {
				return done, k.fault("write", err)
			}
			piece = piece[:min(len(piece), s.credit)]
		}
		n, err := k.Conn.Write(piece)
		if limited {
			s.credit -= n
		}
		done += n
		k.owner.counts.sent.Add(uint64(n))
		if err != nil || done >= len(p) {
			return done, err
		}
	}
}

func (s *side) limited() bool {
	for _, b := range s.buckets {
		if b.rate.Load() != 0 {
			return true
		}
	}
	return false
}

// acquire gives s some credit, and waits for it: for a turn of the connection, then
// of its host, then of all. A turn that the deadline cut short is still waited for
// next time.
func (k *conn) acquire(s *side) error {
	if s.credit > 0 {
		return nil
	}
	for s.level < bandwidthLevels {
		now := k.owner.clock()
		if !s.reserved {
			if s.level == 0 {
				s.measure()
			}
			wait, void := s.buckets[s.level].reserve(now, s.quantum)
			s.reserved, s.due, s.void = true, now+int64(wait), void
			if wait > 0 {
				k.owner.counts.throttled.Add(1)
			}
		}
		if s.due > now {
			passed, err := k.sleep(s, time.Duration(s.due-now))
			k.owner.counts.throttledNanos.Add(max(k.owner.clock()-now, 0))
			if err != nil {
				return err
			}
			if !passed { // a rate has changed, and with it how long a turn is
				s.reserved, s.level = false, 0
				continue
			}
		}
		s.reserved = false
		s.level++
	}
	s.level, s.credit = 0, s.quantum
	return nil
}

// measure sets how many bytes the next turn has.
func (s *side) measure() {
	s.quantum = maxQuantum
	for _, b := range s.buckets {
		if r := b.rate.Load(); r != 0 {
			s.quantum = min(s.quantum, quantum(r))
		}
	}
}

// sleep waits for d. It returns false when the turn is void, and an error when the
// connection is closed or its deadline passes.
func (k *conn) sleep(s *side, d time.Duration) (passed bool, err error) {
	until := time.Now().Add(d)
	for {
		wait, late := time.Until(until), false
		if wait <= 0 {
			return true, nil
		}
		if t := s.deadline.Load(); t != nil {
			left := time.Until(*t)
			if left <= 0 {
				return false, os.ErrDeadlineExceeded
			}
			if left < wait {
				wait, late = left, true
			}
		}
		if s.timer == nil {
			s.timer = time.NewTimer(wait)
		} else {
			s.timer.Reset(wait)
		}
		select {
		case <-s.timer.C:
			if !late {
				return true, nil
			}
		case <-s.void:
			s.timer.Stop()
			return false, nil
		case <-k.closed:
			s.timer.Stop()
			return false, net.ErrClosed
		case <-s.kick:
			s.timer.Stop()
		}
	}
}

func (k *conn) fault(op string, err error) error {
	return &net.OpError{Op: op, Net: k.LocalAddr().Network(), Source: k.LocalAddr(), Addr: k.RemoteAddr(), Err: err}
}

// Close closes the connection and makes room for the next one to its host. Calling
// it again returns what the system says of that.
func (k *conn) Close() error {
	k.once.Do(func() {
		close(k.closed)
		k.owner.forget(k)
	})
	return k.Conn.Close()
}

// CloseWrite ends the direction to the peer, where the connection can do that.
func (k *conn) CloseWrite() error {
	if h, ok := k.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SyscallConn lets the system's options of the connection be read and set.
func (k *conn) SyscallConn() (syscall.RawConn, error) {
	if h, ok := k.Conn.(syscall.Conn); ok {
		return h.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// SetDeadline bounds Read and Write, waits for bandwidth included.
func (k *conn) SetDeadline(t time.Time) error {
	k.in.setDeadline(t)
	k.out.setDeadline(t)
	return k.Conn.SetDeadline(t)
}

// SetReadDeadline bounds Read, its wait for bandwidth included.
func (k *conn) SetReadDeadline(t time.Time) error {
	k.in.setDeadline(t)
	return k.Conn.SetReadDeadline(t)
}

// SetWriteDeadline bounds Write, its wait for bandwidth included.
func (k *conn) SetWriteDeadline(t time.Time) error {
	k.out.setDeadline(t)
	return k.Conn.SetWriteDeadline(t)
}

func (s *side) setDeadline(t time.Time) {
	if t.IsZero() {
		s.deadline.Store(nil)
	} else {
		s.deadline.Store(&t)
	}
	select {
	case s.kick <- struct{}{}:
	default: // one is there that nobody has seen
	}
}
