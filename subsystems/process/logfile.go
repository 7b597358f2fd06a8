package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// logFile is a file of output that is rotated by size: NAME, NAME.1 the newest of
// the older ones. One goroutine at a time.
type logFile struct {
	path string
	max  int64
	keep int
	f    *os.File
	size int64
}

// openLog opens path anew; a file that is there from before becomes the first of
// the older ones.
func openLog(path string, maxBytes int64, keep int) (*logFile, error) {
	l := &logFile{path: path, max: maxBytes, keep: keep}
	if _, err := os.Lstat(path); err == nil {
		l.shift()
	}
	return l, l.open()
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the output file: %w", err)
	}
	l.f, l.size = f, 0
	return nil
}

// shift makes each file one older, the one beyond keep goes.
func (l *logFile) shift() {
	for i := l.keep; i > 0; i-- {
		from := l.path
		if i > 1 {
			from += "." + strconv.Itoa(i-1)
		}
		_ = os.Rename(from, l.path+"."+strconv.Itoa(i)) // may not be there yet
	}
}

func (l *logFile) Write(b []byte) (int, error) {
	done := 0
	for len(b) > 0 {
		if l.size >= l.max {
			_ = l.f.Close()
			l.shift()
			if err := l.open(); err != nil {
				return done, err
			}
		}
		n, err := l.f.Write(b[:min(int64(len(b)), l.max-l.size)])
		l.size += int64(n)
		done += n
		if err != nil {
			return done, fmt.Errorf("write the output file: %w", err)
		}
		b = b[n:]
	}
	return done, nil
}

func (l *logFile) close() { _ = l.f.Close() }

// removeLogs removes the files of a stream, the rotated ones too.
func removeLogs(path string) {
	_ = os.Remove(path)
	older, err := filepath.Glob(globEscape(path) + ".[0-9]*")
	if err != nil {
		return
	}
	for _, f := range older {
		_ = os.Remove(f)
	}
}

// globEscape makes a path mean itself in a pattern.
func globEscape(path string) string {
	out := make([]byte, 0, len(path))
	for i := range len(path) {
		switch path[i] {
		case '*', '?', '[', '\\':
			out = append(out, '\\')
		}
		out = append(out, path[i])
	}
	return string(out)
}
