// Package head reads the fields of an HTTP/1.1 head, of a request or of an answer,
// into an http.Header.
//
// It is strict where net/textproto is not: a line ends with CR LF, a name is a token
// that the colon follows at once, a line is never continued in the next. What it
// accepts, net/textproto reads alike. Start lines and framing are their readers'.
//
// It allocates little: the head is one string, names and values are parts of it, and
// the lists of values are cut out of one array.
package head

import (
	"bytes"
	"errors"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// Errors of a head that is refused. They quote nothing of it: it may hold secrets.
var (
	ErrLine    = errors.New("head: a line does not end with CR LF")
	ErrFolded  = errors.New("head: a field is continued on another line")
	ErrName    = errors.New("head: the name of a field is not a token followed by a colon")
	ErrValue   = errors.New("head: the value of a field holds a control character")
	ErrTooMany = errors.New("head: too many fields")
	ErrLength  = errors.New("head: Content-Length is not one whole number")
)

// End returns the length of the head at the beginning of b, with the empty line that
// ends it; 0 means that the end is not in b. seen is how much of b an earlier call
// has looked through, 0 for the first. A head that ends with bare line feeds ends
// too: it is Line and Parse that refuse it.
func End(b []byte, seen int) int {
	at := max(seen-2, 0) // what was seen may end within the empty line
	for {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return 0
		}
		at += i + 1
		switch rest := b[at:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return at + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return at + 2
		}
	}
}

// Line cuts the first line off a head and returns it without its end.
func Line(head string) (line, rest string, err error) {
	i := strings.IndexByte(head, '\n')
	if i < 1 || head[i-1] != '\r' {
		return "", "", ErrLine
	}
	return head[:i-1], head[i+1:], nil
}

// Fields are the fields of one head, and the memory in which they lie. The zero value
// is ready for use. They are not safe for concurrent use.
type Fields struct {
	Header http.Header // nil until Parse

	values []string // what the lists in Header are cut out of
	free   []string // of values
}

// Reset forgets the fields and keeps their memory for the next Parse: nobody may
// still hold Header or a list of it. Names and values, being strings, stay good.
func (f *Fields) Reset() {
	clear(f.Header)
	clear(f.values)
	f.free = nil
}

// Parse adds the fields of block to Header: all lines that follow the start line, with
// the empty line at the end. Names are in the canonical form, values without the space
// around them. More than most fields are refused; 0 is no bound. Header is no good
// after an error.
func (f *Fields) Parse(block string, most int) error {
	if block != "\r\n" && !strings.HasSuffix(block, "\r\n\r\n") {
		return ErrLine
	}
	lines := strings.Count(block, "\n") - 1
	if most > 0 && lines > most {
		return ErrTooMany
	}
	f.reserve(lines)
	for len(block) > 2 {
		i := strings.IndexByte(block, '\n')
		if i < 1 || block[i-1] != '\r' {
			return ErrLine
		}
		if i == 1 {
			return ErrLine // the empty line is not the last
		}
		if err := f.add(block[:i-1]); err != nil {
			return err
		}
		block = block[i+1:]
	}
	return nil
}

func (f *Fields) reserve(lines int) {
	if f.Header == nil {
		f.Header = make(http.Header, max(lines, 0))
	}
	if lines <= len(f.free) {
		return
	}
	if len(f.Header) > 0 || lines > cap(f.values) {
		f.values = make([]string, lines) // the old ones may be in use
	}
	f.values = f.values[:lines]
	f.free = f.values
}

// add adds the field of one line.
func (f *Fields) add(line string) error {
	if line[0] == ' ' || line[0] == '\t' {
		return ErrFolded
	}
	name, value, err := split(line)
	if err != nil {
		return err
	}
	if value = trim(value); !clean(value) {
		return ErrValue
	}
	if old := f.Header[name]; old != nil {
		f.Header[name] = append(old, value) // its capacity ends with it: that is a copy
		return nil
	}
	list := f.free[:1:1]
	f.free = f.free[1:]
	list[0] = value
	f.Header[name] = list
	return nil
}

// split cuts a line at its colon; the name is in the canonical form.
func split(line string) (name, value string, err error) {
	canonical, first := true, true
	for i := range len(line) {
		c := line[i]
		kind := kinds[c]
		if kind == notToken {
			if c != ':' || i == 0 {
				return "", "", ErrName
			}
			name, value = line[:i], line[i+1:]
			if !canonical {
				name = canonicalName(name)
			}
			return name, value, nil
		}
		if first && kind == lower || !first && kind == upper {
			canonical = false
		}
		first = c == '-'
	}
	return "", "", ErrName
}

// Token reports whether s is a token, as methods and names of fields have to be.
func Token(s string) bool {
	for i := range len(s) {
		if kinds[s[i]] == notToken {
			return false
		}
	}
	return s != ""
}

// Name returns the canonical form of a field's name, and whether it is a token.
func Name(name string) (string, bool) {
	canonical, first := true, true
	for i := range len(name) {
		kind := kinds[name[i]]
		if kind == notToken {
			return "", false
		}
		if first && kind == lower || !first && kind == upper {
			canonical = false
		}
		first = name[i] == '-'
	}
	if !canonical {
		name = canonicalName(name)
	}
	return name, name != ""
}

// Value returns a field's value without the space around it, and whether it can be sent:
// it has no control character but the tab.
func Value(value string) (string, bool) {
	value = trim(value)
	return value, clean(value)
}

// canonicalName is for names that are sent in another form: the well-known ones cost
// nothing.
func canonicalName(name string) string {
	var buf [maxKnown]byte
	if len(name) > len(buf) {
		return textproto.CanonicalMIMEHeaderKey(name)
	}
	first := true
	for i := range len(name) {
		c := name[i]
		switch kind := kinds[c]; {
		case first && kind == lower:
			c -= 'a' - 'A'
		case !first && kind == upper:
			c += 'a' - 'A'
		}
		buf[i] = c
		first = c == '-'
	}
	if k, ok := known[string(buf[:len(name)])]; ok {
		return k
	}
	return string(buf[:len(name)])
}

// trim takes the optional white space off both ends of a value.
func trim(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// clean reports whether a value is free of control characters, the tab aside. It looks
// at eight bytes at once, and at one by one where there may be something.
func clean(s string) bool {
	const (
		ones = 0x0101010101010101
		tops = 0x80 * ones
	)
	for ; len(s) >= 8; s = s[8:] {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		del := w ^ 0x7f*ones
		if (w-0x20*ones)&^w&tops|(del-ones)&^del&tops != 0 && !cleanBytes(s[:8]) {
			return false
		}
	}
	return cleanBytes(s)
}

func cleanBytes(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// Length returns what Content-Length says, -1 where there is none. Repeated equal
// values count as one.
func Length(h http.Header) (int64, error) {
	values := h["Content-Length"]
	if len(values) == 0 {
		return -1, nil
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return 0, ErrLength
		}
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil {
		return 0, ErrLength
	}
	return int64(n), nil
}
