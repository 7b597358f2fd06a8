//go:build unix

package h1

import (
	"errors"
	"net"
	"syscall"
)

// errStale is the error of a kept connection that has ended, or on which something has
// come that nobody has asked for. Nothing was sent on it.
var errStale = errors.New("h1: the kept connection is of no use any more")

// peeker looks at a connection below net.Conn. The zero value cannot.
type peeker struct {
	raw syscall.RawConn
	// These are made once, as the arguments of raw.Read:
	look, swap func(fd uintptr) bool

	quiet bool // what look found
	to    net.Conn
	out   []byte
	check bool
	asked bool // out was written, or could not be
	n     int
	err   error
	byte  [1]byte
}

func (p *peeker) init(c syscall.Conn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	p.raw = raw
	p.look = func(fd uintptr) bool {
		p.quiet = p.nothing(fd)
		return true // do not wait until there is something
	}
	p.swap = func(fd uintptr) bool {
		if p.asked {
			return true
		}
		p.asked = true
		if p.check && !p.nothing(fd) {
			p.err = errStale
			return true
		}
		p.n, p.err = p.to.Write(p.out)
		return p.err != nil
	}
}

// nothing reports whether nothing has come: no byte, no end, no error.
func (p *peeker) nothing(fd uintptr) bool {
	_, _, err := syscall.Recvfrom(int(fd), p.byte[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
}

// alive reports whether nothing has come on a kept connection; true where that cannot
// be seen.
func (p *peeker) alive() bool {
	return p.raw == nil || p.raw.Read(p.look) == nil && p.quiet
}

// ask writes b to c and waits until something can be read: to read first, as a Read
// would, is in vain before the server could answer. check has it look before whether
// the connection is stale.
func (p *peeker) ask(c net.Conn, b []byte, check bool) (int, error) {
	p.to, p.out, p.check = c, b, check
	p.asked, p.n, p.err = false, 0, nil
	err := p.raw.Read(p.swap)
	p.to, p.out = nil, nil
	if p.err == nil && !p.asked {
		p.err = err
	}
	return p.n, p.err // that waiting failed, the next Read says too
}
