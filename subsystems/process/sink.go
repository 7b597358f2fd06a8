package process

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

const pumpBytes = 64 << 10

// buffers are lent while bytes are moved, so that a silent process holds none.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *[]byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, pumpBytes)
	return &p
}

func (b *buffers) put(p *[]byte) { b.pool.Put(p) }

// sink takes one stream of a process, over all its runs. Runs follow each other;
// each has one pump.
type sink struct {
	ring *ring
	path string // of the file; "" none
	file *logFile
	log  *slog.Logger
}

// take keeps b. A file that cannot be written is given up, once, and said so: the
// process goes on.
func (s *sink) take(b []byte) {
	_, _ = s.ring.Write(b)
	if s.file == nil {
		return
	}
	if _, err := s.file.Write(b); err != nil {
		s.log.Warn("output is no longer written to its file", "file", s.path, "error", err)
		s.file.close()
		s.file = nil
	}
}

// open opens the file at the first run.
func (s *sink) open(c *Config) error {
	if s.path == "" || s.file != nil {
		return nil
	}
	var err error
	s.file, err = openLog(s.path, c.LogBytes, c.LogKeep)
	return err
}

func (s *sink) finish() {
	s.ring.finish()
	if s.file != nil {
		s.file.close()
		s.file = nil
	}
}

// pipe is the reading end of a stream of one run.
type pipe struct {
	f    *os.File
	done chan struct{} // closed when nothing more comes
}

// pump moves what comes out of the pipe into s until its end, or until cut.
func (p *pipe) pump(s *sink, bufs *buffers) {
	defer close(p.done)
	defer p.f.Close()
	raw, err := p.f.SyscallConn()
	if err != nil {
		return
	}
	for err == nil {
		var readErr error
		err = raw.Read(func(fd uintptr) bool {
			buf := bufs.get()
			defer bufs.put(buf)
			var n int
			n, readErr = readFD(int(fd), *buf)
			switch {
			case errors.Is(readErr, syscall.EAGAIN):
				readErr = nil
				return false // wait until there is something
			case n > 0:
				s.take((*buf)[:n])
			case readErr == nil:
				readErr = io.EOF
			}
			return true
		})
		if readErr != nil {
			return
		}
	}
}

func readFD(fd int, b []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, b)
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// cut ends the pump though somebody still holds the other end.
func (p *pipe) cut() {
	_ = p.f.SetReadDeadline(time.Unix(1, 0)) // fails only for a file that is closed
	<-p.done
}
