package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// file is a recording on disk: NAME, and NAME.1 to NAME.KEEP before it.
type file struct {
	path    string
	maxSize int64
	keep    int
	f       *os.File // nil: to be opened
	size    int64    // whole lines
}

// head is how every line begins, and so every recording.
const head = `{"schema":"` + Schema + `"`

// tailMax is how much of an unfinished last line is looked for.
const tailMax = 1 << 20

func openFile(path string, maxSize int64, keep int) (*file, error) {
	f := &file{path: path, maxSize: maxSize, keep: keep}
	return f, f.open()
}

// open opens or makes the file. A line that a kill left unfinished is cut off.
func (f *file) open() error {
	h, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	size, err := ready(h)
	if err == nil {
		_, err = h.Seek(size, io.SeekStart)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", f.path, err), h.Close())
	}
	f.f, f.size = h, size
	return nil
}

var errForeign = errors.New("there is a file that is no recording; it is left alone")

// ready checks that h is a recording, or empty, and ends it at a whole line.
func ready(h *os.File) (size int64, err error) {
	info, err := h.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, errors.New("want a regular file")
	}
	size = info.Size()
	if size == 0 {
		return 0, nil
	}
	first := make([]byte, min(int64(len(head)), size))
	if _, err := h.ReadAt(first, 0); err != nil {
		return 0, err
	}
	if !bytes.HasPrefix([]byte(head), first) {
		return 0, errForeign
	}
	tail := make([]byte, min(size, tailMax))
	if _, err := h.ReadAt(tail, size-int64(len(tail))); err != nil {
		return 0, err
	}
	whole := size - int64(len(tail)) + int64(bytes.LastIndexByte(tail, '\n')+1)
	if whole == size {
		return size, nil
	}
	return whole, h.Truncate(whole)
}

// write appends whole lines, in the next file where this one is full. After an error
// nothing of them is in the file, and the next call tries anew.
func (f *file) write(lines []byte) error {
	if f.f != nil && f.size > 0 && f.size+int64(len(lines)) > f.maxSize {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	if f.f == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	if _, err := f.f.Write(lines); err != nil {
		_ = f.f.Truncate(f.size) // else open cuts it
		return errors.Join(err, f.close())
	}
	f.size += int64(len(lines))
	return nil
}

// rotate makes room for a new file. The oldest goes.
func (f *file) rotate() error {
	if err := f.close(); err != nil {
		return err
	}
	if f.keep == 0 {
		return os.Remove(f.path)
	}
	for i := f.keep; i > 0; i-- {
		from := f.path
		if i > 1 {
			from = f.path + "." + strconv.Itoa(i-1)
		}
		if err := os.Rename(from, f.path+"."+strconv.Itoa(i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (f *file) close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f, f.size = nil, 0
	return err
}
