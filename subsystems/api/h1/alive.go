//go:build unix

package h1

import (
	"errors"
	"syscall"
)

// peeker looks whether something has come on a connection, without waiting and without
// taking it. The zero value knows nothing, and says that all is quiet.
type peeker struct {
	raw  syscall.RawConn
	look func(fd uintptr) bool // made once
	n    int
	err  error
	byte [1]byte
}

func (p *peeker) init(c syscall.Conn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	p.raw = raw
	p.look = func(fd uintptr) bool {
		p.n, _, p.err = syscall.Recvfrom(int(fd), p.byte[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true // do not wait until there is something
	}
}

// quiet reports whether nothing has come: no byte, no end, no error.
func (p *peeker) quiet() bool {
	if p.raw == nil {
		return true
	}
	if err := p.raw.Read(p.look); err != nil {
		return false
	}
	return errors.Is(p.err, syscall.EAGAIN) || errors.Is(p.err, syscall.EINTR)
}
