package scalars

import (
	"bytes"
	"sync"

	"github.com/valyala/bytebufferpool"
)

// Tap reads the scalars of an answer while it streams by. Write may run beside End.
// It must be ended.
type Tap struct {
	kind   Kind
	mu     sync.Mutex // guards what follows
	values *Values
	buf    *bytebufferpool.ByteBuffer // of JSON the last bytes, of events the one that is not complete; nil once ended
	cut    bool                       // of JSON: the beginning is gone; of events: this one is too long to be read
}

// NewTap returns a tap for a body of the kind, nil for one that is not read.
func NewTap(n *Names, k Kind) *Tap {
	if k == Other {
		return nil
	}
	return &Tap{kind: k, values: NewValues(n), buf: bytebufferpool.Get()}
}

// Write sees bytes that pass.
func (t *Tap) Write(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.buf == nil:
	case t.kind == Events:
		t.events(b)
	default:
		t.tail(b)
	}
}

// tail keeps at least the last MaxRead bytes and at most twice as many, so that each
// byte is moved once on average.
func (t *Tap) tail(b []byte) {
	if len(b) > MaxRead {
		t.cut = true
		b = b[len(b)-MaxRead:]
		t.buf.B = t.buf.B[:0]
	}
	if len(t.buf.B)+len(b) > 2*MaxRead {
		t.cut = true
		keep := t.buf.B[len(t.buf.B)-(MaxRead-len(b)):]
		t.buf.B = append(t.buf.B[:0], keep...)
	}
	t.buf.B = append(t.buf.B, b...)
}

// events cuts the stream into lines, and reads the data of each line that is a document.
// Providers send an event's document in one line; the standard would let it
// span several.
func (t *Tap) events(b []byte) {
	for len(b) > 0 {
		end := bytes.IndexAny(b, "\n\r")
		line := b
		if end >= 0 {
			line = b[:end]
		}
		if !t.cut && len(t.buf.B)+len(line) <= MaxRead {
			t.buf.B = append(t.buf.B, line...)
		} else {
			t.cut = true
		}
		if end < 0 {
			return
		}
		t.line()
		b = b[end+1:]
	}
}

func (t *Tap) line() {
	if data, ok := bytes.CutPrefix(t.buf.B, []byte("data:")); ok && !t.cut {
		t.values.Scan(append(data, '\n')) // complete: nothing in it is cut off
	}
	t.buf.B, t.cut = t.buf.B[:0], false
}

// End reads what is left and returns what was found: once, then nil.
func (t *Tap) End() *Values {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf == nil {
		return nil
	}
	switch {
	case t.kind == Events:
		t.line()
	case t.cut:
		t.values.Scan(lastMembers(t.buf.B))
	default:
		t.values.Scan(append(t.buf.B, '\n'))
	}
	bytebufferpool.Put(t.buf)
	t.buf = nil
	return t.values
}

// lastMembers makes a document of the last members of the object whose end is the
// end of tail: those that are whole in it. It reads backwards, where the state is
// known: after the closing brace, outside of every string. It changes tail.
func lastMembers(tail []byte) []byte {
	tail = bytes.TrimRight(tail, " \t\r\n")
	if len(tail) == 0 || tail[len(tail)-1] != '}' {
		return nil
	}
	depth, from := 0, -1
	for i := len(tail) - 1; i >= 0; i-- {
		switch tail[i] {
		case '"':
			open := openingQuote(tail, i)
			if open < 0 {
				i = -1 // the string began before the tail
				continue
			}
			i = open
		case '}', ']':
			depth++
		case '{', '[':
			depth--
			if depth == 0 {
				return append(tail[i:], '\n')
			}
		case ',':
			if depth == 1 {
				from = i
			}
		}
	}
	if from < 0 {
		return nil
	}
	tail[from] = '{'
	return append(tail[from:], '\n')
}

// openingQuote finds the quote that opens the string which closes at end, -1 for one
// that opened before the tail.
func openingQuote(tail []byte, end int) int {
	for i := end - 1; i >= 0; i-- {
		if tail[i] != '"' {
			continue
		}
		slashes := len(tail[:i]) - len(bytes.TrimRight(tail[:i], `\`))
		if slashes == i {
			return -1 // how many there are is not known
		}
		if slashes%2 == 0 {
			return i
		}
	}
	return -1
}
