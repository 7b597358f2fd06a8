package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Read returns the file, or the part of it that Offset and Length say. What the
// file grows by meanwhile is not in it. Errors: those of ref, ErrTooLarge beyond max_read, a
// *admission.DeniedError, the context's.
func (m *Manager) Read(ctx context.Context, ref Ref, o Options) ([]byte, error) {
	return m.read(ctx, "read", ref, &o)
}

func (m *Manager) read(ctx context.Context, action string, ref Ref, o *Options) (data []byte, err error) {
	_, err = m.run(ctx, &task{action: action, ref: ref, size: -1, o: o, do: func(ctx context.Context, r *root, name string) (int64, error) {
		var err error
		data, err = m.readWhole(ctx, r, name, o)
		return int64(len(data)), err
	}})
	return data, err
}

func (m *Manager) readWhole(ctx context.Context, r *root, name string, o *Options) ([]byte, error) {
	f, err := r.openRead(name)
	if err != nil {
		return nil, err
	}
	defer f.close()
	n, err := span(f.size, o)
	if err != nil {
		return nil, err
	}
	if most := m.live.Load().MaxRead; most > 0 && n > most {
		return nil, fmt.Errorf("%w: %d bytes, the bound is %d; read a part or stream it", ErrTooLarge, n, most)
	}
	data := make([]byte, n)
	for done := 0; done < len(data); {
		if err := m.alive(ctx); err != nil {
			return nil, err
		}
		n, err := f.readAt(data[done:min(done+readStep, len(data))], o.Offset+int64(done))
		done += n
		m.counts.read.Add(uint64(n))
		if errors.Is(err, io.EOF) { // it shrank
			return data[:done], nil
		} else if err != nil {
			return nil, err
		}
	}
	return data, nil
}

// readStep is how much is read before a look at whether to go on.
const readStep = 1 << 20

// span is how many bytes of a file of that size the options ask for.
func span(size int64, o *Options) (int64, error) {
	if o.Offset < 0 || o.Length < 0 {
		return 0, fmt.Errorf("%w: offset and length must be 0 or more", ErrPath)
	}
	n := max(size-o.Offset, 0)
	if o.Length > 0 {
		n = min(n, o.Length)
	}
	return n, nil
}

// Reader streams a file, up to its size at opening. It is not safe for concurrent
// use. Its operation is under way, and holds a slot, until Close.
type Reader struct {
	m   *Manager
	op  *admission.Op
	t   task
	o   Options
	ctx context.Context

	mu   sync.Mutex // Stop may close it while it is read
	f    opened     // guarded by mu
	at   int64      // offset of the next byte; guarded by mu
	left int64      // guarded by mu
	n    int64      // bytes given; guarded by mu
	err  error      // that ended it; guarded by mu
	done bool       // guarded by mu
}

// Open opens the file for streaming, from Offset for Length bytes. Timeouts of the
// options and the policies bound it to its Close. The caller closes the Reader.
func (m *Manager) Open(ctx context.Context, ref Ref, o Options) (*Reader, error) {
	x := &Reader{m: m, o: o}
	x.t = task{action: "read", ref: ref, size: -1, o: &x.o, stream: x}
	op, err := m.run(ctx, &x.t)
	if err != nil {
		return nil, err
	}
	x.op = op
	m.mu.Lock()
	m.readers[x] = struct{}{}
	m.mu.Unlock()
	return x, nil
}

func (x *Reader) open(ctx context.Context, r *root, name string) (int64, error) {
	f, err := r.openRead(name)
	if err != nil {
		return 0, err
	}
	n, err := span(f.size, &x.o)
	if err != nil {
		f.close()
		return 0, err
	}
	x.f, x.at, x.left, x.ctx = f, x.o.Offset, n, ctx
	return -1, nil
}

// Size is how many bytes there are to read in all.
func (x *Reader) Size() int64 { return x.left + x.n }

// Info describes the file.
func (x *Reader) Info() Entry {
	return Entry{Path: x.t.ref.Path, Kind: KindFile, Size: x.f.size, Mode: x.f.mode.Perm(), Modified: x.f.modified}
}

// Read reads the next bytes.
func (x *Reader) Read(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.done:
		return 0, fs.ErrClosed
	case x.left == 0:
		return 0, io.EOF
	}
	if err := x.m.alive(x.ctx); err != nil {
		x.err = err
		return 0, err
	}
	n, err := x.f.readAt(b[:min(int64(len(b)), x.left)], x.at)
	x.at += int64(n)
	x.left -= int64(n)
	x.n += int64(n)
	x.m.counts.read.Add(uint64(n))
	if errors.Is(err, io.EOF) { // it shrank
		x.left = 0
	} else if err != nil {
		x.err = err
	}
	return n, err
}

// WriteTo writes the rest to w, through a pooled buffer.
func (x *Reader) WriteTo(w io.Writer) (int64, error) {
	buf := x.m.bufs.get()
	defer x.m.bufs.put(buf)
	var total int64
	for {
		n, err := x.Read(buf[:])
		if n > 0 {
			written, err := w.Write(buf[:n])
			total += int64(written)
			if err != nil {
				return total, err
			}
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		} else if err != nil {
			return total, err
		}
	}
}

// Close ends the operation. Calling it again does nothing.
func (x *Reader) Close() error { return x.finish(nil) }

func (x *Reader) finish(why error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done {
		return nil
	}
	x.done = true
	if x.err == nil {
		x.err = why
	}
	x.f.close()
	x.t.res = policy.Response{}
	response(&x.t.res, x.n, x.err)
	x.m.driver.Settle(x.op, &x.t.res)
	x.m.mu.Lock()
	delete(x.m.readers, x)
	x.m.mu.Unlock()
	x.m.end(x.op, &x.t)
	return nil
}

// endReaders ends streams whose callers did not close them in time.
func (m *Manager) endReaders() {
	m.mu.Lock()
	var open []*Reader
	for x := range m.readers {
		open = append(open, x)
	}
	m.mu.Unlock()
	for _, x := range open {
		_ = x.finish(errCut)
	}
}
