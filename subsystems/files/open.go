package files

import (
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// opened is a regular file open for reading: by number, where the system confines
// paths itself, else as a file of the os.Root. It must be closed.
type opened struct {
	fd       int
	f        *os.File // nil: fd
	size     int64
	mode     fs.FileMode
	modified time.Time
}

// openRead opens a regular file for reading. Nothing that a pipe or a device does
// can hold it up.
func (r *root) openRead(name string) (opened, error) {
	if o, err, ok := r.openBeneath(name); ok {
		return o, err
	}
	f, info, err := r.open(name, os.O_RDONLY, 0)
	if err != nil {
		return opened{}, err
	}
	return opened{f: f, size: info.Size(), mode: info.Mode(), modified: info.ModTime()}, nil
}

// readAt is that of io.ReaderAt, but may read less without an error.
func (o *opened) readAt(b []byte, offset int64) (int, error) {
	if o.f != nil {
		return o.f.ReadAt(b, offset)
	}
	for {
		n, err := unix.Pread(o.fd, b, offset)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, err
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func (o *opened) close() {
	if o.f != nil {
		_ = o.f.Close()
	} else {
		_ = unix.Close(o.fd)
	}
}
